//! Image archives are recognised, looked into and streamed, whole or broken, whatever they are packed with.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt};
use guestbake::failure::{Fault, Reason};
use guestbake::images::archive::{Archive, ArchiveStream, Compression, Layers};
use support::image::{Form, ImageArchive, Packing, layer, pack};

const FORMS: [Form; 3] = [Form::DockerArchive, Form::OciLayout, Form::Both];
const PACKINGS: [Packing; 3] = [Packing::Plain, Packing::Gzip, Packing::Zstd];

fn image() -> ImageArchive {
    // Larger than a chunk, and not packable to nothing.
    let noise: Vec<u8> = (0..400_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let layers = vec![
        layer(&[("noise", &noise)]),
        layer(&[("etc/name", b"small")]),
    ];
    ImageArchive::new("test/app:1", layers)
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn open(bytes: &[u8]) -> Archive {
    Archive::open("img.tgz", file(bytes)).unwrap()
}

fn text(fault: &Fault) -> String {
    format!("{:#}", fault.error)
}

fn assert_load_fault(fault: &Fault, words: &[&str]) {
    assert_eq!(fault.reason, Reason::ImageLoadFailed);
    for word in words.iter().chain(&["img.tgz"]) {
        assert!(
            text(fault).contains(word),
            "no {word:?} in: {}",
            text(fault)
        );
    }
}

async fn collect(stream: ArchiveStream) -> std::io::Result<Vec<u8>> {
    let chunks: Vec<_> = stream.try_collect().await?;
    Ok(chunks.concat())
}

fn entries(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    (archive.entries().unwrap())
        .map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        })
        .collect()
}

#[test]
fn every_form_in_every_packing_is_looked_into() {
    for form in FORMS {
        for packing in PACKINGS {
            for layer_packing in PACKINGS {
                let image = ImageArchive {
                    form,
                    packing,
                    layer_packing,
                    ..image()
                };
                let archive = open(&image.bytes());
                let contents = archive.contents().unwrap();
                let [found] = contents.images.as_slice() else {
                    panic!("{contents:?}")
                };
                assert_eq!(found.config_digest, image.id());
                assert_eq!(found.architecture, support::image::host_architecture());
                assert_eq!(found.diff_ids.len(), 2);
                assert!(found.tags[0].ends_with("test/app:1"), "{:?}", found.tags);
                let oci = form != Form::DockerArchive;
                assert_eq!(found.manifest_digest.is_some(), oci);
                assert_eq!(contents.oci_only, form == Form::OciLayout);
                assert_eq!(found.zstd_layers, oci && layer_packing == Packing::Zstd);
                let layers: u64 = image.layers.iter().map(|layer| layer.len() as u64).sum();
                if !oci || layer_packing != Packing::Gzip {
                    assert_eq!(found.unpacked, layers);
                }
                let tar = ImageArchive {
                    packing: Packing::Plain,
                    ..image
                }
                .bytes();
                assert_eq!(
                    archive.unpacked_estimate(),
                    tar.len() as u64,
                    "all three tell it"
                );
            }
        }
    }
}

#[test]
fn the_packing_is_told_by_content_not_by_name() {
    for (packing, compression) in [
        (Packing::Plain, Compression::Plain),
        (Packing::Gzip, Compression::Gzip),
        (Packing::Zstd, Compression::Zstd),
    ] {
        assert_eq!(
            open(&ImageArchive { packing, ..image() }.bytes()).compression(),
            compression
        );
    }
}

#[test]
fn what_is_no_image_archive_is_refused_with_its_name() {
    for (bytes, words) in [
        (b"BZh91AY&SY....".to_vec(), &["bzip2", "gzip"][..]),
        (b"\xfd7zXZ\0....".to_vec(), &["xz"]),
        (b"just text".to_vec(), &["neither"]),
        (Vec::new(), &["empty"]),
    ] {
        assert_load_fault(&Archive::open("img.tgz", file(&bytes)).unwrap_err(), words);
    }
    let other = layer(&[("hello", b"world")]);
    for packing in PACKINGS {
        let fault = open(&pack(packing, &other)).contents().unwrap_err();
        assert_load_fault(&fault, &["neither manifest.json nor index.json"]);
    }
    let corrupt = layer(&[("manifest.json", b"[{]")]);
    assert_load_fault(
        &open(&corrupt).contents().unwrap_err(),
        &["manifest.json that cannot be understood"],
    );
    let lacking = layer(&[(
        "manifest.json",
        br#"[{"Config":"c.json","RepoTags":["a:b"],"Layers":[]}]"#,
    )]);
    assert_load_fault(
        &open(&lacking).contents().unwrap_err(),
        &["names the config c.json"],
    );
}

#[tokio::test]
async fn a_truncated_archive_is_refused_wherever_it_ends() {
    for form in FORMS {
        for packing in PACKINGS {
            let whole = ImageArchive {
                form,
                packing,
                ..image()
            }
            .bytes();
            // From the middle of a header to shortly before the end of the last entry.
            for length in [600, 5_000, whole.len() / 2, whole.len() - 3000] {
                let truncated = open(&whole[..length]);
                let fault = truncated.contents().unwrap_err();
                assert_load_fault(&fault, &["byte"]);
                let (stream, transfer) = truncated.stream_unpacked(Layers::AsTheyAre, |_| Ok(None));
                let error = collect(stream).await.unwrap_err().to_string();
                assert!(error.contains("img.tgz"), "{error}");
                assert_load_fault(&transfer.take_outcome().unwrap().unwrap_err(), &["byte"]);
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_checksum_at_the_end_is_an_error() {
    for packing in [Packing::Gzip, Packing::Zstd] {
        let mut bytes = pack(packing, &image().bytes());
        if packing == Packing::Zstd {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(&image().bytes()).unwrap();
            bytes = encoder.finish().unwrap();
        }
        let checksum = bytes.len() - if packing == Packing::Gzip { 8 } else { 4 };
        bytes[checksum] ^= 1;
        assert_load_fault(&open(&bytes).contents().unwrap_err(), &["is corrupt"]);
        for manifest in [None, Some(vec![0; 512])] {
            let (stream, transfer) =
                open(&bytes).stream_unpacked(Layers::AsTheyAre, |_| Ok(manifest));
            assert!(collect(stream).await.is_err());
            assert_load_fault(
                &transfer.take_outcome().unwrap().unwrap_err(),
                &["is corrupt"],
            );
        }
    }
}

#[tokio::test]
async fn what_unpacks_to_more_than_there_is_room_for_is_an_error() {
    for packing in [Packing::Gzip, Packing::Zstd] {
        let bytes = pack(
            packing,
            &ImageArchive::new("zeros:1", vec![vec![0; 10 << 20]]).bytes(),
        );
        let mut archive = open(&bytes);
        archive.limit_unpacked(1 << 20);
        assert_load_fault(
            &archive.contents().unwrap_err(),
            &["unpacks to more than 1048576 bytes"],
        );
        let (stream, _) = archive.stream_unpacked(Layers::AsTheyAre, |_| Ok(None));
        assert!(collect(stream).await.is_err());
    }
}

#[tokio::test]
async fn the_streams_carry_the_file_or_the_tar_inside() {
    for form in FORMS {
        for packing in PACKINGS {
            let image = ImageArchive {
                form,
                packing,
                ..image()
            };
            let (packed, tar) = (
                image.bytes(),
                ImageArchive {
                    packing: Packing::Plain,
                    ..image.clone()
                }
                .bytes(),
            );

            let (stream, transfer) = open(&packed).stream_packed(None);
            assert!(collect(stream).await.unwrap() == packed);
            assert!(transfer.take_outcome().unwrap().unwrap().is_none());

            let (stream, transfer) = open(&packed).stream_unpacked(Layers::AsTheyAre, |_| Ok(None));
            assert!(collect(stream).await.unwrap() == tar);
            let progress = transfer.progress();
            assert_eq!(
                (progress.consumed(), progress.total()),
                (packed.len() as u64, packed.len() as u64)
            );
            let contents = transfer.take_outcome().unwrap().unwrap().unwrap();
            assert_eq!(contents.images[0].config_digest, image.id());
        }
    }
}

#[tokio::test]
async fn an_oci_layout_gets_the_manifest_that_engines_read() {
    for packing in PACKINGS {
        let image = ImageArchive {
            form: Form::OciLayout,
            packing,
            ..image()
        };
        let before = entries(
            &ImageArchive {
                packing: Packing::Plain,
                ..image.clone()
            }
            .bytes(),
        );
        let manifest = open(&image.bytes())
            .contents()
            .unwrap()
            .docker_manifest("amd64")
            .unwrap();

        let (stream, _) = open(&image.bytes()).stream_unpacked(Layers::AsTheyAre, |contents| {
            Ok(contents.docker_manifest("amd64"))
        });
        let sent = collect(stream).await.unwrap();
        assert!(sent.ends_with(&[0; 1024]));
        let mut after = entries(&sent);
        let (name, content) = after.pop().unwrap();
        assert_eq!(name, "manifest.json");
        assert!(String::from_utf8(content).unwrap().contains("test/app:1"));
        assert!(before == after);

        // In front of the file it is packed the same way, and both together are unpacked as one.
        let (stream, _) = open(&image.bytes()).stream_packed(Some(manifest));
        let sent = collect(stream).await.unwrap();
        let contents = open(&sent).contents().unwrap();
        assert!(!contents.oci_only);
        assert_eq!(contents.images[0].config_digest, image.id());
    }
}

#[tokio::test]
async fn the_caller_can_refuse_what_the_archive_holds() {
    let (stream, transfer) =
        open(&image().bytes()).stream_unpacked(Layers::AsTheyAre, |contents| {
            let architecture = &contents.images[0].architecture;
            Err(Fault::new(
                Reason::WrongArchitecture,
                format!("for {architecture}, this guest is another"),
            ))
        });
    assert!(collect(stream).await.is_err());
    let fault = transfer.take_outcome().unwrap().unwrap_err();
    assert_eq!(fault.reason, Reason::WrongArchitecture);
}

#[tokio::test]
async fn a_dropped_stream_ends_its_thread() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("img.tar");
    let large = ImageArchive::new("large:1", vec![vec![1; 16 << 20]]);
    large.write(&path);
    let (mut stream, transfer) = Archive::open("img.tar", File::open(&path).unwrap())
        .unwrap()
        .stream_packed(None);
    stream.next().await.unwrap().unwrap();
    drop(stream);
    let end = Instant::now() + Duration::from_secs(60);
    while is_open(&path) {
        assert!(Instant::now() < end, "the archive is still open");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(transfer.take_outcome().is_none());
    assert!(transfer.progress().consumed() < transfer.progress().total());
}

fn is_open(path: &Path) -> bool {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    fds.into_iter()
        .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == path))
}

use super::*;
use crate::host::iso9660::Volume;
use crate::host::mounts::Mounted;
use async_trait::async_trait;
use std::fs::{self, File};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A machine whose bundle device appears at the n-th look and whose mounts show a folder.
struct Machine {
    appears_at: usize,
    looks: AtomicUsize,
    folder: PathBuf,
    mount_error: fn() -> Option<MountError>,
}

impl Machine {
    fn new(folder: &Path) -> Machine {
        Machine {
            appears_at: 0,
            looks: AtomicUsize::new(0),
            folder: folder.to_path_buf(),
            mount_error: || None,
        }
    }
}

fn volume(path: &Path, label: &str) -> BlockDevice {
    BlockDevice {
        path: path.to_path_buf(),
        content: Content::Iso9660(Volume {
            label: label.into(),
            joliet_label: None,
            size: 2048,
        }),
    }
}

#[async_trait]
impl Mounts for Machine {
    async fn block_devices(&self) -> io::Result<Vec<BlockDevice>> {
        let mut devices = vec![
            BlockDevice {
                path: "/dev/vda".into(),
                content: Content::Other(Some("root".into())),
            },
            volume(Path::new("/dev/sr0"), "cidata"),
        ];
        if self.looks.fetch_add(1, Ordering::Relaxed) >= self.appears_at {
            devices.push(volume(&self.folder.join("device"), "STACKBUNDLE"));
        }
        Ok(devices)
    }

    async fn mount_iso9660(&self, _image: &Path) -> Result<Mounted, MountError> {
        match (self.mount_error)() {
            Some(error) => Err(error),
            None => Ok(Mounted {
                root: File::open(&self.folder).unwrap().into(),
            }),
        }
    }
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("build-arch.env"),
        "STACK_EMULATOR_BUILD_ARCH=amd64\n",
    )
    .unwrap();
    fs::write(folder.path().join("device"), "").unwrap();
    folder
}

fn labelled() -> Source {
    Source::Label {
        label: "STACKBUNDLE".into(),
        timeout: Duration::from_secs(30),
    }
}

async fn fault(source: &Source, machine: &Machine) -> (Reason, String) {
    let fault = open(source, machine).await.unwrap_err();
    (fault.reason, fault.error.to_string())
}

#[tokio::test]
async fn a_folder_is_a_bundle() {
    let folder = folder();
    let bundle = open(
        &Source::Path(folder.path().into()),
        &Machine::new(folder.path()),
    )
    .await
    .unwrap();
    assert_eq!(bundle.build().arch, crate::arch::Arch::Amd64);
    assert_eq!(bundle.location(), folder.path());
    assert!(bundle.files().exists("device"));
    bundle.close().await.unwrap();
}

#[tokio::test]
async fn a_device_that_appears_later_is_taken() {
    let folder = folder();
    let machine = Machine {
        appears_at: 3,
        ..Machine::new(folder.path())
    };
    let bundle = open(&labelled(), &machine).await.unwrap();
    assert_eq!(bundle.location(), folder.path().join("device"));
    assert_eq!(machine.looks.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_never_appears_is_missing_and_those_there_are_listed() {
    let folder = folder();
    let machine = Machine {
        appears_at: usize::MAX,
        ..Machine::new(folder.path())
    };
    let started = Instant::now();
    let (reason, message) = fault(&labelled(), &machine).await;
    assert_eq!(reason, Reason::BundleMissing);
    assert_eq!(
        message,
        "no ISO 9660 volume labelled STACKBUNDLE after 30s; \
         there are: /dev/vda \"root\" (not ISO 9660), /dev/sr0 \"cidata\""
    );
    assert_eq!(started.elapsed(), Duration::from_secs(30));
    assert!(
        machine.looks.load(Ordering::Relaxed) < 80,
        "it looks too often"
    );
}

#[tokio::test]
async fn reasons_tell_what_is_missing_from_what_is_broken() {
    let folder = folder();
    let truncated: fn() -> Option<MountError> = || {
        Some(MountError::Truncated {
            expected: 4096,
            found: 2048,
        })
    };
    for (mount_error, expected, words) in [
        (
            truncated,
            Reason::BundleCorrupt,
            "truncated: 2048 bytes, where its volume has 4096",
        ),
        (
            || Some(MountError::NotIso9660),
            Reason::BundleCorrupt,
            "no ISO 9660 volume",
        ),
        (
            || Some(MountError::Unsupported),
            Reason::BundleMissing,
            "cannot mount ISO 9660",
        ),
    ] {
        let machine = Machine {
            mount_error,
            ..Machine::new(folder.path())
        };
        let (reason, message) = fault(&labelled(), &machine).await;
        assert_eq!(reason, expected);
        assert!(
            message.contains("device: ") && message.contains(words),
            "{message}"
        );
    }
    let nowhere = Source::Path("/no/such/bundle".into());
    let (reason, message) = fault(&nowhere, &Machine::new(folder.path())).await;
    assert_eq!(reason, Reason::BundleMissing);
    assert!(
        message.contains("/no/such/bundle: No such file"),
        "{message}"
    );
    let odd = Source::Path("/dev/null".into());
    let (_, message) = fault(&odd, &Machine::new(folder.path())).await;
    assert!(
        message.contains("neither a folder, an image file nor a block device"),
        "{message}"
    );
}

#[tokio::test]
async fn without_build_arch_env_the_error_lists_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let source = Source::Path(folder.path().into());
    let machine = Machine::new(folder.path());
    let (reason, message) = fault(&source, &machine).await;
    assert_eq!(reason, Reason::BundleCorrupt);
    assert!(
        message.ends_with("build-arch.env is missing; it is empty"),
        "{message}"
    );

    for number in 0..25 {
        fs::write(folder.path().join(format!("file{number:02}")), "").unwrap();
    }
    let (_, message) = fault(&source, &machine).await;
    assert!(message.contains("there are: file00, file01, "), "{message}");
    assert!(message.ends_with("file19 and 5 more"), "{message}");

    fs::write(folder.path().join("BUILD_AR.ENV"), "").unwrap();
    let (_, message) = fault(&source, &machine).await;
    assert!(
        message.contains("neither Rock Ridge nor Joliet"),
        "{message}"
    );
}

#[tokio::test]
async fn a_build_arch_env_that_makes_no_sense_is_corrupt() {
    let folder = folder();
    fs::write(
        folder.path().join("build-arch.env"),
        "STACK_EMULATOR_BUILD_ARCH=riscv64\n",
    )
    .unwrap();
    let (reason, message) = fault(
        &Source::Path(folder.path().into()),
        &Machine::new(folder.path()),
    )
    .await;
    assert_eq!(reason, Reason::BundleCorrupt);
    assert!(message.contains("build-arch.env:1: "), "{message}");
}

//! What an archive is packed with, told by its first bytes, and who had better unpack it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

/// As much of a file's beginning as [`detect`] looks at: a tar header.
pub const HEAD: usize = 512;

/// Unpacked bytes per packed byte where the file does not say. Images of Debian packages pack 2.7 times with gzip and
/// 3.2 times with zstd; the factors are a little above, for they are held against free space.
const GZIP_FACTOR: u64 = 3;
const ZSTD_FACTOR: u64 = 4;

/// A packing that is unpacked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Plain,
    Gzip,
    Zstd,
}

impl Compression {
    pub fn name(self) -> &'static str {
        match self {
            Compression::Plain => "plain tar",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// Tells a packing by the first bytes of a file; the error says what the file is instead.
pub fn detect(head: &[u8]) -> Result<Compression, String> {
    const REFUSED: &[(&[u8], &str)] = &[
        (b"BZh", "bzip2"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
        (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
        (b"PK\x03\x04", "zip"),
    ];
    if let Some(packed) = detect_packed(head) {
        return Ok(packed);
    }
    if let Some((_, name)) = REFUSED.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Err(format!(
            "is packed with {name}; plain tar, gzip and zstd are understood, so pack it again with one of these"
        ));
    }
    if head.len() >= HEAD && is_tar_header(head) {
        return Ok(Compression::Plain);
    }
    Err("is neither a tar file nor packed with gzip or zstd".to_owned())
}

/// The same for content that need not be a tar file, such as a layer.
pub fn detect_packed(head: &[u8]) -> Option<Compression> {
    match head {
        [0x1f, 0x8b, ..] => Some(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Compression::Zstd),
        // A skippable frame; parallel compressors begin with one.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
        _ => None,
    }
}

/// Its checksum is right, which also holds for tar files from before `ustar`.
fn is_tar_header(head: &[u8]) -> bool {
    let mut header = tar::Header::new_old();
    header.as_mut_bytes().copy_from_slice(&head[..HEAD]);
    let sum = head[..148]
        .iter()
        .chain(&head[156..HEAD])
        .map(|byte| u32::from(*byte))
        .sum::<u32>();
    // An entry without a name is no entry: a block of nothing else than zeros is the end of an empty tar file.
    head[0] != 0
        && header
            .cksum()
            .is_ok_and(|expected| expected == sum + 8 * 32)
}

/// About how many bytes `length` bytes of file hold. Exact for plain tar and for zstd that says so.
pub fn unpacked_size(compression: Compression, file: &File, length: u64) -> io::Result<u64> {
    Ok(match compression {
        Compression::Plain => length,
        Compression::Zstd => {
            let mut head = [0; 18];
            let read = file.read_at(&mut head, 0)?;
            zstd_size(&head[..read], length)
        }
        Compression::Gzip => {
            let mut trailer = [0; 4];
            file.read_exact_at(&mut trailer, length.saturating_sub(4))?;
            gzip_size(u32::from_le_bytes(trailer), length)
        }
    })
}

/// From the header of the first frame, which is there if the compressor knew the size beforehand.
pub fn zstd_size(head: &[u8], length: u64) -> u64 {
    match zstd::zstd_safe::get_frame_content_size(head) {
        // Less than the file itself: only the first of several frames.
        Ok(Some(size)) if size >= length => size,
        _ => length.saturating_mul(ZSTD_FACTOR),
    }
}

/// From the trailer, which holds the size of the last member modulo 4 GiB.
///
/// One member is the rule. So of all sizes with this remainder, the one nearest to the usual ratio is meant, unless
/// it is smaller than the file or far from usual: then there are several members, or the trailer is not one.
pub fn gzip_size(trailer: u32, length: u64) -> u64 {
    const WRAP: u64 = 1 << 32;
    let usual = length.saturating_mul(GZIP_FACTOR);
    let last = u64::from(trailer);
    let wraps = usual.saturating_sub(last) / WRAP;
    let nearest = [last + wraps * WRAP, last + (wraps + 1) * WRAP]
        .into_iter()
        .filter(|size| *size >= length)
        .min_by_key(|size| size.abs_diff(usual));
    match nearest {
        Some(size) if size < WRAP || size <= length.saturating_mul(8) => size,
        _ => usual,
    }
}

/// A reader of the unpacked bytes.
pub enum Unpacker<R: Read> {
    Plain(BufReader<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<BufReader<R>>>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<R>>),
}

impl<R: Read> Read for Unpacker<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Unpacker::Plain(plain) => plain.read(buffer),
            Unpacker::Gzip(gzip) => gzip.read(buffer),
            Unpacker::Zstd(zstd) => zstd.read(buffer),
        }
    }
}

/// Both decoders read all members, respectively frames, of a file.
pub fn unpack<R: Read>(compression: Compression, file: R) -> io::Result<Unpacker<R>> {
    const BUFFER: usize = 256 * 1024;
    let file = BufReader::with_capacity(BUFFER, file);
    Ok(match compression {
        Compression::Plain => Unpacker::Plain(file),
        Compression::Gzip => Unpacker::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(file))),
        Compression::Zstd => Unpacker::Zstd(zstd::stream::read::Decoder::with_buffer(file)?),
    })
}

/// Packs a few bytes so that they can stand before or after bytes packed the same way.
pub fn pack(compression: Compression, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    Ok(match compression {
        Compression::Plain => bytes,
        Compression::Gzip => {
            let mut packed = Vec::new();
            let level = flate2::Compression::fast();
            flate2::read::GzEncoder::new(bytes.as_slice(), level).read_to_end(&mut packed)?;
            packed
        }
        Compression::Zstd => zstd::bulk::compress(&bytes, 1)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn packings_are_told_by_their_first_bytes() {
        assert_eq!(detect(&[0x1f, 0x8b, 8, 0]), Ok(Compression::Gzip));
        assert_eq!(detect(&[0x28, 0xb5, 0x2f, 0xfd]), Ok(Compression::Zstd));
        assert_eq!(detect(&[0x50, 0x2a, 0x4d, 0x18]), Ok(Compression::Zstd));
        let mut header = tar::Header::new_old();
        header.set_path("manifest.json").unwrap();
        header.set_cksum();
        assert_eq!(detect(header.as_bytes()), Ok(Compression::Plain));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (head, word) in [
            (&b"BZh91AY&SY"[..], "bzip2"),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
            (b"PK\x03\x04", "zip"),
            (b"<!DOCTYPE html>", "neither"),
            (b"", "neither"),
            (&[0; 512], "neither"),
            (&[b'a'; 512], "neither"),
        ] {
            let error = detect(head).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn zstd_tells_its_size_when_it_knows_it() {
        let packed = zstd::bulk::compress(&[7; 100_000], 1).unwrap();
        assert_eq!(zstd_size(&packed[..18], packed.len() as u64), 100_000);
        let streamed = zstd::stream::encode_all(&[7; 100_000][..], 1).unwrap();
        assert_eq!(
            zstd_size(&streamed[..18], 1000),
            4000,
            "a stream does not say"
        );
        assert_eq!(
            zstd_size(&packed[..18], 200_000),
            800_000,
            "the first of several frames"
        );
        assert_eq!(zstd_size(&[], 10), 40);
    }

    #[test]
    fn gzip_sizes_are_the_likely_ones() {
        assert_eq!(gzip_size(526_000_000, 192_000_000), 526_000_000);
        assert_eq!(
            gzip_size(100_000_000, 100_000),
            100_000_000,
            "zeros pack well"
        );
        assert_eq!(
            gzip_size(1000, 192_000_000),
            576_000_000,
            "the last of many members"
        );
        let size = 5 * GIB + 17;
        assert_eq!(
            gzip_size(size as u32, 2 * GIB),
            size,
            "more than the trailer can hold"
        );
        assert_eq!(gzip_size(0, 0), 0);
    }
}

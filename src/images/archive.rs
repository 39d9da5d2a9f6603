//! An image archive of the bundle: what it is packed with, which images it holds, and its bytes as a stream for the
//! engine.
//!
//! `docker save` and OCI layouts are both tar files. Nothing is written to disk here: an archive is read once to look
//! into it ([`Archive::contents`]) or looked into while it is sent ([`Archive::stream_unpacked`]).

mod compression;
mod contents;
mod oci;
mod plain_layers;
mod reading;
mod stream;
mod walk;

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::Context;

pub use compression::Compression;
pub use contents::{ArchivedImage, Contents};
pub use reading::Progress;
pub use stream::{ArchiveStream, Layers, Transfer};

use crate::failure::{Because, Fault, Reason};
use reading::{PackedReader, UnpackedReader};

/// Most unpacked bytes per byte of file, above [`BOMB_FLOOR`]. Images pack about three times; a file that holds a
/// hundred times its size holds zeros, and would fill the guest's disk.
const BOMB_RATIO: u64 = 100;
/// So many unpacked bytes are fine whatever the ratio is.
const BOMB_FLOOR: u64 = 16 << 30;

/// An image archive, opened and recognised.
#[derive(Debug)]
pub struct Archive {
    name: String,
    file: File,
    compression: Compression,
    size: u64,
    unpacked: u64,
    limit: u64,
}

impl Archive {
    /// Recognises the archive in `file`, called `name` in errors.
    pub fn open(name: impl Into<String>, file: File) -> Result<Archive, Fault> {
        let name = name.into();
        Self::recognise(&name, &file)
            .with_context(|| format!("image archive {name}"))
            .because(Reason::ImageLoadFailed)
            .map(|(compression, size, unpacked)| Archive {
                name,
                file,
                compression,
                size,
                unpacked,
                limit: size.saturating_mul(BOMB_RATIO).max(BOMB_FLOOR),
            })
    }

    fn recognise(name: &str, file: &File) -> anyhow::Result<(Compression, u64, u64)> {
        let size = file.metadata()?.len();
        anyhow::ensure!(size > 0, "is empty");
        let mut head = [0; compression::HEAD];
        let mut filled = 0;
        while filled < head.len() {
            match file.read_at(&mut head[filled..], filled as u64)? {
                0 => break,
                read => filled += read,
            }
        }
        let compression = compression::detect(&head[..filled])
            .map_err(|what| anyhow::anyhow!("{name} {what}"))?;
        let unpacked = compression::unpacked_size(compression, file, size)?;
        Ok((compression, size, unpacked))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// About so many bytes when unpacked; exact for plain tar and for zstd that says so.
    pub fn unpacked_estimate(&self) -> u64 {
        self.unpacked
    }

    /// Unpacks at most so many bytes, for a caller who knows how many there is room for.
    pub fn limit_unpacked(&mut self, bytes: u64) {
        self.limit = self.limit.min(bytes);
    }

    /// Looks into the archive. Bodies of a plain tar are skipped; a packed archive is unpacked to its end, which costs
    /// as much as unpacking it for the engine does.
    pub fn contents(&self) -> Result<Contents, Fault> {
        self.read_contents()
            .with_context(|| format!("image archive {}", self.name))
            .because(Reason::ImageLoadFailed)
    }

    fn read_contents(&self) -> anyhow::Result<Contents> {
        let packed = PackedReader::new(self.file.try_clone()?, Progress::new(self.size))?;
        let files = if self.compression == Compression::Plain {
            walk::walk(
                tar::Archive::new(packed).entries_with_seek()?,
                Some(self.size),
            )?
        } else {
            let mut unpacked = UnpackedReader::new(packed, self.compression, self.limit)?;
            let files = walk::walk(tar::Archive::new(&mut unpacked).entries()?, None)?;
            // The checksum stands at the very end.
            std::io::copy(&mut unpacked, &mut std::io::sink())?;
            files
        };
        Contents::of(&files)
    }
}

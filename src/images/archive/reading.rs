//! The bytes of an archive file, counted, and their unpacked form, with errors that say where.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compression::{self, Compression};

/// How far the reading of an archive has come, in bytes of the file.
#[derive(Debug)]
pub struct Progress {
    consumed: AtomicU64,
    total: u64,
}

impl Progress {
    pub fn new(total: u64) -> Arc<Self> {
        Arc::new(Progress {
            consumed: AtomicU64::new(0),
            total,
        })
    }

    pub fn consumed(&self) -> u64 {
        self.consumed.load(Ordering::Relaxed)
    }

    pub fn total(&self) -> u64 {
        self.total
    }
}

/// The file itself, from its beginning.
pub struct PackedReader {
    file: File,
    position: u64,
    progress: Arc<Progress>,
}

impl PackedReader {
    pub fn new(mut file: File, progress: Arc<Progress>) -> io::Result<Self> {
        file.rewind()?;
        Ok(PackedReader {
            file,
            position: 0,
            progress,
        })
    }
}

impl Read for PackedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer).map_err(|error| {
            if error.kind() == io::ErrorKind::Interrupted {
                return error;
            }
            // Of an ISO image cut short, for one: its device has fewer blocks than its directory says.
            let message = format!(
                "reading failed at byte {} of {}",
                self.position, self.progress.total
            );
            Failed::at(error.kind(), message, error)
        })?;
        self.position += read as u64;
        self.progress
            .consumed
            .fetch_max(self.position, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for PackedReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = self.file.seek(to)?;
        Ok(self.position)
    }
}

/// The unpacked bytes of the file, at most `limit` of them.
pub struct UnpackedReader {
    inner: Box<dyn Read + Send>,
    compression: Compression,
    progress: Arc<Progress>,
    unpacked: u64,
    limit: u64,
}

impl UnpackedReader {
    pub fn new(packed: PackedReader, compression: Compression, limit: u64) -> io::Result<Self> {
        let progress = packed.progress.clone();
        Ok(UnpackedReader {
            inner: Box::new(compression::unpack(compression, packed)?),
            compression,
            progress,
            unpacked: 0,
            limit,
        })
    }

    fn explain(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::Interrupted
            || error.get_ref().is_some_and(|inner| inner.is::<Failed>())
        {
            return error;
        }
        let progress = &self.progress;
        // The decoders use several kinds and texts for an end that came too early; that all was read says it as well.
        let what = if progress.consumed() == progress.total()
            && error.kind() == io::ErrorKind::UnexpectedEof
        {
            "is truncated: its data ends too early"
        } else {
            "is corrupt"
        };
        let message = format!(
            "{what}, at byte {} of {} ({} bytes unpacked, {})",
            progress.consumed(),
            progress.total(),
            self.unpacked,
            self.compression.name()
        );
        Failed::at(io::ErrorKind::InvalidData, message, error)
    }
}

impl Read for UnpackedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.inner.read(buffer) {
            Ok(read) => read,
            Err(error) => return Err(self.explain(error)),
        };
        self.unpacked += read as u64;
        if self.unpacked > self.limit {
            return Err(io::Error::other(format!(
                "unpacks to more than {} bytes from {} bytes of file: not an image archive one would want",
                self.limit,
                self.progress.consumed()
            )));
        }
        Ok(read)
    }
}

/// An error of reading or unpacking, complete with the place.
#[derive(Debug)]
struct Failed {
    message: String,
    source: io::Error,
}

impl Failed {
    fn at(kind: io::ErrorKind, message: String, source: io::Error) -> io::Error {
        io::Error::new(kind, Failed { message, source })
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // With its cause, for some of those who print this do not look at sources.
        write!(f, "{}: {}", self.message, self.source)
    }
}

impl std::error::Error for Failed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_device_keeps_its_place_and_cause() {
        // Reading the page at address zero fails with EIO, as a bad block does.
        let file = File::open("/proc/self/mem").unwrap();
        let packed = PackedReader::new(file, Progress::new(1000)).unwrap();
        let mut unpacked = UnpackedReader::new(packed, Compression::Gzip, 1000).unwrap();
        let error = unpacked.read(&mut [0; 10]).unwrap_err().to_string();
        assert!(
            error.contains("reading failed at byte 0 of 1000: Input/output error"),
            "{error}"
        );
    }
}

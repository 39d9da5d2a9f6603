//! An archive with its zstd layers unpacked, for an engine that knows no zstd.

use std::io::{self, Read, Write};
use std::path::Path;
use std::thread::JoinHandle;

use tar::{EntryType, Header};

use super::compression::{self, Compression};

/// An archive with its zstd layers unpacked, through a pipe with a thread at its other end.
pub struct PlainLayers {
    pipe: io::PipeReader,
    /// Until it has been asked how it ended.
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl PlainLayers {
    pub fn of(archive: impl Read + Send + 'static) -> io::Result<Self> {
        let (pipe, into) = io::pipe()?;
        let thread = std::thread::Builder::new().name("layers".to_owned());
        Ok(PlainLayers {
            pipe,
            thread: Some(thread.spawn(move || unpack_layers(archive, into))?),
        })
    }
}

impl Read for PlainLayers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.pipe.read(buffer)?;
        // An end that is an error must not pass for the archive's.
        if read == 0
            && !buffer.is_empty()
            && let Some(thread) = self.thread.take()
        {
            thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("unpacking its layers panicked")))?;
        }
        Ok(read)
    }
}

fn unpack_layers(archive: impl Read, into: io::PipeWriter) -> io::Result<()> {
    let mut builder = tar::Builder::new(io::BufWriter::with_capacity(256 * 1024, into));
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let mut header = entry.header().clone();
        let path = entry.path()?.into_owned();
        let mut head = [0; 32];
        let head = filled(&mut entry, &mut head)?;
        let whole = head.chain(&mut entry);
        if compression::detect_packed(head) != Some(Compression::Zstd) {
            append(&mut builder, &mut header, &path, whole)?;
            continue;
        }
        let Ok(Some(size)) = zstd::zstd_safe::get_frame_content_size(head) else {
            let message = format!("{} does not say how long it is unpacked", path.display());
            return Err(io::Error::other(message));
        };
        header.set_size(size);
        let layer = compression::unpack(Compression::Zstd, whole)?;
        append(&mut builder, &mut header, &path, layer)?;
    }
    builder.into_inner()?.flush()
}

fn filled<'b>(from: &mut impl Read, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..])? {
            0 => break,
            read => length += read,
        }
    }
    Ok(&buffer[..length])
}

fn append(
    builder: &mut tar::Builder<impl Write>,
    header: &mut Header,
    path: &Path,
    content: impl Read,
) -> io::Result<()> {
    match header.entry_type() {
        // Its target may be longer than a header has room for.
        EntryType::Symlink | EntryType::Link => {
            let target = header.link_name()?.unwrap_or_default().into_owned();
            builder.append_link(header, path, target)
        }
        _ => builder.append_data(header, path, content),
    }
}

//! One pass over the entries of an image archive, which notes every file and keeps the JSON among them.
//!
//! `manifest.json` comes last in what `docker save` writes, and only it says which of the files before it are configs.
//! So whatever looks like JSON and is small enough is kept until the end.

use std::collections::HashMap;
use std::io::{self, Read};

use tar::EntryType;

use super::compression::{self, Compression};

/// The longest JSON document read. The registry API allows manifests of 4 MiB; what Docker writes has a few KiB.
pub const MAX_JSON: u64 = 16 << 20;
/// All of them together.
const MAX_ALL_JSON: u64 = 64 << 20;
/// Old archives have four entries for each layer, and an image has at most 127 layers.
const MAX_ENTRIES: usize = 100_000;
/// Enough to tell a packing and the size in a zstd header.
const HEAD: usize = 32;

/// A file of the archive.
#[derive(Debug)]
pub struct ArchivedFile {
    pub size: u64,
    /// None: not packed, or not by anything known.
    pub compression: Option<Compression>,
    /// Its size when unpacked, estimated as for an archive.
    pub unpacked: u64,
    pub json: Option<Vec<u8>>,
}

/// What was found in an archive.
#[derive(Debug, Default)]
pub struct Files {
    files: HashMap<String, ArchivedFile>,
    /// From a path to another, for layers shared by several images of old archives.
    links: HashMap<String, String>,
    /// Of all files.
    pub bytes: u64,
    /// Where the last entry ends: the end-of-archive blocks begin here.
    pub end: u64,
    json_bytes: u64,
    entries: usize,
}

impl Files {
    pub fn get(&self, path: &str) -> Option<&ArchivedFile> {
        let path = normal(path);
        let path = self.links.get(&path).unwrap_or(&path);
        self.files.get(path)
    }

    pub fn json(&self, path: &str) -> Option<&[u8]> {
        self.get(path)?.json.as_deref()
    }

    fn add<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> io::Result<()> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(io::Error::other(format!(
                "has more than {MAX_ENTRIES} entries"
            )));
        }
        let path = normal(&String::from_utf8_lossy(&entry.path_bytes()));
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                let file = self.read(&path, entry)?;
                self.bytes += file.size;
                self.files.insert(path, file);
            }
            kind @ (EntryType::Symlink | EntryType::Link) => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = String::from_utf8_lossy(&target);
                let target = match path.rsplit_once('/') {
                    // A hard link's target counts from the top.
                    Some((directory, _)) if kind == EntryType::Symlink => {
                        normal(&format!("{directory}/{target}"))
                    }
                    _ => normal(&target),
                };
                self.links.insert(path, target);
            }
            EntryType::GNUSparse => {
                return Err(io::Error::other(format!(
                    "{path} is sparse, which no engine reads"
                )));
            }
            _ => {}
        }
        Ok(())
    }

    fn read<R: Read>(
        &mut self,
        path: &str,
        entry: &mut tar::Entry<'_, R>,
    ) -> io::Result<ArchivedFile> {
        let size = entry.size();
        let mut content = Vec::with_capacity(HEAD);
        entry.by_ref().take(HEAD as u64).read_to_end(&mut content)?;
        let compression = compression::detect_packed(&content);
        let unpacked = match compression {
            Some(Compression::Zstd) => compression::zstd_size(&content, size),
            // Its size is at its end, which is not worth reading it for.
            Some(Compression::Gzip) => compression::gzip_size(0, size),
            Some(Compression::Plain) | None => size,
        };
        let first = content.iter().find(|byte| !byte.is_ascii_whitespace());
        let is_json = matches!(first, Some(b'{' | b'['));
        if is_json && size > MAX_JSON && path.ends_with(".json") {
            return Err(io::Error::other(format!(
                "{path} has {size} bytes, more than {MAX_JSON}"
            )));
        }
        let json = if is_json && size <= MAX_JSON {
            self.json_bytes += size;
            if self.json_bytes > MAX_ALL_JSON {
                return Err(io::Error::other(format!(
                    "has more than {MAX_ALL_JSON} bytes of JSON"
                )));
            }
            entry.read_to_end(&mut content)?;
            Some(content)
        } else {
            None
        };
        Ok(ArchivedFile {
            size,
            compression,
            unpacked,
            json,
        })
    }
}

/// Goes through all entries. `length`, of a reader that skips by seeking, finds the file that ends too early, which
/// such a reader would not notice.
pub fn walk<R: Read>(entries: tar::Entries<'_, R>, length: Option<u64>) -> io::Result<Files> {
    let mut files = Files::default();
    let mut last = String::new();
    for entry in entries {
        let mut entry = entry.map_err(|error| broken(&error, &last, files.end))?;
        let start = entry.raw_header_position();
        let body_end = entry.raw_file_position().saturating_add(entry.size());
        last = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if let Some(length) = length.filter(|length| *length < body_end) {
            return Err(truncated(&last, start, body_end, length));
        }
        files
            .add(&mut entry)
            .map_err(|error| broken(&error, &last, start))?;
        let read = files.get(&last).and_then(|file| file.json.as_ref());
        if let Some(read) = read.filter(|json| (json.len() as u64) < entry.size()) {
            let length = entry.raw_file_position() + read.len() as u64;
            return Err(truncated(&last, start, body_end, length));
        }
        files.end = body_end.next_multiple_of(512);
    }
    Ok(files)
}

fn truncated(entry: &str, start: u64, end: u64, length: u64) -> io::Error {
    let message = format!(
        "is truncated: the entry {entry} at byte {start} reaches to byte {end}, the archive only to byte {length}"
    );
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

/// The tar reader's errors have neither the entry nor the place.
fn broken(error: &io::Error, entry: &str, position: u64) -> io::Error {
    let place = match entry {
        "" => "at its beginning".to_owned(),
        entry => format!("at or after the entry {entry}, byte {position} of the tar file"),
    };
    // The reader knows no kind for an end in the middle of an entry.
    let text = error.to_string();
    if text.contains("unexpected EOF") || text.contains("failed to read entire block") {
        return io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!("is truncated {place}: {error}"),
        );
    }
    io::Error::new(error.kind(), format!("{error} ({place})"))
}

/// Without `./`, and with `..` applied.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

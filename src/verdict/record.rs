//! The record of a run in `/run/guestbake`: who is at it, and whether its verdict is out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::event::Verdict;
use crate::host::durable;

/// Held by the process that answers for the run.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// # Errors
    /// `WouldBlock` with the other process's id in the text, if a run is going on.
    pub fn take(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(folder.join("lock"))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            file.read_to_string(&mut pid)?;
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!(
                    "another run is going on (process {}); it was left alone",
                    pid.trim()
                ),
            ));
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Lock { _file: file })
    }

    /// Whether a run is going on.
    pub fn is_taken(folder: &Path) -> bool {
        File::open(folder.join("lock"))
            .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
    }
}

/// The verdict on disk: decided before the marker is written, announced after.
pub struct Record {
    folder: PathBuf,
}

impl Record {
    pub fn in_folder(folder: &Path) -> Self {
        Record {
            folder: folder.to_owned(),
        }
    }

    /// Forgets the run before this one. What cannot be removed is not there, or on a disk that takes no verdict either.
    pub fn begin(&self) {
        for name in ["decided", "verdict"] {
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    /// False if another verdict was decided before. A folder that cannot be written must not cost the marker.
    pub fn decide(&self, verdict: Verdict) -> bool {
        let path = self.folder.join("decided");
        match fs::read_to_string(&path) {
            Ok(before) if before.trim() != verdict.marker() => return false,
            _ => {}
        }
        let _ = durable::replace(&path, format!("{}\n", verdict.marker()).as_bytes());
        true
    }

    /// What others look for who want to know whether the marker is still missing.
    pub fn announced(&self, verdict: Verdict) {
        let text = format!("{}\n", verdict.marker());
        let _ = durable::replace(&self.folder.join("verdict"), text.as_bytes());
    }

    pub fn is_announced(&self) -> bool {
        self.folder.join("verdict").exists()
    }
}

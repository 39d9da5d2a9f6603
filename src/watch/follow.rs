//! A file that grows: it may not exist yet, be cut back to nothing, or be replaced by another.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const CHUNK: usize = 64 * 1024;
/// The start of a process is known to a hundredth of a second, and clocks are corrected.
const SLACK: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    None,
    Bytes(Vec<u8>),
    /// What follows comes from the beginning of a new content.
    Restarted,
}

pub struct Follow {
    path: PathBuf,
    /// What was last written before this belongs to an earlier VM.
    not_before: Option<SystemTime>,
    open: Option<Open>,
}

struct Open {
    file: File,
    inode: (u64, u64),
    read: u64,
}

impl Follow {
    pub fn new(path: &Path, not_before: Option<SystemTime>) -> Follow {
        Follow {
            path: path.to_path_buf(),
            not_before: not_before.and_then(|time| time.checked_sub(SLACK)),
            open: None,
        }
    }

    /// The next piece of what is new, until [`Change::None`].
    ///
    /// # Errors
    /// Name the file. That it does not exist (any more) is none.
    pub fn next(&mut self) -> io::Result<Change> {
        self.step().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })
    }

    fn step(&mut self) -> io::Result<Change> {
        let Some(open) = &mut self.open else {
            return self.open_anew(Change::None);
        };
        if open.file.metadata()?.len() < open.read {
            // Cut back, as QEMU does when it starts. The file may have been replaced too: then that is seen next.
            open.file = File::open(&self.path)?;
            open.inode = inode(&open.file.metadata()?);
            open.read = 0;
            return Ok(Change::Restarted);
        }
        let mut bytes = vec![0; CHUNK];
        let length = open.file.read(&mut bytes)?;
        if length > 0 {
            open.read += length as u64;
            bytes.truncate(length);
            return Ok(Change::Bytes(bytes));
        }
        // Only now: what was still written to the old file has been read.
        match std::fs::metadata(&self.path) {
            Ok(now) if inode(&now) != open.inode => self.open_anew(Change::Restarted),
            _ => Ok(Change::None),
        }
    }

    fn open_anew(&mut self, change: Change) -> io::Result<Change> {
        let about = match std::fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Change::None),
            about => about?,
        };
        if !about.is_file() {
            // Opening a FIFO would block and take its bytes from whoever they are for.
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a plain file",
            ));
        }
        if self
            .not_before
            .is_some_and(|time| about.modified().is_ok_and(|modified| modified < time))
        {
            return Ok(Change::None);
        }
        let file = File::open(&self.path)?;
        self.open = Some(Open {
            inode: inode(&file.metadata()?),
            file,
            read: 0,
        });
        match change {
            Change::Restarted => Ok(change),
            _ => self.step(),
        }
    }
}

fn inode(about: &Metadata) -> (u64, u64) {
    (about.dev(), about.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    fn bytes(text: &str) -> Change {
        Change::Bytes(text.into())
    }

    #[test]
    fn a_file_is_followed_from_its_beginning_once_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serial.log");
        let mut follow = Follow::new(&path, None);
        assert_eq!(follow.next().unwrap(), Change::None);
        let mut file = File::create(&path).unwrap();
        file.write_all(b"first").unwrap();
        assert_eq!(follow.next().unwrap(), bytes("first"));
        assert_eq!(follow.next().unwrap(), Change::None);
        file.write_all(b"second").unwrap();
        assert_eq!(follow.next().unwrap(), bytes("second"));
        fs::remove_file(&path).unwrap();
        assert_eq!(follow.next().unwrap(), Change::None);
    }

    #[test]
    fn a_file_cut_back_begins_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serial.log");
        fs::write(&path, "an earlier run").unwrap();
        let mut follow = Follow::new(&path, None);
        assert_eq!(follow.next().unwrap(), bytes("an earlier run"));
        fs::write(&path, "new").unwrap();
        assert_eq!(follow.next().unwrap(), Change::Restarted);
        assert_eq!(follow.next().unwrap(), bytes("new"));
    }

    #[test]
    fn a_file_replaced_is_read_to_its_end_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serial.log");
        let mut old = File::create(&path).unwrap();
        let mut follow = Follow::new(&path, None);
        assert_eq!(follow.next().unwrap(), Change::None);
        old.write_all(b"old").unwrap();
        fs::rename(&path, folder.path().join("serial.log.1")).unwrap();
        fs::write(&path, "new").unwrap();
        assert_eq!(follow.next().unwrap(), bytes("old"));
        assert_eq!(follow.next().unwrap(), Change::Restarted);
        assert_eq!(follow.next().unwrap(), bytes("new"));
    }

    #[test]
    fn what_an_earlier_vm_left_is_not_read_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("serial.log");
        fs::write(&path, "STACK_CLOUD_INIT_DONE\n").unwrap();
        let started = SystemTime::now();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(started - Duration::from_secs(3600))
            .unwrap();
        let mut follow = Follow::new(&path, Some(started));
        assert_eq!(follow.next().unwrap(), Change::None);
        fs::write(&path, "boot\n").unwrap();
        assert_eq!(follow.next().unwrap(), bytes("boot\n"));
    }

    #[test]
    fn what_is_no_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = Follow::new(folder.path(), None).next().unwrap_err();
        assert!(error.to_string().ends_with(": not a plain file"), "{error}");
    }
}

//! A line's way to a console that two processes answer for: a pipe that both hold, from which the kernel moves the line to
//! the console in one system call. Whoever is killed when, what is still in the pipe is not out, and what is not, is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionread};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

pub struct Passage {
    pipe: File,
}

impl Passage {
    pub fn new() -> io::Result<Self> {
        let (end, _other) = pipe_with(PipeFlags::CLOEXEC)?;
        Self::inherited(end.as_raw_fd())
    }

    /// The other process's, which has given it this number.
    pub fn inherited(number: RawFd) -> io::Result<Self> {
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(format!("/proc/self/fd/{number}"))?;
        Ok(Passage { pipe })
    }

    pub fn number(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }

    /// Processes started from now on hold it, too.
    pub fn share(&self) -> io::Result<()> {
        Ok(fcntl_setfd(&self.pipe, FdFlags::empty())?)
    }

    /// Takes a whole line, instead of what was in it; says whether it did.
    pub fn fill(&self, text: &[u8]) -> bool {
        self.clear();
        (&self.pipe)
            .write(text)
            .is_ok_and(|length| length == text.len())
    }

    pub fn clear(&self) {
        let _ = io::copy(&mut &self.pipe, &mut io::sink());
    }

    pub fn is_empty(&self) -> bool {
        ioctl_fionread(&self.pipe).is_ok_and(|left| left == 0)
    }

    /// Moves what the console takes, at most so many bytes.
    ///
    /// # Errors
    /// `InvalidInput` for what takes nothing from a pipe, as a file that is appended to.
    pub fn pass_on(&self, console: &File, most: usize) -> io::Result<usize> {
        Ok(splice(
            &self.pipe,
            None,
            console,
            None,
            most,
            SpliceFlags::NONBLOCK,
        )?)
    }
}

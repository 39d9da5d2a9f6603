//! The thread of one console: writes what is queued, and result and marker at the end, as long as there is time for it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat};

use super::{Shared, Words};

/// Between two tries to open what cannot be opened now: a FIFO nobody reads, a console that is unplugged.
const REOPEN_PAUSE: Duration = Duration::from_millis(200);

pub struct Writer {
    path: PathBuf,
    file: Option<File>,
    shared: Arc<Shared>,
}

enum Next {
    Line(Vec<u8>),
    /// That lines were dropped; at the end in the time of the result, as that of the lines may be over.
    Note(Vec<u8>, Option<Instant>),
    Result(Words, Instant),
    Marker(Words, Instant),
}

impl Writer {
    pub fn new(path: &Path, shared: Arc<Shared>) -> Self {
        Writer {
            path: path.to_owned(),
            file: None,
            shared,
        }
    }

    /// Only what was a file: a device or a pipe given as a log is used as it is.
    pub fn set_aside(&self) {
        if self.path.is_file() {
            let mut aside = self.path.as_os_str().to_owned();
            aside.push(".old");
            let _ = fs::rename(&self.path, aside);
        }
        if let Some(folder) = self.path.parent() {
            let _ = fs::create_dir_all(folder);
        }
    }

    pub fn run(mut self) {
        loop {
            match self.next() {
                Next::Line(line) => {
                    self.write_all(&line, None);
                }
                Next::Note(note, until) => {
                    self.write_all(&note, until);
                }
                Next::Result(words, until) => {
                    self.say(words, until);
                }
                Next::Marker(words, until) => {
                    self.say(words, until);
                    self.drain();
                    self.end();
                    return;
                }
            }
        }
    }

    fn say(&mut self, mut words: Words, until: Instant) {
        let is_out = match self.pass(&mut words, until) {
            Some(is_out) => is_out,
            None => self.write_all(words.text.as_bytes(), Some(until)),
        };
        if is_out {
            (words.once_out)();
        }
    }

    /// The same through the passage, so that no kill can come between a line and what is known of it; None if there is
    /// none, or the console takes nothing from one.
    fn pass(&mut self, words: &mut Words, until: Instant) -> Option<bool> {
        let passage = words.passage.clone()?;
        if let Some(begun) = words.once_begun.take() {
            if !passage.fill(words.text.as_bytes()) {
                return None;
            }
            begun();
        }
        while !passage.is_empty() {
            if Instant::now() >= until {
                return Some(false);
            }
            let Some(file) = self.file.as_mut() else {
                self.reopen();
                continue;
            };
            match passage.pass_on(file, words.text.len()) {
                // Left in it, the line is not taken for one that is out if this process is killed now.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    is_writable(file);
                }
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    self.file = None;
                    thread::sleep(REOPEN_PAUSE);
                }
                _ => {}
            }
        }
        Some(true)
    }

    fn reopen(&mut self) {
        match open(&self.path) {
            Ok(file) => self.file = Some(file),
            Err(_) => thread::sleep(REOPEN_PAUSE),
        }
    }

    fn end(&self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }

    fn next(&self) -> Next {
        let mut queue = self.shared.lock();
        queue.writing = false;
        if queue.awaited {
            self.shared.changed.notify_all();
        }
        loop {
            let overdue = queue.overdue(Instant::now());
            queue.drop_first(overdue);
            if queue.dropped > 0 {
                let note = format!(
                    "\n{}({} lines were dropped here: the console did not take them)\n",
                    self.shared.prefix, queue.dropped
                );
                queue.dropped = 0;
                queue.writing = true;
                let until = queue.last_words.as_ref().map(|words| words.result_until);
                return Next::Note(note.into_bytes(), until);
            }
            if let Some(line) = queue.lines.pop_front() {
                queue.writing = true;
                return Next::Line(line);
            }
            if let Some(mut words) = queue.last_words.take() {
                let Some(result) = words.result.take() else {
                    return Next::Marker(words.marker, words.until);
                };
                let until = words.result_until;
                queue.last_words = Some(words);
                return Next::Result(result, until);
            }
            queue = self
                .shared
                .changed
                .wait(queue)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }

    /// Writes it whole, or gives it up when the time for it is over; says whether it is out.
    fn write_all(&mut self, mut bytes: &[u8], until: Option<Instant>) -> bool {
        let mut fresh = self.file.is_none();
        while !bytes.is_empty() {
            let end = until.or_else(|| self.shared.lock().line_until());
            if end.is_some_and(|end| Instant::now() >= end) {
                // A line, cut short or not begun.
                if until.is_none() {
                    self.shared.lock().dropped += 1;
                }
                return false;
            }
            let Some(file) = self.file.as_mut() else {
                self.reopen();
                continue;
            };
            match file.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    is_writable(file);
                }
                // Hung up or full. A fresh file that fails at once would fail for ever: leave it, but try the next line.
                Err(_) if fresh && until.is_none() => return false,
                Err(_) => {
                    self.file = None;
                    fresh = true;
                    thread::sleep(REOPEN_PAUSE);
                }
            }
        }
        true
    }

    /// What is in the terminal's buffer is not out yet.
    fn drain(&self) {
        if let Some(file) = &self.file {
            let _ = rustix::termios::tcdrain(file).or_else(|_| rustix::fs::fsync(file));
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // A device that is missing must not become a file that fills the memory behind /dev.
    let create = if path.starts_with("/dev") {
        OFlags::empty()
    } else {
        OFlags::CREATE
    };
    let file = rustix::fs::open(path, flags | create, Mode::from_raw_mode(0o600))?;
    // What is appended to takes nothing from a pipe, and a device has no end anyway.
    if FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::CharacterDevice {
        fcntl_setfl(&file, OFlags::NONBLOCK)?;
    }
    Ok(File::from(file))
}

/// Waits for it a moment.
fn is_writable(file: &File) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::OUT)];
    let pause = Timespec {
        tv_sec: 0,
        tv_nsec: REOPEN_PAUSE.subsec_nanos().into(),
    };
    poll(&mut fds, Some(&pause)).is_ok_and(|ready| ready > 0)
}

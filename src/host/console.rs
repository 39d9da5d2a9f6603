//! Writing lines to a console, a log or any other file that may block, be full or be gone: each has a thread of its own,
//! and nobody waits for it longer than he said.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

/// Lines kept for a console that does not take them; the oldest go first, and their number is said.
const KEPT_LINES: usize = 4096;
/// Between two tries to open what cannot be opened now: a FIFO nobody reads, a console that is unplugged.
const REOPEN_PAUSE: Duration = Duration::from_millis(200);

/// Where lines go.
#[derive(Clone)]
pub struct Console {
    shared: Arc<Shared>,
    prefix: &'static str,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    dropped: usize,
    /// A line was taken from the queue and is not out yet.
    writing: bool,
    last_words: Option<LastWords>,
    ended: bool,
}

/// What must come out even if nothing else does, and until when.
struct LastWords {
    result: Option<Words>,
    marker: Words,
    /// For the lines that still wait, and for the result; the rest of the time belongs to the marker.
    lines_until: Instant,
    result_until: Instant,
    until: Instant,
}

/// A line, and whom to tell once it is out.
pub struct Words {
    pub text: String,
    pub once_out: Box<dyn FnOnce() + Send>,
}

impl Console {
    /// A log that begins anew; what was there before is kept beside it.
    pub fn open_fresh(path: &Path) -> Self {
        Self::start(path, "", true)
    }

    pub fn open(path: &Path, prefix: &'static str) -> Self {
        Self::start(path, prefix, false)
    }

    fn start(path: &Path, prefix: &'static str, fresh: bool) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let writer = Writer {
            path: path.to_owned(),
            file: None,
            shared: shared.clone(),
        };
        // Without a thread the console is as good as unplugged.
        if thread::Builder::new()
            .name("console".into())
            .spawn(move || {
                if fresh {
                    set_aside(&writer.path);
                }
                writer.run();
            })
            .is_err()
        {
            shared.lock().ended = true;
        }
        Console { shared, prefix }
    }

    /// Queues a line; never blocks.
    pub fn line(&self, text: &str) {
        let mut queue = self.shared.lock();
        if queue.last_words.is_some() || queue.ended {
            return;
        }
        if queue.lines.len() == KEPT_LINES {
            queue.lines.pop_front();
            queue.dropped += 1;
        }
        queue
            .lines
            .push_back(format!("{}{text}\n", self.prefix).into_bytes());
        self.shared.changed.notify_all();
    }

    /// Has result and marker written behind what is queued, or instead of it when that takes too long.
    pub fn end_with(&self, result: Option<Words>, marker: Words, limit: Duration) {
        let now = Instant::now();
        let result = result.map(|words| Words {
            text: format!("{}{}\n", self.prefix, words.text),
            ..words
        });
        self.shared.lock().last_words = Some(LastWords {
            result,
            // The line feed before it ends another program's half line. One write, so that nothing comes between.
            marker: Words {
                text: format!("\n{}\n", marker.text),
                ..marker
            },
            lines_until: now + limit / 2,
            result_until: now + limit * 3 / 4,
            until: now + limit,
        });
        self.shared.changed.notify_all();
    }

    /// Waits until the marker is out, at most until `end`; says whether it is.
    pub fn wait_until(&self, end: Instant) -> bool {
        self.wait_for(end, |queue| queue.ended)
    }

    /// Waits until every line is out, at most until `end`.
    pub fn flush(&self, end: Instant) -> bool {
        self.wait_for(end, |queue| {
            queue.ended || queue.lines.is_empty() && !queue.writing
        })
    }

    fn wait_for(&self, end: Instant, is_so: impl Fn(&Queue) -> bool) -> bool {
        let mut queue = self.shared.lock();
        while !is_so(&queue) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (queue, _) = self
                .shared
                .changed
                .wait_timeout(queue, left)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        true
    }
}

impl Shared {
    /// A panic elsewhere must not cost the marker.
    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

struct Writer {
    path: PathBuf,
    file: Option<File>,
    shared: Arc<Shared>,
}

enum Next {
    Line(Vec<u8>),
    Result(Words, Instant),
    Marker(Words, Instant),
}

impl Writer {
    fn run(mut self) {
        loop {
            match self.next() {
                Next::Line(line) => {
                    self.write_all(&line, None);
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

    fn say(&mut self, words: Words, until: Instant) {
        if self.write_all(words.text.as_bytes(), Some(until)) {
            (words.once_out)();
        }
    }

    fn end(&self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }

    fn next(&self) -> Next {
        let mut queue = self.shared.lock();
        queue.writing = false;
        self.shared.changed.notify_all();
        loop {
            let out_of_time = |words: &LastWords| Instant::now() >= words.lines_until;
            if queue.last_words.as_ref().is_some_and(out_of_time) {
                queue.dropped += queue.lines.len();
                queue.lines.clear();
            }
            if queue.dropped > 0 && queue.lines.is_empty() {
                let note = format!(
                    "\n({} lines were dropped here: the console did not take them)\n",
                    queue.dropped
                );
                queue.dropped = 0;
                return Next::Line(note.into_bytes());
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
            let end = until.or_else(|| {
                self.shared
                    .lock()
                    .last_words
                    .as_ref()
                    .map(|words| words.lines_until)
            });
            if end.is_some_and(|end| Instant::now() >= end) {
                return false;
            }
            let Some(file) = self.file.as_mut() else {
                match open(&self.path) {
                    Ok(file) => self.file = Some(file),
                    Err(_) => thread::sleep(REOPEN_PAUSE),
                }
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

/// Only what was a file: a device or a pipe given as a log is used as it is.
fn set_aside(path: &Path) {
    if path.is_file() {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".old");
        let _ = fs::rename(path, aside);
    }
    if let Some(folder) = path.parent() {
        let _ = fs::create_dir_all(folder);
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
    Ok(File::from(rustix::fs::open(
        path,
        flags | create,
        Mode::from_raw_mode(0o600),
    )?))
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

/// The consoles of this machine: `/dev/console`, and the serial ports that are not the same device.
pub fn default_consoles() -> Vec<PathBuf> {
    let active = std::fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let mut consoles = vec![PathBuf::from("/dev/console")];
    for serial in ["ttyS0", "ttyAMA0"] {
        let path = Path::new("/dev").join(serial);
        // The kernel writes what goes to /dev/console to the last one of these.
        if path.exists() && active.split_whitespace().last() != Some(serial) {
            consoles.push(path);
        }
    }
    consoles
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn marker() -> Words {
        Words {
            text: "MARKER".into(),
            once_out: Box::new(|| ()),
        }
    }

    fn end(console: &Console, limit: Duration) -> bool {
        console.end_with(None, marker(), limit);
        console.wait_until(Instant::now() + LONG)
    }

    #[test]
    fn the_marker_stands_alone_behind_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console");
        std::fs::write(&path, "[  12.3] another program's half li").unwrap();
        let console = Console::open(&path, "PREFIX: ");
        console.line("one");
        assert!(end(&console, LONG));
        let written = std::fs::read_to_string(&path).unwrap();
        assert!(written.lines().any(|line| line == "MARKER"), "{written:?}");
        assert!(written.contains("PREFIX: one\n"), "{written:?}");
    }

    #[test]
    fn a_fifo_nobody_reads_delays_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let console = Console::open(&path, "");
        for n in 0..2 * KEPT_LINES {
            console.line(&format!("line {n}"));
        }
        assert!(
            end(&console, Duration::from_millis(300)),
            "its thread ends by itself"
        );
    }

    #[test]
    fn a_pipe_that_is_read_late_gets_the_marker() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let console = Console::open(&path, "");
        console.line(&"x".repeat(200_000));
        console.end_with(None, marker(), LONG);
        let read = std::fs::read_to_string(&path).unwrap();
        assert!(read.ends_with("\nMARKER\n"), "{} bytes", read.len());
    }

    #[test]
    fn a_full_device_does_not_keep_the_others_waiting() {
        let console = Console::open(Path::new("/dev/full"), "");
        console.line("lost");
        assert!(end(&console, Duration::from_millis(300)));
    }
}

//! Writing lines to a console, a log or any other file that may block, be full or be gone: each has a thread of its own,
//! and nobody waits for it longer than he said.

mod passage;
mod writer;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub use passage::Passage;
use writer::Writer;

/// Lines kept for a console that does not take them; the oldest go first, and their number is said.
const KEPT_LINES: usize = 4096;
/// So many go at once: one gap and one note of it.
const DROPPED_LINES: usize = KEPT_LINES / 8;
/// At the end, what a slow console gets of lines that still wait, the last of them: a serial line of 115200 baud takes this
/// in less than 1.5 s.
const LAST_BYTES: usize = 16 * 1024;

/// Where lines go.
#[derive(Clone)]
pub struct Console {
    shared: Arc<Shared>,
}

struct Shared {
    prefix: &'static str,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Before the first of these.
    dropped: usize,
    /// A line was taken from the queue and is not out yet.
    writing: bool,
    last_words: Option<LastWords>,
    ended: bool,
    /// Somebody wants to know when it is.
    awaited: bool,
}

/// What must come out even if nothing else does, and until when.
struct LastWords {
    result: Option<Words>,
    marker: Words,
    /// For all lines that still wait, for the last of them, and for the result; the rest of the time belongs to the marker.
    all_lines_until: Instant,
    lines_until: Instant,
    result_until: Instant,
    until: Instant,
}

/// A line, and whom to tell once it is out.
pub struct Words {
    pub text: String,
    /// If another process may have to finish it.
    pub passage: Option<Arc<Passage>>,
    /// None: another process has begun, and what is in the passage is missing.
    pub once_begun: Option<Note>,
    pub once_out: Note,
}

pub type Note = Box<dyn FnOnce() + Send>;

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
            prefix,
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let writer = Writer::new(path, shared.clone());
        // Without a thread the console is as good as unplugged.
        if thread::Builder::new()
            .name("console".into())
            .spawn(move || {
                if fresh {
                    writer.set_aside();
                }
                writer.run();
            })
            .is_err()
        {
            shared.lock().ended = true;
        }
        Console { shared }
    }

    /// Queues a line; never blocks.
    pub fn line(&self, text: &str) {
        let mut queue = self.shared.lock();
        if queue.last_words.is_some() || queue.ended {
            return;
        }
        if queue.lines.len() == KEPT_LINES {
            queue.drop_first(DROPPED_LINES);
        }
        queue
            .lines
            .push_back(format!("{}{text}\n", self.shared.prefix).into_bytes());
        // Woken before, the writer would have to wait for it at once.
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// Has result and marker written behind what is queued, or instead of it when that takes too long.
    pub fn end_with(&self, result: Option<Words>, marker: Words, limit: Duration) {
        let now = Instant::now();
        let result = result.map(|words| Words {
            text: format!("{}{}\n", self.shared.prefix, words.text),
            ..words
        });
        self.shared.lock().last_words = Some(LastWords {
            result,
            // The line feed before it ends another program's half line. One write, so that nothing comes between.
            marker: Words {
                text: format!("\n{}\n", marker.text),
                ..marker
            },
            all_lines_until: now + limit / 4,
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
        queue.awaited = true;
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

impl Queue {
    fn drop_first(&mut self, lines: usize) {
        self.lines.drain(..lines);
        self.dropped += lines;
    }

    /// How many lines there is no time for any more.
    fn overdue(&self, now: Instant) -> usize {
        match &self.last_words {
            Some(words) if now >= words.lines_until => self.lines.len(),
            Some(words) if now >= words.all_lines_until => self.lines.len() - self.last_lines(),
            _ => 0,
        }
    }

    /// How many make up the last bytes; at least one, however long.
    fn last_lines(&self) -> usize {
        let mut bytes = 0;
        let last = self.lines.iter().rev().take_while(|line| {
            bytes += line.len();
            bytes <= LAST_BYTES
        });
        last.count().max(1).min(self.lines.len())
    }

    /// When the line that is being written is given up, if that is known.
    fn line_until(&self) -> Option<Instant> {
        let words = self.last_words.as_ref()?;
        Some(match self.last_lines() < self.lines.len() {
            true => words.all_lines_until,
            false => words.lines_until,
        })
    }
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

    use rustix::fs::Mode;

    const LONG: Duration = Duration::from_secs(60);

    fn marker() -> Words {
        Words {
            text: "MARKER".into(),
            passage: None,
            once_begun: None,
            once_out: Box::new(|| ()),
        }
    }

    fn fifo(path: &Path) {
        use rustix::fs::{CWD, FileType, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
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
        fifo(&path);
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
        fifo(&path);
        let console = Console::open(&path, "");
        console.line(&"x".repeat(200_000));
        console.end_with(None, marker(), LONG);
        let read = std::fs::read_to_string(&path).unwrap();
        assert!(read.ends_with("\nMARKER\n"), "{} bytes", read.len());
    }

    #[test]
    fn a_slow_console_gets_the_end_of_what_waits_and_what_is_missing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        fifo(&path);
        let console = Console::open(&path, "PREFIX: ");
        let lines = 3000;
        for n in 0..lines {
            console.line(&format!("line {n} {}", "x".repeat(80)));
        }
        console.line("FAILED");
        // Nobody has read anything when the time for all of it is over.
        let now = Instant::now();
        console.shared.lock().last_words = Some(LastWords {
            result: None,
            marker: marker(),
            all_lines_until: now,
            lines_until: now + LONG,
            result_until: now + LONG,
            until: now + LONG,
        });
        console.shared.changed.notify_all();
        let read = std::fs::read_to_string(&path).unwrap();
        let (before, after) = read.split_once(" lines were dropped here: ").expect(&read);
        let (before, dropped) = before.rsplit_once("\nPREFIX: (").expect(&read);
        let whole = |text: &str| text.matches("x\n").count();
        let kept = whole(before) + whole(after);
        assert_eq!(kept + dropped.parse::<usize>().unwrap(), lines);
        assert!((50..200).contains(&whole(after)), "{} lines", whole(after));
        assert!(after.contains(&format!("line {} x", lines - 1)), "{after}");
        assert!(after.ends_with("x\nPREFIX: FAILED\nMARKER"), "{after}");
    }

    #[test]
    fn a_full_device_does_not_keep_the_others_waiting() {
        let console = Console::open(Path::new("/dev/full"), "");
        console.line("lost");
        assert!(end(&console, Duration::from_millis(300)));
    }

    /// How often the marker comes if one process has got so much of it out and is killed, and another goes on.
    fn markers_after(passed: impl FnOnce(&Passage, &std::fs::File)) -> usize {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        fifo(&path);
        let mut both_ends = std::fs::OpenOptions::new();
        let mut held = both_ends.read(true).write(true).open(&path).unwrap();
        let passage = Arc::new(Passage::new().unwrap());
        assert!(passage.fill(b"\nMARKER\n"));
        passed(&passage, &held);
        let words = Words {
            passage: Some(passage),
            ..marker()
        };
        let console = Console::open(&path, "");
        console.end_with(None, words, LONG);
        assert!(console.wait_until(Instant::now() + LONG));
        let mut said = [0; 4096];
        let length = std::io::Read::read(&mut held, &mut said).unwrap();
        let said = String::from_utf8_lossy(&said[..length]);
        said.lines().filter(|line| *line == "MARKER").count()
    }

    #[test]
    fn whatever_a_killed_process_got_out_the_marker_comes_once() {
        assert_eq!(markers_after(|_, _| ()), 1, "nothing");
        let whole = |passage: &Passage, device: &std::fs::File| {
            assert_eq!(passage.pass_on(device, 100).unwrap(), 8);
        };
        assert_eq!(markers_after(whole), 1, "all of it");
        let some = |passage: &Passage, device: &std::fs::File| {
            assert_eq!(passage.pass_on(device, 5).unwrap(), 5);
        };
        assert_eq!(markers_after(some), 1, "a part");
    }

    #[test]
    fn a_file_takes_nothing_from_a_passage_and_gets_the_marker_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console");
        let console = Console::open(&path, "");
        let words = Words {
            passage: Some(Arc::new(Passage::new().unwrap())),
            once_begun: Some(Box::new(|| ())),
            ..marker()
        };
        console.end_with(None, words, LONG);
        assert!(console.wait_until(Instant::now() + LONG));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\nMARKER\n");
    }
}

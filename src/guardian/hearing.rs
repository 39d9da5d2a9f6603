//! What the guardian hears, all by one `poll`: a thread for each would wake the guest up twice for every word.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{ChildStderr, ChildStdout};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

use crate::event::{Event, LONGEST_LINE, cut};

/// As much as a pipe holds.
const PIPE: usize = 64 << 10;
/// A line longer than that is taken for more than one: no event is.
const LONGEST: usize = 4 << 20;
/// After a `poll` that failed, for want of memory.
const PAUSE: Duration = Duration::from_millis(100);

pub enum News {
    Event(Event),
    /// A line of the worker's that is no event: a crash of the C library's, say.
    Stray(String),
    WorkerGone,
    Signal(i32),
}

/// Signals, from when it is made, and what a worker says.
pub struct Hearing {
    signals: SignalDelivery<UnixStream, SignalOnly>,
    events: Option<Lines<ChildStdout>>,
    errors: Option<Lines<ChildStderr>>,
    heard: VecDeque<News>,
}

impl Hearing {
    pub fn of_signals() -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let wanted = [SIGTERM, SIGINT, SIGHUP, SIGUSR1];
        let signals = SignalDelivery::with_pipe(read, write, SignalOnly, wanted)?;
        Ok(Hearing {
            signals,
            events: None,
            errors: None,
            heard: VecDeque::new(),
        })
    }

    pub fn of_worker(&mut self, stdout: ChildStdout, stderr: ChildStderr) -> io::Result<()> {
        ioctl_fionbio(&stdout, true)?;
        ioctl_fionbio(&stderr, true)?;
        self.events = Some(Lines::of(stdout));
        self.errors = Some(Lines::of(stderr));
        Ok(())
    }

    /// What comes next; None if nothing has come by `end`.
    pub fn next(&mut self, end: Instant) -> Option<News> {
        loop {
            if let Some(news) = self.heard.pop_front() {
                return Some(news);
            }
            let left = end.saturating_duration_since(Instant::now());
            if !self.listen(left) && left.is_zero() {
                return None;
            }
        }
    }

    /// Takes what comes first within the time; says whether there was something to take.
    fn listen(&mut self, limit: Duration) -> bool {
        let [signals, events, errors] = match self.wait(limit) {
            Ok(ready) => ready,
            Err(Errno::INTR) => return false,
            Err(_) => {
                thread::sleep(PAUSE.min(limit));
                return false;
            }
        };
        if signals {
            self.heard.extend(self.signals.pending().map(News::Signal));
        }
        let mut taken = Vec::new();
        let is_gone = events && is_over(&mut self.events, &mut taken);
        let taken_events = std::mem::take(&mut taken);
        if errors || is_gone {
            // A worker's last errors are heard before its end.
            is_over(&mut self.errors, &mut taken);
        }
        self.heard
            .extend(taken_events.iter().map(|line| news(line)));
        self.heard.extend(taken.iter().map(|line| stray(line)));
        if is_gone {
            self.heard.push_back(News::WorkerGone);
        }
        signals || events || errors
    }

    /// Which of signals, events and errors there are.
    fn wait(&self, limit: Duration) -> Result<[bool; 3], Errno> {
        let pipes = [
            Some(self.signals.get_read().as_fd()),
            self.events.as_ref().map(|lines| lines.pipe.as_fd()),
            self.errors.as_ref().map(|lines| lines.pipe.as_fd()),
        ];
        let heeded = |pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN);
        let mut fds: Vec<_> = pipes.into_iter().flatten().map(heeded).collect();
        poll(&mut fds, Timespec::try_from(limit).ok().as_ref())?;
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok(pipes.map(|pipe| pipe.is_some() && ready.next().unwrap_or_default()))
    }
}

/// Takes what is there from a pipe; says whether it is at its end, once.
fn is_over<R: Read>(lines: &mut Option<Lines<R>>, taken: &mut Vec<Vec<u8>>) -> bool {
    let is_over = lines.as_mut().is_some_and(|lines| lines.take(taken));
    if is_over {
        *lines = None;
    }
    is_over
}

fn news(line: &[u8]) -> News {
    serde_json::from_slice(line).map_or_else(|_| stray(line), News::Event)
}

fn stray(line: &[u8]) -> News {
    News::Stray(cut(
        String::from_utf8_lossy(line).into_owned(),
        LONGEST_LINE,
    ))
}

/// Whole lines of a pipe that blocks nobody.
struct Lines<R> {
    pipe: R,
    /// The beginning of one that is not whole yet.
    begun: Vec<u8>,
}

impl<R: Read> Lines<R> {
    fn of(pipe: R) -> Self {
        let begun = Vec::new();
        Lines { pipe, begun }
    }

    /// Adds those that are there; says whether they were the last, half a line included.
    fn take(&mut self, lines: &mut Vec<Vec<u8>>) -> bool {
        let mut read = vec![0; PIPE];
        let read = match self.pipe.read(&mut read) {
            Ok(length) => &read[..length],
            Err(error)
                if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) =>
            {
                return false;
            }
            Err(_) => &[],
        };
        for piece in read.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) => {
                    self.begun.extend(end);
                    lines.push(std::mem::take(&mut self.begun));
                }
                None => self.begun.extend(piece),
            }
        }
        let is_too_long = self.begun.len() > LONGEST;
        if is_too_long || read.is_empty() && !self.begun.is_empty() {
            lines.push(std::mem::take(&mut self.begun));
        }
        read.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let (pipe, mut other) = UnixStream::pair().unwrap();
        pipe.set_nonblocking(true).unwrap();
        let mut lines = Lines::of(pipe);
        let mut take = || {
            let mut taken = Vec::new();
            let is_over = lines.take(&mut taken);
            let text = taken
                .into_iter()
                .map(|line| String::from_utf8(line).unwrap());
            (text.collect::<Vec<_>>().join("|"), is_over)
        };
        assert_eq!(take(), (String::new(), false));
        other.write_all(b"one\ntw").unwrap();
        assert_eq!(take(), ("one".into(), false));
        other.write_all(b"o").unwrap();
        assert_eq!(take(), (String::new(), false));
        other.write_all(b"\n\nthree\nfo").unwrap();
        assert_eq!(take(), ("two||three".into(), false));
        other.write_all(b"ur").unwrap();
        assert_eq!(take(), (String::new(), false));
        drop(other);
        assert_eq!(take(), ("four".into(), true));
    }
}

//! A port to the host: messages, one a line, to a virtio-serial port or whatever stands for one. A thread writes them;
//! while no host listens, nobody waits, and the newest messages are kept for one that comes late.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

/// As many messages are kept while nobody takes them, beside the last of each kind that replaces the one before.
const KEPT: usize = 4096;
/// Between two looks whether a host listens now.
const PAUSE: Duration = Duration::from_millis(500);

pub struct Port {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Message>,
    /// A message is being written.
    busy: bool,
    nobody_listens: bool,
    ended: bool,
}

struct Message {
    line: Vec<u8>,
    /// A newer one of its kind says it all.
    replaceable: bool,
}

impl Port {
    pub fn open(path: &Path) -> Self {
        let port = Port {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
        };
        let writer = Writer {
            path: path.to_owned(),
            file: None,
            shared: port.shared.clone(),
        };
        let started = thread::Builder::new()
            .name("port".into())
            .spawn(move || writer.run());
        port.lock().ended = started.is_err();
        port
    }

    /// Queues a line, without its end; never blocks.
    pub fn send(&self, line: String) {
        self.queue(line, false);
    }

    /// The same, for a message that a newer one of its kind makes superfluous if it is not out by then.
    pub fn send_latest(&self, line: String) {
        self.queue(line, true);
    }

    fn queue(&self, line: String, replaceable: bool) {
        let mut line = line.into_bytes();
        line.push(b'\n');
        let mut state = self.lock();
        if replaceable {
            state.queue.retain(|message| !message.replaceable);
        } else if state.queue.len() >= KEPT {
            let oldest = state.queue.iter().position(|message| !message.replaceable);
            oldest.map(|oldest| state.queue.remove(oldest));
        }
        state.queue.push_back(Message { line, replaceable });
        // Woken before, the writer would have to wait for it at once.
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Waits until all is out, if somebody listens, but not longer than until `end`.
    pub fn flush(&self, end: Instant) {
        let mut state = self.lock();
        while !state.ended && (state.busy || !state.queue.is_empty()) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || state.nobody_listens {
                return;
            }
            (state, _) = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Drop for Port {
    /// Ends the writer, and with it the port is closed.
    fn drop(&mut self) {
        self.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer {
    path: PathBuf,
    file: Option<File>,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(mut self) {
        while let Some(message) = self.next() {
            if self.write_all(&message.line).is_none() {
                return;
            }
        }
    }

    /// None: it is over.
    fn next(&self) -> Option<Message> {
        let mut state = self.shared.lock();
        state.busy = false;
        self.shared.changed.notify_all();
        loop {
            if let Some(message) = state.queue.pop_front() {
                state.busy = true;
                return Some(message);
            }
            if state.ended {
                return None;
            }
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let Some(file) = self.file.as_mut() else {
                match open(&self.path) {
                    Ok(file) => self.file = Some(file),
                    // Another program has it, or it is not there yet.
                    Err(_) => self.pause()?,
                }
                continue;
            };
            match file.write(bytes) {
                Ok(written) => {
                    bytes = &bytes[written..];
                    self.somebody_listens(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match is_writable(file) {
                        true => {}
                        false => self.pause()?,
                    }
                }
                Err(_) => {
                    self.file = None;
                    self.pause()?;
                }
            }
        }
        Some(())
    }

    /// Nobody takes it now. None: and nobody will.
    fn pause(&self) -> Option<()> {
        self.somebody_listens(false);
        let state = self.shared.lock();
        let ended = |state: &mut State| !state.ended;
        let (state, _) = self
            .shared
            .changed
            .wait_timeout_while(state, PAUSE, ended)
            .unwrap_or_else(PoisonError::into_inner);
        (!state.ended).then_some(())
    }

    fn somebody_listens(&self, listens: bool) {
        let mut state = self.shared.lock();
        if state.nobody_listens == listens {
            state.nobody_listens = !listens;
            self.shared.changed.notify_all();
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags =
        OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    // A plain file stands for a port in tests, and is as good.
    let create = match path.starts_with("/dev") {
        true => OFlags::empty(),
        false => OFlags::CREATE,
    };
    let file = rustix::fs::open(path, flags | create, Mode::from_raw_mode(0o600))?;
    Ok(File::from(file))
}

/// Waits for it a while. A port whose host has hung up says so at once, and is not.
fn is_writable(file: &File) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::OUT)];
    let pause = Timespec {
        tv_sec: 0,
        tv_nsec: PAUSE.subsec_nanos().into(),
    };
    match poll(&mut fds, Some(&pause)) {
        Ok(_) => {
            let found = fds[0].revents();
            found.contains(PollFlags::OUT) && !found.contains(PollFlags::HUP)
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::OpenOptionsExt;

    const LONG: Duration = Duration::from_secs(60);

    fn fifo(folder: &Path) -> PathBuf {
        let path = folder.join("port");
        let mode = Mode::from_raw_mode(0o600);
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
        path
    }

    #[test]
    fn a_port_nobody_listens_at_delays_nobody_and_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let path = fifo(folder.path());
        let port = Port::open(&path);
        for number in 0..KEPT + 10 {
            port.send(format!("line {number}"));
            port.send_latest(format!("report {number}"));
        }
        while !port.lock().nobody_listens {
            thread::yield_now();
        }
        let end = Instant::now() + LONG;
        port.flush(end);
        assert!(Instant::now() < end);
        let listener = thread::spawn(move || std::fs::read_to_string(path).unwrap());
        while !port.lock().queue.is_empty() || port.lock().busy {
            thread::yield_now();
        }
        drop(port);
        let read = listener.join().unwrap();
        let lines: Vec<_> = read.lines().collect();
        assert_eq!(lines.last(), Some(&format!("report {}", KEPT + 9).as_str()));
        let reports = lines.iter().filter(|line| line.starts_with("report"));
        assert!(
            reports.count() <= 2,
            "of which one was being written already"
        );
        assert!(lines.contains(&format!("line {}", KEPT + 9).as_str()));
    }

    #[test]
    fn a_listener_that_stops_taking_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = fifo(folder.path());
        let _deaf = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(&path)
            .unwrap();
        let port = Port::open(&path);
        port.send("x".repeat(1_000_000));
        let end = Instant::now() + LONG;
        port.flush(end);
        assert!(Instant::now() < end);
        assert!(port.lock().busy, "the listener took it all the same");
    }

    #[test]
    fn a_plain_file_has_it_all_after_a_flush() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("port");
        let port = Port::open(&path);
        port.send("one".into());
        port.send("two".into());
        port.flush(Instant::now() + LONG);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "one\ntwo\n");
    }
}

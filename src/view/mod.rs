//! Standard output, as a person sees a run: lines, and on a terminal below them a picture of where it stands.
//!
//! Whoever reports to a [`View`] never waits for it: a thread of its own writes, and a terminal that takes nothing (Ctrl-S,
//! a connection that hangs) keeps that thread alone.

mod board;
mod choice;
mod picture;
mod screen;
mod text;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

pub use board::Board;
pub use choice::{Manner, Progress};
pub use picture::{Room, Signs, picture, rough};

use crate::event::Event;
use crate::failure::Stage;
use picture::TURN;
use screen::Screen;

/// Entries kept for a terminal or pipe that does not take them; the oldest go first, and their number is said.
const KEPT: usize = 4096;

pub struct View {
    shared: Arc<Shared>,
    began: Instant,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    entries: VecDeque<Entry>,
    dropped: usize,
    board: Board,
    /// A picture is kept below the lines.
    live: bool,
    /// The thread has taken entries and has not yet written them.
    writing: bool,
    /// Somebody wants to know when it has.
    awaited: bool,
}

/// What stays on the terminal.
enum Entry {
    Line(String),
    Picture(Box<Board>, Duration),
}

impl View {
    /// `began`: when what the board shows did.
    pub fn open(manner: Manner, board: Board, began: Instant) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                entries: VecDeque::new(),
                dropped: 0,
                board,
                live: manner != Manner::Plain,
                writing: false,
                awaited: false,
            }),
            changed: Condvar::new(),
        });
        let (writer, screen) = (shared.clone(), Screen::new(manner));
        // Without a thread nothing is shown, and the run goes on.
        let _ = thread::Builder::new()
            .name("view".into())
            .spawn(move || writer.show(screen, began));
        View { shared, began }
    }

    /// Lines alone.
    pub fn plain() -> Self {
        View::open(Manner::Plain, Board::new("", &[]), Instant::now())
    }

    /// The title and the stages that were to come, for another view of the same.
    pub fn of_what(&self) -> (String, Vec<Stage>) {
        let state = self.shared.lock();
        let stages = state.board.stages.iter().map(|(stage, _)| *stage);
        (state.board.title.clone(), stages.collect())
    }

    pub fn line(&self, text: &str) {
        self.push(self.shared.lock(), Entry::Line(text.to_owned()));
    }

    /// Takes an event into the picture. Its line, if it has one, is for [`View::line`].
    pub fn note(&self, event: &Event) {
        self.note_at(event, self.began.elapsed());
    }

    /// The same of an event that was so long after the beginning.
    pub fn note_at(&self, event: &Event, at: Duration) {
        self.shared.lock().board.take(event, at);
    }

    /// Leaves the picture as it is now; what follows are lines.
    pub fn conclude(&self) {
        self.conclude_at(self.began.elapsed());
    }

    pub fn conclude_at(&self, at: Duration) {
        let mut state = self.shared.lock();
        if std::mem::take(&mut state.live) {
            let board = Box::new(state.board.clone());
            self.push(state, Entry::Picture(board, at));
        }
    }

    /// Waits until everything is written, at most until `end`.
    pub fn flush(&self, end: Instant) {
        let mut state = self.shared.lock();
        state.awaited = true;
        while state.writing || !state.entries.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.shared.wait(state, Some(left));
        }
    }

    fn push(&self, mut state: MutexGuard<'_, State>, entry: Entry) {
        if state.entries.len() == KEPT {
            state.entries.pop_front();
            state.dropped += 1;
        }
        state.entries.push_back(entry);
        // Woken before, the writer would have to wait for it at once.
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// A panic elsewhere says nothing against what is in it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        limit: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        let limit = limit.unwrap_or(Duration::MAX);
        let woken = self.changed.wait_timeout(state, limit);
        woken.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }

    /// The thread: entries as they come, and a new picture with every turn of the wheel.
    fn show(&self, mut screen: Screen, began: Instant) {
        let mut state = self.lock();
        loop {
            if state.entries.is_empty() {
                let limit = state.live.then_some(TURN);
                state = self.wait(state, limit);
            }
            let dropped = std::mem::take(&mut state.dropped);
            let entries = std::mem::take(&mut state.entries);
            let board = state.live.then(|| state.board.clone());
            if entries.is_empty() && board.is_none() {
                continue;
            }
            state.writing = true;
            drop(state);
            if dropped > 0 {
                screen.entry(Entry::Line(format!(
                    "({dropped} lines were dropped here: they were not taken)"
                )));
            }
            entries.into_iter().for_each(|entry| screen.entry(entry));
            if let Some(board) = board {
                screen.picture(&board, began.elapsed());
            }
            screen.write();
            state = self.lock();
            state.writing = false;
            if state.awaited {
                self.changed.notify_all();
            }
        }
    }
}

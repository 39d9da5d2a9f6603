//! The trail of a run in `/run/guestbake`: what happened and when, for those who look on from another terminal.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::failure::Stage;
use crate::host::console::Console;

/// Output of migrations is left out once there is so much of it: the folder is in memory.
const MOST_BYTES: usize = 8 << 20;

/// One line of the trail.
#[derive(Debug, Serialize, Deserialize)]
pub struct Step {
    /// Seconds of the clock that never jumps, which is the same for all processes.
    pub at: f64,
    pub what: What,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    Began {
        title: String,
        stages: Vec<Stage>,
    },
    /// One that no event has.
    Line(String),
    Event(Event),
}

pub struct Trail {
    file: Console,
    bytes: usize,
}

impl Trail {
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(super::record::TRAIL)
    }

    /// Of a run that begins; the one before it has been removed.
    pub fn begin(folder: &Path, title: &str, stages: &[Stage]) -> Self {
        let mut trail = Self::go_on(folder);
        trail.put(What::Began {
            title: title.to_owned(),
            stages: stages.to_vec(),
        });
        trail
    }

    pub fn go_on(folder: &Path) -> Self {
        Trail {
            file: Console::open(&Self::path(folder), ""),
            bytes: 0,
        }
    }

    pub fn line(&mut self, text: &str) {
        self.put(What::Line(text.to_owned()));
    }

    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Detail { .. } if self.bytes > MOST_BYTES => {}
            event => self.put(What::Event(event.clone())),
        }
    }

    fn put(&mut self, what: What) {
        let step = Step { at: now(), what };
        if let Ok(line) = serde_json::to_string(&step) {
            self.bytes += line.len();
            self.file.line(&line);
        }
    }

    /// Waits until it is written, at most until `end`.
    pub fn flush(&self, end: Instant) {
        self.file.flush(end);
    }
}

fn now() -> f64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// When something of the trail was, by the clock of this process.
pub fn instant_of(at: f64) -> Instant {
    let ago = Duration::try_from_secs_f64(now() - at).unwrap_or_default();
    let now = Instant::now();
    now.checked_sub(ago).unwrap_or(now)
}

//! The run that goes on in another terminal, under cloud-init or systemd, as if it had been started here.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::alone::VIEW_LIMIT;
use crate::event::{Event, Verdict};
use crate::failure::ExitCode;
use crate::verdict::{Lock, Step, Trail, What, instant_of};
use crate::view::{Board, Manner, Progress, View};

/// What the last line of a trail is one of.
const MARKERS: [Verdict; 3] = [Verdict::Done, Verdict::Ready, Verdict::Failed];
const PAUSE: Duration = Duration::from_millis(100);
/// What a run that is over may still be writing.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Shows the current run to its end, or the last one; ends with its exit code. None if there was none.
pub fn follow(state: &Path, progress: Progress) -> Option<ExitCode> {
    let mut trail = File::open(Trail::path(state)).ok()?;
    let manner = Manner::of_stdout(progress);
    let mut follower = Follower::default();
    let mut text = Vec::new();
    let mut quiet = Instant::now();
    loop {
        let before = text.len();
        let _ = trail.read_to_end(&mut text);
        if text.len() > before {
            quiet = Instant::now();
        }
        // The last line may not be whole yet.
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        for line in text
            .drain(..whole)
            .collect::<Vec<_>>()
            .split(|byte| *byte == b'\n')
        {
            follower.take(&String::from_utf8_lossy(line), manner);
        }
        if follower.over {
            break;
        }
        if quiet.elapsed() > LAST_WORDS && !Lock::is_taken(state) {
            follower.finish();
            eprintln!("guestbake: the run ended without a verdict");
            return Some(ExitCode::Internal);
        }
        thread::sleep(PAUSE);
    }
    follower.finish();
    Some(follower.code)
}

struct Follower {
    view: Option<View>,
    began: f64,
    code: ExitCode,
    over: bool,
}

impl Default for Follower {
    fn default() -> Self {
        Follower {
            view: None,
            began: 0.0,
            code: ExitCode::Internal,
            over: false,
        }
    }
}

impl Follower {
    fn take(&mut self, line: &str, manner: Manner) {
        let line = line.trim_end();
        let Ok(Step { at, what }) = serde_json::from_str(line) else {
            // A note about lines that were dropped.
            if let (false, Some(view)) = (line.is_empty(), &self.view) {
                view.line(line);
            }
            return;
        };
        let since_began = Duration::try_from_secs_f64(at - self.began).unwrap_or_default();
        match (what, &self.view) {
            (What::Began { title, stages }, _) => {
                self.began = at;
                let board = Board::new(title, &stages);
                self.view = Some(View::open(manner, board, instant_of(at)));
            }
            (What::Line(text), Some(view)) => {
                self.over |= MARKERS.iter().any(|verdict| verdict.marker() == text);
                view.line(&text);
            }
            (What::Event(event), Some(view)) => {
                view.note_at(&event, since_began);
                if let Some(text) = event.text() {
                    view.line(&text);
                }
                if let Event::Outcome(outcome) = event {
                    self.code = outcome.exit_code();
                    view.conclude_at(since_began);
                }
            }
            (_, None) => {}
        }
    }

    fn finish(&self) {
        if let Some(view) = &self.view {
            view.conclude();
            view.flush(Instant::now() + VIEW_LIMIT);
        }
    }
}

/// Where the run that goes on stands, without waiting for more.
pub fn board(state: &Path) -> Option<(Board, Duration)> {
    let text = std::fs::read_to_string(Trail::path(state)).ok()?;
    let mut steps = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let Some(Step {
        at: began,
        what: What::Began { title, stages },
    }) = steps.next()
    else {
        return None;
    };
    let mut board = Board::new(title, &stages);
    for Step { at, what } in steps {
        if let What::Event(event) = what {
            board.take(
                &event,
                Duration::try_from_secs_f64(at - began).unwrap_or_default(),
            );
        }
    }
    Some((board, instant_of(began).elapsed()))
}

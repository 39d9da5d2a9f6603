//! What a run says while it goes on. The pipeline only emits events; consoles, logs, the report and the verdict are made
//! from them by whoever listens, in another process or in the same.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::failure::{ExitCode, Reason, Stage};
use crate::mask::Masker;
use crate::plan::PowerOff;

/// Bytes of a line that are shown.
pub const LONGEST_LINE: usize = 16 * 1024;
/// Of why something failed. It is said several times, on every console, and has to fit into what carries it: a journal's
/// message, systemd's status, a [passage](crate::verdict::Passages).
pub const LONGEST_MESSAGE: usize = 2 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    StageStarted {
        stage: Stage,
    },
    StageDone {
        stage: Stage,
        seconds: f64,
    },
    /// It is over with the run; diagnostics and the outcome follow, which may blame another stage.
    StageFailed {
        stage: Stage,
        seconds: f64,
    },
    /// Why it is over, before diagnostics tell more.
    Cause {
        message: String,
        container: Option<String>,
    },
    /// A line for people: consoles and the provision log.
    Line {
        text: String,
    },
    /// A line for the provision log alone: output of migrations, and the like.
    Detail {
        text: String,
    },
    /// What the plan says about the end of the run; known once the plan is.
    Plan {
        power_off: PowerOff,
        run_timeout_s: f64,
    },
    Guest {
        arch: String,
        accel: String,
        evidence: Vec<String>,
    },
    /// How much of an archive the engine has taken, `seconds` after it was opened: at the start (nothing yet), and then
    /// about once a second while it grows.
    ImageLoading {
        archive: String,
        done: u64,
        total: u64,
        seconds: f64,
    },
    /// An archive is through.
    Image {
        archive: String,
        bytes: u64,
        seconds: f64,
        loaded: bool,
    },
    /// The wait, or the smoke test's checks, begin: what is waited for, all within one budget. Names of services that
    /// follow are of this group.
    Waiting {
        services: Vec<Awaited>,
        budget_s: f64,
        /// How much of the budget is spent already.
        waited_s: f64,
    },
    /// Why a service is not ready, when that has changed; about once a second for each at most, and once more when the
    /// wait is given up.
    NotReady {
        name: String,
        error: String,
        attempts: u32,
    },
    /// A service is ready, so long after the wait began.
    Service {
        name: String,
        ready_s: f64,
        attempts: u32,
    },
    MigrationStarted {
        name: String,
    },
    Migration {
        name: String,
        exit_code: Option<i64>,
        seconds: f64,
    },
    /// A chore of finishing is through; `bytes` that were freed, zeroed, trimmed, if it is about any.
    Finished {
        chore: Chore,
        of: String,
        bytes: Option<u64>,
    },
    /// The pipeline's thread is not stuck; only where somebody wants to know, several times within his patience.
    Alive,
    /// What follows as [`Event::Diagnostics`] is one dump.
    DiagnosticsStarted,
    /// A line of diagnostics, shown as [`Event::Line`] is.
    Diagnostics {
        text: String,
    },
    Outcome(Outcome),
}

impl Event {
    /// What of it people read, on consoles, in logs, on a terminal.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Event::Line { text } | Event::Diagnostics { text } => Some(text.into()),
            Event::StageDone { stage, seconds } => {
                Some(format!("stage {stage} done ({seconds:.1}s)").into())
            }
            Event::Service { name, ready_s, .. } => {
                Some(format!("{name} ready ({ready_s:.1}s)").into())
            }
            _ => None,
        }
    }
}

/// A service that is waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Awaited {
    pub name: String,
    /// Whose end ends the wait.
    #[serde(default)]
    pub container: Option<String>,
}

/// What finishing an image may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chore {
    Prune,
    Logs,
    Zero,
    Trim,
    Golden,
}

impl fmt::Display for Chore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of a unit variant is all that a formatter takes.
        self.serialize(f)
    }
}

/// How the smoke test ended. A skipped test is not a passed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Smoke {
    Passed,
    Failed,
    Skipped,
    NotRun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Done,
    /// Capture mode: everything is up and stays up.
    Ready,
    Failed,
}

/// The end of a run, as the result line has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stage: Option<Stage>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<String>,
    pub smoke: Smoke,
}

impl Outcome {
    pub fn failed(stage: Option<Stage>, reason: Reason, message: String) -> Self {
        Outcome {
            verdict: Verdict::Failed,
            stage,
            reason: Some(reason),
            message: Some(message),
            smoke: Smoke::NotRun,
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        self.reason.map_or(ExitCode::Done, Reason::exit_code)
    }
}

/// Where events go. Everything a run says passes through here, and is masked here.
#[derive(Clone)]
pub struct Events {
    sink: Arc<dyn Fn(Event) + Send + Sync>,
    pub masker: Arc<Masker>,
}

impl Events {
    pub fn new(sink: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Events {
            sink: Arc::new(sink),
            masker: Arc::new(Masker::default()),
        }
    }

    pub fn line(&self, text: impl AsRef<str>) {
        self.each_line(text.as_ref(), |text| Event::Line { text });
    }

    pub fn detail(&self, text: impl AsRef<str>) {
        self.each_line(text.as_ref(), |text| Event::Detail { text });
    }

    pub fn diagnostics(&self, text: impl AsRef<str>) {
        self.each_line(text.as_ref(), |text| Event::Diagnostics { text });
    }

    /// One event a line, so that no listener has to think about line ends.
    fn each_line(&self, text: &str, event: impl Fn(String) -> Event) {
        for line in text.lines() {
            // Only after masking: a secret cut in two would not be recognised.
            (self.sink)(event(cut(self.masker.mask(line), LONGEST_LINE)));
        }
    }

    pub fn emit(&self, mut event: Event) {
        let mask = |text: &mut String| *text = cut(self.masker.mask(text), LONGEST_MESSAGE);
        match &mut event {
            Event::Line { text } | Event::Detail { text } | Event::Diagnostics { text } => {
                *text = cut(self.masker.mask(text), LONGEST_LINE);
            }
            Event::NotReady { error: text, .. }
            | Event::Cause { message: text, .. }
            | Event::Outcome(Outcome {
                message: Some(text),
                ..
            }) => mask(text),
            Event::Guest { evidence, .. } => evidence.iter_mut().for_each(mask),
            // What is left are numbers and the plan's own names, which are public.
            _ => {}
        }
        (self.sink)(event);
    }
}

/// A text's beginning, if it is longer than that.
pub fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn no_text_in_an_event_lets_a_secret_through() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hear = heard.clone();
        let events = Events::new(move |event| hear.lock().unwrap().push(event));
        events.masker.add(["s3cr3t-s3cr3t".to_owned()]);
        let text = || "it is s3cr3t-s3cr3t".to_owned();
        events.line(text());
        events.detail(text());
        events.diagnostics(text());
        events.emit(Event::NotReady {
            name: "db".into(),
            error: text(),
            attempts: 1,
        });
        events.emit(Event::Guest {
            arch: "amd64".into(),
            accel: "tcg".into(),
            evidence: vec![text()],
        });
        let failed = Outcome::failed(None, Reason::Internal, text());
        events.emit(Event::Outcome(failed));
        let heard = serde_json::to_string(&*heard.lock().unwrap()).unwrap();
        assert_eq!(heard.matches("it is ***").count(), 6, "{heard}");
        assert!(!heard.contains("s3cr3t"), "{heard}");
    }
}

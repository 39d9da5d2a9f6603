//! What a run says while it goes on. The pipeline only emits events; consoles, logs, the report and the verdict are made
//! from them by whoever listens, in another process or in the same.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::failure::{ExitCode, Reason, Stage};
use crate::mask::Masker;
use crate::plan::PowerOff;

/// Bytes of a line that are shown.
const LONGEST_LINE: usize = 16 * 1024;

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
    Image {
        archive: String,
        bytes: u64,
        seconds: f64,
        loaded: bool,
    },
    Service {
        name: String,
        ready_s: f64,
        attempts: u32,
    },
    Migration {
        name: String,
        exit_code: Option<i64>,
        seconds: f64,
    },
    Outcome(Outcome),
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

    /// One event a line, so that no listener has to think about line ends.
    fn each_line(&self, text: &str, event: impl Fn(String) -> Event) {
        for line in text.lines() {
            let mut text = self.masker.mask(line);
            // Only after masking: a secret cut in two would not be recognised.
            text.truncate(text.floor_char_boundary(LONGEST_LINE));
            (self.sink)(event(text));
        }
    }

    pub fn emit(&self, mut event: Event) {
        match &mut event {
            Event::Line { text } | Event::Detail { text } => *text = self.masker.mask(text),
            Event::Outcome(Outcome {
                message: Some(message),
                ..
            }) => *message = self.masker.mask(message),
            _ => {}
        }
        (self.sink)(event);
    }
}

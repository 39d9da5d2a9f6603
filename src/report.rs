//! The report: what is known of a run, kept up to date with every event, whole on disk after each stage.

use serde::{Deserialize, Serialize};

use crate::event::{Event, Outcome, Smoke, Verdict};
use crate::failure::{Reason, Stage};

/// Grows with every change that a reader could trip over.
pub const VERSION: u32 = 1;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub version: u32,
    /// Wall-clock time at the start, RFC 3339.
    pub started: String,
    pub elapsed_s: f64,
    /// The stage that is going on, or the last one.
    pub stage: Option<Stage>,
    pub guest: Option<Guest>,
    pub stages: Vec<StageTime>,
    pub images: Vec<Image>,
    pub services: Vec<Service>,
    pub migrations: Vec<Migration>,
    pub result: Option<ResultLine>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Guest {
    pub arch: String,
    pub accel: String,
    pub evidence: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StageTime {
    pub stage: Stage,
    pub seconds: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    pub archive: String,
    pub bytes: u64,
    pub seconds: f64,
    /// False: it was there already, and verified.
    pub loaded: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    /// Since the first container was started.
    pub ready_s: f64,
    pub attempts: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Migration {
    pub name: String,
    /// None if it was cut off.
    pub exit_code: Option<i64>,
    pub seconds: f64,
}

/// The line of JSON just before the marker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResultLine {
    pub verdict: Verdict,
    pub stage: Option<Stage>,
    pub reason: Option<Reason>,
    pub message: Option<String>,
    pub elapsed_s: f64,
    pub arch: Option<String>,
    pub accel: Option<String>,
    pub smoke: Smoke,
}

impl Report {
    /// Takes in what an event says, at `elapsed` seconds of the run.
    pub fn take(&mut self, event: &Event, elapsed: f64) {
        self.elapsed_s = rounded(elapsed);
        match event.clone() {
            Event::StageStarted { stage } => self.stage = Some(stage),
            Event::StageDone { stage, seconds } => self.stages.push(StageTime {
                stage,
                seconds: rounded(seconds),
            }),
            Event::Guest {
                arch,
                accel,
                evidence,
            } => {
                self.guest = Some(Guest {
                    arch,
                    accel,
                    evidence,
                })
            }
            Event::Image {
                archive,
                bytes,
                seconds,
                loaded,
            } => self.images.push(Image {
                archive,
                bytes,
                seconds: rounded(seconds),
                loaded,
            }),
            Event::Service {
                name,
                ready_s,
                attempts,
            } => self.services.push(Service {
                name,
                ready_s: rounded(ready_s),
                attempts,
            }),
            Event::Migration {
                name,
                exit_code,
                seconds,
            } => self.migrations.push(Migration {
                name,
                exit_code,
                seconds: rounded(seconds),
            }),
            Event::Outcome(outcome) => self.result = Some(self.result_line(outcome)),
            _ => {}
        }
    }

    fn result_line(&self, outcome: Outcome) -> ResultLine {
        ResultLine {
            verdict: outcome.verdict,
            stage: outcome.stage,
            reason: outcome.reason,
            message: outcome.message,
            elapsed_s: self.elapsed_s,
            arch: self.guest.as_ref().map(|guest| guest.arch.clone()),
            accel: self.guest.as_ref().map(|guest| guest.accel.clone()),
            smoke: outcome.smoke,
        }
    }
}

/// Milliseconds are more than anyone reads.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

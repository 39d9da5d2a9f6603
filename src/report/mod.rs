//! The report: what is known of a run, kept up to date with every event, whole on disk after each stage.
//!
//! Its JSON is described by `config/report.schema.json`. Of times, `started` alone is wall-clock time; all others are
//! seconds, from the run's start unless said otherwise, by a clock that does not jump.

mod blame;
mod rows;
mod status;
mod svg;
mod taking;

pub use blame::table;
pub use status::status;
pub use svg::time_line;

use serde::{Deserialize, Serialize};

use crate::event::{Chore, Smoke, Verdict};
use crate::failure::{Reason, Stage};

/// Grows with every change that a reader could trip over.
pub const VERSION: u32 = 2;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    pub version: u32,
    /// Of the program.
    pub guestbake: String,
    /// Wall-clock time at the start, RFC 3339, by the guest's clock as it was then.
    pub started: String,
    /// How far that clock has been set since, forward or back. Zero: it was right, or nobody knew better.
    pub clock_step_s: f64,
    /// How long the machine had been up at the start.
    pub uptime_s: f64,
    pub elapsed_s: f64,
    /// The stage that is going on, or the last one.
    pub stage: Option<Stage>,
    pub guest: Option<Guest>,
    pub stages: Vec<StageTime>,
    pub images: Vec<Image>,
    pub waits: Vec<Wait>,
    pub services: Vec<Service>,
    pub migrations: Vec<Migration>,
    pub finish: Vec<Finish>,
    /// The last dump, the one on failure if there was a failure.
    pub diagnostics: Option<Diagnostics>,
    pub result: Option<ResultLine>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guest {
    pub arch: String,
    pub accel: String,
    /// What was concluded from.
    pub evidence: Vec<String>,
}

/// Where a piece of work stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Running,
    Done,
    /// Or cut off by the failure of something else.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    pub stage: Stage,
    pub started_s: f64,
    /// Until now, of one that is going on.
    pub seconds: f64,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub archive: String,
    pub bytes: u64,
    /// How many of them the engine has taken.
    pub taken: u64,
    pub started_s: f64,
    pub seconds: f64,
    /// Of the file's bytes, over the time it took; none if nothing was loaded.
    pub bytes_per_s: Option<u64>,
    /// False once done: it was there already, and verified.
    pub loaded: bool,
    pub state: State,
}

/// The budget that services share: the wait's, the smoke test's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wait {
    /// None: a stage run alone.
    pub stage: Option<Stage>,
    /// From here the services' `ready_s` count.
    pub started_s: f64,
    pub budget_s: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    pub container: Option<String>,
    /// That of the wait it belongs to.
    pub stage: Option<Stage>,
    /// The first attempt.
    pub probed_s: Option<f64>,
    /// Since the wait began; none: it was never ready.
    pub ready_s: Option<f64>,
    pub attempts: u32,
    /// The last reason why it was not ready; one that was not there for a second may be missing.
    pub last_error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Migration {
    pub name: String,
    pub started_s: f64,
    pub seconds: f64,
    /// None while it goes on, or if it was cut off.
    pub exit_code: Option<i64>,
    pub state: State,
}

/// A chore of finishing the image that is through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finish {
    pub chore: Chore,
    /// A file system, a kind of leftover, ….
    pub of: String,
    /// Freed, zeroed, trimmed; none where it is about none.
    pub bytes: Option<u64>,
    pub started_s: f64,
    pub seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnostics {
    pub started_s: f64,
    pub seconds: f64,
    pub lines: Vec<String>,
}

/// The line of JSON just before the marker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// # Errors
    /// Says in words what is wrong with the text.
    pub fn parse(text: &str) -> Result<Report, String> {
        let report: Report =
            serde_json::from_str(text).map_err(|error| format!("no report: {error}"))?;
        match report.version {
            VERSION => Ok(report),
            other => Err(format!(
                "a report of version {other}; this program reads version {VERSION}"
            )),
        }
    }

    fn wait_of(&self, service: &Service) -> Option<&Wait> {
        self.waits.iter().find(|wait| wait.stage == service.stage)
    }

    /// When a stage failed.
    fn failed_at(&self) -> Option<f64> {
        let failed = |stage: &&StageTime| stage.state == State::Failed;
        let stage = self.stages.iter().find(failed)?;
        Some(stage.started_s + stage.seconds)
    }
}

//! What can go wrong, in the words the outside depends on: a stage, a reason, an exit code.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The steps of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Bundle,
    Plan,
    Guest,
    Engine,
    Images,
    Containers,
    Wait,
    Migrations,
    Smoke,
    Stop,
    Finish,
    Verdict,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Bundle => "bundle",
            Stage::Plan => "plan",
            Stage::Guest => "guest",
            Stage::Engine => "engine",
            Stage::Images => "images",
            Stage::Containers => "containers",
            Stage::Wait => "wait",
            Stage::Migrations => "migrations",
            Stage::Smoke => "smoke",
            Stage::Stop => "stop",
            Stage::Finish => "finish",
            Stage::Verdict => "verdict",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The stable word for a cause: what a host's script may branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    BundleMissing,
    BundleCorrupt,
    PlanInvalid,
    EngineUnavailable,
    WrongArchitecture,
    ImageLoadFailed,
    NoSpace,
    ContainerStartFailed,
    DependencyExited,
    DependencyUnhealthy,
    WaitTimeout,
    MigrationFailed,
    MigrationTimeout,
    SmokeFailed,
    FinishFailed,
    DeadlineExceeded,
    Interrupted,
    Killed,
    Internal,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of a unit variant is all that a formatter takes.
        self.serialize(f)
    }
}

impl Reason {
    pub fn exit_code(self) -> ExitCode {
        use Reason::*;
        match self {
            BundleMissing | BundleCorrupt => ExitCode::Bundle,
            PlanInvalid => ExitCode::Plan,
            EngineUnavailable => ExitCode::Engine,
            WrongArchitecture | ImageLoadFailed => ExitCode::Images,
            NoSpace => ExitCode::NoSpace,
            ContainerStartFailed => ExitCode::ContainerStart,
            DependencyExited | DependencyUnhealthy => ExitCode::Dependency,
            WaitTimeout => ExitCode::WaitBudget,
            MigrationFailed | MigrationTimeout => ExitCode::Migration,
            SmokeFailed => ExitCode::Smoke,
            FinishFailed => ExitCode::Finish,
            DeadlineExceeded | Interrupted => ExitCode::Deadline,
            Killed | Internal => ExitCode::Internal,
        }
    }
}

/// Exit codes of `guestbake run` and of the stages run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    Done = 0,
    Bundle = 10,
    Plan = 11,
    Engine = 20,
    Images = 21,
    NoSpace = 22,
    ContainerStart = 30,
    Dependency = 31,
    WaitBudget = 32,
    Migration = 40,
    Smoke = 50,
    Finish = 55,
    Deadline = 60,
    /// The command line is wrong (`EX_USAGE` of sysexits.h).
    Usage = 64,
    Internal = 70,
}

/// A cause with its stable reason; the pipeline adds the stage.
#[derive(Debug)]
pub struct Fault {
    pub reason: Reason,
    pub error: anyhow::Error,
    /// The container concerned: its log is shown last.
    pub container: Option<String>,
    /// Where the work concerned belongs, if that is not the stage that is going on.
    pub stage: Option<Stage>,
    /// Output that shows the cause, such as a migration's last lines: shown right before it.
    pub evidence: Vec<String>,
    /// Keys of files that its texts say something about.
    pub keys: Vec<String>,
}

impl Fault {
    pub fn new(reason: Reason, message: impl fmt::Display) -> Self {
        Fault::from_error(reason, anyhow::anyhow!("{message}"))
    }

    pub fn from_error(reason: Reason, error: impl Into<anyhow::Error>) -> Self {
        Fault {
            reason,
            error: error.into(),
            container: None,
            stage: None,
            evidence: Vec::new(),
            keys: Vec::new(),
        }
    }

    pub fn of_container(mut self, name: &str) -> Self {
        self.container = Some(name.to_owned());
        self
    }
}

/// Attaches a reason to any error, keeping its chain.
pub trait Because<T> {
    fn because(self, reason: Reason) -> Result<T, Fault>;
}

impl<T, E: Into<anyhow::Error>> Because<T> for Result<T, E> {
    fn because(self, reason: Reason) -> Result<T, Fault> {
        self.map_err(|error| Fault::from_error(reason, error))
    }
}

/// A run that could not be finished: where, and why.
#[derive(Debug)]
pub struct Failure {
    pub stage: Stage,
    pub fault: Fault,
}

impl Failure {
    /// The cause in one line, outermost first.
    pub fn message(&self) -> String {
        format!("{:#}", self.fault.error).replace(['\n', '\r'], " ")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.message())
    }
}

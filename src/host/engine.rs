//! The container engine as the stages see it: five narrow traits and the few facts that pass through them.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::plan::{Container, NamedVolume, Network};

/// What a request to the engine may end in.
#[derive(Debug)]
pub enum EngineError {
    /// The engine answered, and the answer is no.
    Refused { status: u16, message: String },
    /// The engine cannot be talked to.
    Unreachable(anyhow::Error),
    /// No answer within this time.
    Silent(Duration),
}

impl EngineError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, EngineError::Refused { status: 404, .. })
    }

    /// Engines report a full disk in prose alone.
    pub fn is_no_space(&self) -> bool {
        matches!(self, EngineError::Refused { message, .. }
            if message.contains("no space left on device") || message.contains("disk quota exceeded"))
    }
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EngineError::Refused { message, .. } => {
                write!(f, "the engine says: {}", message.trim())
            }
            EngineError::Unreachable(error) => write!(f, "cannot talk to the engine: {error:#}"),
            EngineError::Silent(limit) => {
                write!(f, "the engine did not answer within {}s", limit.as_secs())
            }
        }
    }
}

impl std::error::Error for EngineError {}

pub type EngineResult<T> = Result<T, EngineError>;

/// Takes output as it comes, in pieces of any size.
pub type OutputSink<'a> = dyn FnMut(&[u8]) + Send + 'a;
/// Takes the engine's own progress lines.
pub type ProgressSink<'a> = dyn Fn(&str) + Send + Sync + 'a;

#[derive(Clone, Debug)]
pub struct EngineVersion {
    /// Such as `26.1.5`.
    pub version: String,
    /// Major and minor of the API spoken.
    pub api: (usize, usize),
    /// Go's word for the architecture: `amd64`, `arm64`.
    pub arch: String,
    /// `overlay2`, `overlayfs`, …
    pub storage: String,
    /// The engine's data root, where images are unpacked.
    pub data_root: PathBuf,
}

#[derive(Clone, Debug)]
pub struct ImageFacts {
    pub id: String,
    pub architecture: String,
    /// The digests of the unpacked layers.
    pub layers: Vec<String>,
    pub tags: Vec<String>,
}

#[async_trait]
pub trait Images {
    async fn version(&self) -> EngineResult<EngineVersion>;
    /// None if there is no such image.
    async fn image(&self, reference: &str) -> EngineResult<Option<ImageFacts>>;
    /// Streams an archive in, as `docker load` does; `progress` gets the engine's own lines.
    async fn load(
        &self,
        archive: BoxStream<'static, io::Result<Bytes>>,
        progress: &ProgressSink<'_>,
    ) -> EngineResult<()>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Starting,
    Healthy,
    Unhealthy,
}

#[derive(Clone, Debug, Default)]
pub struct ContainerFacts {
    pub status: String,
    pub running: bool,
    pub restarting: bool,
    /// With what it ended last; of one that runs, and ended before, an engine may not tell.
    pub exit_code: Option<i64>,
    pub oom_killed: bool,
    /// The engine's word on why it could not be started.
    pub error: String,
    pub restarts: i64,
    pub health: Option<Health>,
    /// The last results of the health check: exit code and output.
    pub health_log: Vec<(i64, String)>,
    /// `NAME=value`, the image's variables included.
    pub environment: Vec<String>,
    /// When it was started and ended, as the engine writes it.
    pub started_at: String,
    pub finished_at: String,
}

impl ContainerFacts {
    pub fn is_healthy(&self) -> bool {
        self.health == Some(Health::Healthy)
    }

    pub fn has_succeeded(&self) -> bool {
        self.status == "exited" && self.exit_code == Some(0)
    }

    /// It ended with 0, and nothing was to tell whether it is healthy: a server would not have.
    pub fn has_finished(&self) -> bool {
        self.has_succeeded() && self.health.is_none()
    }

    /// The last line that the health check printed.
    pub fn last_health_output(&self) -> String {
        let last = self.health_log.last();
        last.and_then(|(_, output)| output.trim().lines().last())
            .unwrap_or_default()
            .to_owned()
    }
}

#[async_trait]
pub trait Containers {
    /// Makes it where it is missing; one that must be there already is only looked for.
    async fn ensure_network(&self, network: &Network) -> EngineResult<()>;
    /// The same for a volume.
    async fn ensure_volume(&self, volume: &NamedVolume) -> EngineResult<()>;
    /// Creates it, replacing a stale one of the same name.
    async fn create(&self, container: &Container) -> EngineResult<()>;
    async fn start(&self, name: &str) -> EngineResult<()>;
    async fn stop(&self, name: &str, grace: Duration) -> EngineResult<()>;
    /// Removes it, running or not; that there is none is no error.
    async fn remove(&self, name: &str) -> EngineResult<()>;
    /// None if there is no such container.
    async fn container(&self, name: &str) -> EngineResult<Option<ContainerFacts>>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Started,
    Died {
        exit_code: i64,
    },
    OutOfMemory,
    /// Something else that shows in its state.
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerEvent {
    pub container: String,
    pub change: Change,
}

/// Which part of a container's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The last lines, and no more.
    Tail(usize),
    /// All of it, and what comes.
    Follow,
}

#[async_trait]
pub trait Observation {
    /// Ends only when the connection does.
    async fn events(&self) -> BoxStream<'static, EngineResult<ContainerEvent>>;
    fn output(&self, container: &str, part: Output) -> BoxStream<'static, EngineResult<Bytes>>;
}

#[derive(Clone, Debug, Default)]
pub struct Command {
    pub argv: Vec<String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
}

#[async_trait]
pub trait Exec {
    /// Runs a command in a running container and returns its exit code; None if the limit ended it.
    async fn exec(
        &self,
        container: &str,
        command: &Command,
        limit: Duration,
        output: &mut OutputSink<'_>,
    ) -> EngineResult<Option<i64>>;
}

/// What a build leaves in an engine and nobody refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// Without a tag, and no container's.
    UntaggedImages,
    /// Without a name, and no container's.
    AnonymousVolumes,
    BuildCache,
}

#[async_trait]
pub trait Pruning {
    /// Removes it and says how many bytes that was; None if this engine has no such thing, or cannot tell it from what
    /// somebody wants.
    async fn prune(&self, leftover: Leftover) -> EngineResult<Option<u64>>;
}

pub trait Engine: Images + Containers + Observation + Exec + Pruning + Send + Sync {}

impl<T: Images + Containers + Observation + Exec + Pruning + Send + Sync> Engine for T {}

/// How an engine is reached.
#[async_trait]
pub trait Connect: Send + Sync {
    async fn connect(&self) -> EngineResult<Arc<dyn Engine>>;
    /// For messages.
    fn address(&self) -> &str;
    /// It is the guest's own, so systemd may start it.
    fn is_default(&self) -> bool;
}

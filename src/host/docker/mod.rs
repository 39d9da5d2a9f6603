//! The Docker engine behind the traits of [`super::engine`], over its socket with bollard.

mod containers;
mod exec;
mod images;
mod networks;
mod observation;
mod pruning;
mod settings;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use bollard::Docker;
use bollard::errors::Error;

use super::engine::{Connect, Engine, EngineError, EngineResult};

pub const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";
/// Where systemd listens in Podman's place, if `podman.socket` is enabled.
const PODMAN_HOST: &str = "unix:///run/podman/podman.sock";
/// Where distributions and Docker's own packages put its engine.
const DOCKERD: [&str; 3] = [
    "/usr/sbin/dockerd",
    "/usr/bin/dockerd",
    "/usr/local/bin/dockerd",
];

/// A question about state; the engine answers from memory.
const QUERY_LIMIT: Duration = Duration::from_secs(30);
/// Creating, starting, removing: disk work, twenty times slower in an emulated guest.
const CHANGE_LIMIT: Duration = Duration::from_secs(180);
/// bollard's own limit also ends long uploads (fussybeaver/bollard#503), so every call here has its own.
const NO_CLIENT_LIMIT_S: u64 = 7 * 24 * 3600;

pub struct DockerEngine {
    docker: Docker,
    /// The engine shares this machine's processes, so that an overdue `exec` can be killed.
    local: bool,
}

impl DockerEngine {
    /// Connects and agrees on an API version; an error says what stands in the way now and may be gone later.
    pub async fn connect(host: &str) -> EngineResult<Self> {
        let newest = bollard::API_DEFAULT_VERSION;
        let local = host.starts_with("unix://") || host.starts_with('/');
        let docker = if local {
            let path = host.trim_start_matches("unix://");
            Docker::connect_with_unix(path, NO_CLIENT_LIMIT_S, newest)
        } else {
            Docker::connect_with_http(host, NO_CLIENT_LIMIT_S, newest)
        }
        .map_err(|error| match error {
            Error::SocketNotFoundError(path) => {
                EngineError::Unreachable(anyhow!("there is no socket {path}"))
            }
            error => refine(error),
        })?;
        let docker = bounded(QUERY_LIMIT, docker.negotiate_version()).await?;
        Ok(DockerEngine { docker, local })
    }
}

/// An address, and who chose it.
pub struct DockerHost {
    address: String,
    is_default: bool,
}

impl DockerHost {
    /// What was asked for, else `DOCKER_HOST`, else the standard socket: Docker's, or Podman's where only that is.
    pub fn choose(asked: Option<&str>) -> Self {
        let chosen = asked
            .map(str::to_owned)
            .or_else(|| std::env::var("DOCKER_HOST").ok());
        let exists = |host: &str| Path::new(host.trim_start_matches("unix://")).exists();
        let has_docker = exists(DEFAULT_HOST) || DOCKERD.into_iter().any(exists);
        let podman = (!has_docker && exists(PODMAN_HOST)).then(|| PODMAN_HOST.to_owned());
        let chosen = chosen.filter(|address| !address.is_empty()).or(podman);
        DockerHost {
            is_default: chosen.is_none(),
            address: chosen.unwrap_or_else(|| DEFAULT_HOST.to_owned()),
        }
    }
}

#[async_trait]
impl Connect for DockerHost {
    async fn connect(&self) -> EngineResult<Arc<dyn Engine>> {
        Ok(Arc::new(DockerEngine::connect(&self.address).await?))
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn is_default(&self) -> bool {
        self.is_default
    }
}

/// Puts a limit on one request and the engine's words into ours.
async fn bounded<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, Error>>,
) -> EngineResult<T> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(refine),
        Err(_) => Err(EngineError::Silent(limit)),
    }
}

fn refine(error: Error) -> EngineError {
    match error {
        Error::DockerResponseServerError {
            status_code,
            message,
        } => EngineError::Refused {
            status: status_code,
            message,
        },
        Error::DockerStreamError { error } => EngineError::Refused {
            status: 200,
            message: error,
        },
        error => EngineError::Unreachable(anyhow::Error::from(error)),
    }
}

/// None where the engine says that there is no such thing.
fn if_found<T>(answer: EngineResult<T>) -> EngineResult<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// `DOCKER_HOST` as Docker's own client takes it, checked.
pub fn parse_host(host: &str) -> anyhow::Result<()> {
    let (scheme, rest) = host.split_once("://").with_context(|| {
        format!("{host:?} is no engine address; write unix:///PATH or tcp://HOST:PORT")
    })?;
    match scheme {
        "unix" | "tcp" | "http" if !rest.is_empty() => Ok(()),
        _ => Err(anyhow!(
            "{host:?}: only unix:///PATH, tcp://HOST:PORT and http://HOST:PORT are supported"
        )),
    }
}

//! The validated plan. Whoever holds a [`Plan`] need not ask whether a name in it exists or a number makes sense.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use serde::{Deserialize, Serialize};

pub use super::networks::*;
pub use super::settings::*;

/// Default label of the bundle's volume.
pub const DEFAULT_LABEL: &str = "STACKBUNDLE";
/// How long the bundle's device may take to appear.
pub const DEFAULT_BUNDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The whole run, whatever the stages' own limits say: longer than any build seen, shorter than a CI job.
pub const DEFAULT_RUN_TIMEOUT: Duration = Duration::from_secs(2 * 3600);
/// Loading images; under emulation half a gigabyte takes minutes.
pub const DEFAULT_IMAGES_TIMEOUT: Duration = Duration::from_secs(3600);
/// The overall budget of the wait.
pub const DEFAULT_WAIT_TIMEOUT: Duration = Duration::from_secs(1500);
/// Between two `still waiting` lines.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(30);
/// One migration.
pub const DEFAULT_MIGRATION_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// All smoke checks together.
pub const DEFAULT_SMOKE_TIMEOUT: Duration = Duration::from_secs(300);
/// Between `SIGTERM` and `SIGKILL`, Compose's default.
pub const DEFAULT_STOP_GRACE_PERIOD: Duration = Duration::from_secs(10);
/// How long the engine may take to answer its first request after it was started.
pub const DEFAULT_ENGINE_TIMEOUT: Duration = Duration::from_secs(180);

/// Finishing the image: deleting and zeroing some gigabytes in an emulated guest.
pub const DEFAULT_FINISH_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// How many times slower than native an emulated guest is: 4 to 5 in a distribution's rebuild of all its packages.
pub const DEFAULT_EMULATION_FACTOR: f64 = 5.0;

/// A whole plan.
#[derive(Clone, Debug)]
pub struct Plan {
    pub run: Run,
    pub bundle: BundleSource,
    pub engine: Engine,
    pub images: Images,
    /// Files of the bundle, or texts, that containers mount: they must outlive it.
    pub files: Vec<PlacedFile>,
    pub networks: Vec<Network>,
    pub volumes: Vec<NamedVolume>,
    /// Sorted so that each comes after those it depends on.
    pub containers: Vec<Container>,
    pub wait: Wait,
    pub migrations: Vec<Migration>,
    pub smoke: Option<Smoke>,
    pub finish: Finish,
    /// What is no error and still worth a line.
    pub notes: Vec<String>,
    pub hidden: Hidden,
    /// How many times slower than native everything is taken to be: 1, or the emulation's factor. The limits above have
    /// it in them; this is for those that no plan sets.
    pub slowness: f64,
}

/// Values that its Compose files take from variables whose names say they are secrets: they may stand anywhere.
#[derive(Clone, Default)]
pub struct Hidden(pub BTreeSet<String>);

/// A file or folder of the guest that is made before the containers are.
#[derive(Clone)]
pub struct PlacedFile {
    pub path: PathBuf,
    pub content: PlacedContent,
    /// Permissions; None: as they are in the bundle, or 0644.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// What is to be masked of it, if its content is a secret.
    pub secret: Option<String>,
}

#[derive(Clone)]
pub enum PlacedContent {
    /// A file or folder of the bundle.
    Bundle(PathBuf),
    Text(String),
    /// A folder that containers write to; what is in it stays.
    Folder,
}

impl Plan {
    /// Those of `[containers]`, of migrations and of the smoke test.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        let of_migrations = self.migrations.iter();
        let of_migrations = of_migrations.filter_map(|migration| match &migration.target {
            MigrationTarget::OneShot(container) => Some(&**container),
            MigrationTarget::Exec { .. } => None,
        });
        let of_smoke = self.smoke.iter();
        let of_smoke = of_smoke.filter_map(|smoke| smoke.container.as_ref());
        self.containers.iter().chain(of_migrations).chain(of_smoke)
    }

    /// What is spoken of: the names of containers, services and migrations, images and published ports.
    pub fn names(&self) -> Vec<String> {
        let of_smoke = self.smoke.iter();
        let checks = of_smoke.clone().flat_map(|smoke| &smoke.checks);
        let containers = of_smoke
            .filter_map(|smoke| smoke.container.as_ref())
            .chain(&self.containers);
        let migrations = self.migrations.iter().map(|migration| &migration.name);
        let services = self
            .wait
            .services
            .iter()
            .chain(checks)
            .map(|service| &service.name);
        let ports = self.all_containers().flat_map(|container| &container.ports);
        let ports = ports.flat_map(|port| [Some(port.target), port.published]);
        let ports = ports.flatten().map(|port| port.to_string());
        containers
            .map(|container| &container.name)
            .chain(self.all_containers().map(|container| &container.image))
            .chain(services)
            .chain(migrations)
            .cloned()
            .chain(ports)
            .collect()
    }
}

#[derive(Clone, Debug)]
pub struct Run {
    /// The deadline of the whole run.
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct BundleSource {
    pub label: String,
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct Engine {
    /// How long the engine may take to answer, its start included.
    pub timeout: Duration,
}

#[derive(Clone, Debug)]
pub struct Images {
    /// File names inside the bundle, in the order they are loaded.
    pub archives: Vec<PathBuf>,
    /// References that must exist after loading, with their tag (`:latest` added where none was given).
    pub require: Vec<String>,
    pub timeout: Duration,
}

/// A container with Compose's keys, everything it refers to resolved.
///
/// Its `Debug` shows no variable: a panic's message must not carry a secret.
#[derive(Clone)]
pub struct Container {
    /// The key in the plan, or `container_name`; the engine's name for it.
    pub name: String,
    pub image: String,
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    /// The env files' variables, then `environment` over them.
    pub environment: BTreeMap<String, String>,
    /// Variables given a fresh random value for this container only: name and number of bytes, written in hex.
    pub secrets: BTreeMap<String, usize>,
    pub volumes: Vec<Volume>,
    pub tmpfs: Vec<String>,
    pub ports: Vec<Port>,
    pub network_mode: Option<String>,
    pub networks: Vec<Attachment>,
    /// `HOST:IP`, as the engine takes them.
    pub extra_hosts: Vec<String>,
    pub depends_on: Vec<(String, Condition)>,
    pub healthcheck: Option<Healthcheck>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub hostname: Option<String>,
    pub restart: Restart,
    pub stop_grace_period: Duration,
    pub stop_signal: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// `host`, `shareable`, `container:NAME`, ….
    pub ipc: Option<String>,
    /// `host`, or `container:NAME`.
    pub pid: Option<String>,
    /// `NAME[:ro]` of the containers whose mounts it has too.
    pub volumes_from: Vec<String>,
    pub settings: Settings,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub source: VolumeSource,
    pub target: String,
    pub read_only: bool,
    /// `rprivate`, `rshared`, … of a bind mount.
    pub propagation: Option<String>,
    /// A new volume stays empty, whatever the image has there.
    pub nocopy: bool,
    /// The part of a named volume that is mounted.
    pub subpath: Option<String>,
    /// `z` or `Z`: relabelled for SELinux.
    pub selinux: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    Named(String),
    /// An absolute path of the guest.
    Bind(PathBuf),
    Anonymous,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub host_ip: Option<String>,
    /// None: the engine chooses.
    pub published: Option<u16>,
    pub target: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// What a container waits for before it starts (`depends_on`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Started,
    Healthy,
    CompletedSuccessfully,
}

#[derive(Clone, Debug)]
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", …]` or `["NONE"]`, as the engine takes it.
    pub test: Vec<String>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub retries: Option<u32>,
    pub start_period: Option<Duration>,
    pub start_interval: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Restart {
    #[default]
    No,
    Always,
    UnlessStopped,
    /// With the most times, if limited.
    OnFailure(Option<u32>),
}

#[derive(Clone, Debug)]
pub struct Wait {
    /// One budget for all services together.
    pub timeout: Duration,
    pub heartbeat: Duration,
    pub services: Vec<Service>,
}

/// What tells a service that is ready from one that was for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stable {
    /// So many good answers in a row.
    Answers(u32),
    /// Good answers and no other for so long.
    For(Duration),
}

impl Default for Stable {
    fn default() -> Self {
        Stable::Answers(1)
    }
}

/// Something that must answer before the run goes on.
#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    /// The container whose end is this service's end.
    pub container: Option<String>,
    pub probe: Probe,
    pub stable: Stable,
    /// So many ends of its container are tolerated.
    pub restarts: u32,
    /// The limit of one attempt; without it the limit grows with the time waited.
    pub attempt_timeout: Option<Duration>,
}

#[derive(Clone, Debug)]
pub enum Probe {
    Tcp {
        host: String,
        port: u16,
        /// A container of the plan publishes it.
        published: bool,
    },
    /// The same of a Unix socket in the guest's file system.
    Unix(PathBuf),
    Http(HttpProbe),
    Exec {
        command: Vec<String>,
        user: Option<String>,
        /// Exit statuses that say the service has failed for good.
        fatal_exit_codes: Vec<i64>,
    },
    Log(Regex),
    /// Docker's own health check says so.
    Healthy,
    /// The container ended with status 0.
    Completed,
    /// As `docker compose up --wait` has it: healthy if there is a health check, the image's included; else running for
    /// a short while, or ended with status 0.
    Up,
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Probe::Tcp { host, port, .. } => write!(f, "tcp {host}:{port}"),
            Probe::Unix(path) => write!(f, "tcp unix://{}", path.display()),
            Probe::Http(probe) => write!(f, "http {} {}", probe.method, probe.address),
            Probe::Exec { command, .. } => write!(f, "exec {}", command.join(" ")),
            Probe::Log(pattern) => write!(f, "log {pattern}"),
            Probe::Healthy => f.write_str("healthy"),
            Probe::Completed => f.write_str("completed"),
            Probe::Up => f.write_str("up"),
        }
    }
}

#[derive(Clone)]
pub struct HttpProbe {
    pub address: HttpAddress,
    pub method: String,
    pub headers: Vec<(String, String)>,
    /// Empty: any 2xx.
    pub status: Vec<u16>,
    /// The body must match.
    pub body: Option<Regex>,
    /// Do not verify the server's certificate.
    pub insecure: bool,
    /// Who may have signed the server's certificate; without it, whom the guest trusts.
    pub ca: Option<CaFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAddress {
    pub url: String,
    /// The Unix socket that is asked; the URL's host is then only what the server is called.
    pub socket: Option<PathBuf>,
}

/// What stands for the host of a server behind a Unix socket.
pub const SOCKET_HOST: &str = "http://localhost";

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(socket) = &self.socket else {
            return f.write_str(&self.url);
        };
        let path = self.url.strip_prefix(SOCKET_HOST).unwrap_or(&self.url);
        write!(f, "unix://{}:{path}", socket.display())
    }
}

/// Certificates of the bundle.
#[derive(Clone, Debug)]
pub struct CaFile {
    pub name: String,
    /// In DER.
    pub certificates: Vec<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub struct Migration {
    pub name: String,
    pub target: MigrationTarget,
    pub timeout: Duration,
}

#[derive(Clone)]
pub enum MigrationTarget {
    /// A command in a container that is running.
    Exec {
        container: String,
        command: Vec<String>,
        working_dir: Option<String>,
        user: Option<String>,
        environment: BTreeMap<String, String>,
    },
    /// A container of its own, gone when it ends.
    OneShot(Box<Container>),
}

#[derive(Clone, Debug)]
pub struct Smoke {
    pub when: SmokeWhen,
    /// All checks together, the container's start included.
    pub timeout: Duration,
    /// Containers stopped before it: it takes over their volumes and ports.
    pub stop: Vec<String>,
    pub container: Option<Container>,
    pub checks: Vec<Service>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmokeWhen {
    UnlessTcg,
    Always,
    Never,
}

#[derive(Clone, Debug)]
pub struct Finish {
    pub power_off: PowerOff,
    /// Capture mode: everything stays up, the marker is `STACK_SERVICES_READY`, the host takes a snapshot.
    pub capture: bool,
    /// For all that follows.
    pub timeout: Duration,
    /// Removes what the run left in the engine and no container of the plan needs.
    pub prune: bool,
    /// Empties `/var/log`, except for the run's own log and report.
    pub logs: bool,
    /// Fills free space with zeros.
    pub zero: bool,
    /// Tells the disks which blocks are free.
    pub trim: bool,
    /// Makes the next boot the first one of a new instance.
    pub golden: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerOff {
    Always,
    OnFailure,
    Never,
}

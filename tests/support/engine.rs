//! A private engine: the real `dockerd` or `podman system service`, with its own socket, data and containers, so that a
//! test may fill, stop or hang it without disturbing the machine's engine or another test's.
//!
//! `GUESTBAKE_TEST_ENGINE` says which: `docker` (default) or `podman`; `GUESTBAKE_TEST_ENGINE_ROOT` names a folder with
//! another release's, such as `tests/engines.sh` makes, and `GUESTBAKE_TEST_DOCKERD` another `dockerd`.
//!
//! A keeper process (`engine.sh`) starts the engine and removes everything when the pipe to it closes. So nothing is
//! left behind even when the test process is killed, and the engine shared by all tests of a process, which no
//! destructor ever reaches, ends with the process.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::http;

const KEEPER: &str = include_str!("engine.sh");
/// A start takes about a second; a loaded machine needs many times that.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The keeper gives the engine 15 s before it kills it.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(60);

/// How a private engine differs from the plain one.
#[derive(Clone, Debug, Default)]
pub struct EngineOptions {
    /// Size in bytes of a file system of its own for the data root, to run out of space on.
    pub data_root_size: Option<u64>,
    /// And how many files it takes.
    pub data_root_inodes: Option<u64>,
    /// Docker's `daemon.json`; default: `GUESTBAKE_TEST_DAEMON_JSON`, for a run with another image store, or nothing.
    pub config: Option<String>,
    /// A network of its own, in which it may make bridges; else it is the machine's, and containers can have only that.
    pub bridges: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Docker,
    Podman,
}

impl Kind {
    /// The kind that this run of the tests is about.
    pub fn tested() -> Kind {
        match std::env::var("GUESTBAKE_TEST_ENGINE").as_deref() {
            Err(_) | Ok("" | "docker") => Kind::Docker,
            Ok("podman") => Kind::Podman,
            Ok(other) => panic!("GUESTBAKE_TEST_ENGINE={other}: expected docker or podman"),
        }
    }
}

/// A running engine, gone with everything it started when this is dropped.
pub struct PrivateEngine {
    keeper: Child,
    pid: Pid,
    dir: PathBuf,
}

impl PrivateEngine {
    /// Starts an engine and waits until it answers.
    ///
    /// # Panics
    /// With the engine's log if it does not start, with what to install if it is missing.
    pub fn start() -> PrivateEngine {
        Self::start_with(EngineOptions::default())
    }

    pub fn start_with(options: EngineOptions) -> PrivateEngine {
        // The socket's path must stay under 108 bytes, so the directory is right under the temporary one.
        let dir = TempDir::with_prefix("guestbake-engine-")
            .expect("a temporary directory")
            .keep();
        std::fs::create_dir(dir.join("data")).expect("the data root");
        let inodes = options.data_root_inodes;
        let size = options.data_root_size.unwrap_or(0).to_string()
            + &inodes
                .map(|most| format!(",nr_inodes={most}"))
                .unwrap_or_default();
        let root = std::env::var_os("GUESTBAKE_TEST_ENGINE_ROOT");
        let root = root.map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "engine.sh"])
            .arg(&dir)
            .arg(size)
            .arg(&root)
            .arg(if options.bridges { "own" } else { "shared" })
            .args(match Kind::tested() {
                Kind::Docker => docker(&root, &dir, &options),
                Kind::Podman => podman(&root, &dir),
            })
            .env_remove("DOCKER_HOST")
            .env("CONTAINERS_CONF", dir.join("containers.conf"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // An interrupt from the terminal ends the tests; the keeper then cleans up.
            .process_group(0)
            .spawn()
            .expect("sh");
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("the keeper's answer");
        let Some(pid) = line.trim().parse().ok().and_then(Pid::from_raw) else {
            panic!(
                "no engine was started (must run as root): {:?}",
                keeper.wait()
            );
        };
        let engine = PrivateEngine { keeper, pid, dir };
        engine.wait_until_it_answers();
        engine
    }

    /// The engine shared by all tests of this process that neither stop nor starve it.
    pub fn shared() -> &'static PrivateEngine {
        static SHARED: OnceLock<PrivateEngine> = OnceLock::new();
        SHARED.get_or_init(PrivateEngine::start)
    }

    fn wait_until_it_answers(&self) {
        let end = Instant::now() + START_TIMEOUT;
        loop {
            match http::request(&self.socket(), "GET", "/_ping", b"", Duration::from_secs(5)) {
                Ok(answer) if answer.status == 200 => return,
                _ if !self.is_running() => {
                    panic!("the engine ended at its start; its log:\n{}", self.log())
                }
                _ if Instant::now() > end => {
                    panic!("the engine does not answer; its log:\n{}", self.log())
                }
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// As `DOCKER_HOST` and `--docker-host` take it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn data_root(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    pub fn is_running(&self) -> bool {
        std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero()))
            .is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Hangs the engine: connections are still accepted, by the kernel, and nothing answers.
    pub fn stop(&self) {
        kill_process(self.pid, Signal::STOP).expect("SIGSTOP");
        // A thread that is at work goes on until it next looks for signals.
        while !self.threads_stopped() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn threads_stopped(&self) -> bool {
        let threads = format!("/proc/{}/task", self.pid.as_raw_nonzero());
        let mut threads = std::fs::read_dir(threads).expect("the engine").flatten();
        threads.all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat"));
            stat.is_ok_and(|stat| stat.contains(") T "))
        })
    }

    pub fn cont(&self) {
        kill_process(self.pid, Signal::CONT).expect("SIGCONT");
    }

    /// The engine dies without a word; its containers live on under their shims.
    pub fn kill(&self) {
        kill_process(self.pid, Signal::KILL).expect("SIGKILL");
    }

    /// The engine's own log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// One request to the engine's API, without a client library.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> http::Answer {
        http::request(&self.socket(), method, path, body, REQUEST_TIMEOUT).unwrap_or_else(|error| {
            panic!(
                "{method} {path}: {error}; the engine's log:\n{}",
                self.log()
            )
        })
    }

    /// Podman leaves it to systemd when a health check runs. There is none here, so this does it in its place.
    pub fn check_health_of(&self, container: &'static str) {
        if Kind::tested() == Kind::Docker {
            return;
        }
        let socket = self.socket();
        std::thread::spawn(move || {
            let check = format!("/v4.0.0/libpod/containers/{container}/healthcheck");
            while socket.exists() {
                let _ = http::request(&socket, "GET", &check, b"", REQUEST_TIMEOUT);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    }

    /// Loads an image archive.
    ///
    /// # Panics
    /// If the engine refuses it.
    pub fn load(&self, archive: &[u8]) {
        let answer = self.request("POST", "/images/load?quiet=1", archive);
        assert!(
            answer.status == 200 && !answer.body.contains("errorDetail"),
            "the engine refused the archive: {} {}",
            answer.status,
            answer.body
        );
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- log of the engine {}\n{}---",
                self.dir.display(),
                self.log()
            );
        }
        drop(self.keeper.stdin.take());
        let end = Instant::now() + CLEANUP_TIMEOUT;
        while let Ok(None) = self.keeper.try_wait() {
            if Instant::now() > end {
                eprintln!("the engine in {} could not be removed", self.dir.display());
                let _ = self.keeper.kill();
                let _ = self.keeper.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn docker(root: &Path, dir: &Path, options: &EngineOptions) -> Vec<OsString> {
    // Given even when empty: /etc/docker/daemon.json is none of our business.
    let config = (options.config.clone())
        .or_else(|| std::env::var("GUESTBAKE_TEST_DAEMON_JSON").ok())
        .unwrap_or_else(|| "{}".to_owned());
    std::fs::write(dir.join("daemon.json"), config).expect("daemon.json");
    let flag = |name: &str, file: &str| format!("--{name}={}", dir.join(file).display());
    let unique = dir.file_name().unwrap().to_str().unwrap();
    let dockerd = std::env::var_os("GUESTBAKE_TEST_DOCKERD");
    let mut command = vec![
        dockerd.unwrap_or_else(|| installed(root, "dockerd", "docker.io")),
        format!("--host=unix://{}", dir.join("socket").display()).into(),
        flag("data-root", "data").into(),
        flag("exec-root", "exec").into(),
        flag("pidfile", "pid").into(),
        flag("config-file", "daemon.json").into(),
        format!("--cgroup-parent=/{unique}").into(),
        "--shutdown-timeout=5".into(),
    ];
    if !options.bridges {
        command.extend(["--bridge=none", "--iptables=false"].map(OsString::from));
    }
    command
}

fn podman(root: &Path, dir: &Path) -> Vec<OsString> {
    // Podman 4 asks for more than a machine may allow; and /etc/containers/containers.conf is none of our business.
    let config = "[containers]\ndefault_ulimits = [\"nofile=4096:4096\", \"nproc=4096:4096\"]\n";
    std::fs::write(dir.join("containers.conf"), config).expect("containers.conf");
    let path = |file: &str| dir.join(file).into_os_string();
    let mut command = vec![installed(root, "podman", "podman crun")];
    for (flag, value) in [
        ("--root", path("data")),
        ("--runroot", path("run")),
        ("--tmpdir", path("tmp")),
        ("--network-config-dir", path("networks")),
        // Without systemd.
        ("--cgroup-manager", "cgroupfs".into()),
        ("--events-backend", "file".into()),
        ("--log-level", "info".into()),
    ] {
        command.extend([flag.into(), value]);
    }
    let socket = format!("unix://{}", dir.join("socket").display());
    command.extend(["system", "service", "--time=0", &socket].map(OsString::from));
    command
}

/// Where the program is under this root.
fn installed(root: &Path, program: &str, packages: &str) -> OsString {
    ["usr/sbin", "usr/bin", "usr/local/sbin", "usr/local/bin"]
        .map(|folder| Path::new("/").join(folder).join(program))
        .into_iter()
        .find(|file| root.join(file.strip_prefix("/").unwrap()).is_file())
        .unwrap_or_else(|| {
            panic!(
                "these tests need {program} in {}: apt-get install --no-install-recommends {packages}",
                root.display()
            )
        })
        .into_os_string()
}

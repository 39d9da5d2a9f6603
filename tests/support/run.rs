//! A bundle in a folder, the real program run on it, and everything that came out.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::engine::PrivateEngine;
use super::image::{ImageArchive, TOOLS};

pub const MARKERS: [&str; 3] = [
    "STACK_CLOUD_INIT_DONE",
    "STACK_CLOUD_INIT_FAILED",
    "STACK_SERVICES_READY",
];
const PREFIX: &str = "STACK_PROVISION: ";
/// No run of a test takes nearly this long; one that hangs is a failure, not a hung test.
const HANGS: Duration = Duration::from_secs(180);

/// A bundle with the image of tools in it, and a place for what the run writes.
pub struct Bundle {
    folder: TempDir,
    pub args: Vec<String>,
}

impl Bundle {
    /// The plan's `[images]` is added.
    pub fn new(plan: &str) -> Self {
        let bundle = Bundle::bare(&format!(
            "[images]\narchives = [\"tools.tar\"]\nrequire = [\"{TOOLS}\"]\n{plan}"
        ));
        bundle.file("tools.tar", &ImageArchive::tools(TOOLS).bytes())
    }

    pub fn bare(plan: &str) -> Self {
        let folder = TempDir::with_prefix("guestbake-run-").expect("a temporary folder");
        std::fs::create_dir(folder.path().join("bundle")).expect("the bundle's folder");
        let bundle = Bundle {
            folder,
            args: Vec::new(),
        };
        let arch = format!(
            "STACK_EMULATOR_BUILD_ARCH={}\n",
            super::image::host_architecture()
        );
        bundle
            .file("build-arch.env", arch.as_bytes())
            .file("guestbake.toml", plan.as_bytes())
    }

    pub fn file(self, name: &str, content: &[u8]) -> Self {
        std::fs::write(self.folder().join(name), content).expect("a file of the bundle");
        self
    }

    pub fn without(self, name: &str) -> Self {
        std::fs::remove_file(self.folder().join(name)).expect("a file of the bundle");
        self
    }

    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }

    pub fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Any verb but `run`, to its end: exit code, standard output, standard error.
    pub fn verb(&self, verb: &str, engine: &PrivateEngine) -> (i32, String, String) {
        let mut command = program(verb);
        command.arg("--bundle").arg(self.folder());
        if verb != "check" {
            command.args(["--docker-host", &engine.url()]);
        }
        let output = command.args(&self.args).output().expect("the program");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        )
    }

    /// Starts `run` against an engine at this address.
    pub fn start_at(self, docker_host: &str) -> Running {
        let mut command = program("run");
        command
            .arg("--bundle")
            .arg(self.folder())
            .arg("--console")
            .arg(self.out("console"))
            .arg("--log")
            .arg(self.out("provision.log"))
            .arg("--report")
            .arg(self.out("report.json"))
            .arg("--state-dir")
            .arg(self.out("state"))
            .args(["--no-power-off", "--docker-host", docker_host])
            .args(&self.args)
            .env_remove("STACK_DEPS_TIMEOUT")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let child = command.spawn().expect("the program");
        Running {
            child,
            began: Instant::now(),
            bundle: self,
        }
    }

    pub fn start(self, engine: &PrivateEngine) -> Running {
        self.start_at(&engine.url())
    }

    pub fn run(self, engine: &PrivateEngine) -> Finished {
        self.start(engine).finish()
    }
}

fn program(verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guestbake"));
    command.arg(verb);
    command
}

pub struct Running {
    child: Child,
    began: Instant,
    pub bundle: Bundle,
}

impl Running {
    /// The process that answers for the run.
    pub fn guardian(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The process that does the work.
    pub fn worker(&self) -> Pid {
        let path = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(path).expect("the guardian's children");
        let first = children.split_whitespace().next().expect("a worker");
        first
            .parse()
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id")
    }

    pub fn signal(&self, process: Pid, signal: Signal) {
        kill_process(process, signal).expect("a process to signal");
    }

    /// Waits until the console has a line with this in it.
    pub fn until(&self, text: &str) {
        let end = Instant::now() + HANGS;
        while !read(&self.bundle.out("console")).contains(text) {
            assert!(
                Instant::now() < end,
                "never said {text:?}:\n{}",
                read(&self.bundle.out("console"))
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the end of the process that was started.
    pub fn finish(mut self) -> Finished {
        let end = Instant::now() + HANGS;
        let status = loop {
            match self.child.try_wait().expect("the child") {
                Some(status) => break status,
                None if Instant::now() > end => {
                    let _ = self.child.kill();
                    panic!("the run hangs:\n{}", read(&self.bundle.out("console")));
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        let took = self.began.elapsed();
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("a pipe");
        pipe.read_to_string(&mut stdout).expect("text");
        Finished {
            code: status
                .code()
                .unwrap_or_else(|| -status.signal().unwrap_or(0)),
            took,
            console: read(&self.bundle.out("console")),
            log: read(&self.bundle.out("provision.log")),
            report: serde_json::from_str(&read(&self.bundle.out("report.json")))
                .unwrap_or(Value::Null),
            stdout,
        }
    }
}

fn read(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a run left behind.
pub struct Finished {
    /// Negative: the signal that killed it.
    pub code: i32,
    pub took: Duration,
    pub console: String,
    pub log: String,
    pub report: Value,
    pub stdout: String,
}

impl Finished {
    /// All markers on the console, as `grep -Fx` finds them.
    pub fn markers(&self) -> Vec<&str> {
        self.console
            .lines()
            .filter(|line| MARKERS.contains(line))
            .collect()
    }

    /// The one result, which comes just before the one marker.
    pub fn result(&self) -> Result<Value, String> {
        let markers = self.markers();
        if markers.len() != 1 {
            return Err(format!("markers: {markers:?}"));
        }
        let lines: Vec<_> = self
            .console
            .lines()
            .filter(|line| !line.is_empty())
            .collect();
        let [.., before, last] = lines.as_slice() else {
            return Err("two lines at least".to_owned());
        };
        if !MARKERS.contains(last) {
            return Err(format!("after the marker comes {last:?}"));
        }
        let json = before
            .strip_prefix(PREFIX)
            .and_then(|line| line.strip_prefix("STACK_PROVISION_RESULT: "))
            .ok_or_else(|| format!("before the marker comes {before:?}"))?;
        serde_json::from_str(json).map_err(|error| format!("{json}: {error}"))
    }

    /// The run must have ended well.
    #[track_caller]
    pub fn assert_done(&self) -> Value {
        let result = self
            .result()
            .unwrap_or_else(|why| panic!("{why}\n{}", self.console));
        assert_eq!(
            self.markers(),
            ["STACK_CLOUD_INIT_DONE"],
            "{}",
            self.console
        );
        assert_eq!(self.code, 0, "{}", self.console);
        result
    }

    #[track_caller]
    pub fn assert_says(&self, text: &str) {
        assert!(
            self.console.contains(text),
            "no {text:?} in:\n{}",
            self.console
        );
    }
}

/// A TCP port of this machine that nothing listens on.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

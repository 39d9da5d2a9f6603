//! The program itself, run as a guest runs it, on a bundle made for one test: what it printed, left and ended with.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::engine::PrivateEngine;
use super::http;
use super::image::{TOOLS, host_architecture, tools_image};
use super::terminal::Terminal;

const PROGRAM: &str = env!("CARGO_BIN_EXE_guestbake");
pub const DONE: &str = "STACK_CLOUD_INIT_DONE";
pub const FAILED: &str = "STACK_CLOUD_INIT_FAILED";
pub const READY: &str = "STACK_SERVICES_READY";
const MARKERS: [&str; 3] = [DONE, FAILED, READY];
const RESULT: &str = "STACK_PROVISION_RESULT: ";
/// Every failure ends within this: the plan's limit of a few seconds, 20 s of diagnostics, a busy machine.
const BOUND: Duration = Duration::from_secs(60);
/// Nothing here takes so long by itself; a run that does hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// The engine shared by the tests of a file, with the image that all of them use.
pub fn engine() -> &'static PrivateEngine {
    static LOADED: OnceLock<()> = OnceLock::new();
    let engine = PrivateEngine::shared();
    LOADED.get_or_init(|| tools_image(engine));
    engine
}

/// A container of the tools image on the machine's own network that runs a shell script.
pub fn container(name: &str, script: &str) -> String {
    format!(
        "[containers.{name}]\nimage = \"{TOOLS}\"\nnetwork_mode = \"host\"\nstop_grace_period = \"1s\"\n\
         command = [\"sh\", \"-c\", '''{script}''']\n"
    )
}

/// A container that stays up, and ends at once when it is told to.
pub fn idle(name: &str) -> String {
    container(name, "trap 'exit 0' TERM; sleep 100000 & wait")
}

/// Makes a file in a running container, for which its script may wait.
pub fn touch(container: &str, file: &str) {
    let post = |path: &str, body: &str| {
        let socket = engine().socket();
        http::json(&socket, "POST", path, body, LIMIT).expect("an answer")
    };
    let spec = format!(r#"{{"Cmd": ["touch", "{file}"]}}"#);
    let exec = post(&format!("/containers/{container}/exec"), &spec).body;
    let id = serde_json::from_str::<Value>(&exec).expect("JSON")["Id"].clone();
    let id = id.as_str().expect("an exec");
    post(&format!("/exec/{id}/start"), r#"{"Detach": true}"#);
}

/// What the shared engine knows of a container; null if there is none.
pub fn inspect(name: &str) -> Value {
    let answer = engine().request("GET", &format!("/containers/{name}/json"), b"");
    match answer.status {
        200 => serde_json::from_str(&answer.body).expect("JSON"),
        _ => Value::Null,
    }
}

/// A bundle and what the program is called with.
pub struct Provision {
    dir: TempDir,
    docker_host: String,
    bundle: Option<PathBuf>,
    state: PathBuf,
    args: Vec<OsString>,
    environment: Vec<(String, String)>,
    stdout: Option<File>,
    /// What starts the program, instead of the test itself.
    starter: Vec<OsString>,
}

impl Provision {
    /// A bundle for this machine's architecture with this plan, for the shared engine.
    pub fn new(plan: &str) -> Self {
        Self::on(engine(), plan)
    }

    pub fn on(engine: &PrivateEngine, plan: &str) -> Self {
        Self::at(&engine.url(), plan)
    }

    /// For an engine with a network of its own, run in that.
    pub fn beside(engine: &PrivateEngine, plan: &str) -> Self {
        let network = format!("--net=/proc/{}/ns/net", engine.pid().as_raw_nonzero());
        Self::on(engine, plan).started_by(["nsenter", &network])
    }

    pub fn at(docker_host: &str, plan: &str) -> Self {
        let dir = TempDir::with_prefix("guestbake-run-").expect("a temporary directory");
        fs::create_dir(dir.path().join("bundle")).expect("the bundle");
        let arch = format!("STACK_EMULATOR_BUILD_ARCH={}\n", host_architecture());
        Provision {
            bundle: Some(dir.path().join("bundle")),
            state: dir.path().join("state"),
            dir,
            docker_host: docker_host.to_owned(),
            args: Vec::new(),
            environment: Vec::new(),
            stdout: None,
            starter: Vec::new(),
        }
        .file("build-arch.env", arch)
        .file("guestbake.toml", plan)
    }

    /// Puts a file into the bundle, or replaces it.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.bundle().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of the bundle");
        fs::write(path, content).expect("a file of the bundle");
        self
    }

    pub fn without(self, name: &str) -> Self {
        fs::remove_file(self.bundle().join(name)).expect("a file of the bundle");
        self
    }

    /// Another bundle, or that with the plan's label.
    pub fn bundled_in(mut self, bundle: Option<PathBuf>) -> Self {
        self.bundle = bundle;
        self
    }

    /// Where another run keeps its record.
    pub fn in_state_dir(mut self, state: PathBuf) -> Self {
        self.state = state;
        self
    }

    /// Further arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// By a command that takes the program's as its last arguments, and becomes it.
    pub fn started_by<A: Into<OsString>>(mut self, starter: impl IntoIterator<Item = A>) -> Self {
        self.starter = starter.into_iter().map(Into::into).collect();
        self
    }

    /// Where standard output goes, instead of into a file.
    pub fn with_stdout(mut self, stdout: File) -> Self {
        self.stdout = Some(stdout);
        self
    }

    pub fn bundle(&self) -> PathBuf {
        self.dir.path().join("bundle")
    }

    pub fn console_file(&self) -> PathBuf {
        self.dir.path().join("console")
    }

    pub fn log_file(&self) -> PathBuf {
        self.dir.path().join("provision.log")
    }

    pub fn report_file(&self) -> PathBuf {
        self.dir.path().join("report.json")
    }

    pub fn state_dir(&self) -> PathBuf {
        self.state.clone()
    }

    /// Where files of the bundle may be copied to.
    pub fn placed_files(&self) -> PathBuf {
        self.dir.path().join("files")
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = self.command_alone(verb);
        if let Some(bundle) = &self.bundle {
            command.arg("--bundle").arg(bundle);
        }
        command
    }

    fn command_alone(&self, verb: &str) -> Command {
        let mut command = match self.starter.split_first() {
            Some((starter, arguments)) => {
                let mut command = Command::new(starter);
                command.args(arguments).arg(PROGRAM);
                command
            }
            None => Command::new(PROGRAM),
        };
        command
            .arg(verb)
            .env_remove("DOCKER_HOST")
            .env_remove("STACK_DEPS_TIMEOUT")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// `guestbake run` with everything that it is to use.
    fn run_command(&self) -> Command {
        let path = |name: &str| self.dir.path().join(name);
        let mut command = self.command("run");
        command
            .arg("--console")
            .arg(self.console_file())
            .arg("--log")
            .arg(path("provision.log"))
            .arg("--report")
            .arg(self.report_file())
            .arg("--state-dir")
            .arg(self.state_dir())
            .args(["--no-power-off", "--docker-host", &self.docker_host])
            .args(&self.args);
        command
    }

    pub fn start(mut self) -> Running {
        let stdout = self.stdout.take();
        let path = |name: &str| self.dir.path().join(name);
        let child = self
            .run_command()
            .stdout(stdout.unwrap_or_else(|| File::create(path("stdout")).unwrap()))
            .stderr(File::create(path("stderr")).unwrap())
            .spawn()
            .expect("the program");
        Running {
            child,
            provision: self,
            began: Instant::now(),
        }
    }

    /// Runs on a terminal.
    pub fn on_terminal(&self, columns: u16, rows: u16, variables: &[&str]) -> Terminal {
        Terminal::start(&self.run_command(), columns, rows, variables)
    }

    /// The same of another verb.
    pub fn verb_on_terminal(&self, verb: &str, columns: u16, rows: u16) -> Terminal {
        let mut command = self.command(verb);
        command.args(["--docker-host", &self.docker_host]);
        Terminal::start(command.args(&self.args), columns, rows, &[])
    }

    /// The same of a verb that takes no bundle.
    pub fn alone_on_terminal(
        &self,
        verb: &str,
        args: &[&str],
        columns: u16,
        rows: u16,
    ) -> Terminal {
        let mut command = self.command_alone(verb);
        Terminal::start(command.args(args), columns, rows, &[])
    }

    pub fn console(&self) -> String {
        read(&self.console_file())
    }

    /// Runs to the end.
    pub fn run(self) -> Ended {
        self.start().end()
    }

    /// Another verb on the same bundle and engine.
    pub fn verb(&self, verb: &str) -> Output {
        let mut command = self.command(verb);
        if verb != "check" {
            command.args(["--docker-host", &self.docker_host]);
        }
        command.args(&self.args).output().expect("its output")
    }

    /// `run`, with these arguments too, where it is no run with a marker at its end.
    pub fn output_of_run(&self, args: &[&str]) -> Output {
        let mut command = self.run_command();
        command.args(args).output().expect("its output")
    }

    /// A verb that takes no bundle.
    pub fn verb_alone(&self, verb: &str, args: Vec<OsString>) -> Output {
        let mut command = self.command_alone(verb);
        command.args(args).output().expect("its output")
    }
}

/// A run that goes on.
pub struct Running {
    child: Child,
    provision: Provision,
    began: Instant,
}

impl Running {
    /// The process that was started: the guardian.
    pub fn guardian(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The process that does the work.
    pub fn worker(&self) -> Pid {
        let guardian = self.child.id();
        let children = format!("/proc/{guardian}/task/{guardian}/children");
        until("the worker to start", || {
            let children = fs::read_to_string(&children).unwrap_or_default();
            Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
        })
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.guardian(), signal).expect("a signal");
    }

    pub fn console(&self) -> String {
        read(&self.provision.console_file())
    }

    pub fn provision(&self) -> &Provision {
        &self.provision
    }

    /// Waits until the console shows these words.
    pub fn until_console(&self, words: &str) {
        until_or(
            || self.console().contains(words).then_some(()),
            || format!("no {words:?} on the console:\n{}", self.console()),
        )
    }

    /// Waits until the record says that all these consoles have had their `what`.
    pub fn until_told(&self, what: &str, consoles: &[PathBuf]) {
        let told = self.provision.state_dir().join("told");
        until("the consoles to be told", || {
            let told = read(&told);
            let has = |path: &PathBuf| {
                told.lines()
                    .any(|line| line == format!("{what} {}", path.display()))
            };
            consoles.iter().all(has).then_some(())
        });
    }

    pub fn end(self) -> Ended {
        self.end_keeping_files().0
    }

    /// The same, and the folder with all that the run wrote.
    pub fn end_keeping_files(mut self) -> (Ended, TempDir) {
        let Running {
            child, provision, ..
        } = &mut self;
        let status = until_or(
            || child.try_wait().unwrap(),
            || {
                let console = read(&provision.console_file());
                format!("the run does not end; its console:\n{console}")
            },
        );
        let took = self.began.elapsed();
        let ended = Ended::read(&self.provision, status.code(), took);
        let empty = TempDir::new().expect("a temporary directory");
        (ended, std::mem::replace(&mut self.provision.dir, empty))
    }

    /// Of a run that never begins.
    pub fn output(mut self) -> Output {
        let status = self.child.wait().expect("its end");
        let bytes = |name| fs::read(self.provision.dir.path().join(name)).unwrap_or_default();
        Output {
            status,
            stdout: bytes("stdout"),
            stderr: bytes("stderr"),
        }
    }

    /// Waits for an end that the first process does not live to see.
    pub fn end_of(self, worker: Pid) -> Ended {
        until_or(
            || test_kill_process(worker).is_err().then_some(()),
            || format!("the worker does not end; the console:\n{}", self.console()),
        );
        Ended::read(&self.provision, None, self.began.elapsed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is left of a run.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub took: Duration,
    pub console: String,
    pub log: String,
    pub report: Value,
    /// The result line.
    pub result: Value,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// # Panics
    /// Unless console and log end in exactly one marker, alone on its line, right after the result line.
    fn read(provision: &Provision, code: Option<i32>, took: Duration) -> Ended {
        let path = |name: &str| provision.dir.path().join(name);
        let result = the_one_ending(&provision.console_file());
        assert_eq!(the_one_ending(&path("provision.log")), result);
        let report = serde_json::from_str(&read(&provision.report_file())).unwrap_or_default();
        Ended {
            code,
            took,
            console: read(&provision.console_file()),
            log: read(&path("provision.log")),
            report,
            result,
            stdout: read(&path("stdout")),
            stderr: read(&path("stderr")),
        }
    }

    pub fn of_result(&self, key: &str) -> &str {
        self.result[key].as_str().unwrap_or_default()
    }

    pub fn reason(&self) -> &str {
        self.of_result("reason")
    }

    pub fn message(&self) -> &str {
        self.of_result("message")
    }

    pub fn smoke(&self) -> &str {
        self.of_result("smoke")
    }

    /// The seconds after which a service was ready.
    pub fn ready_s(&self, service: &str) -> f64 {
        let services = self.report["services"].as_array().expect("services");
        let of = services.iter().find(|entry| entry["name"] == service);
        of.and_then(|entry| entry["ready_s"].as_f64())
            .unwrap_or_else(|| panic!("{service} was never ready:\n{}", self.console))
    }

    pub fn attempts(&self, service: &str) -> u64 {
        let services = self.report["services"].as_array().expect("services");
        let of = services.iter().find(|entry| entry["name"] == service);
        of.and_then(|entry| entry["attempts"].as_u64())
            .unwrap_or_else(|| panic!("{service} was never ready:\n{}", self.console))
    }

    #[track_caller]
    pub fn assert_done(&self) {
        assert_eq!(self.code, Some(0), "{}\n{}", self.console, self.stderr);
        assert_eq!(self.of_result("verdict"), "done");
        assert!(self.console.ends_with(&format!("\n{DONE}\n")));
    }

    #[track_caller]
    pub fn assert_failed(&self, code: i32, reason: &str, stage: &str, words: &[&str]) {
        let found = (self.code, self.reason(), self.of_result("stage"));
        assert_eq!(
            found,
            (Some(code), reason, stage),
            "{}\n{}",
            self.console,
            self.stderr
        );
        assert_eq!(self.of_result("verdict"), "failed");
        assert!(self.took < BOUND, "{:?} of {BOUND:?}", self.took);
        assert!(self.console.ends_with(&format!("\n{FAILED}\n")));
        for word in words {
            assert!(self.message().contains(word), "{word}: {}", self.message());
        }
    }

    /// The console's lines without their prefix.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let prefix = |line| str::strip_prefix(line, "STACK_PROVISION: ").unwrap_or(line);
        self.console.lines().map(prefix)
    }

    #[track_caller]
    pub fn assert_shows(&self, words: &str) {
        assert!(
            self.console.contains(words),
            "no {words:?} in\n{}",
            self.console
        );
    }
}

/// Looks for the marker as a host does, and gives back the result line before it.
fn the_one_ending(file: &Path) -> Value {
    let count = |marker: &str| -> usize {
        let script = r#"strings -a "$1" | grep -Fxc -- "$2""#;
        let output = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(file)
            .arg(marker)
            .output()
            .expect("sh");
        let count = String::from_utf8(output.stdout).unwrap();
        count
            .trim()
            .parse()
            .expect("strings and grep: apt-get install binutils")
    };
    let text = read(file);
    let total: usize = MARKERS.into_iter().map(count).sum();
    assert_eq!(total, 1, "markers in {}:\n{text}", file.display());
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    assert!(
        MARKERS.contains(lines.last().unwrap()),
        "something after the marker:\n{text}"
    );
    assert_eq!(text.matches(RESULT).count(), 1, "result lines:\n{text}");
    let result = lines[lines.len() - 2].split_once(RESULT);
    let (_, result) = result.unwrap_or_else(|| panic!("no result before the marker:\n{text}"));
    serde_json::from_str(result).expect("one line of JSON")
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// Waits until there is something, which the machine may take its time for.
pub fn until<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    until_or(found, || format!("waited in vain for {what}"))
}

pub fn until_or<T>(mut found: impl FnMut() -> Option<T>, complaint: impl Fn() -> String) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "{}", complaint());
        std::thread::sleep(Duration::from_millis(5));
    }
}

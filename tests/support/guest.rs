//! A run as cloud-init starts it in a guest: its real runcmd, the real bootstrap, a FIFO as the console. In mount and
//! process namespaces of its own, so that the paths are a guest's and nothing of this machine is touched.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::engine::PrivateEngine;
use super::image::host_architecture;

const FIRST_PROCESS: &str = include_str!("guest.sh");
const BOOTSTRAP: &str = include_str!("../../iso/bootstrap.sh");
const SYSTEMD_RUN: &str = include_str!("systemd-run.sh");
const FOLDER: &str = "bundle";
const CALL: &str = "/usr/local/sbin/guestbake-bootstrap ||";

/// A bundle with the program, as a folder and as a volume.
pub struct GuestBundle {
    dir: TempDir,
}

impl GuestBundle {
    pub fn new(plan: &str) -> Self {
        Self::changed(plan, |_| ())
    }

    /// One to which something is done before it becomes a volume.
    pub fn changed(plan: &str, change: impl FnOnce(&Path)) -> Self {
        let dir = TempDir::with_prefix("guestbake-bundle-").expect("a temporary directory");
        let folder = dir.path().join(FOLDER);
        fs::create_dir(&folder).expect("the bundle");
        let arch = format!("STACK_EMULATOR_BUILD_ARCH={}\n", host_architecture());
        fs::write(folder.join("build-arch.env"), arch).expect("build-arch.env");
        fs::write(folder.join("guestbake.toml"), plan).expect("the plan");
        // It is copied at each start, and most of it is for debuggers.
        run(Command::new("strip")
            .arg("-o")
            .arg(folder.join("guestbake"))
            .arg(env!("CARGO_BIN_EXE_guestbake")));
        change(&folder);
        run(Command::new("mke2fs")
            .args(["-q", "-t", "ext2", "-d"])
            .args([&folder, &dir.path().join("volume")])
            .arg("96M"));
        GuestBundle { dir }
    }

    pub fn folder(&self) -> PathBuf {
        self.dir.path().join(FOLDER)
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("a program of the system's");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

/// A guest that is at it.
pub struct Guest {
    first: Child,
    dir: TempDir,
    /// Held so that the console stays, whoever opens and closes it.
    held: File,
    console: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Guest {
    pub fn start(bundle: &GuestBundle, engine: &PrivateEngine) -> Guest {
        Self::with(bundle, &engine.url(), &runcmd(&bundle.folder()))
    }

    /// With a runcmd of its own.
    pub fn with(bundle: &GuestBundle, docker_host: &str, runcmd: &str) -> Guest {
        let dir = TempDir::with_prefix("guestbake-guest-").expect("a temporary directory");
        let path = |name: &str| dir.path().join(name);
        for folder in ["run", "lib", "sbin"] {
            fs::create_dir(path(folder)).expect("a folder");
        }
        for (name, script) in [
            ("guestbake-bootstrap", BOOTSTRAP),
            ("systemd-run", SYSTEMD_RUN),
        ] {
            let file = path("sbin").join(name);
            fs::write(&file, script).expect("a script");
            fs::set_permissions(&file, Permissions::from_mode(0o755)).expect("a script");
        }
        fs::write(path("runcmd"), runcmd).expect("runcmd");
        let console = Arc::default();
        let (held, reader) = fifo(&path("console"), &console);
        let first = Command::new("unshare")
            .args(["--mount", "--propagation", "private"])
            .args(["--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", FIRST_PROCESS, "guest.sh"])
            .arg(dir.path())
            .arg(bundle.dir.path().join("volume"))
            .env("DOCKER_HOST", docker_host)
            .env("GUESTBAKE_POWER_OFF", "never")
            .env_remove("STACK_DEPS_TIMEOUT")
            .stdin(Stdio::null())
            .stderr(File::create(path("stderr")).expect("a file"))
            .spawn()
            .expect("unshare");
        Guest {
            first,
            dir,
            held,
            console,
            reader,
        }
    }

    /// What the host has seen so far, as `strings` has it.
    pub fn console(&self) -> String {
        as_text(&self.console)
    }

    /// Where the program keeps its record.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("run/guestbake")
    }

    /// All that cloud-init has started so far, and what that has.
    pub fn processes(&self) -> Vec<Victim> {
        let all: Vec<_> = fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter_map(|entry| Process::read(entry.file_name().to_str()?.parse().ok()?))
            .collect();
        let children = |of: &[i32]| -> Vec<&Process> {
            all.iter().filter(|one| of.contains(&one.parent)).collect()
        };
        let unshare = self.first.id().cast_signed();
        let Some(init) = children(&[unshare]).first().copied() else {
            return Vec::new();
        };
        let mut tree = Vec::new();
        let mut found = children(&[init.id]);
        while !found.is_empty() {
            let ids: Vec<_> = found.iter().map(|one| one.id).collect();
            tree.append(&mut found);
            found = children(&ids);
        }
        // What is in the first process's session is its own.
        tree.retain(|one| one.session != init.session && one.is_alive);
        tree.into_iter()
            .filter_map(|one| {
                Some(Victim {
                    pid: Pid::from_raw(one.id)?,
                    role: one.role(),
                })
            })
            .collect()
    }

    /// Waits until nothing of it is left; what the host saw on the console.
    ///
    /// # Panics
    /// If that takes longer than `limit`.
    pub fn end(mut self, limit: Duration) -> String {
        let end = Instant::now() + limit;
        while self.first.try_wait().expect("its state").is_none() {
            if Instant::now() > end {
                let left = self.processes();
                let _ = self.first.kill();
                panic!("this guest does not end: {left:?}\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let said = self.said();
        let Guest {
            held,
            console,
            reader,
            ..
        } = self;
        drop(held);
        reader.join().expect("all of the console");
        as_text(&console) + &said
    }

    /// Not on the console: for whoever looks at a failure.
    fn said(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        ["stderr", "output", "log/guestbake-bootstrap.log"]
            .map(|name| {
                read(name)
                    .lines()
                    .map(|line| format!("({name}) {line}\n"))
                    .collect::<String>()
            })
            .concat()
    }
}

/// What cloud-init makes of the user-data, for a bundle that the program reads as a folder.
fn runcmd(bundle: &Path) -> String {
    let seed = Command::new("iso/seed.sh").arg("--print").output();
    let seed = String::from_utf8(seed.expect("seed.sh").stdout).expect("text");
    let (_, runcmd) = seed.split_once("\nruncmd:\n  - |\n").expect("a runcmd");
    assert!(runcmd.contains(CALL), "{runcmd}");
    let call = format!(
        "{} --bundle {} ||",
        CALL.trim_end_matches(" ||"),
        bundle.display()
    );
    let lines = runcmd
        .lines()
        .map(|line| line.strip_prefix("    ").expect("its indentation"));
    lines.collect::<Vec<_>>().join("\n").replace(CALL, &call)
}

fn as_text(console: &Mutex<Vec<u8>>) -> String {
    let console = console.lock().expect("no panic while it is held");
    String::from_utf8_lossy(&console).replace('\r', "")
}

/// A FIFO that stays open, and who reads into `console` what is written to it.
fn fifo(path: &Path, console: &Arc<Mutex<Vec<u8>>>) -> (File, JoinHandle<()>) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a FIFO");
    let mut both_ends = OpenOptions::new();
    let held = both_ends.read(true).write(true).open(path).expect("a FIFO");
    let (mut fifo, console) = (File::open(path).expect("a FIFO"), console.clone());
    let reader = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        // Ends once nobody has it open any more.
        while let Ok(length @ 1..) = fifo.read(&mut piece) {
            console
                .lock()
                .expect("no panic while it is held")
                .extend(&piece[..length]);
        }
    });
    (held, reader)
}

/// A process of a guest.
#[derive(Debug)]
pub struct Victim {
    pid: Pid,
    /// What it is.
    pub role: &'static str,
}

impl Victim {
    pub fn is_alive(&self) -> bool {
        Process::read(self.pid.as_raw_nonzero().get()).is_some_and(|process| process.is_alive)
    }

    /// Says whether it was still there.
    pub fn kill(&self) -> bool {
        kill_process(self.pid, Signal::KILL).is_ok()
    }

    pub fn stop(&self) {
        kill_process(self.pid, Signal::STOP).expect("SIGSTOP");
    }
}

struct Process {
    id: i32,
    parent: i32,
    session: i32,
    is_alive: bool,
}

impl Process {
    fn read(id: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let is_alive = fields.next()? != "Z";
        let mut number = || fields.next()?.parse().ok();
        let parent = number()?;
        number()?;
        Some(Process {
            id,
            parent,
            session: number()?,
            is_alive,
        })
    }

    fn role(&self) -> &'static str {
        let words = fs::read(format!("/proc/{}/cmdline", self.id)).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        for (sign, role) in [
            ("guarded-worker", "worker"),
            ("guestbake run ", "guardian"),
            ("last-resort", "last resort"),
            ("guestbake-bootstrap", "bootstrap"),
            ("/runcmd", "runcmd"),
        ] {
            if words.contains(sign) {
                return role;
            }
        }
        "a command of the bootstrap"
    }
}

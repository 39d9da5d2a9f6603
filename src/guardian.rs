//! The guardian: a process that does nothing but listen to its worker, and speaks for it when it cannot any more.
//!
//! The worker runs the pipeline in a process of its own and sends events; the guardian makes lines, report and verdict of
//! them. So a worker that is killed, hangs or crashes still ends in a marker. The control pipe goes the other way; when the
//! worker finds it closed, the guardian is dead and the worker speaks for itself.

mod hearing;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::io::ioctl_fionbio;
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGKILL, SIGUSR1};
use signal_hook::low_level::signal_name;

use hearing::{Hearing, News};

use crate::diagnose;
use crate::event::{Event, LONGEST_MESSAGE, Outcome, cut};
use crate::failure::{ExitCode, Reason};
use crate::host::power::ThisMachine;
use crate::host::{kernel_log, oom};
use crate::pipeline::Request;
use crate::plan::DEFAULT_RUN_TIMEOUT;
use crate::verdict::{Announcer, DISK_LIMIT, Inherited, Lock, Outlets, Passages, within};
use crate::view::View;
use crate::worker::WORKER_VERB;

/// What the worker gets beyond its own limits before it is killed: diagnostics, and stopping containers.
const WORKER_GRACE: Duration = Duration::from_secs(60);
/// The same, counted from a signal.
const INTERRUPT_GRACE: Duration = Duration::from_secs(60);
/// Diagnostics on behalf of a worker that is dead.
const POST_MORTEM_LIMIT: Duration = diagnose::LIMIT.saturating_add(Duration::from_secs(8));

/// From a worker's last limit to the marker: it is killed, and what it leaves is looked at and told.
const LAST_LIMIT: Duration = Duration::from_secs(150);

/// Between two words that the guardian is well; the worker waits more than four times as long.
const WELL_EVERY: Duration = Duration::from_secs(10);
/// For a worker that has nothing left to do.
const RELEASE_LIMIT: Duration = Duration::from_secs(2);
/// For a process that was killed. One of whose threads hangs in the kernel, at a disk that does not answer, stays.
const DEATH_LIMIT: Duration = Duration::from_secs(5);
const REAP_PAUSE: Duration = Duration::from_millis(5);
/// Between two looks whether somebody who says nothing still runs.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Everything `run` needs; the worker gets it as the first line on its control pipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    pub request: Request,
    pub outlets: Outlets,
    /// The guardian's process id.
    pub guardian: i32,
    /// Shared with the worker.
    #[serde(default)]
    pub passages: Inherited,
}

/// What the guardian tells its worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// The guardian is well. One that is stopped says nothing.
    Well,
    /// Give up, for this reason.
    Interrupt(String),
    /// Diagnostics now, and carry on.
    Diagnose,
    /// The marker is out; nothing is left to do.
    Announced,
}

/// Runs the pipeline in a worker and ends in exactly one marker.
pub fn run(mut run: Run, view: View) -> ExitCode {
    let state = run.outlets.state.clone();
    let taken = within(DISK_LIMIT, move || Lock::take(&state));
    let lock = match taken.unwrap_or_else(|| Err(std::io::ErrorKind::TimedOut.into())) {
        Ok(lock) => Some(lock),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            eprintln!("guestbake: {error}");
            return ExitCode::Internal;
        }
        // A folder that cannot be written is no reason not to try.
        Err(error) => {
            eprintln!("guestbake: {}: {error}", run.outlets.state.display());
            None
        }
    };
    oom::set_score(oom::NEVER);
    let passages = Passages::to(&run.outlets.consoles());
    run.passages = passages.share();
    let power = Arc::new(ThisMachine);
    let mut announcer = Announcer::new(run.outlets.clone(), passages, view, power);
    let code = match Worker::start(&run, lock.as_ref()) {
        Ok(mut worker) => {
            let outcome = worker.listen(&mut announcer, &run);
            let code = announcer.announce(outcome);
            worker.release();
            code
        }
        Err(error) => {
            let message = format!("the worker cannot be started: {error:#}");
            announcer.announce(Outcome::failed(None, Reason::Internal, message))
        }
    };
    announcer.power_off_if_due();
    drop(lock);
    code
}

struct Worker {
    child: Child,
    control: ChildStdin,
    hearing: Hearing,
    killed_by_us: Option<String>,
    /// By when it has to end: it was killed, by whomever.
    dies_by: Option<Instant>,
}

impl Worker {
    #[expect(clippy::disallowed_methods, reason = "the guardian owns it")]
    fn start(run: &Run, lock: Option<&Lock>) -> anyhow::Result<Self> {
        let mut hearing = Hearing::of_signals().context("signals")?;
        // Held by the worker as well: whoever finds it free knows that nobody is left to speak.
        lock.map(|lock| lock.share(true))
            .transpose()
            .context("the lock")?;
        let mut child = Command::new("/proc/self/exe")
            .arg(WORKER_VERB)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C on the terminal is the guardian's to pass on.
            .process_group(0)
            .spawn()
            .context("/proc/self/exe")?;
        lock.map(|lock| lock.share(false))
            .transpose()
            .context("the lock")?;
        let stdout = child.stdout.take().context("no pipe for events")?;
        let stderr = child.stderr.take().context("no pipe for errors")?;
        let mut control = child.stdin.take().context("no control pipe")?;
        writeln!(control, "{}", serde_json::to_string(run)?)?;
        // From now on a worker that is stopped must not stop its guardian.
        ioctl_fionbio(&control, true).context("the control pipe")?;
        hearing
            .of_worker(stdout, stderr)
            .context("the worker's pipes")?;
        Ok(Worker {
            child,
            control,
            hearing,
            killed_by_us: None,
            dies_by: None,
        })
    }

    /// Passes events on until there is an outcome, the worker's or one found for it.
    fn listen(&mut self, announcer: &mut Announcer, run: &Run) -> Outcome {
        let began = Instant::now();
        let mut end = began + DEFAULT_RUN_TIMEOUT + WORKER_GRACE;
        announcer.ends_by(end + LAST_LIMIT);
        let mut interrupted = false;
        let mut last_stray = None;
        let mut next_word = began;
        loop {
            if Instant::now() >= next_word {
                self.tell(&Control::Well);
                next_word = Instant::now() + WELL_EVERY;
                if is_over(self.child.id()) {
                    self.dies();
                }
            }
            // Nothing but its end can come then.
            end = self.dies_by.unwrap_or(end);
            match self.hearing.next(end.min(next_word)) {
                Some(News::Event(Event::Outcome(outcome))) => return outcome,
                Some(News::Event(event)) => {
                    if let (Event::Plan { run_timeout_s, .. }, false) = (&event, interrupted) {
                        end = began + Duration::from_secs_f64(*run_timeout_s) + WORKER_GRACE;
                        announcer.ends_by(end + LAST_LIMIT);
                    }
                    announcer.take(event);
                }
                Some(News::Stray(text)) => {
                    announcer.take(Event::Line {
                        text: format!("worker: {text}"),
                    });
                    last_stray = Some(text);
                }
                Some(News::Signal(SIGUSR1)) => self.tell(&Control::Diagnose),
                Some(News::Signal(signal)) => {
                    let name = signal_name(signal).unwrap_or("a signal");
                    if interrupted {
                        self.kill(format!("{name} came a second time"));
                        continue;
                    }
                    interrupted = true;
                    end = Instant::now() + INTERRUPT_GRACE;
                    announcer.ends_by(end + LAST_LIMIT);
                    self.tell(&Control::Interrupt(format!("{name} was received")));
                }
                None if Instant::now() < end => {}
                Some(News::WorkerGone) => break,
                None if self.dies_by.is_some() => break,
                None => self.kill(format!(
                    "the worker did not end by itself after {}s",
                    began.elapsed().as_secs()
                )),
            }
        }
        let end = self.dies();
        let status = ended(&mut self.child, end);
        let stage = announcer.report().stage;
        let (reason, message) = match self.killed_by_us.take() {
            Some(why) if interrupted => (Reason::Interrupted, why),
            Some(why) => (Reason::DeadlineExceeded, why),
            None => epitaph(self.child.id(), status, last_stray),
        };
        if !interrupted {
            post_mortem(announcer, run);
        }
        Outcome::failed(stage, reason, message)
    }

    /// Tells the worker that its outcome is announced, and sees it end.
    fn release(mut self) {
        self.tell(&Control::Announced);
        drop(self.control);
        let end = Instant::now() + RELEASE_LIMIT;
        if ended(&mut self.child, self.dies_by.unwrap_or(end)).is_none() {
            let _ = self.child.kill();
            ended(&mut self.child, end + RELEASE_LIMIT);
        }
    }

    fn tell(&mut self, control: &Control) {
        // A worker that does not read any more is about to be found dead, or stopped. One write is whole or not done.
        if let Ok(line) = serde_json::to_string(control) {
            let _ = self.control.write_all(format!("{line}\n").as_bytes());
        }
    }

    fn kill(&mut self, why: String) {
        self.killed_by_us.get_or_insert(why);
        let _ = self.child.kill();
        self.dies();
    }

    fn dies(&mut self) -> Instant {
        *self.dies_by.get_or_insert(Instant::now() + DEATH_LIMIT)
    }
}

/// How a process has ended, if it does by then.
fn ended(child: &mut Child, end: Instant) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(None) if Instant::now() < end => thread::sleep(REAP_PAUSE),
            ended => return ended.ok().flatten(),
        }
    }
}

/// Whether a process that is still there does nothing any more, and only hangs: its first thread is gone, or SIGKILL waits
/// for it (proc_pid_status(5)).
fn is_over(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| match line.split_once(":\t") {
        Some(("State", state)) => state.starts_with(['Z', 'X']),
        Some(("SigPnd" | "ShdPnd", pending)) => {
            u64::from_str_radix(pending, 16).is_ok_and(|set| set & 1 << (SIGKILL - 1) != 0)
        }
        _ => false,
    })
}

fn epitaph(
    worker: u32,
    status: Option<ExitStatus>,
    last_stray: Option<String>,
) -> (Reason, String) {
    let words = last_stray
        .map(|text| format!(": {}", cut(text, LONGEST_MESSAGE)))
        .unwrap_or_default();
    let Some(status) = status else {
        let message = format!(
            "the worker was killed and does not end: it hangs in the kernel, at a disk or a device that does not \
             answer{words}"
        );
        return (Reason::Killed, message);
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = signal_name(signal).unwrap_or("unknown");
            let memory = if signal == SIGKILL && killed_for_memory(worker) {
                ", for memory, as the kernel's log says"
            } else {
                ""
            };
            let message =
                format!("the worker was killed by signal {signal} ({name}){memory}{words}");
            (Reason::Killed, message)
        }
        (None, Some(code)) => (
            Reason::Internal,
            format!("the worker ended with code {code}{words}"),
        ),
        (None, None) => (
            Reason::Internal,
            format!("the worker ended without a trace{words}"),
        ),
    }
}

/// Whether the kernel's log says so. Its id it is known by: started from `/proc/self/exe`, it is called `exe` there.
fn killed_for_memory(worker: u32) -> bool {
    let killed = format!("Killed process {worker} (");
    let records = kernel_log::read().unwrap_or_default();
    records.iter().any(|record| record.text.contains(&killed))
}

/// Diagnostics by a fresh process, bounded like everything else.
#[expect(clippy::disallowed_methods, reason = "ended in here, after a limit")]
fn post_mortem(announcer: &mut Announcer, run: &Run) {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(["diagnose", "--brief"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let option = |command: &mut Command, name: &str, value: Option<&Path>| {
        if let Some(value) = value {
            command.arg(name).arg(value);
        }
    };
    option(&mut command, "--bundle", run.request.bundle.as_deref());
    option(&mut command, "--plan", run.request.plan.as_deref());
    option(
        &mut command,
        "--docker-host",
        run.request.docker_host.as_deref().map(Path::new),
    );
    let Ok(mut child) = command.process_group(0).spawn() else {
        return;
    };
    let Some(stdout) = child.stdout.take() else {
        return;
    };
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    announcer.take(Event::DiagnosticsStarted);
    let end = Instant::now() + POST_MORTEM_LIMIT;
    while Instant::now() < end {
        match lines.recv_timeout(LOOK_PAUSE) {
            Ok(text) => announcer.take(Event::Diagnostics { text }),
            Err(RecvTimeoutError::Timeout) if !is_over(child.id()) => {}
            Err(_) => break,
        }
    }
    let _ = child.kill();
    ended(&mut child, Instant::now() + RELEASE_LIMIT);
}

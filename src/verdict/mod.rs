//! The verdict: the only place that writes markers and powers off. It listens to a run's events and ends in one marker.

mod record;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

pub use record::{Lock, Record};

use crate::event::{Event, Outcome, Verdict};
use crate::failure::ExitCode;
use crate::host::console::{Console, default_consoles};
use crate::host::durable;
use crate::host::kernel_log::Silence;
use crate::host::power::Power;
use crate::plan::PowerOff;
use crate::report::{self, Report};

const PREFIX: &str = "STACK_PROVISION: ";
const RESULT_PREFIX: &str = "STACK_PROVISION_RESULT: ";
/// For consoles that are slow to take the last lines and the marker.
const CONSOLE_LIMIT: Duration = Duration::from_secs(10);
/// For the report's last version and `sync`.
const DISK_LIMIT: Duration = Duration::from_secs(5);
/// An orderly power-off that takes longer is taken to hang.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(15);

impl Verdict {
    pub fn marker(self) -> &'static str {
        match self {
            Verdict::Done => "STACK_CLOUD_INIT_DONE",
            Verdict::Ready => "STACK_SERVICES_READY",
            Verdict::Failed => "STACK_CLOUD_INIT_FAILED",
        }
    }
}

/// What of a run can be seen from outside, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outlets {
    /// Empty: this machine's own.
    pub consoles: Vec<PathBuf>,
    pub log: PathBuf,
    pub report: PathBuf,
    /// Where the record of the run is kept while the machine is up.
    pub state: PathBuf,
    /// None: as the plan says.
    pub power_off: Option<bool>,
}

/// What the events so far add up to.
pub struct Progress {
    report: Report,
    began: Instant,
    /// The wall clock then.
    began_at: SystemTime,
    power_off: PowerOff,
}

impl Default for Progress {
    fn default() -> Self {
        let began_at = wall_clock();
        Progress {
            report: Report {
                version: report::VERSION,
                guestbake: env!("CARGO_PKG_VERSION").to_owned(),
                started: humantime::format_rfc3339_seconds(began_at).to_string(),
                uptime_s: uptime(),
                ..Report::default()
            },
            began: Instant::now(),
            began_at,
            power_off: PowerOff::Always,
        }
    }
}

impl Progress {
    pub fn take(&mut self, event: &Event) {
        self.report.take(event, self.began.elapsed().as_secs_f64());
        if let Event::Plan { power_off, .. } = event {
            self.power_off = *power_off;
        }
    }

    /// With how far the wall clock was set meanwhile: many a guest learns late what time it is.
    fn report_now(&self) -> Report {
        let expected = self.began_at + self.began.elapsed();
        let now = wall_clock();
        let step = match now.duration_since(expected) {
            Ok(forward) => forward.as_secs_f64(),
            Err(back) => -back.duration().as_secs_f64(),
        };
        let mut report = self.report.clone();
        // Less is a clock that is slewed, or this program's own slowness.
        if step.abs() >= 1.0 {
            report.clock_step_s = step.round();
        }
        report
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "for people; durations are monotonic"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

fn uptime() -> f64 {
    let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    since_boot.tv_sec as f64 + f64::from(since_boot.tv_nsec as u32 / 1_000_000) / 1000.0
}

pub struct Announcer {
    outlets: Outlets,
    consoles: Vec<Console>,
    log: Console,
    progress: Progress,
    reports: Sender<(Report, Option<Sender<()>>)>,
    power: Arc<dyn Power>,
    record: Record,
}

impl Announcer {
    /// For a run that begins.
    pub fn new(outlets: Outlets, power: Arc<dyn Power>) -> Self {
        Record::in_folder(&outlets.state).begin();
        let log = Console::open_fresh(&outlets.log);
        Self::with(outlets, log, Progress::default(), power)
    }

    /// For a run that somebody else has announced until now.
    pub fn continuing(outlets: Outlets, progress: Progress, power: Arc<dyn Power>) -> Self {
        let log = Console::open(&outlets.log, "");
        Self::with(outlets, log, progress, power)
    }

    fn with(outlets: Outlets, log: Console, progress: Progress, power: Arc<dyn Power>) -> Self {
        let paths = match outlets.consoles.as_slice() {
            [] => default_consoles(),
            given => given.to_vec(),
        };
        let consoles = paths.iter().map(|path| Console::open(path, PREFIX));
        Announcer {
            consoles: consoles.collect(),
            log,
            progress,
            reports: write_reports(vec![
                outlets.report.clone(),
                outlets.state.join("report.json"),
            ]),
            power,
            record: Record::in_folder(&outlets.state),
            outlets,
        }
    }

    pub fn report(&self) -> &Report {
        &self.progress.report
    }

    /// Shows an event where it belongs.
    pub fn take(&mut self, event: Event) {
        self.progress.take(&event);
        match &event {
            Event::Line { text } | Event::Diagnostics { text } => self.everywhere(text),
            Event::Detail { text } => self.log.line(text),
            Event::StageStarted { .. } => self.save(None),
            Event::StageDone { stage, seconds } => {
                self.everywhere(&format!("stage {stage} done ({seconds:.1}s)"));
                self.save(None);
            }
            _ => {}
        }
    }

    fn everywhere(&self, text: &str) {
        self.consoles.iter().for_each(|console| console.line(text));
        self.log.line(text);
        say(text);
    }

    fn save(&self, saved: Option<Sender<()>>) {
        // Only fails when the thread is gone, and then nothing can be saved.
        let _ = self.reports.send((self.progress.report_now(), saved));
    }

    /// The end: cause, result line, marker, sync; once, whoever asks how often.
    pub fn announce(&mut self, outcome: Outcome) -> ExitCode {
        if !self.record.decide(outcome.verdict) || self.record.is_announced() {
            return ExitCode::Internal;
        }
        if let (Some(stage), Some(message)) = (outcome.stage, &outcome.message) {
            self.everywhere(&format!("FAILED in stage {stage}: {message}"));
        }
        self.take(Event::Outcome(outcome.clone()));
        if let Some(result) = &self.report().result {
            let json = serde_json::to_string(result)
                .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
            self.everywhere(&format!("{RESULT_PREFIX}{json}"));
        }
        self.save_now();
        let marker = outcome.verdict.marker();
        let _silence = Silence::begin();
        let end = Instant::now() + CONSOLE_LIMIT;
        let all = || self.consoles.iter().chain([&self.log]);
        all().for_each(|console| console.end_with(marker, CONSOLE_LIMIT));
        all().for_each(|console| {
            console.wait_until(end);
        });
        say(marker);
        self.record.announced(outcome.verdict);
        within(DISK_LIMIT, rustix::fs::sync);
        outcome.exit_code()
    }

    fn save_now(&self) {
        let (saved, when_saved) = mpsc::channel();
        self.save(Some(saved));
        let _ = when_saved.recv_timeout(DISK_LIMIT);
    }

    /// Powers off if that is how this run is to end; returns if the machine stays on.
    pub fn power_off_if_due(&self) {
        let failed = self.report().result.as_ref().map(|result| result.verdict);
        let due = match (failed, self.outlets.power_off) {
            (Some(Verdict::Ready), _) => false,
            (_, Some(asked)) => asked,
            (verdict, None) => match self.progress.power_off {
                PowerOff::Always => true,
                PowerOff::OnFailure => verdict == Some(Verdict::Failed),
                PowerOff::Never => false,
            },
        };
        if !due {
            return;
        }
        let arranged = self.power.arrange_force_off(POWER_OFF_LIMIT);
        match self.power.off() {
            Ok(()) if arranged.is_ok() => return,
            Ok(()) => thread::sleep(POWER_OFF_LIMIT),
            Err(error) => say(&format!("the orderly power-off failed: {error}")),
        }
        force_off(&*self.power);
    }
}

/// Cuts the power after so many seconds, for [`Power::arrange_force_off`].
pub fn force_power_off(after: Duration, power: &dyn Power) {
    thread::sleep(after);
    force_off(power);
}

fn force_off(power: &dyn Power) {
    within(DISK_LIMIT, rustix::fs::sync);
    if let Err(error) = power.force_off() {
        say(&format!("the forced power-off failed: {error}"));
    }
}

/// Standard output: a terminal, the journal, cloud-init's log. A reader who has gone away is no error.
fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes each version of the report; a disk that hangs keeps only this thread.
fn write_reports(paths: Vec<PathBuf>) -> Sender<(Report, Option<Sender<()>>)> {
    let (sender, receiver) = mpsc::channel::<(Report, Option<Sender<()>>)>();
    thread::spawn(move || {
        while let Ok((report, saved)) = receiver.recv() {
            let json = serde_json::to_vec_pretty(&report).unwrap_or_default();
            for path in &paths {
                if let Err(error) = durable::replace(path, &json) {
                    say(&format!(
                        "the report {} cannot be written: {error}",
                        path.display()
                    ));
                }
            }
            if let Some(saved) = saved {
                let _ = saved.send(());
            }
        }
    });
    sender
}

/// Does what might hang on a thread of its own, and goes on without it after `limit`.
fn within(limit: Duration, work: impl FnOnce() + Send + 'static) {
    let (done, when_done) = mpsc::channel();
    thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    let _ = when_done.recv_timeout(limit);
}

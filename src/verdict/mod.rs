//! The verdict: the only place that writes markers and powers off. It listens to a run's events and ends in one marker.

mod hold;
mod record;
mod trail;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

pub use hold::Hold;
pub use record::Lock;
use record::{Decision, Record, Told};
pub use trail::{Step, Trail, What, instant_of};

use crate::audience::Audience;
use crate::event::{Event, Outcome, Verdict};
use crate::failure::ExitCode;
use crate::host::console::{Console, Words, default_consoles};
use crate::host::durable;
use crate::host::kernel_log::Silence;
use crate::host::power::Power;
use crate::plan::PowerOff;
use crate::report::{self, Report};
use crate::view::View;

const PREFIX: &str = "STACK_PROVISION: ";
const RESULT_PREFIX: &str = "STACK_PROVISION_RESULT: ";
/// As the record has them.
const RESULT: &str = "result";
const MARKER: &str = "marker";
/// For consoles that are slow to take the last lines and the marker.
const CONSOLE_LIMIT: Duration = Duration::from_secs(10);
/// For the record, the report's last version, and `sync`.
pub const DISK_LIMIT: Duration = Duration::from_secs(5);
/// An orderly power-off that takes longer is taken to hang.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(15);

impl Verdict {
    const ALL: [Verdict; 3] = [Verdict::Done, Verdict::Ready, Verdict::Failed];

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
    /// Where the verdict is kept besides, so that a boot after a reset knows whether there was one.
    pub record: Option<PathBuf>,
    /// A port to the host; none: that of the usual name, if there is one.
    pub channel: Option<PathBuf>,
    /// Where it is noted that this instance is provisioned, if its folder is there.
    pub once: Option<PathBuf>,
    /// None: as the plan says.
    pub power_off: Option<bool>,
    /// A run that fails leaves everything as it is.
    #[serde(default)]
    pub hold: Option<Hold>,
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
    consoles: Vec<Outlet>,
    log: Option<Outlet>,
    audience: Audience,
    view: Arc<View>,
    trail: Trail,
    progress: Progress,
    reports: Sender<(Report, Option<Sender<()>>)>,
    power: Arc<dyn Power>,
    record: Record,
    decision: Option<Decision>,
}

/// A console, or the log, and how it is called in the record.
struct Outlet {
    path: PathBuf,
    console: Console,
}

impl Announcer {
    /// For a run that begins.
    pub fn new(outlets: Outlets, view: View, power: Arc<dyn Power>) -> Self {
        let record = Record::new(&outlets.state, outlets.record.as_deref());
        let begun = record.clone();
        within(DISK_LIMIT, move || begun.begin());
        let log = Console::open_fresh(&outlets.log);
        let (title, stages) = view.of_what();
        let trail = Trail::begin(&outlets.state, &title, &stages);
        Self::with(
            outlets,
            Told::nobody(),
            (log, trail, view),
            Progress::default(),
            power,
            record,
        )
    }

    /// For a run that somebody else has announced until now. Consoles that have had the marker get nothing more.
    pub fn continuing(outlets: Outlets, progress: Progress, power: Arc<dyn Power>) -> Self {
        let record = Record::new(&outlets.state, outlets.record.as_deref());
        let log = Console::open(&outlets.log, "");
        let others = (log, Trail::go_on(&outlets.state), View::plain());
        Self::with(outlets, record.told(), others, progress, power, record)
    }

    fn with(
        outlets: Outlets,
        told: Told,
        (log, trail, view): (Console, Trail, View),
        progress: Progress,
        power: Arc<dyn Power>,
        record: Record,
    ) -> Self {
        let paths = match outlets.consoles.as_slice() {
            [] => default_consoles(),
            given => given.to_vec(),
        };
        let untold = |path: &Path| !told.has(MARKER, path);
        let open = |path: PathBuf| Outlet {
            console: Console::open(&path, PREFIX),
            path,
        };
        let log = Outlet {
            path: outlets.log.clone(),
            console: log,
        };
        let view = Arc::new(view);
        Announcer {
            consoles: paths
                .into_iter()
                .filter(|path| untold(path))
                .map(open)
                .collect(),
            log: Some(log).filter(|log| untold(&log.path)),
            audience: Audience::here(outlets.channel.as_deref()),
            progress,
            reports: write_reports(
                vec![outlets.report.clone(), outlets.state.join("report.json")],
                view.clone(),
            ),
            view,
            trail,
            power,
            record,
            decision: None,
            outlets,
        }
    }

    pub fn report(&self) -> &Report {
        &self.progress.report
    }

    /// Shows an event where it belongs.
    pub fn take(&mut self, event: Event) {
        self.progress.take(&event);
        self.audience.event(&event, &self.progress.report);
        self.view.note(&event);
        self.trail.event(&event);
        match &event {
            Event::Line { text } | Event::Diagnostics { text } => self.everywhere(text),
            Event::Detail { text } => {
                self.log.iter().for_each(|log| log.console.line(text));
                self.audience.line(text);
            }
            Event::StageStarted { .. } => self.save(None),
            Event::StageDone { stage, seconds } => {
                self.everywhere(&format!("stage {stage} done ({seconds:.1}s)"));
                self.save(None);
            }
            _ => {}
        }
    }

    fn everywhere(&mut self, text: &str) {
        self.outlets().for_each(|outlet| outlet.console.line(text));
        self.audience.line(text);
        self.view.line(text);
        self.trail.line(text);
    }

    fn outlets(&self) -> impl Iterator<Item = &Outlet> {
        self.consoles.iter().chain(&self.log)
    }

    fn save(&self, saved: Option<Sender<()>>) {
        // Only fails when the thread is gone, and then nothing can be saved.
        let report = self.progress.report_now();
        self.audience.report(&report);
        let _ = self.reports.send((report, saved));
    }

    /// The end: cause, result line, marker, sync; on each console once, whoever asks how often.
    pub fn announce(&mut self, outcome: Outcome) -> ExitCode {
        self.progress.take(&Event::Outcome(outcome.clone()));
        let result = serde_json::to_string(&self.report().result)
            .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
        let ours = Decision {
            verdict: outcome.verdict,
            result,
            power_off: self.is_power_off_due(outcome.verdict),
        };
        let (record, ours_too) = (self.record.clone(), ours.clone());
        let decided = within(DISK_LIMIT, move || {
            (
                record.decide(ours_too),
                record.told(),
                record.is_announced(),
            )
        });
        let (decision, told, is_announced) = decided.unwrap_or((ours, Told::nobody(), false));
        self.decision = Some(decision.clone());
        let code = match decision.verdict == outcome.verdict {
            true => outcome.exit_code(),
            false => ExitCode::Internal,
        };
        if is_announced {
            return code;
        }
        let concluded = Event::Outcome(outcome.clone());
        self.view.note(&concluded);
        self.trail.event(&concluded);
        self.view.conclude();
        let hold = self.outlets.hold.as_ref();
        let hold = hold.filter(|_| outcome.verdict == Verdict::Failed);
        let inside = hold.map(|hold| hold.how_to_look_inside(&outcome));
        for line in inside.into_iter().flatten() {
            self.everywhere(&line);
        }
        if let (Some(stage), Some(message)) = (outcome.stage, &outcome.message) {
            self.everywhere(&format!("FAILED in stage {stage}: {message}"));
        }
        self.save_now();
        self.audience
            .line(&format!("{RESULT_PREFIX}{}", decision.result));
        let last = Event::Outcome(outcome);
        self.audience.event(&last, &self.progress.report);
        self.audience.before_marker(decision.verdict);
        self.note_once(decision.verdict);
        let _silence = Silence::begin();
        self.end_with(&decision, &told);
        let (record, verdict) = (self.record.clone(), decision.verdict);
        within(DISK_LIMIT, move || {
            record.announced(verdict);
            rustix::fs::sync();
        });
        self.audience.after_marker();
        code
    }

    /// Without cloud-init's folder for it nothing is noted, and a run begins again at the next boot with a bundle.
    fn note_once(&self, verdict: Verdict) {
        let path = self.outlets.once.clone();
        if let Some(path) = path.filter(|_| verdict != Verdict::Failed) {
            within(DISK_LIMIT, move || {
                if path.parent().is_some_and(Path::is_dir) {
                    let _ = durable::replace(&path, b"");
                }
            });
        }
    }

    fn end_with(&mut self, decision: &Decision, told: &Told) {
        let marker = decision.verdict.marker();
        let result = format!("{RESULT_PREFIX}{}", decision.result);
        let end = Instant::now() + CONSOLE_LIMIT;
        for Outlet { path, console } in self.outlets() {
            let words = |what, text: &str| Words {
                text: text.to_owned(),
                once_out: told.note(what, path),
            };
            let result = (!told.has(RESULT, path)).then(|| words(RESULT, &result));
            console.end_with(result, words(MARKER, marker), CONSOLE_LIMIT);
        }
        self.view.line(&result);
        self.view.line(marker);
        self.trail.line(&result);
        self.trail.line(marker);
        self.outlets().for_each(|outlet| {
            outlet.console.wait_until(end);
        });
        self.trail.flush(end);
        self.view.flush(end);
    }

    fn save_now(&self) {
        let (saved, when_saved) = mpsc::channel();
        self.save(Some(saved));
        let _ = when_saved.recv_timeout(DISK_LIMIT);
    }

    fn is_power_off_due(&self, verdict: Verdict) -> bool {
        match (verdict, self.outlets.power_off) {
            (Verdict::Ready, _) => false,
            (Verdict::Failed, _) if self.outlets.hold.is_some() => false,
            (_, Some(asked)) => asked,
            (verdict, None) => match self.progress.power_off {
                PowerOff::Always => true,
                PowerOff::OnFailure => verdict == Verdict::Failed,
                PowerOff::Never => false,
            },
        }
    }

    /// Powers off if that is how this run is to end; returns if the machine stays on.
    pub fn power_off_if_due(&self) {
        if !self
            .decision
            .as_ref()
            .is_some_and(|decision| decision.power_off)
        {
            return;
        }
        let arranged = self.power.arrange_force_off(POWER_OFF_LIMIT);
        match self.power.off() {
            Ok(()) if arranged.is_ok() => return,
            Ok(()) => thread::sleep(POWER_OFF_LIMIT),
            Err(error) => self.say(&format!("the orderly power-off failed: {error}")),
        }
        if let Err(error) = force_off(&*self.power) {
            self.say(&format!("the forced power-off failed: {error}"));
        }
    }

    /// On standard output alone; the consoles have had their last line.
    fn say(&self, text: &str) {
        self.view.line(text);
        self.view.flush(Instant::now() + DISK_LIMIT);
    }
}

/// Cuts the power after so many seconds, for [`Power::arrange_force_off`].
pub fn force_power_off(after: Duration, power: &dyn Power) {
    thread::sleep(after);
    if let Err(error) = force_off(power) {
        eprintln!("the forced power-off failed: {error}");
    }
}

fn force_off(power: &dyn Power) -> io::Result<()> {
    within(DISK_LIMIT, rustix::fs::sync);
    power.force_off()
}

/// Writes each version of the report; a disk that hangs keeps only this thread.
fn write_reports(paths: Vec<PathBuf>, view: Arc<View>) -> Sender<(Report, Option<Sender<()>>)> {
    let (sender, receiver) = mpsc::channel::<(Report, Option<Sender<()>>)>();
    thread::spawn(move || {
        while let Ok((report, saved)) = receiver.recv() {
            let json = serde_json::to_vec_pretty(&report).unwrap_or_default();
            for path in &paths {
                if let Err(error) = durable::replace(path, &json) {
                    view.line(&format!(
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
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (done, when_done) = mpsc::channel();
    thread::spawn(move || {
        let _ = done.send(work());
    });
    when_done.recv_timeout(limit).ok()
}

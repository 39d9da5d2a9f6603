//! The verdict: the only place that writes markers and powers off. It listens to a run's events and ends in one marker.

mod hold;
mod passages;
mod power_off;
mod progress;
mod record;
mod reports;
mod trail;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use hold::Hold;
pub use passages::{Inherited, Passages};
pub use power_off::force_power_off;
pub use progress::Progress;
use progress::uptime;
pub use record::Lock;
use record::{Decision, Record, Told};
use reports::write_reports;
pub use trail::{Step, Trail, What, instant_of};

use crate::audience::Audience;
use crate::event::{Event, Outcome, Verdict};
use crate::failure::ExitCode;
use crate::host::console::{Console, Words, default_consoles};
use crate::host::durable;
use crate::host::kernel_log::Silence;
use crate::host::power::Power;
use crate::report::Report;
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

impl Outlets {
    pub fn consoles(&self) -> Vec<PathBuf> {
        match self.consoles.as_slice() {
            [] => default_consoles(),
            given => given.to_vec(),
        }
    }
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
    passages: Passages,
    decision: Option<Decision>,
}

/// A console, or the log, and how it is called in the record.
struct Outlet {
    path: PathBuf,
    console: Console,
    /// Somebody else has begun with the last lines there: no other may come between.
    has_last_lines: bool,
}

impl Announcer {
    /// For a run that begins.
    pub fn new(outlets: Outlets, passages: Passages, view: View, power: Arc<dyn Power>) -> Self {
        let record = Record::new(&outlets.state, outlets.record.as_deref());
        let begun = record.clone();
        within(DISK_LIMIT, move || begun.begin());
        let log = Console::open_fresh(&outlets.log);
        let (title, stages) = view.of_what();
        let trail = Trail::begin(&outlets.state, &title, &stages);
        let audience = Audience::here(outlets.channel.as_deref(), true);
        Self::with(
            outlets,
            (passages, Told::nobody()),
            (log, audience, trail, view),
            Progress::default(),
            power,
            record,
        )
    }

    /// For a run that somebody else has announced until now. Consoles that have had the marker get nothing more.
    pub fn continuing(
        outlets: Outlets,
        passages: Passages,
        progress: Progress,
        power: Arc<dyn Power>,
    ) -> Self {
        let record = Record::new(&outlets.state, outlets.record.as_deref());
        let log = Console::open(&outlets.log, "");
        let audience = Audience::here(outlets.channel.as_deref(), false);
        let trail = Trail::go_on(&outlets.state);
        let others = (log, audience, trail, View::plain());
        let told = record.told();
        Self::with(outlets, (passages, told), others, progress, power, record)
    }

    fn with(
        outlets: Outlets,
        (passages, told): (Passages, Told),
        (log, audience, trail, view): (Console, Audience, Trail, View),
        progress: Progress,
        power: Arc<dyn Power>,
        record: Record,
    ) -> Self {
        let untold = |path: &Path| !told.has(MARKER, path);
        let open = |path: PathBuf| Outlet {
            console: Console::open(&path, PREFIX),
            has_last_lines: told.has_begun(RESULT, &path),
            path,
        };
        let log = Outlet {
            path: outlets.log.clone(),
            console: log,
            has_last_lines: false,
        };
        let view = Arc::new(view);
        Announcer {
            consoles: outlets
                .consoles()
                .into_iter()
                .filter(|path| untold(path))
                .map(open)
                .collect(),
            log: Some(log).filter(|log| untold(&log.path)),
            audience,
            progress,
            reports: write_reports(
                vec![outlets.report.clone(), outlets.state.join("report.json")],
                view.clone(),
            ),
            view,
            trail,
            power,
            record,
            passages,
            decision: None,
            outlets,
        }
    }

    /// Notes when it is all over at the latest, for who looks after us.
    pub fn ends_by(&self, end: Instant) {
        let left = end.saturating_duration_since(Instant::now());
        let (record, end) = (self.record.clone(), uptime() + left.as_secs_f64());
        thread::spawn(move || record.limit(end));
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
        if let Some(text) = event.text() {
            self.show(&text);
        }
        match &event {
            Event::Detail { text } => {
                self.log.iter().for_each(|log| log.console.line(text));
                self.audience.line(text);
            }
            // The one before it has just ended, and after the last one comes the outcome.
            Event::StageStarted { .. } => self.save(None),
            _ => {}
        }
    }

    /// A line that no event has.
    fn everywhere(&mut self, text: &str) {
        self.show(text);
        self.trail.line(text);
    }

    fn show(&self, text: &str) {
        self.outlets()
            .filter(|outlet| !outlet.has_last_lines)
            .for_each(|outlet| outlet.console.line(text));
        self.audience.line(text);
        self.view.line(text);
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
        let concluded = Event::Outcome(outcome.clone());
        self.progress.take(&concluded);
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
        self.audience.event(&concluded, &self.progress.report);
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
        for Outlet { path, console, .. } in self.outlets() {
            let words = |what, text: &str| Words {
                text: text.to_owned(),
                passage: self.passages.of(path),
                once_begun: (!told.has_begun(what, path)).then(|| told.note_begun(what, path)),
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

//! Everything in a report that took time, in one form, for whoever lists or draws it.

use super::{Finish, Image, Migration, Report, Service, State};
use crate::event::Verdict;
use crate::failure::Stage;
use crate::host::disks::size;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stage,
    Image,
    Service,
    /// Of the smoke test.
    Check,
    Migration,
    /// A chore of it.
    Finish,
    Diagnostics,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Stage => "stage",
            Kind::Image => "image",
            Kind::Service => "service",
            Kind::Check => "check",
            Kind::Migration => "migration",
            Kind::Finish => "finish",
            Kind::Diagnostics => "diagnostics",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub kind: Kind,
    pub name: String,
    pub started_s: f64,
    pub seconds: f64,
    pub state: State,
    pub note: String,
}

impl Row {
    pub fn end(&self) -> f64 {
        self.started_s + self.seconds
    }
}

/// In the order of the report.
pub fn rows(report: &Report) -> Vec<Row> {
    let stages = report.stages.iter().map(|stage| Row {
        kind: Kind::Stage,
        name: stage.stage.to_string(),
        started_s: stage.started_s,
        seconds: stage.seconds,
        state: stage.state,
        note: match stage.state {
            State::Failed => "failed".to_owned(),
            State::Running => "going on".to_owned(),
            State::Done => String::new(),
        },
    });
    let diagnostics = report.diagnostics.as_ref().map(|dump| Row {
        kind: Kind::Diagnostics,
        name: "diagnostics".to_owned(),
        started_s: dump.started_s,
        seconds: dump.seconds,
        state: State::Done,
        note: counted(dump.lines.len() as u64, "line"),
    });
    stages
        .chain(report.images.iter().map(image))
        .chain(report.services.iter().map(|service| of(report, service)))
        .chain(report.migrations.iter().map(migration))
        .chain(report.finish.iter().map(chore))
        .chain(diagnostics)
        .collect()
}

fn image(image: &Image) -> Row {
    let rate = image
        .bytes_per_s
        .map(|rate| format!(", {}/s", size(rate)))
        .unwrap_or_default();
    let note = match (image.state, image.loaded) {
        (State::Done, false) => format!("{}, was there already", size(image.bytes)),
        (State::Done, true) => format!("{}{rate}", size(image.bytes)),
        _ => format!("{} of {}{rate}", size(image.taken), size(image.bytes)),
    };
    Row {
        kind: Kind::Image,
        name: image.archive.clone(),
        started_s: image.started_s,
        seconds: image.seconds,
        state: image.state,
        note,
    }
}

fn of(report: &Report, service: &Service) -> Row {
    let attempts = counted(service.attempts.into(), "attempt");
    let wait = report.wait_of(service);
    let started_s = wait.map_or(0.0, |wait| wait.started_s);
    let end = report.failed_at().unwrap_or(report.elapsed_s);
    let (seconds, state) = match (service.ready_s, &report.result) {
        (Some(seconds), _) => (seconds, State::Done),
        (None, None) => (end - started_s, State::Running),
        (None, Some(_)) => (end - started_s, State::Failed),
    };
    let note = match (&service.last_error, service.ready_s) {
        (_, Some(_)) => attempts,
        (Some(error), None) => format!("not ready, {attempts}: {error}"),
        (None, None) => format!("not ready, {attempts}"),
    };
    Row {
        kind: match service.stage {
            Some(Stage::Smoke) => Kind::Check,
            _ => Kind::Service,
        },
        name: service.name.clone(),
        started_s,
        seconds: seconds.max(0.0),
        state,
        note,
    }
}

fn migration(migration: &Migration) -> Row {
    let note = match (migration.exit_code, migration.state) {
        (Some(0), _) | (None, State::Done) => String::new(),
        (Some(code), _) => format!("exit code {code}"),
        (None, State::Failed) => "cut off".to_owned(),
        (None, State::Running) => "going on".to_owned(),
    };
    Row {
        kind: Kind::Migration,
        name: migration.name.clone(),
        started_s: migration.started_s,
        seconds: migration.seconds,
        state: migration.state,
        note,
    }
}

fn chore(done: &Finish) -> Row {
    Row {
        kind: Kind::Finish,
        name: format!("{} {}", done.chore, done.of),
        started_s: done.started_s,
        seconds: done.seconds,
        state: State::Done,
        note: done.bytes.map(size).unwrap_or_default(),
    }
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// How the run ended, or where it stands, in a few words.
pub fn headline(report: &Report) -> String {
    let elapsed = span(report.elapsed_s);
    match (&report.result, report.stage) {
        (Some(result), _) => match (result.verdict, result.stage) {
            (Verdict::Done, _) => format!("done in {elapsed}"),
            (Verdict::Ready, _) => format!("ready for capture in {elapsed}"),
            (Verdict::Failed, Some(stage)) => {
                let at = report.failed_at().map_or(elapsed, span);
                format!("failed in stage {stage} after {at}")
            }
            (Verdict::Failed, None) => format!("failed after {elapsed}"),
        },
        (None, Some(stage)) => format!("stage {stage}, {elapsed} after the start"),
        (None, None) => "just started".to_owned(),
    }
}

/// What ran where, and since when.
pub fn circumstances(report: &Report) -> String {
    let mut facts = Vec::new();
    if let Some(guest) = &report.guest {
        facts.push(format!("{}, {}", guest.arch, guest.accel));
    }
    let started = report.started.replace('T', " ").replace('Z', " UTC");
    facts.push(format!("started {started}"));
    if report.uptime_s > 0.0 {
        facts.push(format!("{} after boot", span(report.uptime_s)));
    }
    if let Some(result) = &report.result {
        use crate::event::Smoke::*;
        facts.push(
            match result.smoke {
                Passed => "smoke test passed",
                Failed => "smoke test failed",
                Skipped => "smoke test skipped",
                NotRun => "smoke test not run",
            }
            .to_owned(),
        );
    }
    facts.join(" · ")
}

/// `12ms`, `8.2s`, `4m 05s`, `1h 02m`.
pub fn span(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        s if s < 0.0995 => format!("{:.0}ms", s * 1000.0),
        s if s < 119.95 => format!("{s:.1}s"),
        _ if whole < 3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        _ => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_exact_as_anyone_reads() {
        let spans = [
            0.0, 0.0123, 0.2, 8.249, 119.94, 119.96, 245.0, 3599.6, 3720.0,
        ]
        .map(span);
        let expected = [
            "0ms", "12ms", "0.2s", "8.2s", "119.9s", "2m 00s", "4m 05s", "1h 00m", "1h 02m",
        ];
        assert_eq!(spans, expected);
    }
}

//! Where a run stands, in one line: systemd shows it.

use super::rows::headline;
use super::{Report, State};
use crate::event::Verdict;
use crate::failure::Stage;
use crate::host::disks::size;

/// `waiting for 2 of 5: clickhouse, svix`, `loading img.tgz: 45.0 MiB of 162.0 MiB`, `FAILED in stage wait: …`.
pub fn status(report: &Report) -> String {
    if let Some(result) = &report.result {
        return match (result.verdict, result.stage, &result.message) {
            (Verdict::Failed, Some(stage), Some(message)) => {
                format!("FAILED in stage {stage}: {message}")
            }
            (Verdict::Failed, None, Some(message)) => format!("FAILED: {message}"),
            _ => headline(report),
        };
    }
    let Some(stage) = report.stage else {
        return "starting".to_owned();
    };
    if report
        .stages
        .last()
        .is_some_and(|last| last.state == State::Failed)
    {
        return format!("stage {stage} failed, collecting diagnostics");
    }
    let doing = match stage {
        Stage::Images => loading(report),
        Stage::Wait => waiting(report, stage),
        Stage::Smoke => waiting(report, stage).map(|waiting| format!("smoke test: {waiting}")),
        Stage::Migrations => {
            let last = report.migrations.last();
            last.map(|migration| format!("migration {}", migration.name))
        }
        _ => None,
    };
    doing.unwrap_or_else(|| format!("stage {stage}"))
}

fn loading(report: &Report) -> Option<String> {
    let image = report.images.last()?;
    (image.state == State::Running).then(|| {
        let (taken, bytes) = (size(image.taken), size(image.bytes));
        format!("loading {}: {taken} of {bytes}", image.archive)
    })
}

fn waiting(report: &Report, stage: Stage) -> Option<String> {
    let all = report
        .services
        .iter()
        .filter(|service| service.stage == Some(stage));
    let count = all.clone().count();
    let pending: Vec<_> = all
        .filter(|service| service.ready_s.is_none())
        .map(|service| service.name.as_str())
        .collect();
    let names = pending.join(", ");
    (!pending.is_empty()).then(|| format!("waiting for {} of {count}: {names}", pending.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Awaited, Event, Outcome};
    use crate::failure::Reason;

    #[test]
    fn it_follows_a_run() {
        let mut report = Report::default();
        let mut after = |event: Event| {
            report.take(&event, 1.0);
            status(&report)
        };
        let started = |stage| Event::StageStarted { stage };
        assert_eq!(after(started(Stage::Bundle)), "stage bundle");
        after(started(Stage::Images));
        let loading = Event::ImageLoading {
            archive: "img.tgz".into(),
            done: 45 << 20,
            total: 162 << 20,
            seconds: 1.0,
        };
        assert_eq!(after(loading), "loading img.tgz: 45.0 MiB of 162.0 MiB");
        after(started(Stage::Wait));
        let awaited = |name: &str| Awaited {
            name: name.into(),
            container: None,
        };
        let waiting = Event::Waiting {
            services: ["postgres", "clickhouse", "svix"].map(awaited).into(),
            budget_s: 1500.0,
            waited_s: 0.0,
        };
        after(waiting);
        let ready = Event::Service {
            name: "postgres".into(),
            ready_s: 1.0,
            attempts: 1,
        };
        assert_eq!(after(ready), "waiting for 2 of 3: clickhouse, svix");
        let failed = Event::StageFailed {
            stage: Stage::Wait,
            seconds: 1.0,
        };
        let collecting = "stage wait failed, collecting diagnostics";
        assert_eq!(after(failed), collecting);
        let outcome = Outcome::failed(Some(Stage::Wait), Reason::WaitTimeout, "TIMEOUT".into());
        let end = after(Event::Outcome(outcome));
        assert_eq!(end, "FAILED in stage wait: TIMEOUT");
    }
}

//! Where the current or last run stands, from its report.

use std::fs;
use std::path::{Path, PathBuf};

use super::args::{DEFAULT_REPORT, StatusArgs};
use super::follow::{board, follow};
use crate::failure::ExitCode;
use crate::report::Report;
use crate::verdict::Lock;
use crate::view::{Manner, Progress, Room, picture, rough};

pub fn show(args: &StatusArgs) -> ExitCode {
    if args.follow {
        return follow(&args.state_dir, args.view.progress).unwrap_or_else(|| {
            let folder = args.state_dir.display();
            eprintln!("guestbake: nothing to follow: no run has left its trail in {folder}");
            ExitCode::Internal
        });
    }
    // It knows more than the report, which is written after each stage.
    let current = args.report.is_none() && !args.json && Lock::is_taken(&args.state_dir);
    if let (true, Some((board, now))) = (current, board(&args.state_dir)) {
        println!("running: {}, {}", board.title, rough(now));
        let room = Room {
            columns: 200,
            rows: usize::MAX,
        };
        let lines = picture(&board, now, room, Manner::of_stdout(Progress::Live).signs());
        for line in lines.iter().skip(1) {
            println!("{}", line.painted(false));
        }
        return ExitCode::Done;
    }
    let latest = || latest_report(&args.state_dir);
    let path = args.report.clone().unwrap_or_else(latest);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!(
                "guestbake: no run to report on: {}: {error}",
                path.display()
            );
            return ExitCode::Internal;
        }
    };
    if args.json {
        print!("{text}");
        return ExitCode::Done;
    }
    match Report::parse(&text) {
        Ok(report) => {
            print!("{}", in_words(&report, Lock::is_taken(&args.state_dir)));
            ExitCode::Done
        }
        Err(error) => {
            eprintln!("guestbake: {}: {error}", path.display());
            ExitCode::Internal
        }
    }
}

/// That of the run going on, or of the last one.
pub fn latest_report(state: &Path) -> PathBuf {
    let current = state.join("report.json");
    match current.exists() {
        true => current,
        false => DEFAULT_REPORT.into(),
    }
}

fn in_words(report: &Report, going_on: bool) -> String {
    let mut lines = Vec::new();
    let head = match (&report.result, report.stage) {
        (Some(result), _) => format!("{} after {:.1}s", result.verdict.marker(), result.elapsed_s),
        (None, Some(stage)) if going_on => format!("running: stage {stage}"),
        (None, Some(stage)) => format!("ended without a verdict in stage {stage}"),
        (None, None) => "just started".to_owned(),
    };
    lines.push(format!("{head} (started {})", report.started));
    lines.extend(
        report
            .guest
            .as_ref()
            .map(|guest| format!("guest: {}, {}", guest.arch, guest.accel)),
    );
    let cause = report
        .result
        .as_ref()
        .and_then(|result| result.message.as_ref());
    lines.extend(cause.map(|message| format!("cause: {message}")));
    lines.extend(
        report
            .stages
            .iter()
            .map(|stage| format!("{:>9.1}s  {}", stage.seconds, stage.stage)),
    );
    lines.extend(report.services.iter().map(|service| {
        let (name, attempts) = (&service.name, service.attempts);
        match (service.ready_s, &service.last_error) {
            (Some(ready_s), _) => format!("{ready_s:>9.1}s  {name} ready, {attempts} attempts"),
            (None, Some(error)) => {
                format!("           {name} not ready, {attempts} attempts: {error}")
            }
            (None, None) => format!("           {name} not ready"),
        }
    }));
    lines.push(String::new());
    lines.join("\n")
}

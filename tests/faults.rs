//! Faults of what the agent stands on: an engine that hangs, consoles and disks that take nothing, a worker that hangs.
//! `reasons.rs` has the table of all that fails for a reason of its own; here the marker must come in spite of it.

mod support;

use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Signal, kill_process};
use support::engine::PrivateEngine;
use support::image::tools_image;
use support::provision::{Provision, container, idle};

/// Beyond the bound: a busy machine, and the program's start.
const SLACK: Duration = Duration::from_secs(20);

fn never(name: &str) -> String {
    idle(name)
        + &format!("[[wait.services]]\nname = 'never'\ncontainer = '{name}'\nexec = ['false']\n")
}

/// The run's deadline ends what nothing else would.
#[test]
fn an_engine_that_hangs_at_any_stage() {
    let migration =
        "[[migrations]]\nname = 'm'\ncontainer = 'hang-m'\ncommand = ['sleep', '100']\n";
    let slow_to_stop = "trap : TERM; while :; do sleep 1; done";
    // The plan, what is said when the engine is made to hang, and the stages in which it may then be noticed.
    let cases = [
        (idle("hang-i"), "stage engine done", "images containers"),
        (never("hang-w"), "still waiting", "wait"),
        (
            idle("hang-m") + migration,
            "migration m started",
            "migrations",
        ),
        (
            container("hang-e", slow_to_stop).replace("\"1s\"", "\"60s\""),
            "stage smoke done",
            "stop",
        ),
    ];
    std::thread::scope(|scope| {
        for (plan, when, stages) in cases {
            scope.spawn(move || {
                let engine = PrivateEngine::start();
                tools_image(&engine);
                let plan = format!(
                    "run.timeout = '8s'\nwait.timeout = '60s'\nwait.heartbeat = '1s'\n{plan}"
                );
                let run = Provision::on(&engine, &plan).start();
                run.until_console(when);
                engine.stop();
                let ended = run.end();
                engine.cont();
                assert_eq!(ended.reason(), "deadline_exceeded", "{}", ended.console);
                let stage = ended.result["stage"].as_str().unwrap_or_default();
                assert!(stages.contains(stage), "{stage}:\n{}", ended.console);
                // The limit, diagnostics, and the attempt to stop the containers.
                let bound = Duration::from_secs(8 + 20 + 30);
                assert!(ended.took < bound + SLACK, "{stage}: {:?}", ended.took);
                println!(
                    "engine hangs in stage {stage}: marker after {:?} of {bound:?}",
                    ended.took
                );
            });
        }
    });
}

#[test]
fn a_worker_that_hangs_until_somebody_insists() {
    let run = Provision::new(&never("stopped")).start();
    run.until_console("container stopped started");
    kill_process(run.worker(), Signal::STOP).unwrap();
    run.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(200));
    run.signal(Signal::TERM);
    let ended = run.end();
    ended.assert_failed(60, "interrupted", "wait", &["SIGTERM came a second time"]);
    assert!(ended.took < SLACK, "{:?}", ended.took);
}

/// SIGUSR1 shows what is known now, and the run goes on.
#[test]
fn diagnostics_on_request() {
    let plan = container("usr1", "echo still here; sleep 3; touch /ready; sleep 100")
        + "[[wait.services]]\nname = 'usr1'\ncontainer = 'usr1'\nexec = ['test', '-f', '/ready']\n";
    let run = Provision::new(&plan).start();
    run.until_console("container usr1 started");
    run.signal(Signal::USR1);
    let ended = run.end();
    ended.assert_done();
    ended.assert_shows("---- containers ----");
    ended.assert_shows("usr1 | still here");
}

/// Where lines go must not matter for the marker on the others.
#[test]
fn consoles_and_a_report_that_take_nothing() {
    let provision = Provision::new("");
    let fifo = provision.bundle().with_file_name("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let fifo = fifo.to_str().unwrap();
    let ended = provision
        .args([
            "--console",
            fifo,
            "--console",
            "/dev/full",
            "--console",
            "/dev/no-such-console",
        ])
        .args([
            "--report",
            "/proc/no/report.json",
            "--state-dir",
            "/proc/no",
        ])
        .run();
    ended.assert_done();
    assert!(
        ended.took < Duration::from_secs(10) + SLACK,
        "{:?}",
        ended.took
    );
}

/// A program that is stopped while it writes leaves half a line; the marker stands alone behind it.
#[test]
fn another_program_s_half_line() {
    let provision = Provision::new("");
    std::fs::write(
        provision.console_file(),
        "[  1.0] another program's half li",
    )
    .unwrap();
    provision.run().assert_done();
}

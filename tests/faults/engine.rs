//! An engine that hangs: each stage on an engine of its own, with a limit of 8 s for the whole run.

use rustix::process::{Signal, kill_process};

use crate::causes::archive_plan;
use crate::support::engine::PrivateEngine;
use crate::support::image::{ImageArchive, layer, tools_image};
use crate::support::provision::{Ended, Provision, container, idle};

/// Stops the engine once the console says `when`.
fn hangs(plan: &str, when: &str, with: impl FnOnce(Provision) -> Provision) -> Ended {
    let engine = PrivateEngine::start();
    tools_image(&engine);
    let plan =
        format!("run.timeout = '8s'\nwait.timeout = '60s'\nwait.heartbeat = '100ms'\n{plan}");
    let run = with(Provision::on(&engine, &plan)).start();
    run.until_console(when);
    engine.stop();
    let ended = run.end();
    engine.cont();
    ended
}

fn never(name: &str) -> String {
    idle(name)
        + &format!("[[wait.services]]\nname = 'never'\ncontainer = '{name}'\nexec = ['false']\n")
}

/// The machine is shown, however long the plan would wait for its engine.
pub fn hangs_and_the_worker_is_killed() -> Ended {
    let engine = PrivateEngine::start();
    tools_image(&engine);
    let run = Provision::on(&engine, &never("hang-k")).start();
    run.until_console("container hang-k started");
    engine.stop();
    kill_process(run.worker(), Signal::KILL).unwrap();
    let ended = run.end();
    engine.cont();
    ended.assert_shows("---- memory ----");
    ended
}

pub fn hangs_while_loading() -> Ended {
    // Enough for more than one line about it.
    let big = ImageArchive::new(
        "reasons/big:latest",
        vec![layer(&[("big", &noise(200 << 20))])],
    );
    hangs(&archive_plan("big"), "loading img.tar: ", |run| {
        run.file("img.tar", big.bytes())
    })
}

/// Bytes that no file system makes small.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

pub fn hangs_while_creating() -> Ended {
    let plan: String = (0..80).map(|n| idle(&format!("create-{n}"))).collect();
    hangs(&plan, "stage images done", |run| run)
}

pub fn hangs_while_starting() -> Ended {
    // One after the other: while the last ones are started, the engine hangs.
    let plan: String = (0..12)
        .map(|n| {
            let before = format!("depends_on = ['start-{}']\n", n - 1);
            idle(&format!("start-{n}")) + if n > 0 { &before } else { "" }
        })
        .collect();
    hangs(&plan, "container start-0 started", |run| run)
}

pub fn hangs_while_waiting() -> Ended {
    hangs(&never("hang-w"), "still waiting", |run| run)
}

pub fn hangs_while_migrating() -> Ended {
    let plan = idle("hang-m")
        + "[[migrations]]\nname = 'm'\ncontainer = 'hang-m'\ncommand = ['sleep', '100']\n";
    hangs(&plan, "migration m started", |run| run)
}

pub fn hangs_while_stopping() -> Ended {
    let plan =
        container("hang-e", "trap : TERM; while :; do sleep 1; done").replace("\"1s\"", "\"60s\"");
    hangs(&plan, "stage smoke done", |run| run)
}

pub fn hangs_during_diagnostics() -> Ended {
    let plan = container("hang-d", "sleep 1; exit 3")
        + "[[wait.services]]\nname = 'never'\ncontainer = 'hang-d'\nexec = ['false']\n";
    hangs(&plan, "stage wait failed", |run| run)
}

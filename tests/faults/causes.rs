//! What fails for a reason of its own: the runs behind the rows of the table.

use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::support::engine::{EngineOptions, PrivateEngine};
use crate::support::image::{ImageArchive, TOOLS, host_architecture, layer};
use crate::support::provision::{Ended, Provision, container, idle, inspect};
use crate::support::server::{self, free_port};

pub fn other_architecture() -> &'static str {
    match host_architecture() {
        "amd64" => "arm64",
        _ => "amd64",
    }
}

pub fn several_errors() -> Ended {
    let plan = "[containers.web]\nimgae = 'x'\n\n[[wait.services]]\ncontainer = 'nobody'\nname = 's'\nlog = 'x'\n";
    let ended = Provision::new(plan).run();
    ended.assert_shows("| guestbake.toml:2:1: containers.web.imgae");
    ended.assert_shows("| guestbake.toml:5:");
    ended
}

pub fn engine_within_a_second() -> String {
    "engine.timeout = '1s'\n".to_owned() + &idle("unused")
}

/// A container that stays up with a service that never comes.
pub fn never(name: &str) -> String {
    idle(name)
        + &format!(
            "[[wait.services]]\nname = 'never'\ncontainer = '{name}'\ntcp = '127.0.0.1:{}'\n",
            free_port()
        )
}

/// A container that is waited for in vain, until it is not worth it any more.
pub fn waiting(name: &str, script: &str, keys: &str) -> Ended {
    let service = format!(
        "[[wait.services]]\nname = 'never'\ncontainer = '{name}'\ntcp = '127.0.0.1:{}'\n",
        free_port()
    );
    let ended = Provision::new(&(container(name, script) + keys + &service)).run();
    assert!(!inspect(name).is_null(), "the evidence is gone");
    ended
}

pub fn unhealthy() -> Ended {
    crate::support::provision::engine().check_health_of("unhealthy");
    let check =
        "healthcheck = { test = 'echo port is closed; exit 1', interval = '100ms', retries = 2 }\n";
    waiting("unhealthy", "sleep 100000", check)
}

pub fn by_label(plan: &str) -> Ended {
    let provision = Provision::new(&(plan.to_owned() + &idle("unused")));
    let plan = provision.bundle().join("guestbake.toml");
    provision
        .bundled_in(None)
        .args(["--plan".into(), plan.into_os_string()])
        .run()
}

pub fn garbage_iso() -> Ended {
    let provision = Provision::new("").file("garbage.iso", vec![7; 100_000]);
    let iso = provision.bundle().join("garbage.iso");
    provision.bundled_in(Some(iso)).run()
}

pub fn hung_engine() -> Ended {
    let engine = PrivateEngine::start();
    engine.stop();
    Provision::on(&engine, &engine_within_a_second()).run()
}

pub fn small_image(tag: &str) -> ImageArchive {
    ImageArchive::new(tag, vec![layer(&[("etc/name", tag.as_bytes())])])
}

pub fn archive_plan(name: &str) -> String {
    format!(
        "[images]\narchives = ['img.tar']\nrequire = ['reasons/{name}:latest']\n{}",
        idle("unused")
    )
}

pub fn with_archive(name: &str, change: impl FnOnce(&mut ImageArchive)) -> Ended {
    let mut image = small_image(&format!("reasons/{name}:latest"));
    change(&mut image);
    Provision::new(&archive_plan(name))
        .file("img.tar", image.bytes())
        .run()
}

pub fn small_data_root() -> Ended {
    let engine = PrivateEngine::start_with(EngineOptions {
        data_root_size: Some(8 << 20),
        ..EngineOptions::default()
    });
    let image = ImageArchive::new(
        "reasons/big:latest",
        vec![layer(&[("big", &vec![7; 16 << 20])])],
    );
    Provision::on(&engine, &archive_plan("big"))
        .file("img.tar", image.bytes())
        .run()
}

/// A migration in a running container.
pub fn migrated(container: &str, keys: &str, name: &str, timeout: &str, script: &str) -> Ended {
    let migration = format!(
        "[[migrations]]\nname = '{name}'\ncontainer = '{container}'\ntimeout = '{timeout}'\n\
         command = ['sh', '-c', '''{script}''']\n"
    );
    Provision::new(&(idle(container) + keys + &migration)).run()
}

/// Of its output, the last 200 lines are on the console, and all of it in the log.
pub fn long_failure(container: &str, target: &str) -> Ended {
    let migration = format!(
        "[[migrations]]\nname = 'bad'\n{target}\n\
         command = ['sh', '-c', 'seq 300 | sed \"s/^/line /\"; exit 3']\n\
         [[migrations]]\nname = 'unreached'\ncontainer = '{container}'\ncommand = ['true']\n"
    );
    let ended = Provision::new(&(idle(container) + &migration)).run();
    let shown = |number: usize| ended.lines().any(|line| line == format!("| line {number}"));
    assert!(
        (101..=300).all(shown) && !shown(100),
        "not the last 200 lines:\n{}",
        ended.console
    );
    assert!((1..=300).all(|number| ended.log.contains(&format!("bad | line {number}\n"))));
    assert!(!ended.log.contains("unreached"));
    assert_eq!(ended.report["migrations"][0]["exit_code"], 3);
    ended
}

pub fn slow_one_shot() -> Ended {
    let plan = idle("slow-shot")
        + &format!(
            "[[migrations]]\nname = 'slow'\nimage = '{TOOLS}'\nnetwork_mode = 'host'\ntimeout = '5s'\n\
             container_name = 'slow-shot-own'\ncommand = ['sh', '-c', 'echo working; sleep 100000']\n"
        );
    let ended = Provision::new(&plan).run();
    assert_eq!(inspect("slow-shot-own")["State"]["Running"], false);
    ended.assert_shows("| working");
    ended
}

pub fn dies_during_migration() -> Ended {
    let plan = container(
        "dies-meanwhile",
        "until [ -e /tmp/go ]; do sleep 0.05; done; exit 5",
    ) + "[[wait.services]]\nname = 'up'\ncontainer = 'dies-meanwhile'\nexec = ['true']\n\
         [[migrations]]\nname = 'cut'\ncontainer = 'dies-meanwhile'\ncommand = ['sh', '-c', 'touch /tmp/go; sleep 100000']\n";
    Provision::new(&plan).run()
}

pub fn never_ready() -> Ended {
    let plan = "wait.timeout = '5s'\n".to_owned()
        + &idle("never-ready")
        + &format!(
            "[[wait.services]]\nname = 'closed'\ntcp = '127.0.0.1:{}'\n\
             [[wait.services]]\nname = 'silent'\ncontainer = 'never-ready'\n\
             exec = ['sh', '-c', 'echo not yet; exit 1']\n\
             [[wait.services]]\nname = 'good'\ncontainer = 'never-ready'\nexec = ['true']\n",
            free_port()
        );
    let ended = Provision::new(&plan).run();
    assert!(!ended.message().contains("good"), "{}", ended.message());
    ended
}

pub fn removed() -> Ended {
    let run = Provision::new(&never("removed")).start();
    run.until_console("container removed started");
    let answer =
        crate::support::provision::engine().request("DELETE", "/containers/removed?force=1", b"");
    assert_eq!(answer.status, 204, "{}", answer.body);
    run.end()
}

pub fn smoke_plan(container: &str, command: &str, port: u16, timeout: &str) -> String {
    idle(container)
        + &format!(
            "[smoke]\nwhen = 'always'\ntimeout = '{timeout}'\n\
             [smoke.container]\ncontainer_name = '{container}-own'\nimage = '{TOOLS}'\nnetwork_mode = 'host'\n\
             command = ['sh', '-c', '{command}']\n\
             [[smoke.checks]]\nname = 'backend'\nhttp = 'http://127.0.0.1:{port}/'\n"
        )
}

pub fn smoke_answers_503() -> Ended {
    let port = server::http(|_| (503, String::new(), "the database is away".into()));
    let ended = Provision::new(&smoke_plan(
        "smoke-503",
        "echo smoking; sleep 100000",
        port,
        "5s",
    ))
    .run();
    assert_eq!(ended.smoke(), "failed");
    ended.assert_shows("smoke-503-own | smoking");
    ended
}

pub fn smoke_dies() -> Ended {
    let ended = Provision::new(&smoke_plan("smoke-dies", "exit 6", free_port(), "60s")).run();
    assert_eq!(ended.smoke(), "failed");
    ended
}

pub fn interrupted(name: &str, signal: Signal) -> Ended {
    let run = Provision::new(&never(name)).start();
    run.until_console(&format!("container {name} started"));
    run.signal(signal);
    let ended = run.end();
    assert_eq!(inspect(name)["State"]["Running"], false, "{name} runs on");
    ended.assert_shows("---- containers ----");
    ended
}

/// The second one does not wait for a container that takes its time to stop.
pub fn interrupted_twice() -> Ended {
    let plan = never("stubborn")
        .replace("trap 'exit 0' TERM", "trap '' TERM")
        .replace("grace_period = \"1s\"", "grace_period = \"25s\"");
    let run = Provision::new(&plan).start();
    run.until_console("container stubborn started");
    run.signal(Signal::TERM);
    run.until_console("---- containers ----");
    run.signal(Signal::TERM);
    let ended = run.end();
    assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
    ended
}

pub fn killed_worker(name: &str, signal: Signal) -> Ended {
    let run = Provision::new(&never(name)).start();
    run.until_console(&format!("container {name} started"));
    let worker = run.worker();
    kill_process(worker, signal).unwrap();
    // The first SIGSEGV goes to Rust's own handler, which expects the fault again if it was one.
    if signal == Signal::SEGV {
        std::thread::sleep(Duration::from_millis(500));
        let _ = kill_process(worker, signal);
    }
    let ended = run.end();
    // The dump that the worker could not make any more.
    ended.assert_shows(&format!("{name}: running"));
    ended
}

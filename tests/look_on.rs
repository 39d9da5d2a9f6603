//! Looking on from another terminal, and what one takes along.

mod support;

use std::ffi::OsString;
use std::fs;
use std::process::{Command, Output};

use rustix::process::{Signal, kill_process};
use support::provision::{FAILED, Provision, Running, container, idle, touch};
use support::server::free_port;

fn text(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    String::from_utf8_lossy(&output.stdout).into_owned() + &stderr
}

fn status(run: &Running, more: &[&str]) -> Output {
    let state = run.provision().state_dir().into_os_string();
    let args: Vec<OsString> = ["--state-dir".into(), state]
        .into_iter()
        .chain(more.iter().map(Into::into))
        .collect();
    run.provision().verb_alone("status", args)
}

fn waits(name: &str) -> String {
    format!(
        "{}[[wait.services]]\nname = 'up'\ncontainer = '{name}'\nexec = ['true']\n\
         [[wait.services]]\nname = 'never'\ncontainer = '{name}'\ntcp = '127.0.0.1:{}'\n",
        container(name, "until test -e /tmp/go; do usleep 50000; done; exit 4"),
        free_port()
    )
}

#[test]
fn a_second_shell_sees_the_services_and_follows_to_the_end() {
    let run = Provision::new(&waits("followed")).start();
    run.until_console("up ready");
    let shown = support::provision::until("the service's error", || {
        let shown = text(&status(&run, &[]));
        shown.contains("never  connection refused").then_some(shown)
    });
    assert!(shown.starts_with("running: guestbake run, "), "{shown}");
    assert!(shown.contains("wait: 1 of 2 ready"), "{shown}");

    let follower = std::thread::scope(|scope| {
        let follower = scope.spawn(|| status(&run, &["--follow"]));
        touch("followed", "/tmp/go");
        follower.join().unwrap()
    });
    // The same lines from the first to the last, and the same exit code.
    assert_eq!(follower.status.code(), Some(31), "{}", text(&follower));
    let stdout = String::from_utf8(follower.stdout).unwrap();
    assert!(stdout.ends_with(&format!("\n{FAILED}\n")), "{stdout}");
    let again = status(&run, &["--follow"]);
    assert_eq!(
        String::from_utf8(again.stdout).unwrap(),
        stdout,
        "the last run"
    );
    let ended = run.end();
    assert_eq!(ended.stdout, stdout);
}

#[test]
fn whoever_follows_sees_the_same_picture() {
    let run = Provision::new(&waits("pictured")).start();
    run.until_console("up ready");
    let state = run.provision().state_dir();
    let state = state.to_str().unwrap();
    let terminal =
        run.provision()
            .alone_on_terminal("status", &["--follow", "--state-dir", state], 80, 24);
    let screen = terminal.until("the service's error", |screen| {
        screen.contains("… never  connection refused")
    });
    println!("{screen}");
    assert!(screen.contains("── guestbake run, "), "{screen}");
    run.signal(Signal::TERM);
    assert_eq!(terminal.end(), 60);
    assert_eq!(run.end().reason(), "interrupted");
}

#[test]
fn a_run_that_was_killed_is_not_followed_for_ever() {
    let run = Provision::new(&waits("killed")).start();
    run.until_console("up ready");
    for process in [run.guardian(), run.worker()] {
        let _ = kill_process(process, Signal::STOP);
    }
    for process in [run.worker(), run.guardian()] {
        let _ = kill_process(process, Signal::KILL);
    }
    let output = status(&run, &["--follow"]);
    assert_eq!(output.status.code(), Some(70), "{}", text(&output));
    assert!(
        text(&output).contains("ended without a verdict"),
        "{}",
        text(&output)
    );
}

#[test]
fn there_may_be_nothing_to_follow() {
    let args = ["--follow", "--state-dir", "/nowhere"].map(OsString::from);
    let output = Provision::new("").verb_alone("status", args.to_vec());
    assert_eq!(output.status.code(), Some(70));
    assert!(
        text(&output).contains("no run has left its trail in /nowhere"),
        "{output:?}"
    );
}

const SECRET: &str = "hunter2hunter2";

#[test]
fn diagnose_writes_one_archive_without_a_secret() {
    let plan = format!(
        "finish.capture = true\n{}environment = {{ DB_PASSWORD = '{SECRET}' }}\n",
        container(
            "taken-along",
            "echo I am here with $DB_PASSWORD; trap 'exit 0' TERM; sleep 100000 & wait"
        )
    );
    let run = Provision::new(&plan).start();
    let (ended, folder) = run.end_keeping_files();
    assert_eq!(ended.code, Some(0), "{}", ended.console);
    let archive = folder.path().join("dump.tar.gz");
    let path = |name: &str| folder.path().join(name).into_os_string();
    let provision = Provision::new(&plan).args([
        "--output".into(),
        archive.clone().into_os_string(),
        "--log".into(),
        path("provision.log"),
        "--report".into(),
        path("report.json"),
    ]);
    let output = provision.verb("diagnose");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(
        text(&output).contains("dump.tar.gz: 7 files"),
        "{}",
        text(&output)
    );
    let unpacked = Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(folder.path())
        .output()
        .expect("tar");
    assert!(unpacked.status.success(), "{}", text(&unpacked));
    let file = |name: &str| {
        let text = fs::read_to_string(folder.path().join("dump").join(name));
        let text = text.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!text.contains(SECRET), "{name}:\n{text}");
        text
    };
    assert!(file("diagnostics.txt").contains("taken-along: running"));
    assert!(file("containers/taken-along.log").contains("I am here with ***"));
    assert!(file("containers/taken-along.json").contains("\"status\": \"running\""));
    assert!(file("plan.toml").contains("[containers.taken-along]"));
    assert!(file("provision.log").contains("STACK_SERVICES_READY"));
    assert!(file("report.json").contains("\"stages\""));
    assert!(file("kernel.log").contains("] "));
}

#[test]
fn diagnose_without_an_engine_still_shows_the_machine() {
    let provision = Provision::at("unix:///nowhere/docker.sock", &idle("nothing"));
    let output = provision.verb("diagnose");
    assert_eq!(output.status.code(), Some(20), "{}", text(&output));
    assert!(
        text(&output).contains("---- memory ----"),
        "{}",
        text(&output)
    );
    let packed = provision.args(["--output", "-"]).verb("diagnose");
    assert_eq!(packed.status.code(), Some(20));
    assert_eq!(packed.stdout[..2], [0x1f, 0x8b], "gzip's magic");
}

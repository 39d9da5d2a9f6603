//! The other verbs, which look at a bundle or at what is running, and a run beside another.

mod support;

use std::ffi::OsStr;
use std::process::Output;

use rustix::process::Signal;
use support::engine::PrivateEngine;
use support::image::{ImageArchive, TOOLS, tools_image};
use support::provision::{Provision, container, idle, inspect, touch};
use support::server::free_port;

fn text(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    String::from_utf8_lossy(&output.stdout).into_owned() + &stderr
}

#[track_caller]
fn assert_code(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", text(output));
    text(output)
}

#[test]
fn check_prints_the_effective_plan_which_is_a_plan_again() {
    let plan = idle("checked")
        + "depends_on = ['first']\n"
        + &idle("first")
        + "[[wait.services]]\nname = 'up'\ncontainer = 'first'\nexec = ['true']\n";
    let output = Provision::new(&plan).verb("check");
    assert_code(&output, 0);
    let effective = String::from_utf8(output.stdout).unwrap();
    // What the plan left to the defaults, and the order they start in.
    assert!(effective.contains("timeout = \"25m\""), "{effective}");
    assert!(effective.find("[containers.first]") < effective.find("[containers.checked]"));
    assert_code(&Provision::new(&effective).verb("check"), 0);
}

#[test]
fn check_shows_the_plan_of_an_emulated_guest_too() {
    let plan = idle("checked")
        + "[wait]\ntimeout = '1m'\n[emulation.containers.checked]\nenvironment = { SLOW = '1' }\n";
    let native = assert_code(&Provision::new(&plan).verb("check"), 0);
    assert!(native.contains("timeout = \"1m\""), "{native}");
    assert!(!native.contains("SLOW"), "{native}");
    let emulated = Provision::new(&plan).args(["--accel", "tcg"]).verb("check");
    let emulated = assert_code(&emulated, 0);
    for part in [
        "# limits under emulation: wait 60s → 300s",
        "timeout = \"5m\"",
        "SLOW = \"1\"",
    ] {
        assert!(emulated.contains(part), "no {part}:\n{emulated}");
    }
}

#[test]
fn check_touches_nothing() {
    let engine = PrivateEngine::start();
    let provision = Provision::on(&engine, &idle("untouched")).file("note", "as it was");
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(provision.bundle())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = files();
    assert_code(&provision.verb("check"), 0);
    assert_eq!(files(), before);
    assert!(!provision.state_dir().exists());
    let containers = engine.request("GET", "/containers/json?all=1", b"").body;
    assert_eq!(containers.trim(), "[]");
    // It does not even ask.
    engine.stop();
    assert_code(&provision.verb("check"), 0);
}

#[test]
fn check_names_every_error_with_its_line() {
    let plan = "[containers.web]\n\
                image = 'x'\n\
                imagine = 1\n\
                depends_on = ['nobody']\n\
                [wait]\n\
                timeout = 90\n\
                [[wait.services]]\n\
                name = 's'\n\
                container = 'web'\n\
                tcp = 'no-port'\n";
    let shown = assert_code(&Provision::new(plan).verb("check"), 11);
    for place in [
        "guestbake.toml:3:1: containers.web.imagine",
        "guestbake.toml:4:15: ",
        "guestbake.toml:6:11: wait.timeout",
        "guestbake.toml:10:7: wait.services[0].tcp",
    ] {
        assert!(shown.contains(place), "no {place}:\n{shown}");
    }
}

#[test]
fn check_reads_no_shell_as_the_guest_has_another() {
    let compose = "services: {aa: {image: 'x:${TAG:-none}', volumes: ['${PWD}/conf:/conf:ro']}}\n";
    let provision = Provision::new("compose = 'compose.yaml'\n")
        .file("compose.yaml", compose)
        .file(".env", "TAG=of-file\n")
        .file("conf/a", "a")
        .environment("TAG", "of-shell");
    let effective = assert_code(&provision.verb("check"), 0);
    assert!(effective.contains("image = \"x:of-file\""), "{effective}");
    let source = "source = \"/var/lib/guestbake/files/conf\", target = \"/conf\"";
    assert!(effective.contains(source), "{effective}");
}

/// Keys that are called as secrets are, but have none behind them.
#[test]
fn what_is_wrong_is_not_masked_because_of_the_keys_name() {
    let plan = "compose = 'keycloak.yaml'\n[containers.token]\n";
    let compose = "services: {keycloak: {image: x, prots: [80]}}\nsecrets: {s: {file: /x}}\n";
    let provision = Provision::new(plan).file("keycloak.yaml", compose);
    let lines = [
        "guestbake.toml:2:1: containers.token: missing key `image`",
        "keycloak.yaml:1:33: services.keycloak.prots: unknown key; did you mean `ports`?",
        "keycloak.yaml:2:21: secrets.s.file: \"/x\" is outside of the bundle; expected a relative path",
    ];
    let checked = assert_code(&provision.verb("check"), 11);
    assert_eq!(checked.lines().collect::<Vec<_>>(), lines);
    let ended = provision.run();
    ended.assert_failed(11, "plan_invalid", "plan", &lines[..1]);
    lines.iter().for_each(|line| ended.assert_shows(line));
}

#[test]
fn check_tells_a_bad_bundle_a_bad_plan_and_a_bad_call_apart() {
    let good = || Provision::new(&idle("unused"));
    assert_code(&good().without("build-arch.env").verb("check"), 10);
    let gone = good().bundled_in(Some("/nowhere".into()));
    assert_code(&gone.verb("check"), 10);
    assert_code(&good().file("guestbake.toml", "[").verb("check"), 11);
    assert_code(&good().args(["--no-such-option"]).verb("check"), 64);
    assert_code(&good().verb("no-such-verb"), 64);
    let bad_engine = Provision::at("ftp://engine", "");
    assert_code(&bad_engine.verb("wait"), 64);
}

#[test]
fn a_second_run_says_so_and_leaves_the_first_alone() {
    let plan = idle("first-of-two") + &never("first-of-two");
    let first = Provision::new(&plan).start();
    first.until_console("container first-of-two started");
    let id = inspect("first-of-two")["Id"].clone();
    let console = first.console();

    let second = Provision::new(&plan)
        .args([
            OsStr::new("--console"),
            first.provision().console_file().as_os_str(),
        ])
        .in_state_dir(first.provision().state_dir())
        .start()
        .output();
    let shown = assert_code(&second, 70);
    assert!(shown.contains("another run is going on"), "{shown}");
    let guardian = format!("process {}", first.guardian().as_raw_nonzero());
    assert!(shown.contains(&guardian), "{shown}");

    assert_eq!(
        inspect("first-of-two")["Id"],
        id,
        "its container is another"
    );
    assert!(!first.console()[console.len()..].contains("STACK_CLOUD_INIT"));
    first.signal(Signal::TERM);
    assert_eq!(first.end().reason(), "interrupted");
}

fn never(container: &str) -> String {
    format!(
        "[[wait.services]]\nname = 'never'\ncontainer = '{container}'\ntcp = '127.0.0.1:{}'\n",
        free_port()
    )
}

/// A stack that is up, and stays up.
fn captured(plan: &str) {
    let ended = Provision::new(&format!("finish.capture = true\n{plan}")).run();
    assert_eq!(ended.code, Some(0), "{}", ended.console);
}

#[test]
fn wait_looks_at_what_is_running_and_ends_with_the_code_of_its_stage() {
    let plan = idle("waited");
    captured(&plan);
    let up = "[[wait.services]]\nname = 'up'\ncontainer = 'waited'\nexec = ['true']\n";
    let output = Provision::new(&(plan.clone() + up)).verb("wait");
    assert!(assert_code(&output, 0).contains("up ready ("));
    let impatient = format!("wait.timeout = '3s'\n{plan}{up}") + &never("waited");
    let output = Provision::new(&impatient).verb("wait");
    let shown = assert_code(&output, 32);
    assert!(shown.contains("never (connection refused)"), "{shown}");
    // It was not started again, nor ended.
    assert_eq!(inspect("waited")["State"]["Running"], true);
}

#[test]
fn wait_sees_that_a_container_is_not_there() {
    let plan = idle("never-created") + &never("never-created");
    let shown = assert_code(&Provision::new(&plan).verb("wait"), 31);
    assert!(shown.contains("container never-created is gone"), "{shown}");
}

#[test]
fn migrate_runs_the_migrations_and_ends_with_their_code() {
    let plan = idle("to-migrate");
    captured(&plan);
    let migration = |script: &str| {
        let migration = "[[migrations]]\nname = 'm'\ncontainer = 'to-migrate'\n";
        format!("{plan}{migration}command = ['sh', '-c', '{script}']\n")
    };
    let shown = assert_code(&Provision::new(&migration("echo hello")).verb("migrate"), 0);
    assert!(shown.contains("m | hello"), "{shown}");
    let output = Provision::new(&migration("echo no; exit 3")).verb("migrate");
    let shown = assert_code(&output, 40);
    assert!(
        shown.contains("migration m exited with code 3 after "),
        "{shown}"
    );
}

#[test]
fn smoke_runs_the_test_and_ends_with_its_code() {
    let plan = idle("to-smoke");
    captured(&plan);
    let smoke = |command: &str, timeout: &str| {
        format!(
            "{plan}[smoke]\nwhen = 'unless-tcg'\ntimeout = '{timeout}'\n\
             [[smoke.checks]]\nname = 'c'\ncontainer = 'to-smoke'\nexec = ['{command}']\n"
        )
    };
    let verb = |command: &str, accel: &str, timeout: &str| {
        Provision::new(&smoke(command, timeout))
            .args(["--accel", accel])
            .verb("smoke")
    };
    assert!(assert_code(&verb("true", "kvm", "60s"), 0).contains("smoke test passed"));
    assert!(assert_code(&verb("false", "kvm", "5s"), 50).contains("c (exit code 1)"));
    assert!(assert_code(&verb("false", "tcg", "5s"), 0).contains("smoke test skipped"));
}

#[test]
fn diagnose_shows_containers_logs_probes_and_the_machine() {
    let plan = container(
        "diagnosed",
        "echo I am here; trap 'exit 0' TERM; sleep 100000 & wait",
    );
    captured(&plan);
    let service = "[[wait.services]]\nname = 's'\ncontainer = 'diagnosed'\nexec = ['sh', '-c', 'echo sick; exit 5']\n";
    let shown = assert_code(&Provision::new(&(plan + service)).verb("diagnose"), 0);
    for part in [
        "diagnosed: running",
        "diagnosed | I am here",
        "exit code 5: sick",
        "---- memory ----",
        "---- file systems ----",
        "---- kernel ----",
    ] {
        assert!(shown.contains(part), "no {part}:\n{shown}");
    }
}

#[test]
fn usr1_asks_for_diagnostics_and_the_run_goes_on() {
    let plan = container(
        "asked",
        "echo I am here; trap 'exit 0' TERM; sleep 100000 & wait",
    ) + "[[wait.services]]\nname = 'later'\ncontainer = 'asked'\nexec = ['test', '-e', '/tmp/go']\n";
    let run = Provision::new(&plan).start();
    run.until_console("container asked started");
    run.signal(Signal::USR1);
    run.until_console("asked | I am here");
    touch("asked", "/tmp/go");
    run.end().assert_done();
}

#[test]
fn status_says_where_a_run_stands() {
    let plan = idle("status") + &never("status");
    let run = Provision::new(&plan).start();
    run.until_console("container status started");
    let report = run.provision().report_file();
    let status = |more: &[&str]| {
        let args: Vec<_> = ["--report".into(), report.clone().into_os_string()]
            .into_iter()
            .chain(more.iter().map(Into::into))
            .collect();
        run.provision().verb_alone("status", args)
    };
    let shown = assert_code(&status(&[]), 0);
    assert!(shown.contains("stage wait"), "{shown}");
    let json = assert_code(&status(&["--json"]), 0);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["stage"], "wait");
    run.signal(Signal::TERM);
    let (ended, folder) = run.end_keeping_files();
    assert_eq!(ended.reason(), "interrupted");
    let report = folder.path().join("report.json").into_os_string();
    let output = Provision::new("").verb_alone("status", vec!["--report".into(), report]);
    assert!(assert_code(&output, 0).starts_with("STACK_CLOUD_INIT_FAILED after"));
}

#[test]
fn an_image_that_is_there_already_is_verified_and_not_loaded_again() {
    let engine = PrivateEngine::start();
    tools_image(&engine);
    let plan = format!("[images]\narchives = ['tools.tar']\nrequire = ['{TOOLS}']\n");
    let ended = Provision::on(&engine, &plan)
        .file("tools.tar", ImageArchive::tools(TOOLS).bytes())
        .run();
    ended.assert_done();
    ended.assert_shows("tools.tar");
    let other = ImageArchive {
        command: vec!["other".to_owned()],
        layers: vec![support::image::layer(&[("other", b"content")])],
        ..ImageArchive::tools(TOOLS)
    };
    let ended = Provision::on(&engine, &plan)
        .file("tools.tar", other.bytes())
        .run();
    assert_eq!(
        ended.report["images"][0]["loaded"], true,
        "another image of that name is no proof"
    );
    let ended = Provision::on(&engine, &plan)
        .file("tools.tar", other.bytes())
        .run();
    assert_eq!(ended.report["images"][0]["loaded"], false);
}

//! Runs that begin later, are one stage only, or are held after a failure.

mod support;

use std::process::Command;

use support::engine::PrivateEngine;
use support::image::{ImageArchive, TOOLS};
use support::provision::{DONE, Ended, FAILED, Provision, container, idle, inspect, touch};
use support::server::free_port;

/// A stack that is up, and stays up.
fn captured(plan: &str) {
    let ended = Provision::new(&format!("finish.capture = true\n{plan}")).run();
    assert_eq!(ended.code, Some(0), "{}", ended.console);
}

fn from(plan: &str, stage: &str) -> Ended {
    Provision::new(plan).args(["--from", stage]).run()
}

fn migration(container: &str, script: &str) -> String {
    format!(
        "[[migrations]]\nname = 'm'\ncontainer = '{container}'\ncommand = ['sh', '-c', '{script}']\n"
    )
}

fn service(name: &str, container: &str, probe: &str) -> String {
    format!("[[wait.services]]\nname = '{name}'\ncontainer = '{container}'\n{probe}\n")
}

#[test]
fn a_run_begins_with_a_stage_and_goes_to_the_end() {
    let plan = idle("begun-later") + &service("up", "begun-later", "exec = ['true']");
    captured(&plan);
    let id = inspect("begun-later")["Id"].clone();
    let ended = from(
        &(plan + &migration("begun-later", "echo done")),
        "migrations",
    );
    ended.assert_done();
    ended.assert_shows("migration m done");
    assert_eq!(inspect("begun-later")["Id"], id, "it was created again");
    assert!(!ended.console.contains("started\nup ready"));
    assert_eq!(
        inspect("begun-later")["State"]["Running"],
        false,
        "it was not stopped"
    );
}

#[test]
fn what_is_left_out_must_be_there() {
    let missing = "[images]\nrequire = ['partial/missing:latest']\n".to_owned() + &idle("left-out");
    from(&missing, "containers").assert_failed(
        21,
        "image_load_failed",
        "images",
        &[
            "partial/missing:latest is not there",
            "begin with it: --from images",
        ],
    );
    let ended = from(&idle("never-made"), "wait");
    let words = [
        "container never-made is not there",
        "begin with it: --from containers",
    ];
    ended.assert_failed(30, "container_start_failed", "containers", &words);

    let dead =
        container("made-and-dead", "exit 3") + &service("s", "made-and-dead", "exec = ['true']");
    Provision::new(&dead)
        .run()
        .assert_failed(31, "dependency_exited", "wait", &[]);
    let ended = from(&dead, "wait");
    let words = ["container made-and-dead does not run: exited, exit code 3"];
    ended.assert_failed(30, "container_start_failed", "containers", &words);

    let silent = idle("silent");
    captured(&silent);
    let port = format!("tcp = '127.0.0.1:{}'", free_port());
    let plan = format!(
        "wait.timeout = '2s'\n{silent}{}",
        service("s", "silent", &port)
    );
    let ended = from(&plan, "migrations");
    let words = [
        "TIMEOUT after 2s: s (connection refused)",
        "begin with it: --from wait",
    ];
    ended.assert_failed(32, "wait_timeout", "wait", &words);
}

#[test]
fn migrations_that_are_left_out_are_named() {
    let plan = idle("migrated-before");
    captured(&plan);
    let ended = from(&(plan + &migration("migrated-before", "exit 1")), "smoke");
    ended.assert_done();
    ended.assert_shows("migration m left out, and taken as done");
}

#[test]
fn one_stage_alone_writes_no_marker() {
    let engine = PrivateEngine::start();
    let plan = format!(
        "[images]\narchives = ['tools.tar']\n[finish]\nprune = true\n{}{}{}",
        idle("alone"),
        service("up", "alone", "exec = ['true']"),
        migration("alone", "echo hello"),
    );
    let provision =
        Provision::on(&engine, &plan).file("tools.tar", ImageArchive::tools(TOOLS).bytes());
    let only = |stage: &str| {
        let output = provision.output_of_run(&["--only", stage]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    // Each says what it lacks, until that is there.
    let (code, text) = only("wait");
    assert_eq!(code, Some(21), "{text}");
    assert!(text.contains("--from images"), "{text}");
    for (stage, words) in [
        ("images", "tools.tar loaded"),
        ("containers", "container alone started"),
        ("wait", "up ready"),
        ("migrations", "m | hello"),
        ("smoke", "smoke test skipped"),
        ("stop", "container alone stopped"),
        ("finish", "pruned untagged images: "),
    ] {
        let (code, text) = only(stage);
        assert_eq!(code, Some(0), "{stage}: {text}");
        assert!(text.contains(words), "{stage}: {text}");
    }
    assert_eq!(provision.console(), "");
    assert!(!provision.report_file().exists());
}

#[test]
fn a_failed_run_is_held_and_says_how_to_look_inside() {
    let plan = idle("held") + &service("later", "held", "exec = ['test', '-e', '/tmp/go']");
    let impatient = format!("wait.timeout = '300ms'\n{plan}");
    let run = Provision::new(&impatient).args(["--hold"]).start();
    let (ended, folder) = run.end_keeping_files();
    ended.assert_failed(32, "wait_timeout", "wait", &[]);
    assert!(ended.console.ends_with(&format!("\n{FAILED}\n")));
    assert_eq!(inspect("held")["State"]["Running"], true);
    // The commands work as they stand.
    let command = |what: &str| {
        let line = ended
            .lines()
            .find_map(|line| line.trim().strip_prefix(what));
        line.unwrap_or_else(|| panic!("no {what}:\n{}", ended.console))
            .trim()
            .to_owned()
    };
    let run = |command: &str, timeout: Option<&str>| {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        shell.envs(timeout.map(|seconds| ("STACK_DEPS_TIMEOUT", seconds)));
        let output = shell.output().expect("sh");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (
            output.status.code(),
            text + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, text) = run(&command("machine, logs, probes"), None);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("held: running"), "{text}");
    let (code, text) = run(&command("are the services up?"), None);
    assert_eq!(code, Some(32), "{text}");
    touch("held", "/tmp/go");
    let (code, text) = run(&command("are the services up?"), Some("100"));
    assert_eq!(code, Some(0), "{text}");
    let outlets = ["console", "log", "report", "state-dir"]
        .map(|name| format!(" --{name} {}", folder.path().join(name).display()));
    let go_on = command("go on when mended") + &outlets.concat() + " --no-power-off";
    let (code, text) = run(&go_on, Some("100"));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with(&format!("\n{DONE}\n")), "{text}");
}

#[test]
fn a_run_that_is_interrupted_is_held_too() {
    let port = format!("tcp = '127.0.0.1:{}'", free_port());
    let plan = idle("held-on") + &service("never", "held-on", &port);
    let run = Provision::new(&plan).args(["--hold"]).start();
    run.until_console("container held-on started");
    run.signal(rustix::process::Signal::TERM);
    let ended = run.end();
    ended.assert_failed(60, "interrupted", "wait", &[]);
    assert_eq!(inspect("held-on")["State"]["Running"], true);
    ended.assert_shows("held: everything stays as it is");
}

#[test]
fn what_contradicts_itself_is_refused() {
    for args in [
        ["--only", "wait", "--from", "wait"].as_slice(),
        &["--only", "wait", "--power-off"],
        &["--hold", "--power-off"],
        &["--from", "migration"],
    ] {
        let output = Provision::new("").output_of_run(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{args:?}: {text}");
        if args.contains(&"migration") {
            assert!(
                text.contains("similar value exists: 'migrations'"),
                "{text}"
            );
        }
    }
}

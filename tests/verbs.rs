//! The verbs beside `run`, and runs that meet another one or what it left.

mod support;

use support::engine::PrivateEngine;
use support::image::{ImageArchive, TOOLS, tools_image};
use support::provision::{Provision, container, idle};

#[test]
fn the_stages_alone_work_on_what_is_running() {
    let plan = "finish.capture = true\n".to_owned()
        + &container("verbs", "echo I am here; sleep 100")
        + "[[wait.services]]\nname = 'verbs'\ncontainer = 'verbs'\nexec = ['true']\n\
           [[migrations]]\nname = 'm'\ncontainer = 'verbs'\ncommand = ['echo', 'migrated']\n\
           [smoke]\nwhen = 'always'\n[[smoke.checks]]\nname = 'c'\ncontainer = 'verbs'\nexec = ['true']\n";
    Provision::new(&plan).run();
    let provision = Provision::new(&plan);
    for (verb, says) in [
        ("wait", "verbs ready ("),
        ("migrate", "m | migrated"),
        ("smoke", "smoke test passed"),
        ("diagnose", "verbs | I am here"),
    ] {
        let output = provision.verb(verb);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{verb}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(text.contains(says), "{verb}: {text}");
    }
}

#[test]
fn check_prints_a_plan_that_check_accepts() {
    let output = Provision::new(&idle("checked")).verb("check");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("[containers.checked]"), "{printed}");
    let again = Provision::new(&printed).verb("check");
    assert_eq!(String::from_utf8(again.stdout).unwrap(), printed);
}

#[test]
fn check_names_every_error_and_runs_nothing() {
    let plan = "[wait]\ntimeout = 90\n[containers.unchecked]\nimage = 'x'\nimgae = 'y'\n";
    let output = Provision::new(plan).verb("check");
    assert_eq!(output.status.code(), Some(11));
    let errors = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert!(
        lines[0].starts_with("guestbake.toml:2:11: wait.timeout: \"90\" has no unit"),
        "{errors}"
    );
    assert!(
        lines[1].starts_with("guestbake.toml:5:1: containers.unchecked.imgae: unknown key"),
        "{errors}"
    );
    assert!(output.stdout.is_empty());
    assert_eq!(
        support::provision::inspect("unchecked"),
        serde_json::Value::Null
    );
}

#[test]
fn a_second_run_says_so_and_leaves_the_first_alone() {
    let plan = container("first", "sleep 3")
        + "[[wait.services]]\nname = 'first'\ncontainer = 'first'\ncompleted = true\n";
    let first = Provision::new(&plan).start();
    first.until_console("container first started");
    let second = Provision::new("");
    let state = first.provision().state_dir();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_guestbake"))
        .args(["run", "--no-power-off", "--bundle"])
        .arg(second.bundle())
        .arg("--console")
        .arg(second.console_file())
        .arg("--state-dir")
        .arg(state)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(70));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("another run is going on"), "{words}");
    assert!(!second.console_file().exists());
    first.end().assert_done();
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

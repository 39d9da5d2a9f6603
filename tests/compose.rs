//! Compose files on a real engine: what they say is what runs.

mod support;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::image::TOOLS;
use support::provision::{Ended, Provision, engine, inspect};

/// `guestbake bundle`, with the shared engine's images.
fn bundle(folder: &Path, into: &Path) -> Output {
    let args: Vec<OsString> = vec![
        folder.into(),
        "--into".into(),
        into.into(),
        "--docker-host".into(),
        engine().url().into(),
    ];
    Provision::new("").verb_alone("bundle", args)
}

/// A run of such a bundle. This machine is no guest: what is copied goes with the test.
fn run_of(bundle: PathBuf) -> Ended {
    let provision = Provision::new("");
    let path = bundle.join("guestbake.toml");
    let plan = std::fs::read_to_string(&path).expect("a plan");
    let directory = format!(
        "[compose]\ndirectory = '{}'\n",
        provision.placed_files().display()
    );
    std::fs::write(path, plan.replacen("[compose]\n", &directory, 1)).expect("the plan");
    provision.bundled_in(Some(bundle)).run()
}

/// A plan whose files are copied to a folder of the run's own.
fn composed(compose: &str, more: &str) -> Provision {
    let provision = Provision::new("");
    let plan = format!(
        "[compose]\nfiles = ['compose.yaml']\nproject = 'tested'\ndirectory = '{}'\n{more}",
        provision.placed_files().display()
    );
    provision
        .file("guestbake.toml", plan)
        .file("compose.yaml", compose)
}

#[test]
fn services_run_as_the_file_says_and_are_waited_for_as_up_does() {
    let compose = format!(
        "x-tools: &tools
  image: {TOOLS}
  network_mode: host
  stop_grace_period: 1s
services:
  prepared:
    <<: *tools
    command: [sh, -c, 'test \"$$(cat /run/secrets/word)\" = sesame && test -r /conf/a && echo done >/data/prepared']
    secrets: [word]
    volumes: ['data:/data', './conf:/conf:ro']
  checked:
    <<: *tools
    command: [sh, -c, 'trap \"exit 0\" TERM; sleep 1; touch /tmp/up; sleep 1000 & wait']
    healthcheck: {{test: test -e /tmp/up, interval: 200ms, retries: 100}}
    depends_on: {{prepared: {{condition: service_completed_successfully}}}}
    volumes: [data:/data]
    environment: {{WORD: '${{WORD:-none}}'}}
    sysctls: {{}}
    pids_limit: 50
  plain:
    <<: *tools
    command: [sh, -c, 'trap \"exit 0\" TERM; sleep 1000 & wait']
    depends_on: [checked]
  once:
    <<: *tools
    command: ['true']
secrets: {{word: {{environment: WORD}}}}
volumes: {{data: }}
"
    );
    let ended = composed(
        &compose,
        "[[migrations]]\nname = 'look'\ncontainer = 'plain'\ncommand = ['true']\n\
         [[migrations]]\nname = 'read'\ncontainer = 'checked'\ncommand = ['grep', '-q', 'done', '/data/prepared']\n",
    )
    .file(".env", "WORD='sesame'\n")
    .file("conf/a", "a")
    .run();
    ended.assert_done();
    for line in [
        "prepared ready (",
        "checked ready (",
        "plain ready (",
        "once ready (",
    ] {
        ended.assert_shows(line);
    }
    assert!(!ended.console.contains("sesame"), "{}", ended.console);
    let checked = inspect("checked");
    assert_eq!(checked["HostConfig"]["PidsLimit"], 50);
    assert_eq!(
        checked["Config"]["Labels"]["com.docker.compose.project"],
        "tested"
    );
    assert_eq!(checked["Mounts"][0]["Name"], "tested_data");
}

#[test]
fn a_service_without_a_health_check_that_dies_ends_the_wait() {
    let compose = format!(
        "services: {{dies: {{image: '{TOOLS}', network_mode: host, command: [sh, -c, 'echo last words; exit 3']}}}}"
    );
    let ended = composed(&compose, "").run();
    ended.assert_failed(
        31,
        "dependency_exited",
        "wait",
        &["dies", "code 3", "last words"],
    );
}

#[test]
fn an_unhealthy_service_ends_the_wait() {
    let compose = format!(
        "services: {{ill: {{image: '{TOOLS}', network_mode: host, command: [sleep, '1000'], stop_grace_period: 0s,
          healthcheck: {{test: 'echo ill; false', interval: 100ms, retries: 2}}}}}}"
    );
    let ended = composed(&compose, "").run();
    ended.assert_failed(31, "dependency_unhealthy", "wait", &["ill"]);
}

/// Docker calls a container that has ended unhealthy, if its image or service has a health check.
#[test]
fn a_service_that_completes_may_have_a_health_check() {
    let compose = format!(
        "services:
  migrate: {{image: '{TOOLS}', network_mode: host, command: ['true'], healthcheck: {{test: 'true', interval: 1h}}}}
  app:
    image: {TOOLS}
    network_mode: host
    stop_grace_period: 0s
    command: [sleep, '1000']
    depends_on: {{migrate: {{condition: service_completed_successfully}}}}
"
    );
    composed(&compose, "").run().assert_done();
}

#[test]
fn what_is_not_supported_ends_the_run_with_key_and_line() {
    let compose = format!("services:\n  one:\n    image: {TOOLS}\n    gpus: all\n");
    let ended = composed(&compose, "").run();
    ended.assert_failed(
        11,
        "plan_invalid",
        "plan",
        &["compose.yaml:4:5: services.one.gpus: not supported"],
    );
}

#[test]
fn an_image_that_is_to_be_built_must_be_in_the_bundle() {
    let ended = composed("services: {app: {build: ., network_mode: host}}", "").run();
    ended.assert_failed(21, "image_load_failed", "images", &["tested-app"]);
}

#[test]
fn a_compose_folder_becomes_a_bundle_that_runs() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let folder = dir.path().join("My Stack");
    std::fs::create_dir_all(folder.join("conf")).expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("a file");
    write(
        "compose.yaml",
        &format!(
            "services:\n  packed:\n    image: {TOOLS}\n    network_mode: host\n    stop_grace_period: 0s\n    \
             command: [sh, -c, 'test \"$$A\" = \"b c\" && test -r /conf/x && exec sleep 1000']\n    \
             env_file: app.env\n    volumes: ['./conf:/conf:ro']\n"
        ),
    );
    write("app.env", "A='b c' # quoted\n");
    write("conf/x", "x");
    write("unrelated", "not in the bundle");
    let into = dir.path().join("bundle");
    let packed = bundle(&folder, &into);
    let said = String::from_utf8_lossy(&packed.stderr).into_owned();
    assert_eq!(packed.status.code(), Some(0), "{said}");
    let plan = std::fs::read_to_string(into.join("guestbake.toml")).expect("a plan");
    assert!(plan.contains("project = \"mystack\""), "{plan}");
    assert!(!into.join("unrelated").exists());
    run_of(into.clone()).assert_done();

    // Once more: what is there is not written over.
    assert_eq!(bundle(&folder, &into).status.code(), Some(10));
    write("compose.yaml", "services: {gone: {image: 'nobody/has:it'}}");
    let missing = bundle(&folder, &dir.path().join("b"));
    assert_eq!(missing.status.code(), Some(21));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nobody/has:it"));
}

#[test]
fn a_folder_that_mounts_itself_is_in_the_bundle_without_what_the_bundle_adds() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let folder = dir.path().join("app");
    std::fs::create_dir_all(folder.join("src")).expect("a folder");
    std::fs::write(folder.join("src/main"), "").expect("a file");
    let compose = format!(
        "services:\n  app:\n    image: {TOOLS}\n    network_mode: host\n    stop_grace_period: 0s\n    \
         volumes: ['.:/code']\n    command: [sh, -c, 'cd /code && test -e src/main && test ! -e images.tar.zst && test ! -e out && exec sleep 1000']\n"
    );
    std::fs::write(folder.join("compose.yaml"), compose).expect("a file");
    let into = folder.join("out");
    let packed = bundle(&folder, &into);
    let said = String::from_utf8_lossy(&packed.stderr).into_owned();
    assert_eq!(packed.status.code(), Some(0), "{said}");
    assert!(into.join("src/main").exists() && !into.join("out").exists());
    run_of(into).assert_done();
}

#[test]
fn what_is_proposed_for_a_typical_stack_is_a_plan_that_check_takes() {
    let stacks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose/stacks");
    let mut checked = 0;
    for stack in std::fs::read_dir(stacks).expect("the stacks") {
        let stack = stack.expect("a stack").path();
        let args = ["from-compose".into(), stack.clone().into_os_string()];
        let proposed = Provision::new("").verb_alone("plan", args.into());
        let said = String::from_utf8_lossy(&proposed.stderr).into_owned();
        assert_eq!(proposed.status.code(), Some(0), "{stack:?}: {said}");

        let provision = Provision::new("").file("guestbake.toml", proposed.stdout);
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(stack.join("."))
            .arg(provision.bundle())
            .status();
        assert!(copied.expect("cp").success());
        let effective = provision.verb("check");
        let said = String::from_utf8_lossy(&effective.stderr).into_owned();
        assert_eq!(effective.status.code(), Some(0), "{stack:?}: {said}");
        checked += 1;
    }
    assert!(checked > 10, "only {checked} stacks");
}

//! Secrets of every origin, printed by everything that prints: none is in anything that a run writes.

mod support;

use std::fs;
use std::path::Path;

use support::image::{ImageArchive, TOOLS};
use support::provision::{Ended, Provision, container, engine, inspect};
use support::server;

/// In the env file.
const FROM_FILE: &str = "filed-7f3a91c2";
/// In the plan's `environment`.
const FROM_PLAN: &str = "planned-b84e02d7";
/// The password of a URL in a variable whose name says nothing.
const FROM_URL: &str = "linked-5c1d96fa";
/// In the image's own environment, which no file of the bundle shows.
const FROM_IMAGE: &str = "baked-e902ab47";
const ALL: [&str; 4] = [FROM_FILE, FROM_PLAN, FROM_URL, FROM_IMAGE];

const IMAGE: &str = "guestbake-test/secrets:latest";
const ENV_FILE: &str = "POSTGRES_PASSWORD=filed-7f3a91c2\nVISIBLE=all-may-see-this\n";
const KEYS: &str = r#"
env_file = ["build.env"]
[containers.NAME.environment]
SIGNING_KEY = "planned-b84e02d7"
DATABASE_URL = "postgres://app:linked-5c1d96fa@db/app"
"#;
/// Prints the value of every variable without its name, so that nothing but the value says what it is; the last one in
/// two pieces.
const PRINT: &str = "echo visible $VISIBLE; echo $SIGNING_KEY; echo $DATABASE_URL; echo $IMAGE_TOKEN; \
                     echo $DATABASE_URL | cut -c 16-30; env; \
                     printf filed-7; sleep 0.2; echo f3a91c2";

/// A container that knows all of them and prints them before it does the rest.
fn leaky(name: &str, rest: &str) -> String {
    engine().load(&image().bytes());
    container(name, &format!("{PRINT}; {rest}")).replace(TOOLS, IMAGE) + &KEYS.replace("NAME", name)
}

fn image() -> ImageArchive {
    ImageArchive {
        environment: vec![format!("IMAGE_TOKEN={FROM_IMAGE}")],
        ..ImageArchive::tools(IMAGE)
    }
}

fn run(plan: &str) -> (Ended, tempfile::TempDir) {
    Provision::new(plan)
        .file("build.env", ENV_FILE)
        .start()
        .end_keeping_files()
}

/// In no file that the run wrote and in nothing that it printed.
#[track_caller]
fn assert_hidden(folder: &Path, secrets: &[&str]) {
    let mut looked_at = 0;
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_name() == "bundle" {
            continue;
        }
        if entry.path().is_dir() {
            assert_hidden(&entry.path(), secrets);
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned();
        for secret in secrets {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{}: {line:?}", entry.path().display());
        }
        looked_at += 1;
    }
    assert!(looked_at > 0, "nothing in {}", folder.display());
}

#[test]
fn container_logs_and_exec_answers_are_masked() {
    // It dies once it has been asked five times.
    let asked =
        "until [ $(cat /tmp/asked 2>/dev/null | wc -l) -ge 5 ]; do sleep 0.05; done; exit 3";
    let plan = leaky("secret-log", asked)
        + r#"
        [wait]
        heartbeat = "50ms"
        [[wait.services]]
        name = "chatty"
        container = "secret-log"
        exec = ["sh", "-c", "echo >>/tmp/asked; echo $SIGNING_KEY $POSTGRES_PASSWORD $IMAGE_TOKEN $DATABASE_URL; exit 1"]
        "#;
    let (ended, folder) = run(&plan);
    ended.assert_failed(31, "dependency_exited", "wait", &[]);
    // It is the secrets that are missing, not the lines.
    ended.assert_shows("secret-log | visible all-may-see-this");
    ended.assert_shows("VISIBLE=all-may-see-this");
    ended.assert_shows("chatty (exit code 1: *** *** *** postgres://app:***@db/app)");
    assert_hidden(folder.path(), &ALL);
}

#[test]
fn migration_output_is_masked() {
    for (number, target) in [
        "container = 'secret-migration-0'".to_owned(),
        format!("image = '{IMAGE}'\nnetwork_mode = 'host'\nenvironment = {{ SIGNING_KEY = '{FROM_PLAN}', DATABASE_URL = 'postgres://app:{FROM_URL}@db/app' }}"),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("secret-migration-{number}");
        let plan = leaky(&name, "sleep 100000")
            + &format!(
                "[[migrations]]\nname = 'leaks-{number}'\n{target}\nenv_file = ['build.env']\n\
                 command = ['sh', '-c', '''{PRINT}; echo last $IMAGE_TOKEN; exit 3''']\n"
            );
        let (ended, folder) = run(&plan);
        ended.assert_failed(40, "migration_failed", "migrations", &[": last ***"]);
        assert!(ended.log.contains(&format!("leaks-{number} | visible all-may-see-this")));
        assert_hidden(folder.path(), &ALL);
    }
}

/// Also of a migration that ends well: the log is kept.
#[test]
fn the_output_of_a_good_migration_is_masked() {
    let plan = leaky("secret-good", "trap 'exit 0' TERM; sleep 100000 & wait")
        + &format!(
            "[[migrations]]\nname = 'leaks'\ncontainer = 'secret-good'\n\
             command = ['sh', '-c', '''{PRINT}''']\n\
             [[migrations]]\nname = 'own'\nimage = '{IMAGE}'\nnetwork_mode = 'host'\n\
             command = ['sh', '-c', 'echo from own $IMAGE_TOKEN']\n"
        );
    let (ended, folder) = run(&plan);
    ended.assert_done();
    assert!(ended.log.contains("own | from own ***"), "{}", ended.log);
    assert_hidden(folder.path(), &ALL);
}

#[test]
fn http_answers_and_addresses_are_masked() {
    let port = server::http(|_| {
        let body = format!("{{\"password\": \"{FROM_FILE}\", \"v\": \"{FROM_PLAN}\"}} {FROM_URL}");
        let headers = format!("X-Echo: {FROM_PLAN}\r\nSet-Cookie: session={FROM_FILE}\r\n");
        (503, headers, body)
    });
    let plan = "wait = { timeout = '3s', heartbeat = '200ms' }\n".to_owned()
        + &leaky("secret-http", "sleep 100000")
        + &format!(
            "[[wait.services]]\nname = 'echo'\nhttp = 'http://admin:in-the-address@127.0.0.1:{port}/'\n\
             headers = {{ Authorization = 'Bearer in-the-header' }}\n"
        );
    let plan = plan.replace(
        "wait = { timeout = '3s', heartbeat = '200ms' }\n",
        "[wait]\ntimeout = '3s'\nheartbeat = '200ms'\n",
    );
    let (ended, folder) = run(&plan);
    ended.assert_failed(32, "wait_timeout", "wait", &["echo (status 503)"]);
    ended.assert_shows("http GET http://admin:***@127.0.0.1");
    ended.assert_shows("x-echo: ***");
    let all = [&ALL[..], &["in-the-address", "in-the-header"]].concat();
    assert_hidden(folder.path(), &all);
}

#[test]
fn health_checks_and_the_engine_s_errors_are_masked() {
    let plan = leaky("secret-health", "sleep 100000").replace(
        "env_file",
        "healthcheck = { test = 'echo check of $SIGNING_KEY $IMAGE_TOKEN; exit 1', interval = '100ms', retries = 1 }\nenv_file",
    ) + "[[wait.services]]\nname = 'healthy'\ncontainer = 'secret-health'\nhealthy = true\n";
    support::provision::engine().check_health_of("secret-health");
    let (ended, folder) = run(&plan);
    ended.assert_failed(
        31,
        "dependency_unhealthy",
        "wait",
        &["says: check of *** ***"],
    );
    assert_hidden(folder.path(), &ALL);

    // The engine repeats the command in its error.
    let plan = leaky("secret-start", "true").replace(
        "command = [\"sh\"",
        &format!("command = [\"/no/{FROM_PLAN}/program\""),
    );
    let (ended, folder) = run(&plan);
    ended.assert_failed(
        30,
        "container_start_failed",
        "containers",
        &["/no/***/program"],
    );
    assert_hidden(folder.path(), &ALL);
}

/// Nobody knows it before the run; the engine tells the test afterwards.
#[test]
fn throwaway_secrets_are_masked() {
    let plan = leaky("secret-stack", "sleep 100000")
        + &format!(
            "[smoke]\nwhen = 'always'\n[smoke.container]\ncontainer_name = 'secret-smoke'\nimage = '{IMAGE}'\n\
             network_mode = 'host'\nsecrets = {{ ONE_TIME = 16 }}\n\
             command = ['sh', '-c', 'echo one time $ONE_TIME; echo $IMAGE_TOKEN; exit 4']\n\
             [[smoke.checks]]\nname = 'backend'\nexec = ['sh', '-c', 'echo $ONE_TIME; exit 1']\n"
        );
    let (ended, folder) = run(&plan);
    ended.assert_failed(50, "smoke_failed", "smoke", &["exited with code 4"]);
    ended.assert_shows("secret-smoke | one time ***");
    let environment = inspect("secret-smoke")["Config"]["Env"].clone();
    let variables = environment.as_array().unwrap().iter();
    let throwaway = variables
        .filter_map(|variable| variable.as_str()?.strip_prefix("ONE_TIME="))
        .next()
        .expect("the container got none");
    assert_eq!(throwaway.len(), 32);
    assert_hidden(folder.path(), &[throwaway, FROM_IMAGE]);
}

#[test]
fn errors_of_plan_and_env_file_show_no_value() {
    let plan = leaky("secret-plan", "true") + "unknown_key = 'planned-b84e02d7'\n";
    let (ended, folder) = run(&plan.replace("SIGNING_KEY = ", "SIGNING_KEY = 1 "));
    assert_eq!(ended.code, Some(11), "{}", ended.console);
    assert_hidden(folder.path(), &ALL);

    let (ended, folder) = Provision::new(&leaky("secret-env", "true"))
        .file(
            "build.env",
            format!("BAD NAME={FROM_FILE}\n{FROM_FILE} more\n={FROM_FILE}\n"),
        )
        .start()
        .end_keeping_files();
    assert_eq!(ended.code, Some(11), "{}", ended.console);
    ended.assert_shows("build.env:1");
    assert_hidden(folder.path(), &ALL);
}

#[test]
fn a_killed_worker_s_diagnostics_are_masked() {
    let plan = leaky("secret-killed", "sleep 100000")
        + "[[wait.services]]\nname = 'never'\ncontainer = 'secret-killed'\nexec = ['sh', '-c', 'echo $SIGNING_KEY; exit 1']\n";
    let run = Provision::new(&plan).file("build.env", ENV_FILE).start();
    run.until_console("container secret-killed started");
    rustix::process::kill_process(run.worker(), rustix::process::Signal::KILL).unwrap();
    let (ended, folder) = run.end_keeping_files();
    assert_eq!(ended.reason(), "killed");
    ended.assert_shows("secret-killed | visible all-may-see-this");
    assert_hidden(folder.path(), &ALL);
}

#[test]
fn check_shows_names_and_no_values() {
    let plan = leaky("secret-check", "true")
        + "[[wait.services]]\nname = 'web'\nhttp = 'http://admin:in-the-address@127.0.0.1/'\n\
           headers = { Authorization = 'Bearer in-the-header' }\n";
    let output = Provision::new(&plan)
        .file("build.env", ENV_FILE)
        .verb("check");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("SIGNING_KEY = \"***\""), "{text}");
    assert!(
        text.contains("postgres://app:***@db/app"),
        "the rest of it: {text}"
    );
    for secret in [&ALL[..3], &["in-the-address", "in-the-header"]].concat() {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

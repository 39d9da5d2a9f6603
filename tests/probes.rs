//! Runs that end well on a real engine: every kind of probe, what containers wait for, both kinds of migration, the smoke
//! test run and skipped, capture mode.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use support::image::TOOLS;
use support::provision::{Provision, READY, container, engine, idle, inspect};
use support::server::{self, free_port};

#[test]
fn a_tcp_service_is_ready_when_its_port_is_open() {
    let port = free_port();
    let plan = container("tcp", &format!("sleep 0.5; exec nc -ll -p {port} -e cat"))
        + &format!(
            "[[wait.services]]\nname = 'echo'\ncontainer = 'tcp'\ntcp = '127.0.0.1:{port}'\n\
             [[wait.services]]\nname = 'by-name'\ncontainer = 'tcp'\ntcp = 'localhost:{port}'\n"
        );
    let ended = Provision::new(&plan).run();
    ended.assert_done();
    ended.assert_shows("STACK_PROVISION: echo ready (");
    assert!(ended.ready_s("echo") >= 0.5, "{:?}", ended.report);
    assert!(ended.attempts("echo") > 1);
    assert!(ended.ready_s("by-name") >= 0.5);
}

#[test]
fn an_http_service_is_asked_as_the_plan_says_and_its_answer_judged_so() {
    let asked = AtomicUsize::new(0);
    let port = server::http(move |request| {
        let has = |header: &str| request.headers.iter().any(|line| line == header);
        let status = match request.path.as_str() {
            "/posted" if request.method == "POST" && has("x-probe: yes") => 204,
            "/posted" => 405,
            "/unauthorized" => 401,
            "/moved" => 302,
            _ => 200,
        };
        let body = match request.path.as_str() {
            "/body" if asked.fetch_add(1, Ordering::Relaxed) < 3 => "{\"state\": \"starting\"}",
            "/body" => "{\"state\": \"up\"}",
            _ => "",
        };
        (status, "Location: /elsewhere\r\n".into(), body.into())
    });
    let url = format!("http://127.0.0.1:{port}");
    let plan = format!(
        r#"
        [[wait.services]]
        name = "plain"
        http = "{url}/"
        [[wait.services]]
        name = "posted"
        http = "{url}/posted"
        method = "POST"
        headers = {{ X-Probe = "yes" }}
        [[wait.services]]
        name = "unauthorized"
        http = "{url}/unauthorized"
        status = [200, 401]
        [[wait.services]]
        name = "moved"
        http = "{url}/moved"
        status = [302]
        [[wait.services]]
        name = "body"
        http = "{url}/body"
        body = '"state": *"up"'
        "#
    );
    let ended = Provision::new(&(idle("http") + &plan)).run();
    ended.assert_done();
    for service in ["plain", "posted", "unauthorized", "moved"] {
        assert_eq!(ended.attempts(service), 1, "{service}");
    }
    assert_eq!(ended.attempts("body"), 4);
}

#[test]
fn an_exec_service_is_ready_when_the_command_exits_with_0() {
    let plan = container(
        "exec",
        "sleep 0.5; touch /tmp/done; trap 'exit 0' TERM; sleep 100000 & wait",
    ) + r#"
        [[wait.services]]
        name = "init"
        container = "exec"
        exec = ["test", "-f", "/tmp/done"]
        fatal_exit_codes = [9]
        [[wait.services]]
        name = "as-nobody"
        container = "exec"
        exec = ["sh", "-c", "test $(id -u) = 65534"]
        user = "nobody"
        "#;
    let ended = Provision::new(&plan).run();
    ended.assert_done();
    assert!(ended.ready_s("init") >= 0.5);
    assert!(ended.attempts("init") > 1);
    assert!(ended.ready_s("as-nobody") < ended.ready_s("init"));
}

/// The engine cannot end it, so each attempt would leave one more; of a script also what that has started.
#[test]
fn a_command_that_hangs_is_ended_with_its_attempt() {
    let script = "printf '#!/bin/sh\\nsleep 4712\\nexit 1' >/tmp/hung.sh; chmod +x /tmp/hung.sh; \
                  trap 'exit 0' TERM; sleep 100000 & wait";
    let service = |name: &str, command: &str| {
        format!(
            "[[wait.services]]\nname = '{name}'\ncontainer = 'hung-exec'\nexec = [{command}]\ntimeout = '200ms'\n"
        )
    };
    let plan = "wait.timeout = '2s'\n".to_owned()
        + &container("hung-exec", script)
        + &service("hung", "'sleep', '4711'")
        + &service("hung-script", "'/tmp/hung.sh'")
        + &service("hung-other", "'sh', '-c', 'exec sleep 4713'");
    let ended = Provision::new(&plan).run();
    let words = [
        "hung (no end within 0.2s)",
        "hung-script (no end within 0.2s)",
        "hung-other (no end within 0.2s)",
    ];
    ended.assert_failed(32, "wait_timeout", "wait", &words);
    let processes = engine()
        .request("GET", "/containers/hung-exec/top", b"")
        .body;
    // The last one may have been begun as the budget ended.
    for command in [
        "sleep 4711",
        "/bin/sh /tmp/hung.sh",
        "sleep 4712",
        "sleep 4713",
    ] {
        let left = processes.matches(&format!("\"{command}\"")).count();
        assert!(left <= 1, "{left} are left: {processes}");
    }
}

#[test]
fn a_log_service_is_ready_when_a_line_of_either_stream_matches() {
    let script = "echo not ready; sleep 0.3; echo listening on port 4711 >&2; \
                  trap 'exit 0' TERM; sleep 100000 & wait";
    let plan = container("log", script)
        + r#"
        [[wait.services]]
        name = "line"
        container = "log"
        log = '^listening on port \d+$'
        "#;
    let ended = Provision::new(&plan).run();
    ended.assert_done();
    assert!(ended.ready_s("line") >= 0.3);
}

#[test]
fn a_healthy_service_is_ready_when_docker_s_check_says_so() {
    engine().check_health_of("healthy");
    let plan = container(
        "healthy",
        "sleep 0.5; touch /tmp/up; trap 'exit 0' TERM; sleep 100000 & wait",
    ) + r#"
        healthcheck = { test = ["CMD", "test", "-f", "/tmp/up"], interval = "200ms", retries = 100 }
        [[wait.services]]
        name = "checked"
        container = "healthy"
        healthy = true
        "#;
    let ended = Provision::new(&plan).run();
    ended.assert_done();
    assert!(ended.ready_s("checked") >= 0.5);
}

#[test]
fn a_completed_service_is_ready_when_its_container_ended_with_0() {
    let plan = container("completed", "sleep 0.3; echo worked")
        + "[[wait.services]]\nname = 'once'\ncontainer = 'completed'\ncompleted = true\n";
    let ended = Provision::new(&plan).run();
    ended.assert_done();
    assert!(ended.ready_s("once") >= 0.3);
    assert_eq!(inspect("completed")["State"]["ExitCode"], 0);
}

#[test]
fn stable_wants_good_answers_in_a_row() {
    let asked = AtomicUsize::new(0);
    let port = server::http(move |_| {
        let good = asked.fetch_add(1, Ordering::Relaxed) != 2;
        (if good { 200 } else { 503 }, String::new(), String::new())
    });
    let plan = idle("stable")
        + &format!(
            "[[wait.services]]\nname = 'flaky'\nhttp = 'http://127.0.0.1:{port}/'\nstable = 3\n"
        );
    let ended = Provision::new(&plan).run();
    ended.assert_done();
    // Two good ones, a bad one, three good ones.
    assert_eq!(ended.attempts("flaky"), 6);
}

/// Ends twice with 1, then stays; a restarted container keeps its files.
const THIRD_TIME: &str = "echo x >> /tmp/starts; [ $(wc -l < /tmp/starts) -gt 2 ] || exit 1; \
                          touch /tmp/up; trap 'exit 0' TERM; sleep 100000 & wait";

#[test]
fn as_many_restarts_as_the_plan_tolerates_are_no_failure() {
    let plan = container("restarts", THIRD_TIME)
        + r#"
        restart = "on-failure"
        [[wait.services]]
        name = "third-time"
        container = "restarts"
        exec = ["test", "-f", "/tmp/up"]
        restarts = 2
        "#;
    let ended = Provision::new(&plan).run();
    ended.assert_done();
    assert_eq!(inspect("restarts")["RestartCount"], 2);
}

#[test]
fn one_restart_more_than_the_plan_tolerates_ends_the_wait() {
    let plan = container("restarts-more", THIRD_TIME)
        + r#"
        restart = "on-failure"
        [[wait.services]]
        name = "third-time"
        container = "restarts-more"
        exec = ["test", "-f", "/tmp/never"]
        restarts = 1
        "#;
    let ended = Provision::new(&plan).run();
    let words = [
        "container restarts-more exited with code 1",
        "restarted 2 times, of which the plan tolerates 1",
    ];
    ended.assert_failed(31, "dependency_exited", "wait", &words);
}

#[test]
fn a_container_starts_only_when_those_it_depends_on_are_as_it_wants_them() {
    engine().check_health_of("depends-db");
    let forever = "trap 'exit 0' TERM; sleep 100000 & wait";
    let volume = "volumes = [\"depends-shared:/shared\"]\n";
    let plan = idle("depends-base")
        + &container(
            "depends-init",
            "rm -f /shared/*; sleep 0.4; touch /shared/init",
        )
        + volume
        + &container(
            "depends-db",
            &format!("sleep 0.4; touch /shared/db; {forever}"),
        )
        + volume
        + "healthcheck = { test = ['CMD', 'test', '-f', '/shared/db'], interval = '100ms', retries = 100 }\n\
           depends_on = { depends-init = { condition = 'service_completed_successfully' } }\n"
        + &container(
            "depends-app",
            &format!("test -f /shared/init && test -f /shared/db || exit 9; {forever}"),
        )
        + volume
        + r#"
        [containers.depends-app.depends_on]
        depends-base = { condition = "service_started" }
        depends-db = { condition = "service_healthy" }
        depends-init = { condition = "service_completed_successfully" }
        [[wait.services]]
        name = "app"
        container = "depends-app"
        exec = ["true"]
        "#;
    let ended = Provision::new(&plan).run();
    ended.assert_done();
    let position = |line: &str| {
        ended
            .lines()
            .position(|found| found == line)
            .unwrap_or_else(|| panic!("no {line:?}:\n{}", ended.console))
    };
    let started = |name: &str| position(&format!("container {name} started"));
    let stopped = |name: &str| position(&format!("container {name} stopped"));
    assert!(started("depends-init") < started("depends-db"));
    assert!(started("depends-db") < started("depends-app"));
    assert!(started("depends-base") < started("depends-app"));
    // In reverse, so that nothing loses what it writes to.
    assert!(stopped("depends-app") < stopped("depends-db"));
    assert!(stopped("depends-app") < stopped("depends-base"));
}

#[test]
fn what_depends_on_a_failed_container_is_never_started() {
    let plan = container("depends-broken", "echo cannot; exit 3")
        + &idle("depends-never")
        + r#"
        depends_on = { depends-broken = { condition = "service_completed_successfully" } }
        [[wait.services]]
        name = "never"
        container = "depends-never"
        exec = ["true"]
        "#;
    let ended = Provision::new(&plan).run();
    let words = ["container depends-broken exited with code 3", "cannot"];
    ended.assert_failed(31, "dependency_exited", "wait", &words);
    assert_eq!(inspect("depends-never")["State"]["Status"], "created");
}

#[test]
fn migrations_run_in_order_and_their_output_goes_to_the_log() {
    let plan = idle("migrated")
        + "volumes = ['migrated-data:/data']\n"
        + &format!(
            r#"
        [[migrations]]
        name = "first"
        container = "migrated"
        command = ["sh", "-c", "echo $GREETING from $PWD as $(id -u); echo 1 > /data/order"]
        working_dir = "/data"
        user = "0"
        env_file = ["build.env"]
        [[migrations]]
        name = "second"
        image = "{TOOLS}"
        network_mode = "host"
        volumes = ["migrated-data:/data"]
        command = ["sh", "-c", "echo second sees $(cat /data/order); echo 2 >> /data/order"]
        [[migrations]]
        name = "third"
        container = "migrated"
        command = ["sh", "-c", "test $(wc -l < /data/order) = 2 && printf 'no line end'"]
        "#
        );
    let ended = Provision::new(&plan)
        .file("build.env", "GREETING=hello = there\n")
        .run();
    ended.assert_done();
    assert!(
        ended
            .log
            .contains("first | hello = there from /data as 0\n")
    );
    assert!(ended.log.contains("second | second sees 1\n"));
    assert!(ended.log.contains("third | no line end\n"));
    // A host's console has no room for it.
    assert!(!ended.console.contains("second sees 1"));
    let migrations = ended.report["migrations"].as_array().unwrap();
    let names: Vec<_> = migrations.iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names, ["first", "second", "third"]);
    assert!(migrations.iter().all(|entry| entry["exit_code"] == 0));
    assert!(
        inspect("migration-second").is_null(),
        "its container is left"
    );
}

/// A stack with a port, and a smoke test that needs the same port and a secret.
fn smoke_plan(name: &str, when: &str) -> String {
    let port = free_port();
    let serve = format!("exec httpd -f -p 127.0.0.1:{port} -h /www");
    container(name, &serve)
        + &format!(
            r#"
        [[wait.services]]
        name = "web"
        container = "{name}"
        http = "http://127.0.0.1:{port}/"
        status = [404]
        [smoke]
        when = "{when}"
        stop = ["{name}"]
        [smoke.container]
        container_name = "{name}-smoke"
        image = "{TOOLS}"
        network_mode = "host"
        secrets = {{ CRON_SECRET = 32 }}
        command = ["sh", "-c", "echo $CRON_SECRET | grep -Eqx '[0-9a-f]{{64}}' && echo tested > /www/index.html && {serve}"]
        [[smoke.checks]]
        name = "backend"
        http = "http://127.0.0.1:{port}/"
        body = "^tested"
        "#
        )
}

#[test]
fn the_smoke_test_runs_in_place_of_what_it_stops() {
    let ended = Provision::new(&smoke_plan("smoked", "always")).run();
    ended.assert_done();
    assert_eq!(ended.smoke(), "passed");
    ended.assert_shows("container smoked stopped");
    ended.assert_shows("backend ready (");
    ended.assert_shows("smoke test passed");
    assert!(inspect("smoked-smoke").is_null(), "its container is left");
}

#[test]
fn the_smoke_test_runs_unless_the_guest_is_emulated() {
    let plan = smoke_plan("smoked-kvm", "unless-tcg");
    let ended = Provision::new(&plan).args(["--accel", "kvm"]).run();
    ended.assert_done();
    assert_eq!(ended.smoke(), "passed");

    let plan = smoke_plan("smoked-tcg", "unless-tcg");
    let ended = Provision::new(&plan).args(["--accel", "tcg"]).run();
    ended.assert_done();
    assert_eq!(ended.smoke(), "skipped");
    ended.assert_shows("smoke test skipped: the guest is emulated");
    assert_eq!(ended.result["accel"], "tcg");
}

#[test]
fn the_bundle_s_word_on_emulation_counts() {
    let arch = format!(
        "STACK_EMULATOR_BUILD_ARCH={}\nSTACK_EMULATOR_BUILD_ACCEL=tcg\n",
        support::image::host_architecture()
    );
    let ended = Provision::new(&smoke_plan("smoked-bundle", "unless-tcg"))
        .file("build-arch.env", arch)
        .run();
    ended.assert_done();
    assert_eq!(ended.smoke(), "skipped");
}

#[test]
fn a_smoke_test_that_the_plan_never_wants_is_skipped_not_passed() {
    let ended = Provision::new(&smoke_plan("smoked-never", "never")).run();
    ended.assert_done();
    assert_eq!(ended.smoke(), "skipped");
    ended.assert_shows("smoke test skipped: the plan says never");
}

#[test]
fn capture_mode_leaves_everything_running() {
    let plan = idle("captured")
        + "[[wait.services]]\nname = 'up'\ncontainer = 'captured'\nexec = ['true']\n\
           [finish]\ncapture = true\n";
    let ended = Provision::new(&plan).run();
    assert_eq!(ended.code, Some(0), "{}", ended.console);
    assert!(ended.console.ends_with(&format!("\n{READY}\n")));
    assert_eq!(ended.result["verdict"], "ready");
    assert_eq!(inspect("captured")["State"]["Running"], true);
}

#[test]
fn a_second_run_replaces_the_containers_of_the_first() {
    let plan = idle("again")
        + "[[wait.services]]\nname = 'up'\ncontainer = 'again'\nexec = ['true']\n\
           [finish]\ncapture = true\n";
    Provision::new(&plan).run();
    let first = inspect("again")["Id"].clone();
    let ended = Provision::new(&plan).run();
    assert_eq!(ended.code, Some(0), "{}", ended.console);
    let second = inspect("again");
    assert_ne!(second["Id"], first);
    assert_eq!(second["State"]["Running"], true);
}

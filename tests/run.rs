//! Whole runs on a real engine that end well: every kind of probe, migration and smoke test.

mod support;

use serde_json::json;
use support::engine::PrivateEngine;
use support::image::{TOOLS, tools_image};
use support::run::{Bundle, free_port};

/// A container that runs a script in the tools image.
fn container(name: &str, script: &str, more: &str) -> String {
    format!(
        "[containers.{name}]\nimage = \"{TOOLS}\"\nnetwork_mode = \"host\"\nstop_grace_period = \"0s\"\n\
         command = [\"sh\", \"-c\", '''{script}''']\n{more}\n"
    )
}

fn service(name: &str, container: &str, probe: &str) -> String {
    format!("[[wait.services]]\nname = \"{name}\"\ncontainer = \"{container}\"\n{probe}\n")
}

#[test]
fn every_probe_both_migrations_and_a_smoke_test() {
    let engine = PrivateEngine::shared();
    let (web, tcp, app) = (free_port(), free_port(), free_port());
    let plan = [
        container(
            "web",
            &format!("mkdir -p /w; echo '{{\"ok\": true}}' > /w/health; sleep 1; exec httpd -f -p 127.0.0.1:{web} -h /w"),
            "healthcheck = { test = [\"CMD\", \"test\", \"-f\", \"/w/health\"], interval = \"200ms\" }",
        ),
        container("port", &format!("while true; do nc -l -p {tcp} -e echo hello; done"), ""),
        container("init", "sleep 0.5; echo all set", ""),
        container("after-init", "sleep 100", "depends_on = { init = { condition = \"service_completed_successfully\" }, web = { condition = \"service_healthy\" } }"),
        container("flaky", "test -f /twice && sleep 100; test -f /once && touch /twice; touch /once; exit 1", "restart = \"always\""),
        "[wait]\ntimeout = \"60s\"\n".to_owned(),
        service("http", "web", &format!("http = \"http://127.0.0.1:{web}/health\"\nbody = \"ok.: *true\"\nheaders = {{ Accept = \"*/*\" }}")),
        service("http-404", "web", &format!("http = \"http://localhost:{web}/nothing\"\nstatus = [404]")),
        service("tcp", "port", &format!("tcp = \"127.0.0.1:{tcp}\"\nstable = 3")),
        service("exec", "web", "exec = [\"test\", \"-f\", \"/w/health\"]"),
        service("log", "init", "log = \"^all \\\\w+$\""),
        service("healthy", "web", "healthy = true"),
        service("completed", "init", "completed = true"),
        service("dependent", "after-init", "exec = [\"true\"]"),
        service("restarted", "flaky", "exec = [\"test\", \"-f\", \"/twice\"]\nrestarts = 2"),
        "[[migrations]]\nname = \"schema\"\ncontainer = \"web\"\ncommand = [\"sh\", \"-c\", \"echo $GREETING; pwd\"]\nworking_dir = \"/tmp\"\nenvironment = { GREETING = \"hello\" }\n".to_owned(),
        format!("[[migrations]]\nname = \"seed\"\nimage = \"{TOOLS}\"\nnetwork_mode = \"host\"\ncommand = \"echo seeded\"\n"),
        format!(
            "[smoke]\nwhen = \"always\"\ntimeout = \"30s\"\n[smoke.container]\nimage = \"{TOOLS}\"\nnetwork_mode = \"host\"\n\
             stop_grace_period = \"0s\"\nsecrets = {{ CRON_SECRET = 8 }}\n\
             command = [\"sh\", \"-c\", 'echo \"$CRON_SECRET\" | grep -Eqx \"[0-9a-f]{{16}}\" || exit 1; exec httpd -f -p 127.0.0.1:{app}']\n\
             [[smoke.checks]]\nname = \"app\"\ntcp = \"127.0.0.1:{app}\"\n"
        ),
    ];
    let bundle = Bundle::new(&plan.concat()).file("build.env", b"UNUSED=1\n");
    let finished = bundle.run(engine);
    let result = finished.assert_done();
    assert_eq!(result["smoke"], "passed");
    for name in [
        "http",
        "http-404",
        "tcp",
        "exec",
        "log",
        "healthy",
        "completed",
        "dependent",
        "restarted",
    ] {
        finished.assert_says(&format!("STACK_PROVISION: {name} ready ("));
    }
    finished.assert_says("container flaky was restarted (2 times so far)");
    for line in ["schema | hello", "schema | /tmp", "seed | seeded"] {
        assert!(finished.log.contains(line), "no {line:?} in the log");
        assert!(
            !finished.console.contains(line),
            "{line:?} is for the log alone"
        );
    }
    assert_eq!(
        finished.report["services"].as_array().unwrap().len(),
        10,
        "nine and the smoke check"
    );
    assert_eq!(finished.report["migrations"][0]["exit_code"], 0);
    assert!(finished.log.ends_with("\nSTACK_CLOUD_INIT_DONE\n"));
}

#[test]
fn a_smoke_test_that_is_skipped_is_not_passed() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let smoke = |when: &str| {
        format!(
            "[smoke]\nwhen = \"{when}\"\n[[smoke.checks]]\nname = \"app\"\ntcp = \"127.0.0.1:1\"\n"
        )
    };
    for (when, accel, why) in [
        ("unless-tcg", "tcg", "the guest is emulated (tcg"),
        ("never", "kvm", "the plan says never"),
    ] {
        let finished = Bundle::new(&smoke(when))
            .arg("--accel")
            .arg(accel)
            .run(engine);
        assert_eq!(finished.assert_done()["smoke"], "skipped");
        finished.assert_says(&format!("smoke test skipped: {why}"));
    }
}

#[test]
fn the_bundle_knows_the_accelerator_best() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let env = format!(
        "STACK_EMULATOR_BUILD_ARCH={}\nSTACK_EMULATOR_BUILD_ACCEL=tcg\n",
        support::image::host_architecture()
    );
    let finished = Bundle::new("")
        .file("build-arch.env", env.as_bytes())
        .arg("--accel")
        .arg("kvm")
        .run(engine);
    assert_eq!(finished.assert_done()["accel"], "tcg");
}

#[test]
fn in_capture_mode_everything_stays_up() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let plan = container("captured", "sleep 100", "") + "[finish]\ncapture = true\n";
    let finished = Bundle::new(&plan).run(engine);
    assert_eq!(finished.code, 0, "{}", finished.console);
    assert_eq!(finished.markers(), ["STACK_SERVICES_READY"]);
    let state = engine.request("GET", "/containers/captured/json", b"");
    let state: serde_json::Value = serde_json::from_str(&state.body).unwrap();
    assert_eq!(state["State"]["Running"], json!(true));
}

#[test]
fn a_second_run_says_so_and_leaves_the_first_alone() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let first = Bundle::new(&container("first", "sleep 3", ""))
        .arg("--power-off")
        .arg("--no-power-off");
    let plan_of_first =
        container("first", "sleep 3", "") + &service("first", "first", "completed = true");
    let first = first.file(
        "guestbake.toml",
        format!("[images]\narchives = [\"tools.tar\"]\n{plan_of_first}").as_bytes(),
    );
    let state = first.out("state").display().to_string();
    let running = first.start(engine);
    running.until("container first started");
    let second = Bundle::new("").arg("--state-dir").arg(state).run(engine);
    assert_eq!((second.code, second.console.as_str()), (70, ""));
    running.finish().assert_done();
}

#[test]
fn an_image_that_is_there_already_is_verified_and_not_loaded_again() {
    let engine = PrivateEngine::start();
    Bundle::new("").run(&engine).assert_done();
    let again = Bundle::new("").run(&engine);
    again.assert_done();
    again.assert_says("tools.tar: its images are here already");
    assert_eq!(again.report["images"][0]["loaded"], false);
}

/// Values stand in the plan, an env file, a URL, a throwaway secret and a container's own words; none comes out.
#[test]
fn no_secret_comes_out() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let script = "echo the key is $API_KEY; env; echo url $DATABASE_URL; sleep 1; echo throwaway $ONE_TIME_TOKEN >&2; exit 1";
    let plan = container(
        "leaky",
        script,
        "env_file = \"build.env\"\nenvironment = { DATABASE_URL = \"postgres://app:pass-in-url@db/app\" }\nsecrets = { ONE_TIME_TOKEN = 12 }",
    ) + &service(
        "leaky",
        "leaky",
        "exec = [\"sh\", \"-c\", \"echo $API_KEY; exit 1\"]",
    ) + "[wait]\ntimeout = \"30s\"\nheartbeat = \"300ms\"\n";
    let bundle = Bundle::new(&plan).file("build.env", b"API_KEY=sesame-open-wide\nVISIBLE=shown\n");
    let finished = bundle.run(engine);
    assert_eq!(finished.code, 31, "{}", finished.console);
    finished.assert_says("the key is ***");
    finished.assert_says("VISIBLE=shown");
    let throwaway = regex::Regex::new("throwaway [0-9a-f]").unwrap();
    for (name, text) in [
        ("console", &finished.console),
        ("log", &finished.log),
        ("output", &finished.stdout),
        ("report", &finished.report.to_string()),
    ] {
        assert!(!text.contains("sesame-open-wide"), "{name}: {text}");
        assert!(!text.contains("pass-in-url"), "{name}: {text}");
        assert!(!throwaway.is_match(text), "{name}: {text}");
    }
}

#[test]
fn the_verbs_work_on_what_is_running() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let plan = container("verbs", "echo I am here; sleep 100", "")
        + &service("verbs", "verbs", "exec = [\"true\"]")
        + "[[migrations]]\nname = \"m\"\ncontainer = \"verbs\"\ncommand = [\"echo\", \"migrated\"]\n\
           [smoke]\nwhen = \"always\"\n[[smoke.checks]]\nname = \"c\"\ncontainer = \"verbs\"\nexec = [\"true\"]\n\
           [finish]\ncapture = true\n";
    Bundle::new(&plan).run(engine);
    let bundle = Bundle::new(&plan);
    for (verb, says) in [
        ("wait", "verbs ready ("),
        ("migrate", "m | migrated"),
        ("smoke", "smoke test passed"),
        ("diagnose", "verbs | I am here"),
        ("check", "[containers.verbs]"),
    ] {
        let (code, out, err) = bundle.verb(verb, engine);
        assert_eq!(code, 0, "{verb}: {out}{err}");
        assert!(out.contains(says), "{verb}: {out}");
    }
}

//! Every fault that can be made outside a VM: what is done, when, what must come, within what bound.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use support::engine::{EngineOptions, PrivateEngine};
use support::image::{ImageArchive, TOOLS, layer, tools_image};
use support::run::{Bundle, Running, free_port};

/// What every row has beyond its own bound: a busy machine, and the program's start.
const SLACK: Duration = Duration::from_secs(20);

struct Row {
    fault: &'static str,
    bundle: Box<dyn Fn() -> Bundle + Send + Sync>,
    /// Done while it runs.
    act: fn(&Running),
    reason: &'static str,
    code: i32,
    stage: Option<&'static str>,
    /// All of these stand on the console.
    says: &'static [&'static str],
    /// Seconds.
    within: u64,
}

fn row(fault: &'static str, bundle: impl Fn() -> Bundle + Send + Sync + 'static) -> Row {
    Row {
        fault,
        bundle: Box::new(bundle),
        act: |_| (),
        reason: "",
        code: 0,
        stage: None,
        says: &[],
        within: 5,
    }
}

impl Row {
    fn gives(mut self, code: i32, reason: &'static str, stage: &'static str) -> Self {
        (self.code, self.reason, self.stage) = (code, reason, Some(stage));
        self
    }

    fn says(mut self, says: &'static [&'static str]) -> Self {
        self.says = says;
        self
    }

    fn within(mut self, seconds: u64) -> Self {
        self.within = seconds;
        self
    }

    fn act(mut self, act: fn(&Running)) -> Self {
        self.act = act;
        self
    }

    /// What is not as promised.
    fn check(&self, engine: &PrivateEngine) -> Result<Duration, String> {
        let running = (self.bundle)().start(engine);
        (self.act)(&running);
        let finished = running.finish();
        let wrong = |what: String| format!("{}: {what}\n{}", self.fault, finished.console);
        let result = finished.result().map_err(wrong)?;
        let found = (
            finished.code,
            result["reason"].as_str(),
            result["stage"].as_str(),
        );
        let expected = (self.code, Some(self.reason), self.stage);
        if found != expected || finished.markers() != ["STACK_CLOUD_INIT_FAILED"] {
            return Err(wrong(format!("{found:?} instead of {expected:?}")));
        }
        if finished.report["result"]["reason"] != self.reason {
            return Err(wrong(format!(
                "the report says {}",
                finished.report["result"]
            )));
        }
        if let Some(missing) = self
            .says
            .iter()
            .find(|text| !finished.console.contains(**text))
        {
            return Err(wrong(format!("does not say {missing:?}")));
        }
        let bound = Duration::from_secs(self.within) + SLACK;
        if finished.took > bound {
            return Err(wrong(format!("took {:?} of {bound:?}", finished.took)));
        }
        Ok(finished.took)
    }
}

/// Rows side by side; each has containers and ports of its own.
fn check_all(rows: Vec<Row>, engine: &PrivateEngine) {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut problems = Vec::new();
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            match row.check(engine) {
                Ok(took) => println!("{:60} {} {:.1}s", row.fault, row.reason, took.as_secs_f64()),
                Err(problem) => problems.push(problem),
            }
        }
        problems
    };
    let problems: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("a row panicked"))
            .collect()
    });
    assert!(
        problems.is_empty(),
        "{} rows:\n{}",
        problems.len(),
        problems.join("\n\n")
    );
}

/// A container of tools that runs a shell script, named so that no two rows meet.
fn container(name: &str, script: &str, more: &str) -> String {
    format!(
        "[containers.{name}]\nimage = \"{TOOLS}\"\nnetwork_mode = \"host\"\nstop_grace_period = \"0s\"\n\
         command = [\"sh\", \"-c\", '''{script}''']\n{more}\n"
    )
}

fn service(name: &str, container: &str, probe: &str) -> String {
    format!("[[wait.services]]\nname = \"{name}\"\ncontainer = \"{container}\"\n{probe}\n")
}

fn wait(timeout: &str) -> String {
    format!("[wait]\ntimeout = \"{timeout}\"\nheartbeat = \"1s\"\n")
}

fn never(name: &str) -> String {
    wait("60s") + &container(name, "sleep 100", "") + &service(name, name, "exec = [\"false\"]")
}

#[test]
fn bundle_and_plan() {
    let engine = PrivateEngine::shared();
    let rows = vec![
        row("no bundle at that path", || Bundle::new("").arg("--bundle").arg("/nowhere"))
            .gives(10, "bundle_missing", "bundle")
            .says(&["/nowhere"]),
        row("a bundle that is no ISO", || {
            let bundle = Bundle::new("").file("no.iso", &[7; 100_000]);
            let path = bundle.folder().join("no.iso").display().to_string();
            bundle.arg("--bundle").arg(path)
        })
        .gives(10, "bundle_corrupt", "bundle"),
        row("no build-arch.env", || Bundle::new("").without("build-arch.env"))
            .gives(10, "bundle_corrupt", "bundle")
            .says(&["build-arch.env"]),
        row("a file that is not what SHA256SUMS says", || {
            let digest = "0".repeat(64);
            Bundle::new("").file("SHA256SUMS", format!("{digest}  tools.tar\n").as_bytes())
        })
        .gives(10, "bundle_corrupt", "bundle")
        .says(&["tools.tar"]),
        row("an unknown key and a reference to nothing, both said", || {
            Bundle::new("[containers.a]\nimage = \"x\"\nimagine = 1\n[[wait.services]]\nname = \"s\"\ncontainer = \"b\"\nhealthy = true\n")
        })
        .gives(11, "plan_invalid", "plan")
        .says(&["guestbake.toml:6", "imagine", "guestbake.toml:9"]),
        row("a plan that is not UTF-8", || Bundle::bare("").file("guestbake.toml", b"\xff\xfe"))
            .gives(11, "plan_invalid", "plan"),
        row("no plan", || Bundle::bare("").without("guestbake.toml"))
            .gives(11, "plan_invalid", "plan")
            .says(&["guestbake.toml"]),
        row("an env file that leaves the bundle", || {
            let bundle = Bundle::new("[containers.a]\nimage = \"x\"\nenv_file = \"out.env\"\n");
            std::os::unix::fs::symlink("/etc/hostname", bundle.folder().join("out.env")).unwrap();
            bundle
        })
        .gives(11, "plan_invalid", "plan")
        .says(&["out.env"]),
        row("a bundle for another architecture", || {
            Bundle::new("").file("build-arch.env", b"STACK_EMULATOR_BUILD_ARCH=arm64\n")
        })
        .gives(21, "wrong_architecture", "guest")
        .says(&["arm64"]),
        row("no engine at that address", || {
            Bundle::new("[engine]\ntimeout = \"1s\"\n").arg("--docker-host").arg("unix:///nowhere.sock")
        })
        .gives(20, "engine_unavailable", "engine")
        .says(&["/nowhere.sock"]),
    ];
    check_all(rows, engine);
}

#[test]
fn images() {
    let engine = PrivateEngine::start();
    let image = |tag: &str| ImageArchive::new(tag, vec![layer(&[("a", tag.as_bytes())])]);
    let of = |name: &'static str, bytes: Vec<u8>, require: &'static str| {
        move || {
            let plan = format!("[images]\narchives = [\"{name}\"]\nrequire = [\"{require}\"]\n");
            Bundle::bare(&plan).file(name, &bytes)
        }
    };
    let truncated = ImageArchive {
        truncated_to: Some(2000),
        ..image("cut:1")
    };
    let wrong = ImageArchive {
        wrong_layer_digest: true,
        ..image("wrong:1")
    };
    let foreign = ImageArchive {
        architecture: "s390x".to_owned(),
        ..image("foreign:1")
    };
    let rows = vec![
        row(
            "an archive that is cut off",
            of("cut.tar", truncated.bytes(), "cut:1"),
        )
        .gives(21, "image_load_failed", "images")
        .says(&["cut.tar"]),
        row(
            "an archive that is none",
            of("no.tgz", b"<html>404</html>".to_vec(), "no:1"),
        )
        .gives(21, "image_load_failed", "images")
        .says(&["no.tgz"]),
        row(
            "a layer that is not what its digest says",
            of("wrong.tar", wrong.bytes(), "wrong:1"),
        )
        .gives(21, "image_load_failed", "images")
        .says(&["invalid diffID"]),
        row(
            "a required tag that no archive holds",
            of("other.tar", image("other:1").bytes(), "wanted:2"),
        )
        .gives(21, "image_load_failed", "images")
        .says(&["wanted:2"]),
        row(
            "an image for another architecture",
            of("foreign.tar", foreign.bytes(), "foreign:1"),
        )
        .gives(21, "wrong_architecture", "images")
        .says(&["s390x"]),
    ];
    check_all(rows, &engine);
}

#[test]
fn containers_and_services() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let hung = free_port();
    let rows = vec![
        row("a command that does not exist", || {
            Bundle::new(&format!("[containers.noexec]\nimage = \"{TOOLS}\"\nnetwork_mode = \"host\"\ncommand = [\"/no/such\"]\n"))
        })
        .gives(30, "container_start_failed", "containers")
        .says(&["noexec", "/no/such"]),
        row("an image that is not there", || {
            Bundle::new("[containers.noimage]\nimage = \"no/such:1\"\nnetwork_mode = \"host\"\n")
        })
        .gives(21, "image_load_failed", "images")
        .says(&["no/such:1"]),
        row("a dependency that exits", || {
            Bundle::new(&(wait("60s") + &container("exits", "sleep 0.5; echo last words >&2; exit 3", "") + &service("exits", "exits", "exec = [\"false\"]")))
        })
        .gives(31, "dependency_exited", "wait")
        .says(&["exits exited with code 3", "last words: last words"]),
        row("a dependency that is killed for memory", || {
            let script = "sleep 0.5; x=0123456789; while true; do x=$x$x$x$x; done";
            Bundle::new(&(wait("60s") + &container("oom", script, "mem_limit = \"16m\"") + &service("oom", "oom", "exec = [\"false\"]")))
        })
        .gives(31, "dependency_exited", "wait")
        .says(&["killed for memory"])
        .within(20),
        row("a dependency that had been ready and dies", || {
            Bundle::new(&(wait("60s") + &container("late", "sleep 2; exit 4", "") + &container("slow", "sleep 100", "")
                + &service("late", "late", "exec = [\"true\"]") + &service("slow", "slow", "exec = [\"false\"]")))
        })
        .gives(31, "dependency_exited", "wait")
        .says(&["late ready", "late exited with code 4"]),
        row("more restarts than are tolerated", || {
            Bundle::new(&(wait("60s") + &container("loops", "exit 5", "restart = \"always\"") + &service("loops", "loops", "exec = [\"false\"]\nrestarts = 2")))
        })
        .gives(31, "dependency_exited", "wait")
        .says(&["restarted 3 times, of which the plan tolerates 2"])
        .within(15),
        row("a health check that says no", || {
            let check = "healthcheck = { test = [\"CMD-SHELL\", \"echo I am ill; exit 1\"], interval = \"200ms\", retries = 2 }";
            Bundle::new(&(wait("60s") + &container("ill", "sleep 100", check) + &service("ill", "ill", "healthy = true")))
        })
        .gives(31, "dependency_unhealthy", "wait")
        .says(&["I am ill"]),
        row("an exec probe's fatal exit code", || {
            let probe = "exec = [\"sh\", \"-c\", \"echo broken setup; exit 99\"]\nfatal_exit_codes = [99]";
            Bundle::new(&(wait("60s") + &container("fatal", "sleep 100", "") + &service("fatal", "fatal", probe)))
        })
        .gives(31, "dependency_unhealthy", "wait")
        .says(&["exit code 99: broken setup"]),
        row("an unreachable service, until the budget ends", || {
            Bundle::new(&(wait("2s") + &container("unreachable", "sleep 100", "") + &service("unreachable", "unreachable", "tcp = \"127.0.0.1:1\"")))
        })
        .gives(32, "wait_timeout", "wait")
        .says(&["still waiting (1s of 2s): unreachable (connection refused)", "TIMEOUT after 2s: unreachable (connection refused)"])
        .within(3),
        row("a server that accepts and never answers", move || {
            let script = format!("while true; do nc -l -p {hung} -e sleep 100; done");
            let probe = format!("http = \"http://127.0.0.1:{hung}/\"");
            Bundle::new(&(wait("2s") + &container("hung", &script, "") + &service("hung", "hung", &probe)))
        })
        .gives(32, "wait_timeout", "wait")
        .says(&["TIMEOUT after 2s: hung"])
        .within(3),
    ];
    check_all(rows, engine);
}

#[test]
fn migrations_and_smoke_test() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let exec = |name: &'static str, script: &'static str, more: &'static str| {
        move || {
            Bundle::new(
                &(container(name, "sleep 100", "")
                    + &format!(
                        "[[migrations]]\nname = \"m\"\ncontainer = \"{name}\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n{more}\n"
                    )),
            )
        }
    };
    let one_shot = |name: &'static str, script: &'static str, more: &'static str| {
        move || {
            Bundle::new(&format!(
                "[[migrations]]\nname = \"{name}\"\nimage = \"{TOOLS}\"\nnetwork_mode = \"host\"\ncommand = [\"sh\", \"-c\", '''{script}''']\n{more}\n"
            ))
        }
    };
    let rows = vec![
        row("a migration in a container that fails", exec("mig-exec", "seq 1 300; echo relation exists; exit 7", ""))
            .gives(40, "migration_failed", "migrations")
            .says(&["exited with code 7", ": relation exists", "| 102\n", "| relation exists"]),
        row("a one-shot migration that fails", one_shot("mig-shot", "echo no such table; exit 8", ""))
            .gives(40, "migration_failed", "migrations")
            .says(&["exited with code 8", ": no such table"]),
        row("a migration in a container that hangs", exec("mig-hang", "echo begun; sleep 100", "timeout = \"1s\""))
            .gives(40, "migration_timeout", "migrations")
            .says(&["did not end within 1s", "| begun"]),
        row("a one-shot migration that hangs", one_shot("mig-shot-hang", "echo begun; sleep 100", "timeout = \"1s\""))
            .gives(40, "migration_timeout", "migrations")
            .says(&["did not end within 1s", "| begun"]),
        row("a migration that finds the disk full", one_shot("mig-full", "echo x > /dev/full", ""))
            .gives(22, "no_space", "migrations"),
        row("a dependency that dies during a migration", || {
            Bundle::new(&(container("mig-dep", "sleep 2; exit 6", "") + &service("mig-dep", "mig-dep", "exec = [\"true\"]")
                + "[[migrations]]\nname = \"m\"\ncontainer = \"mig-dep\"\ncommand = [\"sleep\", \"100\"]\n"))
        })
        .gives(31, "dependency_exited", "migrations")
        .says(&["mig-dep exited with code 6"]),
        row("a smoke check that is never good", || {
            Bundle::new(&format!(
                "[smoke]\nwhen = \"always\"\ntimeout = \"1s\"\n[smoke.container]\ncontainer_name = \"smoke-bad\"\nimage = \"{TOOLS}\"\nnetwork_mode = \"host\"\nstop_grace_period = \"0s\"\ncommand = [\"sleep\", \"100\"]\n[[smoke.checks]]\nname = \"app\"\ntcp = \"127.0.0.1:1\"\n"
            ))
        })
        .gives(50, "smoke_failed", "smoke")
        .says(&["app (connection refused)", "\"smoke\":\"failed\""]),
        row("a smoke container that dies", || {
            Bundle::new(&format!(
                "[smoke]\nwhen = \"always\"\n[smoke.container]\ncontainer_name = \"smoke-dies\"\nimage = \"{TOOLS}\"\nnetwork_mode = \"host\"\ncommand = [\"sh\", \"-c\", \"echo no config; exit 9\"]\n[[smoke.checks]]\nname = \"app\"\ntcp = \"127.0.0.1:1\"\n"
            ))
        })
        .gives(50, "smoke_failed", "smoke")
        .says(&["smoke-dies exited with code 9", "no config"]),
    ];
    check_all(rows, engine);
}

#[test]
fn the_agent_itself() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let rows = vec![
        row("the run's deadline", || {
            Bundle::new(&format!("[run]\ntimeout = \"3s\"\n{}", never("deadline")))
        })
        .gives(60, "deadline_exceeded", "wait")
        .says(&["the run's limit of 3s"])
        .within(10),
        row("SIGTERM", || Bundle::new(&never("term")))
            .act(|running| {
                running.until("still waiting");
                running.signal(running.guardian(), Signal::TERM);
            })
            .gives(60, "interrupted", "wait")
            .says(&["SIGTERM was received", "container term stopped"])
            .within(10),
        row("SIGINT and SIGHUP at once", || Bundle::new(&never("hup")))
            .act(|running| {
                running.until("still waiting");
                running.signal(running.guardian(), Signal::INT);
                running.signal(running.guardian(), Signal::HUP);
            })
            .gives(60, "interrupted", "wait"),
        row("the worker is killed", || Bundle::new(&never("worker")))
            .act(|running| {
                running.until("still waiting");
                running.signal(running.worker(), Signal::KILL);
            })
            .gives(70, "killed", "wait")
            .says(&["killed by signal 9 (SIGKILL)", "---- containers ----"])
            .within(10),
        row("the worker hangs, and SIGTERM comes twice", || {
            Bundle::new(&never("stopped"))
        })
        .act(|running| {
            running.until("still waiting");
            running.signal(running.worker(), Signal::STOP);
            running.signal(running.guardian(), Signal::TERM);
            std::thread::sleep(Duration::from_millis(200));
            running.signal(running.guardian(), Signal::TERM);
        })
        .gives(60, "interrupted", "wait"),
        row("the worker aborts", || Bundle::new(&never("abort")))
            .act(|running| {
                running.until("still waiting");
                running.signal(running.worker(), Signal::ABORT);
            })
            .gives(70, "killed", "wait")
            .says(&["SIGABRT"])
            .within(10),
    ];
    check_all(rows, engine);
}

/// The worker speaks for its guardian; the exit status is the guardian's own end.
#[test]
fn the_guardian_is_killed() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let running = Bundle::new(&never("guardian")).start(engine);
    running.until("still waiting");
    running.signal(running.guardian(), Signal::KILL);
    running.until("STACK_CLOUD_INIT_FAILED");
    let finished = running.finish();
    assert_eq!(finished.code, -9);
    let result = finished
        .result()
        .unwrap_or_else(|why| panic!("{why}\n{}", finished.console));
    assert_eq!(
        (&result["reason"], &result["stage"]),
        (&"killed".into(), &"wait".into())
    );
}

#[test]
fn a_data_root_without_room() {
    let engine = PrivateEngine::start_with(EngineOptions {
        data_root_size: Some(24 << 20),
        ..EngineOptions::default()
    });
    let big = ImageArchive::new("big:1", vec![layer(&[("zeros", &vec![0; 40 << 20])])]);
    let bundle = Bundle::bare("[images]\narchives = [\"big.tar\"]\n").file("big.tar", &big.bytes());
    let finished = bundle.run(&engine);
    let result = finished
        .result()
        .unwrap_or_else(|why| panic!("{why}\n{}", finished.console));
    assert_eq!(
        (finished.code, &result["reason"]),
        (22, &"no_space".into()),
        "{}",
        finished.console
    );
    finished.assert_says("big.tar needs about");
}

/// An engine that hangs for good at one point: the run's deadline ends what nothing else would, and the marker comes.
#[test]
fn an_engine_that_hangs_at_any_stage() {
    let slow = "trap 'sleep 100' TERM; sleep 100 & wait; sleep 100";
    let idle = |name: &str| container(name, "sleep 100", "");
    let migration =
        "[[migrations]]\nname = \"m\"\ncontainer = \"hang-m\"\ncommand = [\"sleep\", \"100\"]\n";
    // What the plan is, what is said when the engine is to hang, and the stage in which it is noticed.
    let cases = [
        // The engine may have got a step further before it hangs.
        (idle("hang-s"), "stage engine done", "images containers"),
        (
            idle("hang-w") + &service("hang-w", "hang-w", "exec = [\"false\"]"),
            "still waiting",
            "wait",
        ),
        (
            idle("hang-m") + migration,
            "migration m started",
            "migrations",
        ),
        (container("hang-e", slow, ""), "stage smoke done", "stop"),
    ];
    std::thread::scope(|scope| {
        for (plan, when, stage) in cases {
            let plan = plan.replace("stop_grace_period = \"0s\"", "stop_grace_period = \"60s\"");
            scope.spawn(move || {
                let engine = PrivateEngine::start();
                tools_image(&engine);
                let head =
                    "[run]\ntimeout = \"8s\"\n[wait]\ntimeout = \"60s\"\nheartbeat = \"1s\"\n";
                let running = Bundle::new(&format!("{head}{plan}")).start(&engine);
                running.until(when);
                engine.stop();
                let finished = running.finish();
                engine.cont();
                let result = finished
                    .result()
                    .unwrap_or_else(|why| panic!("{why}\n{}", finished.console));
                assert_eq!(
                    result["reason"], "deadline_exceeded",
                    "{}",
                    finished.console
                );
                let found = result["stage"].as_str().unwrap_or_default();
                assert!(stage.contains(found), "{found}:\n{}", finished.console);
                // The limit, diagnostics, and the attempt to stop the containers.
                let bound = Duration::from_secs(8 + 20 + 30) + SLACK;
                assert!(finished.took < bound, "{stage}: {:?}", finished.took);
                println!(
                    "engine hangs in stage {stage}: marker after {:.1}s",
                    finished.took.as_secs_f64()
                );
            });
        }
    });
}

/// SIGUSR1 shows what is known now, and the run goes on.
#[test]
fn diagnostics_on_request() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let plan = container(
        "usr1",
        "echo still here; sleep 3; touch /ready; sleep 100",
        "",
    ) + &service("usr1", "usr1", "exec = [\"test\", \"-f\", \"/ready\"]")
        + "[wait]\ntimeout = \"60s\"\nheartbeat = \"500ms\"\n";
    let running = Bundle::new(&plan).start(engine);
    running.until("still waiting");
    running.signal(running.guardian(), Signal::USR1);
    let finished = running.finish();
    finished.assert_done();
    finished.assert_says("---- containers ----");
    finished.assert_says("usr1 | still here");
}

/// Where lines go must not matter for the marker on the others.
#[test]
fn consoles_that_take_nothing() {
    let engine = PrivateEngine::shared();
    tools_image(engine);
    let bundle = Bundle::new("");
    let fifo = bundle.out("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let consoles = [
        fifo.display().to_string(),
        "/dev/full".to_owned(),
        "/dev/no-such-console".to_owned(),
    ];
    let bundle = consoles
        .into_iter()
        .fold(bundle, |bundle, path| bundle.arg("--console").arg(path));
    let finished = bundle
        .arg("--report")
        .arg("/proc/no/report.json")
        .run(engine);
    finished.assert_done();
}

//! Runs that fail, for each reason of the contract that can be provoked outside a virtual machine: one row each, with the
//! exit code, the stage, and what the message must tell whoever reads nothing else.

mod support;

use std::time::Duration;

use rustix::process::{Signal, kill_process};

use support::engine::{EngineOptions, PrivateEngine};
use support::image::{ImageArchive, Packing, TOOLS, host_architecture, layer};
use support::provision::{Ended, Provision, container, idle, inspect};
use support::server::{self, free_port};

macro_rules! reasons {
    ($($name:ident: $reason:literal ($code:literal) in $stage:literal, $words:expr, $run:expr;)*) => {$(
        #[test]
        fn $name() {
            let ended: Ended = $run;
            ended.assert_failed($code, $reason, $stage, &$words);
        }
    )*};
}

reasons! {
    no_such_folder: "bundle_missing" (10) in "bundle", ["/nowhere"],
        Provision::new("").bundled_in(Some("/nowhere/bundle".into())).run();
    no_volume_of_that_name: "bundle_missing" (10) in "bundle", ["NOSUCHLABEL"],
        by_label("[bundle]\nlabel = 'NOSUCHLABEL'\ntimeout = '300ms'\n");

    no_build_arch_env: "bundle_corrupt" (10) in "bundle", ["build-arch.env"],
        Provision::new(&idle("unused")).without("build-arch.env").run();
    an_architecture_nobody_knows: "bundle_corrupt" (10) in "bundle", ["build-arch.env", "vax"],
        Provision::new(&idle("unused")).file("build-arch.env", "STACK_EMULATOR_BUILD_ARCH=vax\n").run();
    a_file_that_is_not_as_its_checksum_says: "bundle_corrupt" (10) in "bundle", ["guestbake.toml"],
        Provision::new(&idle("unused")).file("SHA256SUMS", format!("{}  guestbake.toml\n", "0".repeat(64))).run();
    a_checksum_of_a_file_that_is_not_there: "bundle_corrupt" (10) in "bundle", ["img.tgz"],
        Provision::new(&idle("unused")).file("SHA256SUMS", format!("{}  img.tgz\n", "0".repeat(64))).run();
    a_bundle_that_is_no_iso: "bundle_corrupt" (10) in "bundle", ["garbage.iso"], garbage_iso();

    no_plan: "plan_invalid" (11) in "plan", ["guestbake.toml"],
        Provision::new("").without("guestbake.toml").run();
    a_plan_with_errors: "plan_invalid" (11) in "plan", ["guestbake.toml:1:1: containers.web", "and 2 more"], several_errors();
    an_archive_that_the_bundle_lacks: "plan_invalid" (11) in "plan", ["guestbake.toml:2:", "img.tar"],
        Provision::new(&archive_plan("lacking")).run();
    a_plan_that_is_no_text: "plan_invalid" (11) in "plan", ["guestbake.toml"],
        Provision::new("").file("guestbake.toml", b"[containers]\n\xff\xfe").run();

    no_engine: "engine_unavailable" (20) in "engine", ["unix:///nowhere/docker.sock", "within 1s"],
        Provision::at("unix:///nowhere/docker.sock", &engine_within_a_second()).run();
    an_engine_that_hangs: "engine_unavailable" (20) in "engine", ["within 1s", "did not answer"], hung_engine();

    a_bundle_for_another_architecture: "wrong_architecture" (21) in "guest", [other_architecture(), host_architecture()],
        Provision::new(&idle("unused"))
            .file("build-arch.env", format!("STACK_EMULATOR_BUILD_ARCH={}\n", other_architecture())).run();
    an_image_for_another_architecture: "wrong_architecture" (21) in "images",
        ["reasons/foreign:latest", other_architecture(), host_architecture()],
        with_archive("foreign", |image| image.architecture = other_architecture().to_owned());

    a_truncated_archive: "image_load_failed" (21) in "images", ["img.tar", "truncated"],
        with_archive("truncated", |image| {
            image.packing = Packing::Gzip;
            image.truncated_to = Some(image.bytes().len() - 40);
        });
    an_archive_that_is_none: "image_load_failed" (21) in "images", ["img.tar"],
        Provision::new(&archive_plan("none")).file("img.tar", "not an archive at all".repeat(100)).run();
    a_layer_that_is_not_as_its_digest_says: "image_load_failed" (21) in "images", ["img.tar", "diffID"],
        with_archive("digest", |image| image.wrong_layer_digest = true);
    a_required_image_that_is_in_no_archive: "image_load_failed" (21) in "images", ["reasons/missing:latest"],
        Provision::new(&archive_plan("missing")).file("img.tar", small_image("reasons/other:latest").bytes()).run();
    a_data_root_too_small_for_the_image: "no_space" (22) in "images", ["img.tar", "data root", "free"], small_data_root();
    a_migration_that_fills_its_disk: "no_space" (22) in "migrations", ["migration fill"],
        migrated("full-disk", "tmpfs = ['/small:size=64k']\n", "fill", "dd if=/dev/zero of=/small/file bs=1k");

    a_missing_executable: "container_start_failed" (30) in "containers", ["no-executable", "no-such-program"],
        Provision::new(&format!("[containers.no-executable]\nimage = '{TOOLS}'\nnetwork_mode = 'host'\ncommand = ['no-such-program']\n")).run();
    a_mount_that_cannot_be_made: "container_start_failed" (30) in "containers", ["no-mount", "/etc/passwd"],
        Provision::new(&(idle("no-mount") + "volumes = ['/etc/passwd/folder:/data']\n")).run();
    a_missing_executable_of_a_migration: "container_start_failed" (30) in "migrations", ["migration-gone", "no-such-program"],
        Provision::new(&(idle("gone") + &format!(
            "[[migrations]]\nname = 'gone'\nimage = '{TOOLS}'\nnetwork_mode = 'host'\ncommand = ['no-such-program']\n"))).run();

    a_container_that_exits: "dependency_exited" (31) in "wait",
        ["container exits exited with code 7", "FATAL: no config"],
        waiting("exits", "echo starting; echo FATAL: no config >&2; exit 7", "");
    a_server_that_exits_with_0: "dependency_exited" (31) in "wait", ["container exits-well exited with code 0"],
        waiting("exits-well", "sleep 0.2", "");
    a_container_that_a_signal_ends: "dependency_exited" (31) in "wait", ["code 137", "signal 9"],
        waiting("signalled", "sleep 100000 & kill -9 $!; wait $!; exit $?", "");
    a_container_killed_for_memory: "dependency_exited" (31) in "wait", ["container greedy", "killed for memory"],
        waiting("greedy", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", "mem_limit = '16m'\n");
    a_container_that_is_removed: "dependency_exited" (31) in "wait", ["container removed", "is gone"], removed();

    a_failed_health_check: "dependency_unhealthy" (31) in "wait",
        ["container unhealthy is unhealthy", "port is closed"],
        waiting("unhealthy", "sleep 100000",
            "healthcheck = { test = 'echo port is closed; exit 1', interval = '100ms', retries = 2 }\n");
    a_fatal_exit_code: "dependency_unhealthy" (31) in "wait", ["init has failed for good", "exit code 9", "found .failed"],
        Provision::new(&(idle("fatal") + "[[wait.services]]\nname = 'init'\ncontainer = 'fatal'\nfatal_exit_codes = [9]\n\
            exec = ['sh', '-c', 'echo found .failed; exit 9']\n")).run();

    a_service_that_never_comes: "wait_timeout" (32) in "wait",
        ["TIMEOUT after 1s: ", "closed (connection refused)", "silent (exit code 1: not yet)"],
        never_ready();

    a_command_that_fails: "migration_failed" (40) in "migrations", ["migration bad exited with code 3", "line 300"],
        long_failure("bad-exec", "container = 'bad-exec'");
    a_migration_container_that_fails: "migration_failed" (40) in "migrations", ["migration bad exited with code 3", "line 300"],
        long_failure("bad-shot", &format!("image = '{TOOLS}'\nnetwork_mode = 'host'\ncontainer_name = 'bad-shot-own'"));
    a_command_that_cannot_be_run: "migration_failed" (40) in "migrations", ["migration absent", "no-such-program"],
        Provision::new(&(idle("absent") + "[[migrations]]\nname = 'absent'\ncontainer = 'absent'\ncommand = ['no-such-program']\n")).run();
    a_command_that_does_not_end: "migration_timeout" (40) in "migrations", ["migration slow did not end within 1s"],
        migrated("slow-exec", "", "slow", "echo working; sleep 100000");
    a_migration_container_that_does_not_end: "migration_timeout" (40) in "migrations", ["migration slow did not end within 1s"],
        slow_one_shot();
    a_container_that_dies_during_a_migration: "dependency_exited" (31) in "migrations", ["container dies-meanwhile exited with code 5"],
        dies_during_migration();

    a_smoke_check_that_never_passes: "smoke_failed" (50) in "smoke", ["TIMEOUT after 1s: backend (status 503)"], smoke_answers_503();
    a_smoke_container_that_dies: "smoke_failed" (50) in "smoke", ["container smoke-dies-own exited with code 6"], smoke_dies();

    a_run_that_takes_too_long: "deadline_exceeded" (60) in "wait", ["the run's limit of 2s"],
        Provision::new(&("run.timeout = '2s'\n".to_owned() + &never("deadline"))).run();

    a_terminated_run: "interrupted" (60) in "wait", ["SIGTERM"], interrupted("terminated", Signal::TERM);
    a_run_interrupted_from_the_keyboard: "interrupted" (60) in "wait", ["SIGINT"], interrupted("keyboard", Signal::INT);
    a_run_whose_terminal_is_gone: "interrupted" (60) in "wait", ["SIGHUP"], interrupted("hung-up", Signal::HUP);
    a_run_interrupted_twice: "interrupted" (60) in "wait", ["SIGTERM"], interrupted_twice();

    a_worker_that_is_killed: "killed" (70) in "wait", ["worker", "signal 9"], killed_worker("killed-worker", Signal::KILL);
    a_worker_that_aborts: "killed" (70) in "wait", ["worker", "SIGABRT"], killed_worker("aborted-worker", Signal::ABORT);
}

/// No code of its own is left to tell, only the marker that the worker wrote.
#[test]
fn a_guardian_that_is_killed() {
    let run = Provision::new(&never("killed-guardian")).start();
    run.until_console("container killed-guardian started");
    let worker = run.worker();
    run.signal(Signal::KILL);
    let ended = run.end_of(worker);
    assert_eq!(ended.reason(), "killed", "{}", ended.console);
    assert!(ended.message().contains("guardian"), "{}", ended.message());
    assert_eq!(ended.result["stage"], "wait");
    // What came before belongs to the same run.
    assert_eq!(ended.report["stages"][0]["stage"], "bundle");
    assert_eq!(inspect("killed-guardian")["State"]["Running"], false);
}

fn other_architecture() -> &'static str {
    match host_architecture() {
        "amd64" => "arm64",
        _ => "amd64",
    }
}

fn several_errors() -> Ended {
    let plan = "[containers.web]\nimgae = 'x'\n\n[[wait.services]]\ncontainer = 'nobody'\nname = 's'\nlog = 'x'\n";
    let ended = Provision::new(plan).run();
    ended.assert_shows("| guestbake.toml:2:1: containers.web.imgae");
    ended.assert_shows("| guestbake.toml:5:");
    ended
}

fn engine_within_a_second() -> String {
    "engine.timeout = '1s'\n".to_owned() + &idle("unused")
}

/// A container that stays up with a service that never comes.
fn never(name: &str) -> String {
    idle(name)
        + &format!(
            "[[wait.services]]\nname = 'never'\ncontainer = '{name}'\ntcp = '127.0.0.1:{}'\n",
            free_port()
        )
}

/// A container that is waited for in vain, until it is not worth it any more.
fn waiting(name: &str, script: &str, keys: &str) -> Ended {
    let service = format!(
        "[[wait.services]]\nname = 'never'\ncontainer = '{name}'\ntcp = '127.0.0.1:{}'\n",
        free_port()
    );
    let ended = Provision::new(&(container(name, script) + keys + &service)).run();
    assert!(!inspect(name).is_null(), "the evidence is gone");
    ended
}

fn by_label(plan: &str) -> Ended {
    let provision = Provision::new(&(plan.to_owned() + &idle("unused")));
    let plan = provision.bundle().join("guestbake.toml");
    provision
        .bundled_in(None)
        .args(["--plan".into(), plan.into_os_string()])
        .run()
}

fn garbage_iso() -> Ended {
    let provision = Provision::new("").file("garbage.iso", vec![7; 100_000]);
    let iso = provision.bundle().join("garbage.iso");
    provision.bundled_in(Some(iso)).run()
}

fn hung_engine() -> Ended {
    let engine = PrivateEngine::start();
    engine.stop();
    Provision::on(&engine, &engine_within_a_second()).run()
}

fn small_image(tag: &str) -> ImageArchive {
    ImageArchive::new(tag, vec![layer(&[("etc/name", tag.as_bytes())])])
}

fn archive_plan(name: &str) -> String {
    format!(
        "[images]\narchives = ['img.tar']\nrequire = ['reasons/{name}:latest']\n{}",
        idle("unused")
    )
}

fn with_archive(name: &str, change: impl FnOnce(&mut ImageArchive)) -> Ended {
    let mut image = small_image(&format!("reasons/{name}:latest"));
    change(&mut image);
    Provision::new(&archive_plan(name))
        .file("img.tar", image.bytes())
        .run()
}

fn small_data_root() -> Ended {
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

/// A migration of one second in a running container.
fn migrated(container: &str, keys: &str, name: &str, script: &str) -> Ended {
    let migration = format!(
        "[[migrations]]\nname = '{name}'\ncontainer = '{container}'\ntimeout = '1s'\n\
         command = ['sh', '-c', '''{script}''']\n"
    );
    Provision::new(&(idle(container) + keys + &migration)).run()
}

/// Of its output, the last 200 lines are on the console, and all of it in the log.
fn long_failure(container: &str, target: &str) -> Ended {
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

fn slow_one_shot() -> Ended {
    let plan = idle("slow-shot")
        + &format!(
            "[[migrations]]\nname = 'slow'\nimage = '{TOOLS}'\nnetwork_mode = 'host'\ntimeout = '1s'\n\
             container_name = 'slow-shot-own'\ncommand = ['sh', '-c', 'echo working; sleep 100000']\n"
        );
    let ended = Provision::new(&plan).run();
    assert_eq!(inspect("slow-shot-own")["State"]["Running"], false);
    ended.assert_shows("| working");
    ended
}

fn dies_during_migration() -> Ended {
    let plan = container(
        "dies-meanwhile",
        "until [ -e /tmp/go ]; do sleep 0.05; done; exit 5",
    ) + "[[wait.services]]\nname = 'up'\ncontainer = 'dies-meanwhile'\nexec = ['true']\n\
         [[migrations]]\nname = 'cut'\ncontainer = 'dies-meanwhile'\ncommand = ['sh', '-c', 'touch /tmp/go; sleep 100000']\n";
    Provision::new(&plan).run()
}

fn never_ready() -> Ended {
    let plan = "wait.timeout = '1s'\n".to_owned()
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

fn removed() -> Ended {
    let run = Provision::new(&never("removed")).start();
    run.until_console("container removed started");
    let answer = support::provision::engine().request("DELETE", "/containers/removed?force=1", b"");
    assert_eq!(answer.status, 204, "{}", answer.body);
    run.end()
}

fn smoke_plan(container: &str, command: &str, port: u16) -> String {
    idle(container)
        + &format!(
            "[smoke]\nwhen = 'always'\ntimeout = '1s'\n\
             [smoke.container]\ncontainer_name = '{container}-own'\nimage = '{TOOLS}'\nnetwork_mode = 'host'\n\
             command = ['sh', '-c', '{command}']\n\
             [[smoke.checks]]\nname = 'backend'\nhttp = 'http://127.0.0.1:{port}/'\n"
        )
}

fn smoke_answers_503() -> Ended {
    let port = server::http(|_| (503, String::new(), "the database is away".into()));
    let ended = Provision::new(&smoke_plan("smoke-503", "echo smoking; sleep 100000", port)).run();
    assert_eq!(ended.smoke(), "failed");
    ended.assert_shows("smoke-503-own | smoking");
    ended
}

fn smoke_dies() -> Ended {
    let ended = Provision::new(&smoke_plan("smoke-dies", "exit 6", free_port())).run();
    assert_eq!(ended.smoke(), "failed");
    ended
}

fn interrupted(name: &str, signal: Signal) -> Ended {
    let run = Provision::new(&never(name)).start();
    run.until_console(&format!("container {name} started"));
    run.signal(signal);
    let ended = run.end();
    assert_eq!(inspect(name)["State"]["Running"], false, "{name} runs on");
    ended.assert_shows("---- containers ----");
    ended
}

/// The second one does not wait for a container that takes its time to stop.
fn interrupted_twice() -> Ended {
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

fn killed_worker(name: &str, signal: Signal) -> Ended {
    let run = Provision::new(&never(name)).start();
    run.until_console(&format!("container {name} started"));
    kill_process(run.worker(), signal).unwrap();
    let ended = run.end();
    // The dump that the worker could not make any more.
    ended.assert_shows(&format!("{name}: running"));
    ended
}

//! Every fault in one table: what goes wrong and when, what the host must see of it, and within what time. Each row is a
//! run of the program on a real engine. The README has the same table; the rows that only a virtual machine can show are
//! in `tests/vm/cases`.

#[path = "../support/mod.rs"]
mod support;

mod bundles;
mod causes;
mod engine;
mod machine;
mod outlets;
mod processes;

use std::time::Duration;

use rustix::process::Signal;

use causes::{archive_plan, never, other_architecture, small_image, waiting};
use support::engine::Kind;
use support::image::{Packing, TOOLS, host_architecture};
use support::provision::{Ended, Provision, idle};

/// Beyond the bound: a busy machine, and the program's start.
const SLACK: Duration = Duration::from_secs(30);

/// Docker's words, or Podman's: which does not know in version 4 what was killed for memory, and lets end well what is
/// removed.
fn of_either(docker: &'static str, podman: &'static str) -> &'static str {
    match Kind::tested() {
        Kind::Docker => docker,
        Kind::Podman => podman,
    }
}

/// What must come of a fault.
struct Comes {
    verdict: &'static str,
    /// None: whoever would have had it was killed.
    code: Option<i32>,
    /// Any of these words; empty: none.
    reason: &'static str,
    stage: &'static str,
    /// In the message.
    words: Vec<String>,
}

fn done() -> Comes {
    Comes {
        verdict: "done",
        code: Some(0),
        reason: "",
        stage: "",
        words: Vec::new(),
    }
}

/// Done, but the process that was started did not live to say so.
fn finished() -> Comes {
    Comes {
        code: None,
        ..done()
    }
}

fn failed(reason: &'static str, code: i32, stage: &'static str, words: &[&str]) -> Comes {
    Comes {
        verdict: "failed",
        code: Some(code),
        reason,
        stage,
        words: words.iter().map(|word| (*word).to_owned()).collect(),
    }
}

fn hung(stage: &'static str) -> Comes {
    failed("deadline_exceeded", 60, stage, &["the run's limit of 8s"])
}

fn orphaned(stage: &'static str, words: &[&str]) -> Comes {
    Comes {
        code: None,
        ..failed("killed", 70, stage, words)
    }
}

fn must_come(fault: &str, row: &str, bound: u64, comes: &Comes, ended: &Ended) {
    let found = (
        ended.code,
        ended.of_result("verdict"),
        ended.of_result("stage"),
    );
    let all = || format!("{}\n{}", ended.console, ended.stderr);
    assert_eq!(found, (comes.code, comes.verdict, comes.stage), "{}", all());
    let reasons: Vec<_> = comes.reason.split_whitespace().collect();
    let as_expected =
        reasons.contains(&ended.reason()) || reasons.is_empty() && ended.reason().is_empty();
    assert!(
        as_expected,
        "{:?} of {reasons:?}:\n{}",
        ended.reason(),
        all()
    );
    for word in &comes.words {
        assert!(
            ended.message().contains(word),
            "{word}: {}",
            ended.message()
        );
    }
    let bound = Duration::from_secs(bound);
    assert!(ended.took < bound + SLACK, "{:?} of {bound:?}", ended.took);
    println!(
        "{fault}: {row}: {} after {:.1?} of {bound:?}",
        comes.verdict, ended.took
    );
}

/// `"fault", "within, as the README has it" (seconds): { when: what must come, the run; … }`
macro_rules! faults {
    ($($fault:literal, $within:literal ($bound:literal): {
        $($(#[$long:meta])? $row:ident: $comes:expr, $run:expr;)*
    })*) => {
        const TABLE: &[(&str, &str)] = &[$(($fault, $within)),*];
        $($(
            #[test]
            $(#[$long])?
            fn $row() {
                let ended: Ended = $run;
                must_come($fault, stringify!($row), $bound, &$comes, &ended);
            }
        )*)*
    };
}

faults! {
    "no bundle", "30 s" (30): {
        no_such_folder: failed("bundle_missing", 10, "bundle", &["/nowhere"]),
            Provision::new("").bundled_in(Some("/nowhere/bundle".into())).run();
        no_volume_of_that_name: failed("bundle_missing", 10, "bundle", &["NOSUCHLABEL"]),
            causes::by_label("[bundle]\nlabel = 'NOSUCHLABEL'\ntimeout = '300ms'\n");
        a_bundle_on_a_file_system_that_blocks: failed("bundle_missing", 10, "bundle", &["looking at"]),
            bundles::on_a_blocked_file_system();
        a_bundle_on_a_disk_that_does_not_answer: failed("bundle_missing", 10, "bundle", &["looking at"]),
            bundles::on_a_disk_that_does_not_answer();
    }
    "a bundle that is broken", "30 s" (30): {
        no_build_arch_env: failed("bundle_corrupt", 10, "bundle", &["build-arch.env"]),
            Provision::new(&idle("unused")).without("build-arch.env").run();
        an_architecture_nobody_knows: failed("bundle_corrupt", 10, "bundle", &["build-arch.env", "vax"]),
            Provision::new(&idle("unused")).file("build-arch.env", "STACK_EMULATOR_BUILD_ARCH=vax\n").run();
        a_file_that_is_not_as_its_checksum_says: failed("bundle_corrupt", 10, "bundle", &["guestbake.toml"]),
            Provision::new(&idle("unused")).file("SHA256SUMS", format!("{}  guestbake.toml\n", "0".repeat(64))).run();
        a_checksum_of_a_file_that_is_not_there: failed("bundle_corrupt", 10, "bundle", &["img.tgz"]),
            Provision::new(&idle("unused")).file("SHA256SUMS", format!("{}  img.tgz\n", "0".repeat(64))).run();
        a_bundle_that_is_no_iso: failed("bundle_corrupt", 10, "bundle", &["garbage.iso"]),
            causes::garbage_iso();
        a_truncated_iso: failed("bundle_corrupt", 10, "bundle", &["bundle.iso", "truncated"]),
            bundles::truncated_iso();
        a_link_that_leaves_the_bundle: failed("bundle_corrupt", 10, "bundle", &["build-arch.env", "leads out of the bundle"]),
            bundles::with_a_link("build-arch.env", "/etc/hostname");
        a_link_that_climbs_out_of_the_bundle: failed("bundle_corrupt", 10, "bundle", &["build-arch.env", "leads out of the bundle"]),
            bundles::with_a_link("build-arch.env", "../../../../../../etc/hostname");
        an_archive_linked_from_outside: failed("bundle_corrupt", 10, "images", &["img.tar", "leads out of the bundle"]),
            bundles::with_a_linked_archive();
    }
    "a plan with errors", "30 s" (30): {
        no_plan: failed("plan_invalid", 11, "plan", &["guestbake.toml"]),
            Provision::new("").without("guestbake.toml").run();
        a_plan_with_errors: failed("plan_invalid", 11, "plan", &["guestbake.toml:1:1: containers.web", "and 2 more"]),
            causes::several_errors();
        an_archive_that_the_bundle_lacks: failed("plan_invalid", 11, "plan", &["guestbake.toml:2:", "img.tar"]),
            Provision::new(&archive_plan("lacking")).run();
        a_plan_that_is_no_text: failed("plan_invalid", 11, "plan", &["guestbake.toml"]),
            Provision::new("").file("guestbake.toml", b"[containers]\n\xff\xfe").run();
        a_plan_of_a_million_lines: failed("plan_invalid", 11, "plan", &["guestbake.toml"]),
            bundles::planned("x = 1\n".repeat(1_000_000));
        a_plan_nested_deep: failed("plan_invalid", 11, "plan", &["guestbake.toml:1:"]),
            bundles::planned(format!("x = {}", "[".repeat(200_000)));
        a_plan_that_is_enormous: failed("plan_invalid", 11, "plan", &["guestbake.toml", "longer than"]),
            bundles::planned(" ".repeat(20 << 20));
        an_env_file_that_is_enormous: failed("plan_invalid", 11, "plan", &["build.env", "longer than"]),
            bundles::with_an_enormous_env_file();
    }
    "no engine, or one that hangs from the start", "`[engine] timeout` + 10 s" (11): {
        no_engine: failed("engine_unavailable", 20, "engine", &["unix:///nowhere/docker.sock", "within 1s"]),
            Provision::at("unix:///nowhere/docker.sock", &causes::engine_within_a_second()).run();
        an_engine_that_hangs: failed("engine_unavailable", 20, "engine", &["within 1s", "did not answer"]),
            causes::hung_engine();
    }
    "a bundle or an image for another architecture", "30 s" (30): {
        a_bundle_for_another_architecture: failed("wrong_architecture", 21, "guest", &[other_architecture(), host_architecture()]),
            Provision::new(&idle("unused"))
            .file("build-arch.env", format!("STACK_EMULATOR_BUILD_ARCH={}\n", other_architecture())).run();
        an_image_for_another_architecture: failed("wrong_architecture", 21, "images", &["reasons/foreign:latest is for vax", host_architecture(), "install qemu-user-static"]),
            causes::with_archive("foreign", |image| image.architecture = "vax".to_owned());
    }
    "an image archive that is broken, or a bomb", "30 s after it was read" (30): {
        a_truncated_archive: failed("image_load_failed", 21, "images", &["img.tar", "truncated"]),
            causes::with_archive("truncated", |image| {
            image.packing = Packing::Gzip;
            image.truncated_to = Some(image.bytes().len() - 40);
        });
        an_archive_that_is_none: failed("image_load_failed", 21, "images", &["img.tar"]),
            Provision::new(&archive_plan("none")).file("img.tar", "not an archive at all".repeat(100)).run();
        a_layer_that_is_not_as_its_digest_says: failed("image_load_failed", 21, "images", &["img.tar", of_either("diff", "Digest did not match")]),
            causes::with_archive("digest", |image| image.wrong_layer_digest = true);
        a_required_image_that_is_in_no_archive: failed("image_load_failed", 21, "images", &["reasons/missing:latest"]),
            Provision::new(&archive_plan("missing")).file("img.tar", small_image("reasons/other:latest").bytes()).run();
        an_archive_of_endless_entries: failed("image_load_failed", 21, "images", &["img.tar", "entries"]),
            machine::tar_bomb();
    }
    "a disk that is full, or without inodes", "30 s" (30): {
        a_data_root_too_small_for_the_image: failed("no_space", 22, "images", &["img.tar", "data root", "free"]),
            causes::small_data_root();
        a_migration_that_fills_its_disk: failed("no_space", 22, "migrations", &["migration fill"]),
            causes::migrated("full-disk", "tmpfs = ['/small:size=64k']\n", "fill", "60s", "dd if=/dev/zero of=/small/file bs=1k");
        a_data_root_full_before: failed("no_space", 22, "images", &["img.tar", "data root", "free"]),
            machine::full_before();
        a_data_root_that_fills_while_loading: failed("no_space", 22, "images", &["loading img.tar", "data root", "free"]),
            machine::full_while_loading();
        a_data_root_without_inodes: failed("no_space", 22, "images", &["loading img.tar", "data root", "inodes free"]),
            machine::out_of_inodes();
    }
    "a container that does not start", "30 s" (30): {
        a_missing_executable: failed("container_start_failed", 30, "containers", &["no-executable", "no-such-program"]),
            Provision::new(&format!("[containers.no-executable]\nimage = '{TOOLS}'\nnetwork_mode = 'host'\ncommand = ['no-such-program']\n")).run();
        a_mount_that_cannot_be_made: failed("container_start_failed", 30, "containers", &["no-mount", "/etc/passwd"]),
            Provision::new(&(idle("no-mount") + "volumes = ['/etc/passwd/folder:/data']\n")).run();
        a_missing_executable_of_a_migration: failed("container_start_failed", 30, "migrations", &["migration-gone", "no-such-program"]),
            Provision::new(&(idle("gone") + &format!(
            "[[migrations]]\nname = 'gone'\nimage = '{TOOLS}'\nnetwork_mode = 'host'\ncommand = ['no-such-program']\n"))).run();
    }
    "a container that ends, is killed for memory, removed or unhealthy", "said in 1 s, the marker in 30 s" (30): {
        a_container_that_exits: failed("dependency_exited", 31, "wait", &["container exits exited with code 7", "FATAL: no config"]),
            waiting("exits", "echo starting; echo FATAL: no config >&2; exit 7", "");
        a_server_that_exits_with_0: failed("dependency_exited", 31, "wait", &["container exits-well exited with code 0"]),
            waiting("exits-well", "sleep 0.2", "");
        a_container_that_a_signal_ends: failed("dependency_exited", 31, "wait", &["code 137", "signal 9"]),
            waiting("signalled", "sleep 100000 & kill -9 $!; wait $!; exit $?", "");
        a_container_killed_for_memory: failed("dependency_exited", 31, "wait", &["container greedy", of_either("killed for memory", "code 137")]),
            waiting("greedy", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", "mem_limit = '16m'\n");
        a_container_that_is_removed: failed("dependency_exited", 31, "wait", &["container removed", of_either("is gone", "container")]),
            causes::removed();
        a_container_that_dies_during_a_migration: failed("dependency_exited", 31, "migrations", &["container dies-meanwhile exited with code 5"]),
            causes::dies_during_migration();
        a_failed_health_check: failed("dependency_unhealthy", 31, "wait", &["container unhealthy is unhealthy", "port is closed"]),
            causes::unhealthy();
        a_fatal_exit_code: failed("dependency_unhealthy", 31, "wait", &["init has failed for good", "exit code 9", "found .failed"]),
            Provision::new(&(idle("fatal") + "[[wait.services]]\nname = 'init'\ncontainer = 'fatal'\nfatal_exit_codes = [9]\n\
            exec = ['sh', '-c', 'echo found .failed; exit 9']\n")).run();
    }
    "a service that does not come", "`[wait] timeout` + 30 s" (35): {
        a_service_that_never_comes: failed("wait_timeout", 32, "wait", &["TIMEOUT after 5s: ", "closed (connection refused)", "silent (exit code 1: not yet)"]),
            causes::never_ready();
    }
    "a migration that fails, or does not end", "its limit + 30 s" (35): {
        a_command_that_fails: failed("migration_failed", 40, "migrations", &["migration bad exited with code 3", "line 300"]),
            causes::long_failure("bad-exec", "container = 'bad-exec'");
        a_migration_container_that_fails: failed("migration_failed", 40, "migrations", &["migration bad exited with code 3", "line 300"]),
            causes::long_failure("bad-shot", &format!("image = '{TOOLS}'\nnetwork_mode = 'host'\ncontainer_name = 'bad-shot-own'"));
        a_command_that_cannot_be_run: failed("migration_failed", 40, "migrations", &["migration absent", "no-such-program"]),
            Provision::new(&(idle("absent") + "[[migrations]]\nname = 'absent'\ncontainer = 'absent'\ncommand = ['no-such-program']\n")).run();
        a_command_that_does_not_end: failed("migration_timeout", 40, "migrations", &["migration slow did not end within 1s"]),
            causes::migrated("slow-exec", "", "slow", "1s", "echo working; sleep 100000");
        a_migration_container_that_does_not_end: failed("migration_timeout", 40, "migrations", &["migration slow did not end within 5s"]),
            causes::slow_one_shot();
    }
    "a smoke test that fails", "its limit + 30 s" (35): {
        a_smoke_check_that_never_passes: failed("smoke_failed", 50, "smoke", &["TIMEOUT after 5s: backend (status 503)"]),
            causes::smoke_answers_503();
        a_smoke_container_that_dies: failed("smoke_failed", 50, "smoke", &["container smoke-dies-own exited with code 6"]),
            causes::smoke_dies();
    }
    "an image that cannot be finished", "`[finish] timeout` + 30 s" (31): {
        a_chore_that_takes_too_long: failed("finish_failed", 55, "finish", &["of [finish] timeout were over"]),
            Provision::new(&(idle("finish-late") + "[finish]\nprune = true\ntimeout = '1ms'\n")).run();
    }
    "a run that takes too long", "`[run] timeout` + 50 s" (52): {
        a_run_that_takes_too_long: failed("deadline_exceeded", 60, "wait", &["the run's limit of 2s"]),
            Provision::new(&("run.timeout = '2s'\n".to_owned() + &never("deadline"))).run();
    }
    "the engine hangs, at any stage", "`[run] timeout` + 50 s" (58): {
        an_engine_that_hangs_while_loading: hung("images"),
            engine::hangs_while_loading();
        an_engine_that_hangs_while_creating: hung("containers"),
            engine::hangs_while_creating();
        an_engine_that_hangs_while_starting: hung("wait"),
            engine::hangs_while_starting();
        an_engine_that_hangs_while_waiting: hung("wait"),
            engine::hangs_while_waiting();
        an_engine_that_hangs_while_migrating: hung("migrations"),
            engine::hangs_while_migrating();
        an_engine_that_hangs_while_stopping: hung("stop"),
            engine::hangs_while_stopping();
        an_engine_that_hangs_during_diagnostics: failed("dependency_exited", 31, "wait", &["exited with code 3"]),
            engine::hangs_during_diagnostics();
    }
    "a signal to end: SIGTERM, SIGINT, SIGHUP", "60 s, a second one at once" (60): {
        a_terminated_run: failed("interrupted", 60, "wait", &["SIGTERM"]),
            causes::interrupted("terminated", Signal::TERM);
        a_run_interrupted_from_the_keyboard: failed("interrupted", 60, "wait", &["SIGINT"]),
            causes::interrupted("keyboard", Signal::INT);
        a_run_whose_terminal_is_gone: failed("interrupted", 60, "wait", &["SIGHUP"]),
            causes::interrupted("hung-up", Signal::HUP);
    }
    "a second signal", "20 s" (20): {
        a_run_interrupted_twice: failed("interrupted", 60, "wait", &["SIGTERM"]),
            causes::interrupted_twice();
        a_stopped_worker_and_two_signals: failed("interrupted", 60, "wait", &["SIGTERM came a second time"]),
            processes::stopped_worker_and_two_signals();
    }
    "the worker is killed, crashes or aborts, or gets no memory", "30 s" (30): {
        a_worker_that_is_killed: failed("killed", 70, "wait", &["worker", "signal 9"]),
            causes::killed_worker("killed-worker", Signal::KILL);
        a_worker_that_is_killed_while_the_engine_hangs: failed("killed", 70, "wait", &["worker", "signal 9"]),
            engine::hangs_and_the_worker_is_killed();
        a_worker_that_aborts: failed("killed", 70, "wait", &["worker", "SIGABRT"]),
            causes::killed_worker("aborted-worker", Signal::ABORT);
        a_worker_that_crashes: failed("killed", 70, "wait", &["worker", "SIGSEGV"]),
            causes::killed_worker("crashed-worker", Signal::SEGV);
        a_worker_that_gets_no_memory: failed("killed internal", 70, "wait", &["worker"]),
            processes::worker_without_memory();
    }
    "the worker is killed while a disk does not answer it", "60 s" (60): {
        a_worker_that_cannot_be_killed: failed("killed", 70, "containers", &["worker was killed", "hangs in the kernel"]),
            processes::worker_that_cannot_be_killed();
    }
    "the worker hangs", "`[run] timeout` + 90 s" (110): {
        #[ignore = "long: make chaos"]
        a_worker_that_is_stopped: failed("deadline_exceeded", 60, "wait", &["the worker did not end by itself"]),
            processes::stopped_worker();
    }
    "the guardian is killed", "60 s" (60): {
        a_guardian_that_is_killed: orphaned("wait", &["guardian"]),
            processes::killed_guardian();
    }
    "the guardian hangs", "110 s" (110): {
        #[ignore = "long: make chaos"]
        a_guardian_that_is_stopped: orphaned("wait", &["guardian"]),
            processes::stopped_guardian();
    }
    "the guardian is killed while it writes markers", "15 s" (15): {
        a_guardian_killed_between_two_consoles: finished(),
            processes::guardian_killed_between_two_consoles();
    }
    "a console that blocks, is full, missing or unplugged", "10 s more" (15): {
        consoles_that_take_nothing: done(),
            outlets::consoles_that_take_nothing();
    }
    "a standard output that nobody reads", "10 s more" (15): {
        a_standard_output_that_nobody_reads: done(),
            outlets::standard_output_that_nobody_reads();
    }
    "a log, a report or a state folder that cannot be written", "as ever" (10): {
        a_disk_that_takes_nothing: done(),
            outlets::nowhere_to_write();
    }
    "a file system that blocks under log, report and state", "35 s more" (40): {
        a_disk_that_blocks: done(),
            outlets::blocked_file_system();
    }
    "another program's half line on the console", "as ever" (10): {
        half_a_line: done(),
            outlets::half_a_line();
    }
}

#[test]
fn the_readme_has_this_table() {
    let readme = include_str!("../../README.md");
    let rows: Vec<Vec<&str>> = readme
        .lines()
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    for (fault, within) in TABLE {
        let row = rows.iter().find(|row| row.get(1) == Some(fault));
        let row = row.unwrap_or_else(|| panic!("the README does not have {fault:?}"));
        assert_eq!(row[3], *within, "{fault}");
    }
}

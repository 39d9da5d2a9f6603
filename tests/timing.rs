//! Deaths and time limits on a real engine. What is exact is shown under a clock of its own (`wait.rs`); here it is the
//! order of magnitude, and of a few tries the best, since a busy machine may delay any one of them.

mod support;

use std::time::{Duration, Instant, SystemTime};

use support::provision::{Provision, Running, container, idle, inspect};
use support::server::{self, free_port};

const TRIES: usize = 3;

/// The best of a few tries.
fn best(what: &str, mut one: impl FnMut(usize) -> Duration) -> Duration {
    let all: Vec<_> = (0..TRIES).map(&mut one).collect();
    println!("{what}: {all:?}");
    all.into_iter().min().unwrap()
}

/// From a container's end, as the engine noted it, to the line that tells of it.
fn told_after(run: Running, name: &str, words: &str) -> Duration {
    run.until_console(words);
    let told = SystemTime::now();
    let ended = inspect(name)["State"]["FinishedAt"]
        .as_str()
        .unwrap()
        .to_owned();
    let ended = humantime::parse_rfc3339(&ended).unwrap();
    assert_eq!(run.end().reason(), "dependency_exited");
    told.duration_since(ended).unwrap()
}

fn never() -> String {
    format!(
        "[[wait.services]]\nname = 'never'\ntcp = '127.0.0.1:{}'\n",
        free_port()
    )
}

#[test]
fn a_death_is_reported_within_a_second() {
    let after = best("a death while waiting", |number| {
        let name = format!("death-{number}");
        let service = format!("container = '{name}'\n");
        let plan = container(&name, "sleep 0.3; exit 3") + &never() + &service;
        let run = Provision::new(&plan).start();
        told_after(
            run,
            &name,
            &format!("stage wait failed: container {name} exited with code 3"),
        )
    });
    assert!(after < Duration::from_secs(1), "{after:?}");
}

#[test]
fn a_death_after_readiness_is_reported_within_a_second() {
    let after = best("a death after readiness", |number| {
        let name = format!("ready-death-{number}");
        let plan = container(&name, "until [ -e /tmp/go ]; do sleep 0.05; done; exit 3")
            + &never()
            + &format!(
                "[[wait.services]]\nname = 'up'\ncontainer = '{name}'\nexec = ['touch', '/tmp/go']\n"
            );
        let run = Provision::new(&plan).start();
        run.until_console("up ready (");
        told_after(
            run,
            &name,
            &format!("stage wait failed: container {name} exited with code 3"),
        )
    });
    assert!(after < Duration::from_secs(1), "{after:?}");
}

#[test]
fn a_death_during_a_migration_is_reported_within_a_second() {
    let after = best("a death during a migration", |number| {
        let name = format!("migration-death-{number}");
        let plan = container(&name, "until [ -e /tmp/go ]; do sleep 0.05; done; exit 3")
            + &idle(&format!("migration-runs-{number}"))
            + &format!(
                "volumes = []\n\
                 [[wait.services]]\nname = 'up'\ncontainer = '{name}'\nexec = ['true']\n\
                 [[migrations]]\nname = 'first'\ncontainer = '{name}'\ncommand = ['touch', '/tmp/go']\n\
                 [[migrations]]\nname = 'endless'\ncontainer = 'migration-runs-{number}'\ncommand = ['sleep', '100000']\n"
            );
        let run = Provision::new(&plan).start();
        let words = format!("stage migrations failed: container {name} exited with code 3");
        told_after(run, &name, &words)
    });
    assert!(after < Duration::from_secs(1), "{after:?}");
}

#[test]
fn a_budget_ends_when_it_should_whatever_the_servers_do() {
    const BUDGET: Duration = Duration::from_secs(2);
    let silent = server::silent();
    let over = best("over the budget", |number| {
        let plan = "wait.timeout = '2s'\n".to_owned()
            + &idle(&format!("budget-{number}"))
            + &never()
            + &format!(
                "[[wait.services]]\nname = 'silent'\nhttp = 'http://127.0.0.1:{silent}/'\n\
                 [[wait.services]]\nname = 'hung'\ncontainer = 'budget-{number}'\nexec = ['sleep', '100000']\n"
            );
        let before = Instant::now();
        let run = Provision::new(&plan).start();
        run.until_console("stage containers done");
        let began = Instant::now();
        run.until_console(
            "stage wait failed: TIMEOUT after 2s: never (connection refused), silent (",
        );
        let (since_before, since_began) = (before.elapsed(), began.elapsed());
        assert!(since_before >= BUDGET, "given up after {since_before:?}");
        assert_eq!(run.end().reason(), "wait_timeout");
        since_began.saturating_sub(BUDGET)
    });
    assert!(over < Duration::from_millis(500), "{over:?}");
}

#[test]
fn the_environment_s_budget_overrides_the_plan_s() {
    let plan = "wait.timeout = '1500s'\n".to_owned() + &idle("budget-env") + &never();
    let ended = Provision::new(&plan)
        .environment("STACK_DEPS_TIMEOUT", "1")
        .run();
    let words = ["TIMEOUT after 1s: never (connection refused)"];
    ended.assert_failed(32, "wait_timeout", "wait", &words);
}

#[test]
fn a_service_is_seen_soon_after_it_came_up() {
    let late = best("a service seen late", |number| {
        let port = free_port();
        let plan = idle(&format!("seen-{number}"))
            + &format!("[[wait.services]]\nname = 'late'\nhttp = 'http://127.0.0.1:{port}/'\n");
        let run = Provision::new(&plan).start();
        run.until_console("stage containers done");
        std::thread::sleep(Duration::from_secs(2));
        let opened = Instant::now();
        server::http_at(port, |_| (200, String::new(), String::new()));
        run.until_console("late ready (");
        let late = opened.elapsed();
        run.end().assert_done();
        late
    });
    // A fiftieth of two seconds, and what two processes need to say it.
    assert!(late < Duration::from_millis(340), "{late:?}");
}

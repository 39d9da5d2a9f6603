//! SIGKILL of a random process at a random moment of a run as cloud-init starts it: every run ends in exactly one marker.
//!
//! `make chaos` runs 200; CHAOS_RUNS and CHAOS_SEED choose others. In `make test` it is a short series.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use support::guest::{Guest, GuestBundle, Victim};
use support::image::TOOLS;
use support::provision::{engine, until};

const MARKERS: [&str; 3] = [
    "STACK_CLOUD_INIT_DONE",
    "STACK_CLOUD_INIT_FAILED",
    "STACK_SERVICES_READY",
];
/// Diagnostics of a run that was given up, and stopping its containers.
const BOUND: Duration = Duration::from_secs(120);
/// Consoles, log, record and `sync`.
const MARKERS_TAKE: Duration = Duration::from_millis(30);
const PLAN: &str = "[containers.chaos]
network_mode = \"host\"
stop_grace_period = \"0s\"
command = [\"sh\", \"-c\", \"sleep 0.7; touch /ready; sleep 100\"]
[wait]
timeout = \"60s\"
heartbeat = \"100ms\"
[[wait.services]]
name = \"s\"
container = \"chaos\"
exec = [\"test\", \"-f\", \"/ready\"]
[[migrations]]
name = \"m\"
container = \"chaos\"
command = [\"sleep\", \"0.5\"]
[finish]
power_off = \"never\"
";

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text}: expected a number")),
        Err(_) => default,
    }
}

/// The one marker on the console.
fn the_one_marker(console: &str) -> Result<&str, String> {
    let markers: Vec<_> = console
        .lines()
        .filter(|line| MARKERS.contains(line))
        .collect();
    match markers.as_slice() {
        [one] => Ok(one),
        others => Err(format!("markers {others:?}:\n{console}")),
    }
}

#[test]
fn every_run_ends_in_exactly_one_marker() {
    let runs = number("CHAOS_RUNS", 12);
    let mut state = number("CHAOS_SEED", 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let bundle = GuestBundle::new(&PLAN.replacen("]\n", &format!("]\nimage = \"{TOOLS}\"\n"), 1));
    let began = Instant::now();
    let undisturbed = Guest::start(&bundle, engine()).end(BOUND);
    assert_eq!(the_one_marker(&undisturbed), Ok(MARKERS[0]));
    let mut run = began.elapsed();

    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    let (mut killed, mut in_vain) = (0, 0);
    while killed < runs {
        let began = Instant::now();
        let guest = Guest::start(&bundle, engine());
        // Before, there is only the shell of cloud-init's that starts it.
        until("the bootstrap", || {
            let tree = guest.processes();
            tree.iter().any(|one| one.role == "bootstrap").then_some(())
        });
        // Every other time while the markers are written, or around it.
        let at_the_end = killed % 2 == 1;
        if at_the_end {
            let decided = guest.state_dir().join("decided");
            until("a verdict", || decided.exists().then_some(()));
        }
        let early = guest.processes();
        let most = if at_the_end { MARKERS_TAKE } else { run };
        std::thread::sleep(Duration::from_micros(random(most.as_micros() as u64)));
        // Looking takes as long as the end does.
        let tree = if at_the_end { early } else { guest.processes() };
        let victim = tree.get(random(tree.len().max(1) as u64) as usize);
        let is_hit = victim.is_some_and(|victim| victim.is_alive() && victim.kill());
        let console = guest.end(BOUND);
        let marker = the_one_marker(&console).unwrap_or_else(|error| {
            panic!("run {killed}, of {tree:?} killed: {victim:?} ({is_hit}); {error}")
        });
        engine().request("DELETE", "/containers/chaos?force=true", b"");
        let (true, Some(victim)) = (is_hit, victim) else {
            // The victim, or all, had come to an end before: no run to count. A machine that was busy before may not be now.
            run = run.min(began.elapsed());
            in_vain += 1;
            assert!(
                in_vain < 2 * runs + 10,
                "most runs end before anything is killed"
            );
            continue;
        };
        killed += 1;
        *ends
            .entry(format!("{}, {marker}", victim.role))
            .or_default() += 1;
    }
    for (how, times) in &ends {
        println!("{times:4} {how}");
    }
    println!(
        "{runs} runs with a process killed, each with one marker; {in_vain} too late, likewise"
    );
}

/// Guardian and worker are stopped: nobody is left but the bootstrap.
#[test]
#[ignore = "long: make chaos"]
fn a_run_that_is_stopped_altogether_is_ended_by_the_bootstrap() {
    let bundle = GuestBundle::new(
        "run.timeout = '20s'\n[[wait.services]]\nname = 'never'\ntcp = '127.0.0.1:1'\n",
    );
    let guest = Guest::start(&bundle, engine());
    until("both to be there, and the plan to be known", || {
        let tree = guest.processes();
        let of = |role: &str| tree.iter().find(|one| one.role == role);
        let (guardian, worker) = (of("guardian")?, of("worker")?);
        guest
            .console()
            .contains("stage plan done")
            .then(|| [guardian, worker].map(Victim::stop))
    });
    let console = guest.end(Duration::from_secs(400));
    assert_eq!(the_one_marker(&console), Ok(MARKERS[1]));
    assert!(console.contains("\"reason\":\"killed\""), "{console}");
}

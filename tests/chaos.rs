//! SIGKILL of a random process of the agent's tree at a random moment: every run ends in exactly one marker.
//!
//! `make chaos` runs 200; CHAOS_RUNS and CHAOS_SEED choose others. In `make test` it is a short series.

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::image::TOOLS;
use support::provision::Provision;

const MARKERS: [&str; 3] = [
    "STACK_CLOUD_INIT_DONE",
    "STACK_CLOUD_INIT_FAILED",
    "STACK_SERVICES_READY",
];
/// Diagnostics of a run that was given up, and stopping its containers.
const BOUND: Duration = Duration::from_secs(90);
/// Consoles, log, record and `sync`.
const MARKERS_TAKE: Duration = Duration::from_millis(30);
/// An undisturbed run takes about this long.
const RUN: Duration = Duration::from_millis(1800);

fn number(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text}: expected a number")),
        Err(_) => default,
    }
}

fn children(process: Pid) -> Vec<Pid> {
    let id = process.as_raw_nonzero();
    let children =
        std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|id| Pid::from_raw(id.parse().ok()?))
        .collect()
}

/// Gone, or a zombie that only waits to be reaped.
fn is_gone(process: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()))
        .unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
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
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for n in 0..runs {
        let name = format!("chaos{n}");
        let plan = format!(
            "[containers.{name}]\nimage = \"{TOOLS}\"\nnetwork_mode = \"host\"\nstop_grace_period = \"0s\"\n\
             command = [\"sh\", \"-c\", \"sleep 0.7; touch /ready; sleep 100\"]\n\
             [wait]\ntimeout = \"60s\"\nheartbeat = \"100ms\"\n\
             [[wait.services]]\nname = \"s\"\ncontainer = \"{name}\"\nexec = [\"test\", \"-f\", \"/ready\"]\n\
             [[migrations]]\nname = \"m\"\ncontainer = \"{name}\"\ncommand = [\"sleep\", \"0.5\"]\n"
        );
        let running = Provision::new(&plan).start();
        let guardian = running.guardian();
        // Every other time while the markers are written, or around it.
        let most = if n % 2 == 0 {
            RUN
        } else {
            let decided = running.provision().state_dir().join("decided");
            support::provision::until("a verdict", || decided.exists().then_some(()));
            MARKERS_TAKE
        };
        std::thread::sleep(Duration::from_micros(random(most.as_micros() as u64)));
        let mut tree = vec![guardian];
        tree.extend(children(guardian));
        let worker = tree.get(1).copied();
        let victim = tree[random(tree.len() as u64) as usize];
        // It may have come to its end a moment ago.
        let _ = kill_process(victim, Signal::KILL);
        let (console, verdict) = (
            running.provision().console_file(),
            running.provision().state_dir().join("verdict"),
        );
        let end = Instant::now() + BOUND;
        while !(is_gone(guardian) && worker.is_none_or(is_gone)) {
            assert!(Instant::now() < end, "run {n} does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        let text =
            String::from_utf8_lossy(&std::fs::read(&console).unwrap_or_default()).into_owned();
        let markers: Vec<_> = text.lines().filter(|line| MARKERS.contains(line)).collect();
        let how = match (markers.as_slice(), worker) {
            ([one], _) => format!(
                "{} {one}",
                if victim == guardian {
                    "guardian"
                } else {
                    "worker"
                }
            ),
            // Before there was anybody else to notice. The bootstrap and the unit look for the verdict, and find none.
            ([], None) if !verdict.exists() => {
                "guardian, before it had a worker: left to the bootstrap".to_owned()
            }
            _ => panic!("run {n}: markers {markers:?}, victim {victim:?} of {tree:?}\n{text}"),
        };
        *ends.entry(how).or_default() += 1;
        support::provision::engine().request(
            "DELETE",
            &format!("/containers/{name}?force=true"),
            b"",
        );
    }
    for (how, times) in &ends {
        println!("{times:4} {how}");
    }
    assert_eq!(ends.values().sum::<u32>() as u64, runs);
}

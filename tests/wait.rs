//! The wait under a clock of its own: what is promised about time, to the millisecond, on however busy a machine.

mod support;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use guestbake::containers::{Observer, Rules};
use guestbake::event::{Awaited, Event, Events};
use guestbake::host::engine::Change;
use guestbake::plan::{HttpAddress, HttpProbe, Probe, Service, Stable};
use guestbake::wait::{Budget, Group, Prober, Unready};
use support::fake::{FakeEngine, FakeNetwork};
use tokio::time::{Instant, sleep};

const BUDGET: Duration = Duration::from_secs(1500);
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The granularity of the runtime's timers, and the shortest pause between two attempts.
const SLACK: Duration = Duration::from_millis(10);

fn service(name: &str, probe: Probe) -> Service {
    Service {
        name: name.into(),
        container: Some("deps".into()),
        probe,
        stable: Stable::default(),
        restarts: 0,
        attempt_timeout: None,
    }
}

/// A port that opens after so many milliseconds.
fn opens_at(milliseconds: u64) -> Service {
    let host = milliseconds.to_string();
    service(
        &format!("at-{host}"),
        Probe::Tcp {
            host,
            port: 1,
            published: false,
        },
    )
}

fn closed() -> Service {
    let host = "never".into();
    service(
        "closed",
        Probe::Tcp {
            host,
            port: 1,
            published: false,
        },
    )
}

fn http(name: &str) -> Service {
    let probe = HttpProbe {
        address: HttpAddress {
            url: format!("http://127.0.0.1/{name}"),
            socket: None,
        },
        method: "GET".into(),
        headers: vec![],
        status: vec![],
        body: None,
        insecure: false,
        ca: None,
    };
    service(name, Probe::Http(probe))
}

fn hung_exec() -> Service {
    let probe = Probe::Exec {
        command: vec!["pg_isready".into()],
        user: None,
        fatal_exit_codes: vec![],
    };
    service("hung", probe)
}

/// How a wait ended, after how long, and what it said meanwhile.
struct Waited {
    result: Result<(), Unready>,
    took: Duration,
    events: Vec<(Duration, Event)>,
    attempts: usize,
}

impl Waited {
    fn lines(&self) -> Vec<(Duration, String)> {
        let line = |(at, event): &'_ (Duration, Event)| Some((*at, event.text()?.into_owned()));
        self.events.iter().filter_map(line).collect()
    }

    fn ready_s(&self, name: &str) -> f64 {
        let ready = self.events.iter().find_map(|(_, event)| match event {
            Event::Service {
                name: of, ready_s, ..
            } if of == name => Some(*ready_s),
            _ => None,
        });
        ready.unwrap_or_else(|| panic!("{name} was never ready"))
    }

    /// Why a service was said not to be ready, and when.
    fn reasons(&self, of: &str) -> Vec<(Duration, &str, u32)> {
        let reason = self.events.iter().map(|(at, event)| match event {
            Event::NotReady {
                name,
                error,
                attempts,
            } if name == of => Some((*at, error.as_str(), *attempts)),
            _ => None,
        });
        reason.flatten().collect()
    }

    fn error(&self) -> String {
        let unready = self.result.as_ref().expect_err("all ready");
        unready.to_string()
    }
}

async fn wait_for(services: &[Service], network: FakeNetwork) -> Waited {
    wait_meanwhile(BUDGET, services, network, async |_| {}).await
}

/// Waits while something else happens to the engine.
async fn wait_meanwhile(
    budget: Duration,
    services: &[Service],
    network: FakeNetwork,
    meanwhile: impl AsyncFnOnce(Arc<FakeEngine>),
) -> Waited {
    let engine = FakeEngine::running(&["deps"]);
    let network = Arc::new(network);
    let prober = Prober {
        engine: engine.clone(),
        network: network.clone(),
    };
    let since = Instant::now();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear = heard.clone();
    let events = Events::new(move |event| hear.lock().unwrap().push((since.elapsed(), event)));
    let observer = Observer::watch(engine.clone(), Rules::for_server("deps"), &events);
    let group = Group {
        services,
        budget: Budget {
            since,
            total: budget,
        },
        heartbeat: HEARTBEAT,
        slowness: 1.0,
        observer: &observer,
        prober: &prober,
        events: &events,
    };
    let waiting = async {
        let result = group.all_ready(async { Ok(()) }).await;
        (result, since.elapsed())
    };
    let ((result, took), ()) = futures_util::future::join(waiting, meanwhile(engine)).await;
    let events = std::mem::take(&mut *heard.lock().unwrap());
    Waited {
        result,
        took,
        events,
        attempts: network.attempts.load(Ordering::Relaxed),
    }
}

fn assert_at(took: Duration, expected: Duration) {
    assert!(
        took >= expected && took <= expected + SLACK,
        "{took:?}, not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_reached_is_given_up_exactly_when_the_budget_ends() {
    let waited = wait_for(&[closed()], FakeNetwork::new()).await;
    assert_at(waited.took, BUDGET);
    let expected = "TIMEOUT after 1500s: closed (connection refused)";
    assert_eq!(waited.error(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_does_not_stretch_the_budget() {
    let services = [http("silent"), hung_exec(), opens_at(5_000)];
    let waited = wait_for(&services, FakeNetwork::new()).await;
    assert_at(waited.took, BUDGET);
    let error = waited.error();
    assert!(error.contains("silent (no answer within "), "{error}");
    assert!(error.contains("hung (no end within "), "{error}");
    assert!(!error.contains("at-5000"), "{error}");
}

/// Wherever in its attempts the budget's end comes.
#[tokio::test(start_paused = true)]
async fn the_last_attempt_cut_short_does_not_hide_what_is_wrong() {
    for tenths in 0..25 {
        let budget = Duration::from_secs(100) + Duration::from_millis(100) * tenths;
        let network = FakeNetwork {
            slowness: Duration::from_millis(900),
            ..FakeNetwork::new()
        };
        let waited = wait_meanwhile(budget, &[http("down")], network, async |_| {}).await;
        assert_at(waited.took, budget);
        assert!(
            waited.error().ends_with(": down (status 503)"),
            "{}",
            waited.error()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_service_is_seen_within_two_percent_of_its_own_time() {
    let times = [0, 3, 40, 700, 8_000, 22_800, 90_000, 600_000, 1_400_000];
    let services: Vec<Service> = times.into_iter().map(opens_at).collect();
    let waited = wait_for(&services, FakeNetwork::new()).await;
    waited.result.as_ref().expect("all ready");
    for milliseconds in times {
        let opened = Duration::from_millis(milliseconds);
        let seen = Duration::from_secs_f64(waited.ready_s(&format!("at-{milliseconds}")));
        assert!(
            seen >= opened && seen <= opened.mul_f64(1.021) + SLACK,
            "{seen:?} for {opened:?}"
        );
    }
    assert_at(
        waited.took,
        Duration::from_secs_f64(waited.ready_s("at-1400000")),
    );
}

/// As a database's first start has it: up for a second, down again, up for good.
#[tokio::test(start_paused = true)]
async fn stable_for_a_while_is_not_fooled_by_a_temporary_server() {
    let probe = || Probe::Tcp {
        host: "3000-4000,22000".into(),
        port: 1,
        published: false,
    };
    let stable = |stable| Service {
        stable,
        ..service("postgres", probe())
    };
    let fooled = [stable(Stable::Answers(3))];
    let fooled = wait_for(&fooled, FakeNetwork::new()).await;
    assert!(fooled.ready_s("postgres") < 4.0);
    let services = [stable(Stable::For(Duration::from_secs(3)))];
    let waited = wait_for(&services, FakeNetwork::new()).await;
    let ready = waited.ready_s("postgres");
    assert!((25.0..25.0 * 1.04).contains(&ready), "{ready}");
    let reasons = waited.reasons("postgres");
    assert!(
        reasons
            .iter()
            .any(|(_, why, _)| why.ends_with("of 3s") && why.starts_with("good for ")),
        "{reasons:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_wait_costs_next_to_nothing() {
    let waited = wait_for(&[closed()], FakeNetwork::new()).await;
    assert!(
        waited.attempts < 700,
        "{} attempts in 1500 s",
        waited.attempts
    );
}

#[tokio::test(start_paused = true)]
async fn every_heartbeat_names_all_that_are_not_ready() {
    let waited = wait_for(&[closed(), opens_at(45_000)], FakeNetwork::new()).await;
    let beats: Vec<_> = waited
        .lines()
        .into_iter()
        .filter(|(_, line)| line.starts_with("still waiting"))
        .collect();
    assert_eq!(beats.len(), 49, "{beats:?}");
    for (number, (at, _)) in beats.iter().enumerate() {
        assert_at(*at, HEARTBEAT * (number as u32 + 1));
    }
    assert_eq!(
        beats[0].1,
        "still waiting (30s of 1500s): closed (connection refused), at-45000 (connection refused)"
    );
    assert_eq!(
        beats[1].1,
        "still waiting (60s of 1500s): closed (connection refused)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_gets_through_once_the_wait_has_been_long() {
    let network = FakeNetwork {
        slowness: Duration::from_secs(20),
        ..FakeNetwork::new()
    };
    let waited = wait_for(&[http("slow")], network).await;
    waited.result.as_ref().expect("all ready");
    // An attempt may take a fifth of the time waited: 20 s of 100 s.
    assert!(waited.took >= Duration::from_secs(20) && waited.took < Duration::from_secs(150));
}

#[tokio::test(start_paused = true)]
async fn a_death_ends_the_wait_at_once() {
    let death = Duration::from_secs(1000);
    let waited = wait_meanwhile(
        BUDGET,
        &[closed(), http("silent")],
        FakeNetwork::new(),
        async |engine| {
            sleep(death).await;
            engine.die("deps", 3);
        },
    )
    .await;
    assert_at(waited.took, death);
    assert_eq!(waited.error(), "container deps exited with code 3");
}

#[tokio::test(start_paused = true)]
async fn the_death_of_a_container_that_had_been_ready_ends_the_wait_as_well() {
    let death = Duration::from_secs(100);
    let mut other = closed();
    other.container = None;
    let services = [opens_at(10), other];
    let waited = wait_meanwhile(BUDGET, &services, FakeNetwork::new(), async |engine| {
        sleep(death).await;
        engine.die("deps", 0);
    })
    .await;
    assert!(waited.ready_s("at-10") < 1.0);
    assert_at(waited.took, death);
    assert_eq!(waited.error(), "container deps exited with code 0");
}

#[tokio::test(start_paused = true)]
async fn a_restart_is_blamed_with_the_code_of_its_death() {
    let restart = Duration::from_secs(100);
    let late = Duration::from_millis(200);
    let waited = wait_meanwhile(BUDGET, &[closed()], FakeNetwork::new(), async |engine| {
        sleep(restart).await;
        engine.restart("deps");
        engine.tell("deps", Change::Started);
        sleep(late).await;
        engine.tell("deps", Change::Died { exit_code: 7 });
    })
    .await;
    assert_at(waited.took, restart + late);
    let error = "container deps exited with code 7; restarted once, of which the plan tolerates 0";
    assert_eq!(waited.error(), error);
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_which_nobody_tells_is_blamed_without_a_code() {
    let waited = wait_meanwhile(BUDGET, &[closed()], FakeNetwork::new(), async |engine| {
        engine.restart("deps");
    })
    .await;
    assert_at(waited.took, Duration::from_secs(1));
    let error = "container deps exited; restarted once, of which the plan tolerates 0";
    assert_eq!(waited.error(), error);
}

/// Answers something else each time it is asked.
fn fickle() -> Service {
    http("fickle")
}

#[tokio::test(start_paused = true)]
async fn why_a_service_is_not_ready_is_told_when_it_changes_and_at_the_end() {
    let waited = wait_for(&[closed(), fickle()], FakeNetwork::new()).await;
    let names = |name: &str| Awaited {
        name: name.into(),
        container: Some("deps".into()),
    };
    let begins = Event::Waiting {
        services: vec![names("closed"), names("fickle")],
        budget_s: 1500.0,
        waited_s: 0.0,
    };
    assert_eq!(waited.events[0], (Duration::ZERO, begins));

    let steady = waited.reasons("closed");
    assert_eq!(steady.len(), 2, "{steady:?}");
    assert!(
        steady
            .iter()
            .all(|(_, why, _)| *why == "connection refused")
    );
    assert_at(steady[0].0, Duration::from_secs(1));
    assert_at(steady[1].0, BUDGET);
    assert!(steady[1].2 > 100, "{steady:?}");

    let fickle = waited.reasons("fickle");
    assert!(fickle.len() > 100, "{}", fickle.len());
    let apart = |pair: &[(Duration, &str, u32)]| pair[1].0 - pair[0].0;
    // The last comes with the end, whenever that is.
    let shortest = fickle[..fickle.len() - 1].windows(2).map(apart).min();
    assert!(shortest >= Some(Duration::from_secs(1)), "{shortest:?}");
}

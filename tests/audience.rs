//! Who hears of a run beside the consoles: systemd, and the host over a port.

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::Value;
use support::provision::{Provision, container, idle};
use support::server::free_port;

/// systemd's end of the socket.
struct Manager {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        Manager { folder, socket }
    }

    fn service(&self, provision: Provision) -> Provision {
        let socket = self.folder.path().join("notify");
        provision
            .environment("NOTIFY_SOCKET", socket.to_str().unwrap())
            .environment("WATCHDOG_USEC", "400000")
    }

    /// The next datagram, if one comes within so long.
    fn next(&self, limit: Duration) -> Option<String> {
        let mut bytes = [0; 4096];
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let length = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    fn until(&self, wanted: &str) -> String {
        loop {
            let told = self.next(Duration::from_secs(60));
            let told = told.unwrap_or_else(|| panic!("nobody says {wanted}"));
            if told.starts_with(wanted) {
                return told;
            }
        }
    }
}

fn never() -> String {
    let port = free_port();
    format!("[[wait.services]]\nname = 'never'\ntcp = '127.0.0.1:{port}'\n")
}

const ALIVE: &str = "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=400000";

#[test]
fn systemd_is_told_where_the_run_stands_that_it_lives_and_that_it_is_ready() {
    let systemd = Manager::new();
    let plan = container(
        "notified",
        "sleep 1; touch /tmp/up; trap 'exit 0' TERM; sleep 100000 & wait",
    ) + "[[wait.services]]\nname = 'up'\ncontainer = 'notified'\nexec = ['test', '-e', '/tmp/up']\n";
    let run = systemd.service(Provision::new(&plan)).start();
    assert_eq!(systemd.until("WATCHDOG"), ALIVE);
    systemd.until("STATUS=stage bundle");
    systemd.until("STATUS=waiting for 1 of 1: up");
    systemd.until("WATCHDOG");
    systemd.until("STATUS=stage stop");
    systemd.until("STATUS=done in ");
    systemd.until("READY=1");
    run.end().assert_done();
}

#[test]
fn a_failed_run_is_never_ready_and_its_status_is_the_cause() {
    let systemd = Manager::new();
    let run = systemd.service(Provision::new("nonsense = 1")).run();
    run.assert_failed(11, "plan_invalid", "plan", &[]);
    let mut told = Vec::new();
    while let Some(one) = systemd.next(Duration::from_millis(1)) {
        told.push(one);
    }
    let last = told.iter().rfind(|one| one.starts_with("STATUS=")).unwrap();
    assert!(last.starts_with("STATUS=FAILED in stage plan: "), "{last}");
    assert!(!told.contains(&"READY=1".to_owned()), "{told:?}");
}

#[test]
fn the_signs_of_life_end_with_the_pipelines_life() {
    let systemd = Manager::new();
    let run = systemd.service(Provision::new(&never())).start();
    systemd.until("STATUS=waiting for ");
    systemd.until("WATCHDOG");
    let worker = run.worker();
    kill_process(worker, Signal::STOP).unwrap();
    // What was on its way comes still; then, for ten times the time between two of them, nothing.
    let mut after = 0;
    while systemd.next(Duration::from_secs(1)).is_some() {
        after += 1;
        assert!(after < 20, "a stopped pipeline still shows signs of life");
    }
    kill_process(worker, Signal::CONT).unwrap();
    systemd.until("WATCHDOG");
    run.signal(Signal::TERM);
    assert_eq!(run.end().reason(), "interrupted");
}

#[test]
fn the_host_gets_the_log_and_the_report_over_the_port() {
    let folder = tempfile::tempdir().unwrap();
    let channel = folder.path().join("channel");
    let plan = container("on-the-wire", "echo no paper; sleep 1; exit 3")
        + &never()
        + "container = 'on-the-wire'\n";
    let ended = Provision::new(&plan)
        .args(["--channel".as_ref(), channel.as_os_str()])
        .run();
    ended.assert_failed(31, "dependency_exited", "wait", &[]);
    let sent = fs::read_to_string(channel).unwrap();
    let messages: Vec<Value> = sent
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(messages[0]["protocol"], 1);
    assert_eq!(messages.last().unwrap()["end"], support::provision::FAILED);
    let logged: Vec<&str> = messages
        .iter()
        .filter_map(|message| message["log"].as_str())
        .collect();
    let log: Vec<&str> = ended.log.lines().filter(|line| !line.is_empty()).collect();
    // All but the marker, which the last message has.
    assert_eq!(
        logged
            .iter()
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>(),
        log[..log.len() - 1].iter().collect::<Vec<_>>()
    );
    let report = messages
        .iter()
        .rfind(|message| !message["report"].is_null())
        .unwrap();
    assert_eq!(report["report"]["result"], ended.result);
}

#[test]
fn a_port_nobody_listens_at_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let channel = folder.path().join("channel");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &channel, fifo, mode, 0).unwrap();
    let ended = Provision::new(&idle("unheard"))
        .args(["--channel".as_ref(), channel.as_os_str()])
        .run();
    ended.assert_done();
}

//! Guardian and worker: killed, stopped, and without memory.

use std::fs::File;
use std::io::Read;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Resource, Rlimit, Signal, kill_process, prlimit};

use crate::causes::never;
use crate::machine::BlockedFileSystem;
use crate::support::provision::{DONE, Ended, Provision, Running, idle, inspect};

/// A run that waits for what never comes.
fn waiting(name: &str, keys: &str) -> Running {
    let run = Provision::new(&(keys.to_owned() + &never(name))).start();
    run.until_console(&format!("container {name} started"));
    run
}

pub fn stopped_worker() -> Ended {
    let run = waiting("stopped-worker", "run.timeout = '20s'\n");
    kill_process(run.worker(), Signal::STOP).unwrap();
    run.end()
}

pub fn stopped_worker_and_two_signals() -> Ended {
    let run = waiting("stopped-twice", "");
    kill_process(run.worker(), Signal::STOP).unwrap();
    run.signal(Signal::TERM);
    std::thread::sleep(std::time::Duration::from_millis(200));
    run.signal(Signal::TERM);
    run.end()
}

/// One of its threads hangs in the kernel, so it is killed and stays.
pub fn worker_that_cannot_be_killed() -> Ended {
    let blocked = BlockedFileSystem::mount_unkillable();
    let target = blocked.path().join("file");
    let file = format!("[[files]]\npath = '{}'\ncontent = 'x'\n", target.display());
    let run = Provision::new(&(idle("unkillable") + &file)).start();
    blocked.wait_until_asked();
    kill_process(run.worker(), Signal::KILL).unwrap();
    run.end()
}

/// Neither for its heap nor for the stack of a thread: it aborts, or panics.
pub fn worker_without_memory() -> Ended {
    let run = waiting("no-memory", "");
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    for resource in [Resource::As, Resource::Data] {
        prlimit(Some(run.worker()), resource, none).unwrap();
    }
    // Diagnostics need both.
    run.signal(Signal::USR1);
    run.end()
}

/// No code of its own is left to tell, only the marker that the worker wrote.
pub fn killed_guardian() -> Ended {
    let run = waiting("killed-guardian", "");
    let worker = run.worker();
    run.signal(Signal::KILL);
    let ended = run.end_of(worker);
    // What came before belongs to the same run.
    assert_eq!(ended.report["stages"][0]["stage"], "bundle");
    assert_eq!(inspect("killed-guardian")["State"]["Running"], false);
    ended
}

/// The worker ends it, and then finds itself alone.
pub fn stopped_guardian() -> Ended {
    let run = waiting("stopped-guardian", "");
    let worker = run.worker();
    run.signal(Signal::STOP);
    run.end_of(worker)
}

/// One console has its marker, the other takes nothing when the guardian is killed: the worker gives the other what is
/// missing there, and the first one nothing more.
pub fn guardian_killed_between_two_consoles() -> Ended {
    let provision = Provision::new("");
    let fifo = provision.bundle().with_file_name("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let run = provision
        .args(["--console".as_ref(), fifo.as_os_str()])
        .start();
    let worker = run.worker();
    run.until_told(
        "marker",
        &[run.provision().console_file(), run.provision().log_file()],
    );
    run.signal(Signal::KILL);
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        File::open(fifo).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    let ended = run.end_of(worker);
    let late = reader.join().unwrap();
    for words in [&format!("\n{DONE}\n"), "STACK_PROVISION_RESULT: "] {
        assert_eq!(late.matches(words).count(), 1, "{words}:\n{late}");
    }
    ended
}

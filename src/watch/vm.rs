//! The VM's process, held by a pidfd: another process that gets its number later is not taken for it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// The kernel counts a process's start in hundredths of a second for its users, whatever its own tick.
const USER_HZ: f64 = 100.0;

pub struct Vm {
    /// `None`: it had ended, and been waited for, before it was looked at.
    process: Option<OwnedFd>,
    /// By the clock that files are dated with.
    pub started: Option<SystemTime>,
}

impl Vm {
    pub fn open(pid: i32) -> io::Result<Vm> {
        let number = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw);
        let number = number.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{pid} is not the number of a process"),
            )
        })?;
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(process) => Ok(Vm {
                process: Some(process),
                started: started(pid),
            }),
            Err(Errno::SRCH) => Ok(Vm {
                process: None,
                started: None,
            }),
            Err(error) => Err(io::Error::new(
                io::Error::from(error).kind(),
                format!("watching process {pid}: {error}"),
            )),
        }
    }

    pub fn has_ended(&self) -> bool {
        self.wait(Duration::ZERO).unwrap_or(true)
    }

    /// Waits until the process ends, but not longer than `limit`.
    pub fn wait_for_end(&self, limit: Duration) -> io::Result<()> {
        self.wait(limit).map(|_| ())
    }

    fn wait(&self, limit: Duration) -> io::Result<bool> {
        let Some(process) = &self.process else {
            return Ok(true);
        };
        let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
        // A pidfd turns readable when its process ends.
        match poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "files have their times by the wall clock"
)]
fn started(pid: i32) -> Option<SystemTime> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let uptime = fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let age = Duration::try_from_secs_f64(uptime - started_after_boot(&stat)?).unwrap_or_default();
    SystemTime::now().checked_sub(age)
}

/// Field 22 of proc(5)'s `/proc/pid/stat`, in seconds. The second field, a name in brackets, may hold anything.
fn started_after_boot(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let ticks: f64 = behind_name.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks / USER_HZ)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_end_of_a_process_is_seen_even_before_it_is_waited_for() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let vm = Vm::open(child.id() as i32).unwrap();
        assert!(!vm.has_ended());
        child.kill().unwrap();
        while !vm.has_ended() {
            vm.wait_for_end(Duration::from_secs(10)).unwrap();
        }
        child.wait().unwrap();
        assert!(vm.has_ended());
        assert!(Vm::open(child.id() as i32).unwrap().has_ended());
    }

    #[test]
    fn its_start_is_dated_as_files_are() {
        let before = SystemTime::now() - Duration::from_secs(2);
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let vm = Vm::open(child.id() as i32).unwrap();
        let started = vm.started.unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            started > before && started <= SystemTime::now(),
            "{started:?}"
        );
    }

    #[test]
    fn a_name_with_brackets_confuses_nobody() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        assert_eq!(started_after_boot(stat), Some(123.45));
    }

    #[test]
    fn what_is_no_number_of_a_process_is_refused() {
        for pid in [0, -1] {
            let error = Vm::open(pid).err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}

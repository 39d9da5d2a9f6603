//! Powering the machine off.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};

use super::systemd;

/// The first real-time signal that glibc and musl leave free, on every Linux architecture here.
const SIGRTMIN: i32 = 34;

/// Not for people: cuts the power after so many seconds.
pub const FORCE_VERB: &str = "force-power-off";

pub trait Power: Send + Sync {
    /// Asks for an orderly power-off; returns at once.
    fn off(&self) -> io::Result<()>;
    /// Cuts the power now.
    fn force_off(&self) -> io::Result<()>;
    /// Has the power cut after this time by a process that no shutdown waits for; this one may end.
    fn arrange_force_off(&self, after: Duration) -> io::Result<()>;
}

pub struct ThisMachine;

impl Power for ThisMachine {
    fn off(&self) -> io::Result<()> {
        if !systemd::is_running() {
            return self.force_off();
        }
        // systemd(1): SIGRTMIN+4 starts poweroff.target. A signal needs no memory, no bus and no other program.
        // SAFETY: 38 is a signal number that the C library leaves to its users, and is only sent, never handled, here.
        let signal = unsafe { Signal::from_raw_unchecked(SIGRTMIN + 4) };
        Ok(kill_process(Pid::INIT, signal)?)
    }

    fn force_off(&self) -> io::Result<()> {
        Ok(reboot(RebootCommand::PowerOff)?)
    }

    /// Staying here instead would hold up the shutdown: systemd waits for the service we are part of.
    fn arrange_force_off(&self, after: Duration) -> io::Result<()> {
        let program = std::env::current_exe()?;
        let program = program.to_str().ok_or(io::ErrorKind::InvalidData)?;
        let (unit, seconds) = (
            "--unit=guestbake-force-power-off",
            after.as_secs().to_string(),
        );
        // Without default dependencies it is not stopped before everything else is.
        let arguments = [
            "--quiet",
            "--collect",
            unit,
            "--property=DefaultDependencies=no",
            program,
            FORCE_VERB,
            &seconds,
        ];
        systemd::run("systemd-run", &arguments)
    }
}

//! The end of the machine, if that is how a run is to end.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::{Announcer, DISK_LIMIT, within};
use crate::event::Verdict;
use crate::host::power::Power;
use crate::plan::PowerOff;

/// An orderly power-off that takes longer is taken to hang.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(15);
/// systemd takes over within it, or it hangs.
const ARRANGE_LIMIT: Duration = Duration::from_secs(12);

impl Announcer {
    pub fn is_power_off_due(&self, verdict: Verdict) -> bool {
        match (verdict, self.outlets.power_off) {
            (Verdict::Ready, _) => false,
            (Verdict::Failed, _) if self.outlets.hold.is_some() => false,
            (_, Some(asked)) => asked,
            (verdict, None) => match self.progress.power_off {
                PowerOff::Always => true,
                PowerOff::OnFailure => verdict == Verdict::Failed,
                PowerOff::Never => false,
            },
        }
    }

    /// Powers off if that is how this run is to end; returns if the machine stays on.
    pub fn power_off_if_due(&self) {
        if !self
            .decision
            .as_ref()
            .is_some_and(|decision| decision.power_off)
        {
            return;
        }
        let power = self.power.clone();
        // Starting a program can hang as any disk can.
        let arranged = within(ARRANGE_LIMIT, move || {
            power.arrange_force_off(POWER_OFF_LIMIT)
        });
        match self.power.off() {
            Ok(()) if matches!(arranged, Some(Ok(()))) => return,
            Ok(()) => thread::sleep(POWER_OFF_LIMIT),
            Err(error) => self.say(&format!("the orderly power-off failed: {error}")),
        }
        if let Err(error) = force_off(&*self.power) {
            self.say(&format!("the forced power-off failed: {error}"));
        }
    }

    /// On standard output alone; the consoles have had their last line.
    fn say(&self, text: &str) {
        self.view.line(text);
        self.view.flush(Instant::now() + DISK_LIMIT);
    }
}

/// Cuts the power after so many seconds, for [`Power::arrange_force_off`].
pub fn force_power_off(after: Duration, power: &dyn Power) {
    thread::sleep(after);
    if let Err(error) = force_off(power) {
        eprintln!("the forced power-off failed: {error}");
    }
}

fn force_off(power: &dyn Power) -> io::Result<()> {
    within(DISK_LIMIT, rustix::fs::sync);
    power.force_off()
}

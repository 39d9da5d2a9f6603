//! When an emulated guest is woken up for a wait. Each time costs it a millisecond of the processor, and tokio's clock
//! wakes it up twice for most pauses, as it finds them on a coarse wheel first and then on a fine one. The kernel's own
//! timer does once, for all who wait.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until};

pub struct Moments {
    /// None: tokio's clock, which is finer.
    timer: Option<Timer>,
}

struct Timer {
    file: AsyncFd<OwnedFd>,
    /// When it goes off.
    set_to: Cell<Option<Instant>>,
}

impl Moments {
    /// By how slow the guest is, as the plan has it.
    pub fn of_guest(slowness: f64) -> Self {
        let timer = (slowness > 1.0).then(Timer::new);
        Moments {
            timer: timer.and_then(Result::ok),
        }
    }

    pub async fn until(&self, moment: Instant) {
        if let Some(timer) = &self.timer
            && timer.until(moment).await.is_ok()
        {
            return;
        }
        sleep_until(moment).await;
    }
}

impl Timer {
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // SAFETY: it is open for as long as this owns it, and stays the same.
        let file = unsafe { AsyncFd::register_with_interest(timer, Interest::READABLE) }?;
        Ok(Timer {
            file,
            set_to: Cell::new(None),
        })
    }

    /// Whoever is woken for another's moment sets it anew for its own.
    async fn until(&self, moment: Instant) -> io::Result<()> {
        loop {
            let now = Instant::now();
            if moment <= now {
                return Ok(());
            }
            let is_ahead = |at: Instant| at > now && at <= moment;
            if !self.set_to.get().is_some_and(is_ahead) {
                self.set(moment - now)?;
                self.set_to.set(Some(moment));
            }
            let mut gone_off = self.file.readable().await?;
            // The first who sees it takes what there is to be read, and nobody after him tries.
            if self.set_to.get().is_some_and(|at| at <= Instant::now()) {
                self.set_to.set(None);
                let _ = rustix::io::read(&self.file, &mut [0; 8]);
            }
            gone_off.clear_ready();
        }
    }

    fn set(&self, left: Duration) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::try_from(left).map_err(io::Error::other)?,
        };
        timerfd_settime(&self.file, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    /// Whoever waits for which moment, nobody is early, and nobody is forgotten.
    #[tokio::test]
    async fn all_who_share_the_timer_are_woken_when_it_is_theirs() {
        let moments = Moments::of_guest(5.0);
        assert!(moments.timer.is_some());
        let began = Instant::now();
        let waits = [30, 10, 20, 10, 0].map(|ms| {
            let moments = &moments;
            async move {
                for round in 1..=3 {
                    let moment = began + Duration::from_millis(ms) * round;
                    moments.until(moment).await;
                    assert!(Instant::now() >= moment);
                }
            }
        });
        join_all(waits).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_is_not_slow_has_the_finer_clock() {
        let moment = Instant::now() + Duration::from_secs(3600);
        Moments::of_guest(1.0).until(moment).await;
        assert!(Instant::now() >= moment);
    }
}

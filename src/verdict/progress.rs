//! What the events of a run add up to.

use std::time::{Instant, SystemTime};

use crate::event::Event;
use crate::plan::PowerOff;
use crate::report::{self, Report};

/// What the events so far add up to.
pub struct Progress {
    pub report: Report,
    pub power_off: PowerOff,
    began: Instant,
    /// The wall clock then.
    began_at: SystemTime,
}

impl Default for Progress {
    fn default() -> Self {
        let began_at = wall_clock();
        Progress {
            report: Report {
                version: report::VERSION,
                guestbake: env!("CARGO_PKG_VERSION").to_owned(),
                started: humantime::format_rfc3339_seconds(began_at).to_string(),
                uptime_s: uptime(),
                ..Report::default()
            },
            began: Instant::now(),
            began_at,
            power_off: PowerOff::Always,
        }
    }
}

impl Progress {
    pub fn take(&mut self, event: &Event) {
        self.report.take(event, self.began.elapsed().as_secs_f64());
        if let Event::Plan { power_off, .. } = event {
            self.power_off = *power_off;
        }
    }

    /// With how far the wall clock was set meanwhile: many a guest learns late what time it is.
    pub fn report_now(&self) -> Report {
        let expected = self.began_at + self.began.elapsed();
        let now = wall_clock();
        let step = match now.duration_since(expected) {
            Ok(forward) => forward.as_secs_f64(),
            Err(back) => -back.duration().as_secs_f64(),
        };
        let mut report = self.report.clone();
        // Less is a clock that is slewed, or this program's own slowness.
        if step.abs() >= 1.0 {
            report.clock_step_s = step.round();
        }
        report
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "for people; durations are monotonic"
)]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

pub fn uptime() -> f64 {
    let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    since_boot.tv_sec as f64 + f64::from(since_boot.tv_nsec as u32 / 1_000_000) / 1000.0
}

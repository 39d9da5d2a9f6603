//! systemd: one line that says where the run stands, signs of life, and that it is ready.

use std::time::Duration;

use super::Listener;
use crate::event::{Event, Verdict};
use crate::host::notify::{Notifier, watchdog};
use crate::report::{Report, status};

pub struct Manager {
    notifier: Notifier,
    watchdog: Option<Duration>,
    told: String,
}

impl Manager {
    pub fn new(notifier: Notifier) -> Self {
        let manager = Manager {
            notifier,
            watchdog: watchdog(),
            told: String::new(),
        };
        manager.live();
        manager
    }

    /// A oneshot starts as long as it runs, so it is the limit of its start as well that is put off.
    fn live(&self) {
        if let Some(watchdog) = self.watchdog {
            let limit = watchdog.as_micros();
            self.notifier
                .tell(&format!("WATCHDOG=1\nEXTEND_TIMEOUT_USEC={limit}"));
        }
    }
}

impl Listener for Manager {
    fn event(&mut self, event: &Event, report: &Report) {
        if matches!(event, Event::Alive | Event::Outcome(_)) {
            self.live();
        }
        // Lines come by the thousand, and change nothing.
        if matches!(
            event,
            Event::Line { .. } | Event::Detail { .. } | Event::Alive
        ) {
            return;
        }
        let status = status(report);
        if status != self.told {
            self.notifier.tell(&format!("STATUS={status}"));
            self.told = status;
        }
    }

    fn before_marker(&mut self, verdict: Verdict) {
        if verdict != Verdict::Failed {
            self.notifier.tell("READY=1");
        }
        // Nobody is left to give signs of life where the service stays active, and none are due where it ends.
        if self.watchdog.is_some() {
            self.notifier.tell("WATCHDOG_USEC=0");
        }
    }
}

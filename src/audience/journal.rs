//! The journal: every line with its stage, its service and, of a failure, its reason as fields of their own.

use super::Listener;
use crate::event::{Event, Verdict};
use crate::host::journal::{Journal, Priority};
use crate::report::{Report, status};

pub struct Fields {
    journal: Journal,
    /// What is printed comes into the journal by itself; only what has a rank is said here.
    prints: bool,
    /// The service that the next line is about.
    service: Option<String>,
}

impl Fields {
    pub fn new(journal: Journal, prints: bool) -> Self {
        Fields {
            journal,
            prints,
            service: None,
        }
    }

    fn say(
        &mut self,
        priority: Priority,
        text: &str,
        stage: Option<String>,
        reason: Option<String>,
    ) {
        let service = self.service.take();
        if self.prints && priority > Priority::Error {
            return;
        }
        let fields = [
            ("GUESTBAKE_STAGE", stage.as_deref()),
            ("GUESTBAKE_SERVICE", service.as_deref()),
            ("GUESTBAKE_REASON", reason.as_deref()),
        ];
        self.journal.send(priority, text, &fields);
    }
}

impl Listener for Fields {
    fn event(&mut self, event: &Event, report: &Report) {
        let stage = report.stage.map(|stage| stage.to_string());
        match event {
            Event::Line { text } => self.say(Priority::Info, text, stage, None),
            Event::Detail { text } => self.say(Priority::Debug, text, stage, None),
            Event::Diagnostics { text } => self.say(Priority::Notice, text, stage, None),
            // Its line comes next.
            Event::Service { name, .. } => self.service = Some(name.clone()),
            Event::NotReady { name, error, .. } => {
                self.service = Some(name.clone());
                let text = format!("{name} is not ready: {error}");
                self.say(Priority::Debug, &text, stage, None);
            }
            Event::StageDone { stage, seconds } => {
                let text = format!("stage {stage} done ({seconds:.1}s)");
                self.say(Priority::Info, &text, Some(stage.to_string()), None);
            }
            Event::Outcome(outcome) if outcome.verdict == Verdict::Failed => {
                let reason = outcome.reason.map(|reason| reason.to_string());
                let stage = outcome.stage.map(|stage| stage.to_string()).or(stage);
                self.say(Priority::Error, &status(report), stage, reason);
            }
            Event::Outcome(_) => self.say(Priority::Notice, &status(report), None, None),
            _ => {}
        }
    }
}

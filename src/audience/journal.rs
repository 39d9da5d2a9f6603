//! The journal: every line with its stage, its service and, of a failure, its reason as fields of their own.

use super::Listener;
use crate::event::{Event, Verdict};
use crate::host::journal::{Journal, Priority};
use crate::report::{Report, status};

pub struct Fields {
    journal: Journal,
    /// What is printed comes into the journal by itself; only what has a rank is said here.
    prints: bool,
}

#[derive(Default)]
struct About<'a> {
    stage: Option<String>,
    service: Option<&'a str>,
    reason: Option<String>,
}

impl Fields {
    pub fn new(journal: Journal, prints: bool) -> Self {
        Fields { journal, prints }
    }

    fn say(&self, priority: Priority, text: &str, about: &About<'_>) {
        if self.prints && priority > Priority::Error {
            return;
        }
        let fields = [
            ("GUESTBAKE_STAGE", about.stage.as_deref()),
            ("GUESTBAKE_SERVICE", about.service),
            ("GUESTBAKE_REASON", about.reason.as_deref()),
        ];
        self.journal.send(priority, text, &fields);
    }
}

impl Listener for Fields {
    fn event(&mut self, event: &Event, report: &Report) {
        let mut about = About {
            stage: report.stage.map(|stage| stage.to_string()),
            ..About::default()
        };
        match event {
            Event::Detail { text } => self.say(Priority::Debug, text, &about),
            Event::Diagnostics { text } => self.say(Priority::Notice, text, &about),
            Event::NotReady { name, error, .. } => {
                about.service = Some(name);
                let text = format!("{name} is not ready: {error}");
                self.say(Priority::Debug, &text, &about);
            }
            Event::Outcome(outcome) if outcome.verdict == Verdict::Failed => {
                about.reason = outcome.reason.map(|reason| reason.to_string());
                let stage = outcome.stage.map(|stage| stage.to_string());
                about.stage = stage.or(about.stage);
                self.say(Priority::Error, &status(report), &about);
            }
            Event::Outcome(_) => self.say(Priority::Notice, &status(report), &About::default()),
            event => {
                if let Event::Service { name, .. } = event {
                    about.service = Some(name);
                }
                if let Some(text) = event.text() {
                    self.say(Priority::Info, &text, &about);
                }
            }
        }
    }
}

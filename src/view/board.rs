//! What a run's events add up to, for those who look on.

use std::collections::VecDeque;
use std::time::Duration;

use crate::event::{Event, Outcome, Verdict};
use crate::failure::Stage;

/// The rate of an image is that of its last so many seconds: a stall shows soon.
const RATE_WINDOW: f64 = 15.0;

/// A run at one moment. All times are counted from its start.
#[derive(Clone, Debug)]
pub struct Board {
    /// What is going on: `guestbake run`.
    pub title: String,
    pub stages: Vec<(Stage, State)>,
    pub images: Vec<Image>,
    pub services: Vec<Service>,
    pub budget: Option<Budget>,
    pub migrations: Vec<Migration>,
    /// Diagnostics are being collected since then.
    pub diagnosing: Option<Duration>,
    /// Why the run is over.
    pub cause: Option<String>,
    pub outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Ahead,
    Going { since: Duration },
    Done { seconds: f64 },
    Failed { seconds: f64 },
}

#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub since: Duration,
    pub seconds: f64,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub name: String,
    pub container: Option<String>,
    /// After so many seconds of the wait.
    pub ready: Option<f64>,
    pub error: String,
    /// It is why the run is over.
    pub guilty: bool,
}

#[derive(Clone, Debug)]
pub struct Image {
    pub archive: String,
    pub done: u64,
    pub total: u64,
    /// Seconds since it was opened, and how much was through then.
    samples: VecDeque<(f64, u64)>,
    /// Seconds it took, once it is through.
    pub took: Option<f64>,
    /// False: it was there already.
    pub loaded: bool,
}

impl Image {
    /// Bytes a second, lately.
    pub fn rate(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some((since, before)), Some((until, after))) if until > since => {
                (after - before) as f64 / (until - since)
            }
            _ => 0.0,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Migration {
    pub name: String,
    pub state: State,
    /// The last line it printed.
    pub said: String,
}

impl Board {
    /// `stages`: those to come, in order.
    pub fn new(title: impl Into<String>, stages: &[Stage]) -> Self {
        Board {
            title: title.into(),
            stages: stages.iter().map(|stage| (*stage, State::Ahead)).collect(),
            images: Vec::new(),
            services: Vec::new(),
            budget: None,
            migrations: Vec::new(),
            diagnosing: None,
            cause: None,
            outcome: None,
        }
    }

    /// The stage that is going on or was the last to.
    pub fn current(&self) -> Option<(Stage, State)> {
        let begun = |(_, state): &&(Stage, State)| {
            matches!(state, State::Going { .. } | State::Failed { .. })
        };
        self.stages.iter().rfind(begun).copied()
    }

    /// Takes in what happened at `at`.
    pub fn take(&mut self, event: &Event, at: Duration) {
        match event {
            Event::StageStarted { stage } => {
                // The checks of the smoke test are another group than the wait's.
                if matches!(stage, Stage::Wait | Stage::Smoke) {
                    self.services.clear();
                    self.budget = None;
                }
                self.set(*stage, State::Going { since: at });
            }
            Event::StageDone { stage, seconds } => {
                self.set(*stage, State::Done { seconds: *seconds });
            }
            Event::StageFailed { stage, seconds } => {
                self.set(*stage, State::Failed { seconds: *seconds });
            }
            Event::Cause { message, container } => self.blame(message, container.as_deref()),
            Event::ImageLoading {
                archive,
                done,
                total,
                seconds,
            } => {
                let image = self.image(archive, *total);
                image.done = *done;
                image.samples.push_back((*seconds, *done));
                while image.samples.len() > 2 && image.samples[1].0 < seconds - RATE_WINDOW {
                    image.samples.pop_front();
                }
            }
            Event::Image {
                archive,
                bytes,
                seconds,
                loaded,
            } => {
                let image = self.image(archive, *bytes);
                image.took = Some(*seconds);
                image.loaded = *loaded;
            }
            Event::Waiting {
                services,
                budget_s,
                waited_s,
            } => {
                self.budget = Some(Budget {
                    since: at.saturating_sub(Duration::from_secs_f64(waited_s.max(0.0))),
                    seconds: *budget_s,
                });
                let service = |awaited: &crate::event::Awaited| Service {
                    name: awaited.name.clone(),
                    container: awaited.container.clone(),
                    ready: None,
                    error: "not probed yet".to_owned(),
                    guilty: false,
                };
                self.services = services.iter().map(service).collect();
            }
            Event::NotReady { name, error, .. } => self.service(name, |service| {
                service.error.clone_from(error);
            }),
            Event::Service { name, ready_s, .. } => self.service(name, |service| {
                service.ready = Some(*ready_s);
            }),
            Event::MigrationStarted { name } => self.migrations.push(Migration {
                name: name.clone(),
                state: State::Going { since: at },
                said: String::new(),
            }),
            Event::Migration {
                name,
                exit_code,
                seconds,
            } => self.migration(name, |migration| {
                migration.state = match exit_code {
                    Some(0) => State::Done { seconds: *seconds },
                    _ => State::Failed { seconds: *seconds },
                };
            }),
            Event::Detail { text } => {
                if let Some((name, line)) = text.split_once(" | ") {
                    self.migration(name, |migration| migration.said = line.trim().to_owned());
                }
            }
            Event::DiagnosticsStarted => self.diagnosing = Some(at),
            Event::Diagnostics { .. } => self.diagnosing = None,
            Event::Outcome(outcome) => self.conclude(outcome, at),
            // Lines are shown as they are, and what a later version adds is not needed here.
            _ => {}
        }
    }

    fn set(&mut self, stage: Stage, state: State) {
        match self.stages.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, known)) => *known = state,
            None => self.stages.push((stage, state)),
        }
    }

    fn blame(&mut self, message: &str, container: Option<&str>) {
        self.cause = Some(message.to_owned());
        for service in &mut self.services {
            service.guilty = service.ready.is_none()
                && container.is_some()
                && service.container.as_deref() == container;
        }
    }

    fn conclude(&mut self, outcome: &Outcome, at: Duration) {
        self.diagnosing = None;
        if outcome.verdict == Verdict::Failed {
            self.cause.clone_from(&outcome.message);
            for (_, state) in &mut self.stages {
                if let State::Going { since } = *state {
                    *state = State::Failed {
                        seconds: at.saturating_sub(since).as_secs_f64(),
                    };
                }
            }
        }
        self.outcome = Some(outcome.clone());
    }

    fn image(&mut self, archive: &str, total: u64) -> &mut Image {
        let known = self
            .images
            .iter()
            .position(|image| image.archive == archive);
        let place = known.unwrap_or_else(|| {
            self.images.push(Image {
                archive: archive.to_owned(),
                done: 0,
                total,
                samples: VecDeque::new(),
                took: None,
                loaded: false,
            });
            self.images.len() - 1
        });
        &mut self.images[place]
    }

    fn service(&mut self, name: &str, change: impl FnOnce(&mut Service)) {
        self.services
            .iter_mut()
            .find(|service| service.name == name)
            .map(change);
    }

    fn migration(&mut self, name: &str, change: impl FnOnce(&mut Migration)) {
        self.migrations
            .iter_mut()
            .rfind(|migration| migration.name == name)
            .map(change);
    }
}

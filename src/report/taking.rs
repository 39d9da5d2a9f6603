//! Events become a report.

use super::{
    Diagnostics, Finish, Guest, Image, Migration, Report, ResultLine, Service, StageTime, State,
    Wait,
};
use crate::event::{Awaited, Chore, Event, Outcome, Verdict};
use crate::failure::Stage;

impl Report {
    /// Takes in what an event says, at `elapsed` seconds of the run.
    pub fn take(&mut self, event: &Event, elapsed: f64) {
        self.elapsed_s = rounded(elapsed);
        self.let_time_pass();
        match event.clone() {
            Event::StageStarted { stage } => {
                self.stage = Some(stage);
                self.stages.push(StageTime {
                    stage,
                    started_s: self.elapsed_s,
                    seconds: 0.0,
                    state: State::Running,
                });
            }
            Event::StageDone { stage, seconds } => self.end_stage(stage, seconds, State::Done),
            Event::StageFailed { stage, seconds } => {
                self.end_stage(stage, seconds, State::Failed);
                // What it was at is cut off with it.
                self.cut_off();
            }
            Event::Guest {
                arch,
                accel,
                evidence,
            } => {
                self.guest = Some(Guest {
                    arch,
                    accel,
                    evidence,
                });
            }
            Event::ImageLoading {
                archive,
                done,
                total,
                seconds,
            } => {
                let image = self.image(&archive, total, seconds);
                image.take(done);
            }
            Event::Image {
                archive,
                bytes,
                seconds,
                loaded,
            } => {
                let image = self.image(&archive, bytes, seconds);
                image.take(if loaded { bytes } else { 0 });
                image.loaded = loaded;
                image.state = State::Done;
            }
            Event::Waiting {
                services,
                budget_s,
                waited_s,
            } => self.begin_wait(services, budget_s, waited_s),
            Event::NotReady {
                name,
                error,
                attempts,
            } => {
                let service = self.service(&name);
                service.attempts = attempts;
                service.last_error = Some(error);
            }
            Event::Service {
                name,
                ready_s,
                attempts,
            } => {
                let service = self.service(&name);
                service.attempts = attempts;
                service.ready_s = Some(rounded(ready_s));
            }
            Event::MigrationStarted { name } => self.migrations.push(Migration {
                name,
                started_s: self.elapsed_s,
                seconds: 0.0,
                exit_code: None,
                state: State::Running,
            }),
            Event::Migration {
                name,
                exit_code,
                seconds,
            } => {
                let mut migrations = self.migrations.iter_mut().rev();
                if let Some(migration) = migrations.find(|migration| migration.name == name) {
                    migration.seconds = rounded(seconds);
                    migration.exit_code = exit_code;
                    migration.state = match exit_code {
                        Some(0) => State::Done,
                        _ => State::Failed,
                    };
                }
            }
            Event::Finished { chore, of, bytes } => self.chore_done(chore, of, bytes),
            Event::DiagnosticsStarted => self.diagnostics = Some(self.no_diagnostics()),
            Event::Diagnostics { text } => {
                let none = self.no_diagnostics();
                let dump = self.diagnostics.get_or_insert(none);
                dump.seconds = rounded(self.elapsed_s - dump.started_s);
                dump.lines.push(text);
            }
            Event::Outcome(outcome) => {
                if outcome.verdict == Verdict::Failed {
                    self.cut_off();
                }
                self.result = Some(self.result_line(outcome));
            }
            // The outcome has the cause as well.
            Event::Cause { .. } => {}
            Event::Line { .. } | Event::Detail { .. } | Event::Plan { .. } | Event::Alive => {}
        }
    }

    fn begin_wait(&mut self, services: Vec<Awaited>, budget_s: f64, waited_s: f64) {
        let (stage, now) = (self.stage, self.elapsed_s);
        self.waits.push(Wait {
            stage,
            started_s: rounded((now - waited_s).max(0.0)),
            budget_s,
        });
        self.services
            .extend(services.into_iter().map(|service| Service {
                name: service.name,
                container: service.container,
                stage,
                probed_s: Some(now),
                ready_s: None,
                attempts: 0,
                last_error: None,
            }));
    }

    /// The latest of that name: the smoke test may check what the wait has waited for.
    fn service(&mut self, name: &str) -> &mut Service {
        let at = self.services.iter().rposition(|known| known.name == name);
        let at = at.unwrap_or_else(|| {
            let nobody = Awaited {
                name: name.to_owned(),
                container: None,
            };
            self.begin_wait(vec![nobody], 0.0, 0.0);
            self.services.len() - 1
        });
        &mut self.services[at]
    }

    fn image(&mut self, archive: &str, bytes: u64, seconds: f64) -> &mut Image {
        let at = self
            .images
            .iter()
            .rposition(|known| known.archive == archive);
        let at = at.unwrap_or_else(|| {
            self.images.push(Image {
                archive: archive.to_owned(),
                bytes,
                taken: 0,
                started_s: rounded((self.elapsed_s - seconds).max(0.0)),
                seconds: 0.0,
                bytes_per_s: None,
                loaded: false,
                state: State::Running,
            });
            self.images.len() - 1
        });
        let image = &mut self.images[at];
        image.seconds = rounded(seconds);
        image
    }

    fn end_stage(&mut self, stage: Stage, seconds: f64, state: State) {
        let Some(at) = self.stages.iter().rposition(|one| one.stage == stage) else {
            return;
        };
        let (before, from_here) = self.stages.split_at_mut(at);
        let before = before.last().map_or(0.0, |one| one.started_s + one.seconds);
        let ended = &mut from_here[0];
        // When it began was heard late, perhaps; it ended now. But not before the one before it had.
        let began = rounded((self.elapsed_s - seconds).max(before));
        ended.started_s = ended.started_s.min(began);
        ended.seconds = rounded(seconds);
        ended.state = state;
    }

    /// What is going on takes as long as it has taken until now.
    fn let_time_pass(&mut self) {
        let now = self.elapsed_s;
        for (started, seconds, _) in self.running() {
            *seconds = rounded(now - started);
        }
    }

    fn cut_off(&mut self) {
        for (_, _, state) in self.running() {
            *state = State::Failed;
        }
    }

    /// Start, duration and state of all that is going on.
    fn running(&mut self) -> impl Iterator<Item = (f64, &mut f64, &mut State)> {
        let stages = self.stages.iter_mut();
        let images = self.images.iter_mut();
        let migrations = self.migrations.iter_mut();
        stages
            .map(|stage| (stage.started_s, &mut stage.seconds, &mut stage.state))
            .chain(images.map(|image| (image.started_s, &mut image.seconds, &mut image.state)))
            .chain(migrations.map(|m| (m.started_s, &mut m.seconds, &mut m.state)))
            .filter(|(_, _, state)| **state == State::Running)
    }

    fn chore_done(&mut self, chore: Chore, of: String, bytes: Option<u64>) {
        // One after the other.
        let before = self.finish.last();
        let stage = || self.stages.last().map_or(0.0, |stage| stage.started_s);
        let started_s = before.map_or_else(stage, |before| before.started_s + before.seconds);
        self.finish.push(Finish {
            chore,
            of,
            bytes,
            started_s: rounded(started_s),
            seconds: rounded((self.elapsed_s - started_s).max(0.0)),
        });
    }

    fn no_diagnostics(&self) -> Diagnostics {
        Diagnostics {
            started_s: self.elapsed_s,
            seconds: 0.0,
            lines: Vec::new(),
        }
    }

    fn result_line(&self, outcome: Outcome) -> ResultLine {
        ResultLine {
            verdict: outcome.verdict,
            stage: outcome.stage,
            reason: outcome.reason,
            message: outcome.message,
            elapsed_s: self.elapsed_s,
            arch: self.guest.as_ref().map(|guest| guest.arch.clone()),
            accel: self.guest.as_ref().map(|guest| guest.accel.clone()),
            smoke: outcome.smoke,
        }
    }
}

impl Image {
    fn take(&mut self, bytes: u64) {
        self.taken = bytes;
        let rate = (bytes as f64 / self.seconds.max(0.001)) as u64;
        self.bytes_per_s = (bytes > 0).then_some(rate);
    }
}

/// Milliseconds are more than anyone reads.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

//! Migrations: ready services become a migrated stack. Each one's output is kept, and its exit status decides.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout_at};

use crate::containers::{self, Observer};
use crate::event::{Event, Events};
use crate::failure::{Fault, Reason};
use crate::host::engine::{Command, Engine, EngineError, EngineResult, Output};
use crate::lines::{LineSplitter, Tail};
use crate::plan::{Container, Migration, MigrationTarget, Plan};
use crate::wait::{ReadyServices, seconds};

/// Lines of a failed migration's output that are shown.
const SHOWN_LINES: usize = 200;
/// The output of a one-shot container ends a moment before the engine has noted its exit.
const EXIT_POLL: Duration = Duration::from_millis(20);

/// Proof that every migration ended with 0.
pub struct Migrated {
    pub engine: Arc<dyn Engine>,
    pub observer: Arc<Observer>,
}

/// For a run that begins later. Whether they were run nothing here can tell, so it is said.
pub fn as_found(ready: ReadyServices, plan: &Plan, events: &Events) -> Migrated {
    for migration in &plan.migrations {
        events.line(format!(
            "migration {} left out, and taken as done",
            migration.name
        ));
    }
    Migrated {
        engine: ready.containers.engine,
        observer: ready.containers.observer,
    }
}

pub async fn run(ready: ReadyServices, plan: &Plan, events: &Events) -> Result<Migrated, Fault> {
    let stack = ready.containers;
    for migration in &plan.migrations {
        let one = run_one(&*stack.engine, migration, events);
        stack.observer.guard(one).await?;
    }
    Ok(Migrated {
        engine: stack.engine,
        observer: stack.observer,
    })
}

async fn run_one(engine: &dyn Engine, migration: &Migration, events: &Events) -> Result<(), Fault> {
    let name = &migration.name;
    events.line(format!("migration {name} started"));
    events.emit(Event::MigrationStarted { name: name.clone() });
    let began = Instant::now();
    let mut transcript = Transcript::new(name, events);
    let ended = match &migration.target {
        MigrationTarget::Exec {
            container,
            command,
            working_dir,
            user,
            environment,
        } => {
            let command = Command {
                argv: command.clone(),
                user: user.clone(),
                working_dir: working_dir.clone(),
                environment: environment
                    .iter()
                    .map(|(k, v)| format!("{k}={v}"))
                    .collect(),
            };
            let mut sink = |bytes: &[u8]| transcript.push(bytes);
            let ended = engine
                .exec(container, &command, migration.timeout, &mut sink)
                .await;
            ended.map_err(|error| broken_off(name, error))
        }
        MigrationTarget::OneShot(container) => {
            one_shot(
                engine,
                container,
                migration.timeout,
                &mut transcript,
                events,
            )
            .await
        }
    };
    let shown = transcript.finish();
    let took = began.elapsed();
    let exit_code = ended.as_ref().ok().copied().flatten();
    events.emit(Event::Migration {
        name: name.clone(),
        exit_code,
        seconds: took.as_secs_f64(),
    });
    let mut fault = match ended {
        Ok(Some(0)) => {
            events.line(format!(
                "migration {name} done ({:.1}s)",
                took.as_secs_f64()
            ));
            return Ok(());
        }
        Ok(Some(code)) => {
            let last = shown
                .last()
                .map(|line| format!(": {line}"))
                .unwrap_or_default();
            Fault::new(
                Reason::MigrationFailed,
                format!(
                    "migration {name} exited with code {code}{} after {}{last}",
                    not_run(&migration.target, code),
                    seconds(took)
                ),
            )
        }
        Ok(None) => Fault::new(
            Reason::MigrationTimeout,
            format!(
                "migration {name} did not end within {}",
                seconds(migration.timeout)
            ),
        ),
        Err(fault) => fault,
    };
    if shown
        .iter()
        .any(|line| line.contains("No space left on device"))
    {
        fault.reason = Reason::NoSpace;
    }
    fault.evidence = shown;
    Err(fault)
}

/// What shells and engines mean by these codes.
fn not_run(target: &MigrationTarget, code: i64) -> String {
    let what = match code {
        126 => "cannot be executed",
        127 => "not found",
        _ => return String::new(),
    };
    match target {
        MigrationTarget::Exec { command, .. } => {
            format!(" ({what}: {}, or what it called)", command[0])
        }
        MigrationTarget::OneShot(_) => format!(" ({what}: its command, or what that called)"),
    }
}

fn broken_off(name: &str, error: EngineError) -> Fault {
    let reason = match error {
        EngineError::Refused { .. } => Reason::MigrationFailed,
        _ => Reason::EngineUnavailable,
    };
    Fault::new(reason, format!("migration {name} broke off: {error}"))
}

/// A container of its own; it goes when it has succeeded and stays as evidence when not.
async fn one_shot(
    engine: &dyn Engine,
    container: &Container,
    limit: Duration,
    transcript: &mut Transcript<'_>,
    events: &Events,
) -> Result<Option<i64>, Fault> {
    let end = Instant::now() + limit;
    containers::create_and_start(engine, container, events).await?;
    let to_end = async {
        let mut output = engine.output(&container.name, Output::Follow);
        while let Some(bytes) = output.next().await {
            transcript.push(&bytes?);
        }
        exit_code(engine, &container.name).await
    };
    match timeout_at(end, to_end).await {
        Ok(Ok(0)) => {
            // Left behind it would do no harm; the next run replaces it.
            let _ = engine.remove(&container.name).await;
            Ok(Some(0))
        }
        Ok(Ok(code)) => Ok(Some(code)),
        Ok(Err(error)) => Err(broken_off(&container.name, error)),
        Err(_) => {
            if let Err(error) = engine.stop(&container.name, Duration::ZERO).await {
                events.line(format!(
                    "container {} could not be stopped: {error}",
                    container.name
                ));
            }
            Ok(None)
        }
    }
}

async fn exit_code(engine: &dyn Engine, name: &str) -> EngineResult<i64> {
    loop {
        match engine.container(name).await? {
            Some(facts) if facts.running || facts.restarting => sleep(EXIT_POLL).await,
            Some(facts) => {
                return facts.exit_code.ok_or_else(|| EngineError::Refused {
                    status: 500,
                    message: format!("container {name} ended without an exit code"),
                });
            }
            None => {
                return Err(EngineError::Refused {
                    status: 404,
                    message: format!("container {name} was removed while it ran"),
                });
            }
        }
    }
}

/// Output goes to the provision log line by line; the last lines are kept for a failure.
struct Transcript<'a> {
    name: &'a str,
    events: &'a Events,
    lines: LineSplitter,
    last: Tail,
}

impl<'a> Transcript<'a> {
    fn new(name: &'a str, events: &'a Events) -> Self {
        Transcript {
            name,
            events,
            lines: LineSplitter::default(),
            last: Tail::new(SHOWN_LINES, 64 * 1024),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        for line in self.lines.push(bytes) {
            self.keep(line);
        }
    }

    fn keep(&mut self, line: String) {
        self.events.detail(format!("{} | {line}", self.name));
        self.last.push(line);
    }

    fn finish(mut self) -> Vec<String> {
        if let Some(line) = self.lines.finish() {
            self.keep(line);
        }
        self.last.lines().map(str::to_owned).collect()
    }
}

//! One stage by itself, for whoever is at the guest: no marker, no power-off.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::args::{AloneArgs, RunArgs};
use crate::bundle::Bundle;
use crate::containers::{self, CreatedContainers};
use crate::engine::{self, RunningEngine};
use crate::event::{Event, Events};
use crate::failure::{ExitCode, Fault, Reason, Stage};
use crate::guest::{Accel, Emulation};
use crate::host::Host;
use crate::migrate::{self, Migrated};
use crate::pipeline::{self, Range, Request};
use crate::plan::{self, Emulated, Plan, Plans};
use crate::verdict::Lock;
use crate::view::Progress;
use crate::wait::{self, Prober, ReadyServices};
use crate::{bundle, guest, images, smoke as smoke_test};

/// Up to the engine, every stage run alone goes the same way.
const APPROACH: [Stage; 4] = [Stage::Bundle, Stage::Plan, Stage::Guest, Stage::Engine];
/// For a bundle to be found, and again for an engine to answer, where what matters is how things are now.
const GLANCE: Duration = Duration::from_secs(4);
/// For a terminal that is slow to take the last lines.
pub const VIEW_LIMIT: Duration = Duration::from_secs(10);

pub fn check(request: &Request) -> ExitCode {
    // The plan goes to standard output and nothing else does: it can be written to a file and used.
    let events = Events::new(|_| ());
    let host = Host::of_this_guest(None);
    let result = block_on(async {
        let (bundle, plans) = opened(request, Manner::OnTheHost, &host, &events).await?;
        // What is asked for, then what the bundle says of its guest; this machine need not be that guest.
        let said = request.accel.as_deref().or(bundle.build().accel.as_deref());
        let emulated = match said.and_then(Accel::declared) {
            Some(Accel::Tcg) => Emulated::Everything,
            _ => Emulated::Nothing,
        };
        let plan = plans.settled(&emulated);
        match emulated {
            Emulated::Nothing if plans.is_stated => {
                say("# as it holds natively; --accel tcg shows what [emulation] makes of it");
            }
            _ => (plans.differences(&plan).iter()).for_each(|line| say(&format!("# {line}"))),
        }
        say(plan.effective().trim_end());
        Ok(())
    });
    exit_code(result, &events)
}

pub fn wait(args: AloneArgs) -> ExitCode {
    alone("wait", Stage::Wait, args, async |found, events| {
        let created = found.created(events);
        wait::until_ready(created, &found.plan, &found.prober, events)
            .await
            .map(|_| ())
    })
}

pub fn migrate(args: AloneArgs) -> ExitCode {
    alone("migrate", Stage::Migrations, args, async |found, events| {
        let ready = ReadyServices::taken_for_granted(found.created(events));
        migrate::run(ready, &found.plan, events).await.map(|_| ())
    })
}

pub fn smoke(args: AloneArgs) -> ExitCode {
    alone("smoke", Stage::Smoke, args, async |found, events| {
        let created = found.created(events);
        let migrated = Migrated {
            engine: created.engine,
            observer: created.observer,
        };
        let (plan, emulated) = (&found.plan, (&found.emulation, &found.foreign));
        smoke_test::test(migrated, plan, emulated, &found.prober, events)
            .await
            .map(|_| ())
    })
}

/// How bundle and plan are opened.
#[derive(Clone, Copy)]
enum Manner {
    OnTheHost,
    InTheGuest,
    AtAGlance,
}

/// What the stages before would have made, taken as it is.
pub struct Found {
    pub plan: Plan,
    emulation: Emulation,
    /// Images that a handler emulates.
    foreign: BTreeSet<String>,
    pub running: RunningEngine,
    pub prober: Prober,
}

impl Found {
    pub async fn look(request: &Request, host: &Host, events: &Events) -> Result<Self, Fault> {
        Self::looked(request, Manner::InTheGuest, host, events).await
    }

    /// As it is at this moment: without verifying the bundle's files, and without waiting for an engine, or starting one.
    pub async fn glance(request: &Request, host: &Host, events: &Events) -> Result<Self, Fault> {
        Self::looked(request, Manner::AtAGlance, host, events).await
    }

    async fn looked(
        request: &Request,
        manner: Manner,
        host: &Host,
        events: &Events,
    ) -> Result<Self, Fault> {
        let (bundle, plans) = opened(request, manner, host, events).await?;
        let accel = request.accel.as_deref();
        let guest = guest::examined(&bundle, accel, host, events);
        let guest = stage(Stage::Guest, guest, events).await?;
        let mut plan = plans.for_guest(&guest.emulation, events);
        let emulation = guest.emulation.clone();
        let running = async {
            match manner {
                Manner::AtAGlance => engine::as_found(guest, GLANCE, host, events).await,
                _ => engine::reach(guest, &plan, host, events).await,
            }
        };
        let running = stage(Stage::Engine, running, events).await?;
        let foreign = images::emulated_ones(&running, &plan, host, events).await;
        if !foreign.is_empty() && !emulation.is_emulated() {
            plan = plans.told(&Emulated::Images(&foreign), events);
        }
        let prober = Prober::new(&running.engine, host);
        Ok(Found {
            plan,
            emulation,
            foreign,
            running,
            prober,
        })
    }

    fn created(&self, events: &Events) -> CreatedContainers {
        containers::as_found(self.running.engine.clone(), &self.plan, events)
    }
}

async fn opened(
    request: &Request,
    manner: Manner,
    host: &Host,
    events: &Events,
) -> Result<(Bundle, Plans), Fault> {
    let outer = plan::outer(request)?;
    let source = outer.bundle_source(request);
    let bundle = async {
        match manner {
            Manner::AtAGlance => bundle::opened(&source.within(GLANCE), host, events).await,
            _ => bundle::verified(&source, host, events).await,
        }
    };
    let bundle = stage(Stage::Bundle, bundle, events).await?;
    let environment = match manner {
        // The shell it is typed into is not where the agent runs.
        Manner::OnTheHost => Vec::new(),
        _ => std::env::vars().collect(),
    };
    let plans = plan::load_with(environment, &bundle, outer, events);
    let plans = stage(Stage::Plan, plans, events).await?;
    Ok((bundle, plans))
}

/// Without the run's deadline: whoever started it can end it.
async fn stage<T>(
    stage: Stage,
    work: impl Future<Output = Result<T, Fault>>,
    events: &Events,
) -> Result<T, Fault> {
    events.emit(Event::StageStarted { stage });
    let since = Instant::now();
    let result = work.await;
    let seconds = since.elapsed().as_secs_f64();
    match &result {
        Ok(_) => events.emit(Event::StageDone { stage, seconds }),
        Err(fault) => {
            events.emit(Event::StageFailed { stage, seconds });
            events.emit(Event::Cause {
                message: format!("{:#}", fault.error),
                container: fault.container.clone(),
            });
        }
    }
    result
}

fn alone<F>(verb: &str, last: Stage, args: AloneArgs, work: F) -> ExitCode
where
    F: AsyncFnOnce(&Found, &Events) -> Result<(), Fault>,
{
    let stages: Vec<_> = APPROACH.into_iter().chain([last]).collect();
    let request = args.stage.into_request();
    viewed(verb, &stages, args.view.progress, async |events| {
        let host = Host::of_this_guest(request.docker_host.as_deref());
        let found = Found::look(&request, &host, events).await?;
        stage(last, work(&found, events), events).await
    })
}

/// One stage of a run, when what it needs is found standing.
pub fn only(stage: Stage, args: RunArgs) -> ExitCode {
    // Not beside a run, which would be in each other's way.
    let _lock = match Lock::take(&args.state_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            eprintln!("guestbake: {error}");
            return ExitCode::Internal;
        }
        lock => lock,
    };
    let range = Range::only(stage);
    let request = Request {
        range,
        own_files: vec![args.log, args.report],
        ..args.stage.into_request()
    };
    let verb = format!("run --only {stage}");
    viewed(&verb, &range.stages(), args.view.progress, async |events| {
        let host = Host::of_this_guest(request.docker_host.as_deref());
        let result = pipeline::part(&host, &request, events).await;
        result.map_err(|failure| failure.fault)
    })
}

fn viewed<F>(verb: &str, stages: &[Stage], progress: Progress, work: F) -> ExitCode
where
    F: AsyncFnOnce(&Events) -> Result<(), Fault>,
{
    let view = Arc::new(super::view(progress, verb, stages));
    let watched = view.clone();
    let events = Events::new(move |event| {
        watched.note(&event);
        match &event {
            Event::Detail { text } => watched.line(text),
            // There are few, and the picture has them.
            Event::StageDone { .. } => {}
            event => event.text().iter().for_each(|text| watched.line(text)),
        }
    });
    let result = block_on(work(&events));
    view.conclude();
    view.flush(Instant::now() + VIEW_LIMIT);
    exit_code(result, &events)
}

pub fn exit_code(result: Result<(), Fault>, events: &Events) -> ExitCode {
    let Err(fault) = result else {
        return ExitCode::Done;
    };
    events.masker.publish_keys(fault.keys.iter().cloned());
    for line in &fault.evidence {
        eprintln!("{}", events.masker.mask(line));
    }
    // The errors of a plan say it all.
    if fault.reason != Reason::PlanInvalid || fault.evidence.is_empty() {
        let message = format!("{:#}", fault.error);
        eprintln!("guestbake: {}", events.masker.mask(&message));
    }
    fault.reason.exit_code()
}

/// Whoever closed the other end of a pipe has seen enough.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("no runtime without epoll");
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

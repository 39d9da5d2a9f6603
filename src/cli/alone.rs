//! One stage by itself, against what is running now: for debugging over SSH. No marker, no power-off.

use std::future::Future;
use std::io::Write;

use crate::bundle::Bundle;
use crate::containers::{self, CreatedContainers};
use crate::engine::{self, RunningEngine};
use crate::event::{Event, Events};
use crate::failure::{ExitCode, Fault, Reason};
use crate::guest::Emulation;
use crate::host::Host;
use crate::mask::Masker;
use crate::migrate::{self, Migrated};
use crate::pipeline::Request;
use crate::plan::{self, Plan};
use crate::wait::{self, Prober, ReadyServices};
use crate::{bundle, diagnose as diagnostics, guest, smoke as smoke_test};

pub fn check(request: &Request) -> ExitCode {
    alone(request, async |host, _| {
        // The plan goes to standard output and nothing else does: it can be written to a file and used.
        let silent = Events::new(|_| ());
        let (_bundle, plan) = opened(request, host, &silent).await?;
        say(plan.effective().trim_end());
        Ok(())
    })
}

pub fn wait(request: &Request) -> ExitCode {
    alone(request, async |host, events| {
        let found = Found::look(request, host, events).await?;
        let created = found.created(events);
        wait::until_ready(created, &found.plan, &found.prober, events)
            .await
            .map(|_| ())
    })
}

pub fn migrate(request: &Request) -> ExitCode {
    alone(request, async |host, events| {
        let found = Found::look(request, host, events).await?;
        let ready = ReadyServices::as_found(found.created(events));
        migrate::run(ready, &found.plan, events).await.map(|_| ())
    })
}

pub fn smoke(request: &Request) -> ExitCode {
    alone(request, async |host, events| {
        let found = Found::look(request, host, events).await?;
        let created = found.created(events);
        let migrated = Migrated {
            engine: created.engine,
            observer: created.observer,
        };
        smoke_test::test(
            migrated,
            &found.plan,
            &found.emulation,
            &found.prober,
            events,
        )
        .await
        .map(|_| ())
    })
}

pub fn diagnose(request: &Request) -> ExitCode {
    alone(request, async |host, events| {
        let found = Found::look(request, host, events).await?;
        let scene = diagnostics::Scene {
            plan: &found.plan,
            engine: found.running.engine,
            prober: &found.prober,
            vitals: &*host.vitals,
        };
        diagnostics::dump(&scene, None, events).await;
        Ok(())
    })
}

/// What the stages before would have made, taken as it is.
struct Found {
    plan: Plan,
    emulation: Emulation,
    running: RunningEngine,
    prober: Prober,
}

impl Found {
    async fn look(request: &Request, host: &Host, events: &Events) -> Result<Self, Fault> {
        let (bundle, plan) = opened(request, host, events).await?;
        let guest = guest::examined(&bundle, request.accel.as_deref(), host, events).await?;
        let emulation = guest.emulation.clone();
        let running = engine::reach(guest, &plan, host, events).await?;
        let prober = Prober::new(&running.engine, host);
        Ok(Found {
            plan,
            emulation,
            running,
            prober,
        })
    }

    fn created(&self, events: &Events) -> CreatedContainers {
        containers::as_found(self.running.engine.clone(), &self.plan, events)
    }
}

async fn opened(request: &Request, host: &Host, events: &Events) -> Result<(Bundle, Plan), Fault> {
    let outer = plan::outer(request)?;
    let bundle = bundle::verified(&outer.bundle_source(request), host, events).await?;
    let plan = plan::load(&bundle, outer, events).await?;
    Ok((bundle, plan))
}

fn alone<F>(request: &Request, work: F) -> ExitCode
where
    F: AsyncFnOnce(&Host, &Events) -> Result<(), Fault>,
{
    let events = Events::new(|event| match event {
        Event::Line { text } | Event::Detail { text } | Event::Diagnostics { text } => {
            say(&text);
        }
        _ => {}
    });
    let host = Host::of_this_guest(request.docker_host.as_deref());
    let result = block_on(work(&host, &events));
    conclude(result, &events.masker)
}

/// Says what went wrong, and how the program ends.
pub fn conclude(result: Result<(), Fault>, masker: &Masker) -> ExitCode {
    match result {
        Ok(()) => ExitCode::Done,
        Err(fault) => {
            for line in &fault.evidence {
                eprintln!("{}", masker.mask(line));
            }
            // The errors of a plan say it all.
            if fault.reason != Reason::PlanInvalid || fault.evidence.is_empty() {
                let message = format!("{:#}", fault.error);
                eprintln!("guestbake: {}", masker.mask(&message));
            }
            fault.reason.exit_code()
        }
    }
}

/// Whoever closed the other end of a pipe has seen enough.
fn say(text: &str) {
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

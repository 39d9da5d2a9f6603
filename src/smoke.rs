//! The smoke test: a migrated stack becomes a tested one, or one of which is said that it was not tested.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::Instant;

use crate::containers::{self, Observer, Rules};
use crate::event::{Events, Smoke};
use crate::failure::{Fault, Reason};
use crate::guest::Emulation;
use crate::host::engine::Engine;
use crate::migrate::Migrated;
use crate::plan::{Plan, SmokeWhen};
use crate::wait::{Budget, Group, Prober};

/// How the test ended, and the engine that still runs what must be stopped.
pub struct Tested {
    pub engine: Arc<dyn Engine>,
    pub smoke: Smoke,
}

/// For a run that begins later.
pub fn as_found(migrated: Migrated) -> Tested {
    Tested {
        engine: migrated.engine,
        smoke: Smoke::NotRun,
    }
}

pub async fn test(
    migrated: Migrated,
    plan: &Plan,
    (emulation, foreign): (&Emulation, &BTreeSet<String>),
    prober: &Prober,
    events: &Events,
) -> Result<Tested, Fault> {
    let test = plan.smoke.as_ref();
    let skipped = match test.map(|test| test.when) {
        None => Some("the plan has none".to_owned()),
        Some(SmokeWhen::Never) => Some("the plan says never".to_owned()),
        Some(SmokeWhen::UnlessTcg) if emulation.is_emulated() => {
            Some(format!("the guest is emulated ({emulation})"))
        }
        Some(SmokeWhen::UnlessTcg) => {
            let image = foreign_image(plan, foreign);
            image.map(|image| format!("{image} is emulated, as it is for another architecture"))
        }
        Some(SmokeWhen::Always) => None,
    };
    let smoke = match (skipped, test) {
        (Some(why), _) => {
            events.line(format!("smoke test skipped: {why}"));
            Smoke::Skipped
        }
        (None, Some(test)) => {
            let one = run(&migrated, test, plan, prober, events);
            migrated.observer.guard_except(&test.stop, one).await?;
            Smoke::Passed
        }
        (None, None) => unreachable!("a plan without a smoke test skips it"),
    };
    Ok(Tested {
        engine: migrated.engine,
        smoke,
    })
}

/// What is tested: the test's own container, or those that are there.
fn foreign_image<'p>(plan: &'p Plan, foreign: &BTreeSet<String>) -> Option<&'p str> {
    let own = plan
        .smoke
        .as_ref()
        .and_then(|smoke| smoke.container.as_ref());
    let tested = match own {
        Some(own) => std::slice::from_ref(own),
        None => &plan.containers,
    };
    let mut images = tested.iter().map(|container| container.image.as_str());
    images.find(|image| foreign.contains(*image))
}

async fn run(
    migrated: &Migrated,
    test: &crate::plan::Smoke,
    plan: &Plan,
    prober: &Prober,
    events: &Events,
) -> Result<(), Fault> {
    let budget = Budget {
        since: Instant::now(),
        total: test.timeout,
    };
    let engine = &migrated.engine;
    for container in plan
        .containers
        .iter()
        .rev()
        .filter(|c| test.stop.contains(&c.name))
    {
        containers::stop_one(&**engine, container, events).await?;
    }
    let rules = match &test.container {
        Some(container) => {
            containers::create_and_start(&**engine, container, events)
                .await
                .map_err(failed)?;
            Rules::for_server(&container.name)
        }
        None => Rules::default(),
    };
    let observer = Observer::watch(engine.clone(), rules, events);
    let group = Group {
        services: &test.checks,
        budget,
        heartbeat: plan.wait.heartbeat,
        slowness: plan.slowness,
        observer: &observer,
        prober,
        events,
    };
    let ready = group.all_ready(async { Ok(()) }).await;
    ready.map_err(|unready| failed(unready.into_fault()))?;
    if let Some(container) = &test.container {
        containers::stop_one(&**engine, container, events).await?;
        // Left behind it would do no harm; the next run replaces it.
        let _ = engine.remove(&container.name).await;
    }
    events.line("smoke test passed");
    Ok(())
}

/// Whatever goes wrong in it, the smoke test is what failed; a full disk and a lost engine keep their names.
fn failed(mut fault: Fault) -> Fault {
    if !matches!(fault.reason, Reason::NoSpace | Reason::EngineUnavailable) {
        fault.reason = Reason::SmokeFailed;
    }
    fault
}

use std::sync::Arc;

use futures_util::future::join_all;

use super::levels;
use crate::engine::RunningEngine;
use crate::event::{Events, Smoke};
use crate::failure::{Because, Fault, Reason};
use crate::host::engine::Engine;
use crate::plan::{Container, Plan};
use crate::smoke::Tested;

/// Proof that nothing of the plan is writing any more.
pub struct Stopped {
    pub engine: Arc<dyn Engine>,
    pub smoke: Smoke,
}

/// Stops what others depend on last, each within its grace period, so that the volumes are clean on disk.
pub async fn stop(tested: Tested, plan: &Plan, events: &Events) -> Result<Stopped, Fault> {
    stop_all(&*tested.engine, plan, events).await?;
    Ok(Stopped {
        engine: tested.engine,
        smoke: tested.smoke,
    })
}

/// The same without the proof, for a run that is being given up.
pub async fn stop_all(engine: &dyn Engine, plan: &Plan, events: &Events) -> Result<(), Fault> {
    let mut problems = Vec::new();
    for level in levels(&plan.containers).into_iter().rev() {
        let stops = level
            .into_iter()
            .map(|container| stop_one(engine, container, events));
        let stopped = join_all(stops).await;
        problems.extend(stopped.into_iter().filter_map(Result::err));
    }
    match problems.is_empty() {
        true => Ok(()),
        false => {
            let problems: Vec<_> = problems
                .iter()
                .map(|fault| format!("{:#}", fault.error))
                .collect();
            Err(Fault::new(Reason::EngineUnavailable, problems.join("; ")))
        }
    }
}

/// For a run that only finishes: none of the plan's containers may still run.
pub async fn as_stopped(engine: RunningEngine, plan: &Plan) -> Result<Stopped, Fault> {
    let engine = engine.engine;
    for container in &plan.containers {
        let name = &container.name;
        let found = engine.container(name).await;
        if found
            .because(Reason::EngineUnavailable)?
            .is_some_and(|found| found.running)
        {
            let message = format!("container {name} still runs");
            return Err(Fault::new(Reason::FinishFailed, message));
        }
    }
    Ok(Stopped {
        engine,
        smoke: Smoke::NotRun,
    })
}

/// Stops one container within its grace period; that there is none is no error.
pub async fn stop_one(
    engine: &dyn Engine,
    container: &Container,
    events: &Events,
) -> Result<(), Fault> {
    let name = &container.name;
    match engine.stop(name, container.stop_grace_period).await {
        Ok(()) => events.line(format!("container {name} stopped")),
        Err(error) if error.is_not_found() => {}
        Err(error) => {
            let message = format!("container {name} did not stop: {error}");
            return Err(Fault::new(Reason::EngineUnavailable, message));
        }
    }
    Ok(())
}

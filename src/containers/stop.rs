use futures_util::future::join_all;

use super::depths;
use crate::event::Events;
use crate::failure::{Fault, Reason};
use crate::host::engine::Engine;
use crate::plan::{Container, Plan};
use crate::smoke::Tested;

/// Proof that nothing of the plan is writing any more.
pub struct Stopped {
    pub smoke: crate::event::Smoke,
}

/// Stops what others depend on last, each within its grace period, so that the volumes are clean on disk.
pub async fn stop(tested: Tested, plan: &Plan, events: &Events) -> Result<Stopped, Fault> {
    stop_all(&*tested.engine, plan, events).await?;
    Ok(Stopped {
        smoke: tested.smoke,
    })
}

/// The same without the proof, for a run that is being given up.
pub async fn stop_all(engine: &dyn Engine, plan: &Plan, events: &Events) -> Result<(), Fault> {
    let depths = depths(plan);
    let deepest = depths.values().copied().max().unwrap_or(0);
    let mut problems = Vec::new();
    for depth in (0..=deepest).rev() {
        let level = plan
            .containers
            .iter()
            .filter(|c| depths[c.name.as_str()] == depth);
        let stopped = join_all(level.map(|container| stop_one(engine, container, events))).await;
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

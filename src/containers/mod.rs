//! Containers: loaded images become containers that are watched from then on.

mod files;
mod observer;
mod stop;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context;
use futures_util::future::{join_all, try_join_all};
use tokio::time::Instant;

pub use files::{copy_file, copy_tree, place_files};
pub use observer::{Broken, Observer, Rules, times};
pub use stop::{Stopped, as_stopped, stop, stop_all, stop_one};

use crate::bundle::Bundle;
use crate::event::Events;
use crate::failure::{Because, Fault, Reason, Stage};
use crate::host::engine::{Engine, EngineError};
use crate::images::LoadedImages;
use crate::plan::{Condition, Container, Network, Plan, secrets_among};

/// The plan's containers, created and watched, none of them started by this run yet.
pub struct CreatedContainers {
    pub engine: Arc<dyn Engine>,
    pub observer: Arc<Observer>,
    /// The first start: readiness is counted from here.
    pub since: Instant,
    to_start: Vec<Container>,
    events: Events,
}

/// Creates all containers. They are started while their services are waited for, so that none is seen late.
pub async fn create_all(
    images: LoadedImages,
    bundle: &Bundle,
    plan: &Plan,
    events: &Events,
) -> Result<CreatedContainers, Fault> {
    let engine = images.engine;
    place_files(bundle, plan).await?;
    prepare(&*engine, plan).await?;
    let containers = plan
        .containers
        .iter()
        .map(|container| with_secrets(container, events))
        .collect::<Result<Vec<_>, Fault>>()?;
    // One that shares another's network or volumes cannot be created before that is.
    for level in levels(&containers) {
        let created = level
            .into_iter()
            .map(|container| create(&*engine, container, events));
        try_join_all(created).await?;
    }
    Ok(CreatedContainers {
        observer: Arc::new(Observer::watch(engine.clone(), Rules::of(plan), events)),
        engine,
        since: Instant::now(),
        to_start: containers,
        events: events.clone(),
    })
}

/// Networks and volumes, which containers name when they are created: those of the plan as it has them, others as the
/// engine makes them.
async fn prepare(engine: &dyn Engine, plan: &Plan) -> Result<(), Fault> {
    let named = plan
        .all_containers()
        .flat_map(|container| &container.networks);
    let mut others = BTreeSet::new();
    for attachment in named {
        let is_defined = plan
            .networks
            .iter()
            .any(|network| network.name == attachment.network);
        if !is_defined {
            others.insert(attachment.network.clone());
        }
    }
    let others = others.into_iter().map(|name| Network {
        name,
        ..Network::default()
    });
    for network in plan.networks.iter().cloned().chain(others) {
        engine
            .ensure_network(&network)
            .await
            .map_err(|error| no_resource("network", &network.name, error))?;
    }
    for volume in &plan.volumes {
        engine
            .ensure_volume(volume)
            .await
            .map_err(|error| no_resource("volume", &volume.name, error))?;
    }
    Ok(())
}

fn no_resource(what: &str, name: &str, error: EngineError) -> Fault {
    let reason = reason(&error);
    Fault::new(reason, format!("cannot make {what} {name}: {error}"))
}

/// The containers as they are, for a run that starts none: each runs, or has done what it was for.
pub async fn running(
    images: LoadedImages,
    plan: &Plan,
    events: &Events,
) -> Result<CreatedContainers, Fault> {
    let rules = Rules::of(plan);
    for container in &plan.containers {
        let name = &container.name;
        let facts = images.engine.container(name).await;
        let state = match facts.because(Reason::EngineUnavailable)? {
            Some(facts) if facts.running => continue,
            Some(facts) if facts.has_succeeded() && rules.may_complete(name) => continue,
            Some(facts) => match facts.exit_code {
                Some(code) => format!("does not run: {}, exit code {code}", facts.status),
                None => format!("does not run: {}", facts.status),
            },
            None => "is not there".to_owned(),
        };
        let message = format!("container {name} {state}");
        return Err(Fault::new(Reason::ContainerStartFailed, message).of_container(name));
    }
    Ok(as_found(images.engine, plan, events))
}

/// What is running now, as the stages run alone take it.
pub fn as_found(engine: Arc<dyn Engine>, plan: &Plan, events: &Events) -> CreatedContainers {
    CreatedContainers {
        observer: Arc::new(Observer::watch(engine.clone(), Rules::of(plan), events)),
        engine,
        since: Instant::now(),
        to_start: Vec::new(),
        events: events.clone(),
    }
}

impl CreatedContainers {
    /// Starts each container as soon as those it depends on are as it wants them.
    pub async fn start_all(&self) -> Result<(), Fault> {
        try_join_all(self.to_start.iter().map(|container| async move {
            join_all(container.depends_on.iter().map(|(on, condition)| {
                self.observer.until(on, move |facts| match condition {
                    Condition::Started => facts.running || facts.status == "exited",
                    Condition::Healthy => facts.is_healthy(),
                    Condition::CompletedSuccessfully => facts.has_succeeded(),
                })
            }))
            .await;
            let started = start_one(&*self.engine, container, &self.events).await;
            started.map_err(|fault| Fault {
                stage: Some(Stage::Containers),
                ..fault
            })
        }))
        .await
        .map(|_| ())
    }
}

pub async fn create(
    engine: &dyn Engine,
    container: &Container,
    events: &Events,
) -> Result<(), Fault> {
    let cannot = |error| cannot("create", container, error);
    engine.create(container).await.map_err(cannot)?;
    // Before it can print what its image brings.
    let facts = engine.container(&container.name).await.map_err(cannot)?;
    let environment = facts.map(|facts| facts.environment).unwrap_or_default();
    events.masker.add(secrets_among(&environment));
    Ok(())
}

async fn start_one(
    engine: &dyn Engine,
    container: &Container,
    events: &Events,
) -> Result<(), Fault> {
    engine
        .start(&container.name)
        .await
        .map_err(|error| cannot("start", container, error))?;
    events.line(format!("container {} started", container.name));
    Ok(())
}

/// Creates and starts one container outside the plan's own set: a migration's, the smoke test's.
pub async fn create_and_start(
    engine: &dyn Engine,
    container: &Container,
    events: &Events,
) -> Result<(), Fault> {
    let container = with_secrets(container, events)?;
    create(engine, &container, events).await?;
    start_one(engine, &container, events).await
}

fn reason(error: &EngineError) -> Reason {
    match error {
        error if error.is_no_space() => Reason::NoSpace,
        EngineError::Refused { .. } => Reason::ContainerStartFailed,
        EngineError::Unreachable(_) | EngineError::Silent(_) => Reason::EngineUnavailable,
    }
}

fn cannot(verb: &str, container: &Container, error: EngineError) -> Fault {
    Fault::new(
        reason(&error),
        format!(
            "cannot {verb} container {} from image {}: {error}",
            container.name, container.image
        ),
    )
    .of_container(&container.name)
}

/// Fills in the throwaway secrets, and has them masked before anything can print them.
fn with_secrets(container: &Container, events: &Events) -> Result<Container, Fault> {
    let mut filled = container.clone();
    for (name, bytes) in std::mem::take(&mut filled.secrets) {
        let value = random_hex(bytes)
            .with_context(|| format!("secret {name} of container {}", container.name))
            .because(Reason::Internal)?;
        events.masker.add([value.clone()]);
        filled.environment.insert(name, value);
    }
    Ok(filled)
}

fn random_hex(bytes: usize) -> anyhow::Result<String> {
    let mut random = vec![0u8; bytes];
    let mut filled = 0;
    while filled < bytes {
        filled +=
            rustix::rand::getrandom(&mut random[filled..], rustix::rand::GetRandomFlags::empty())
                .context("the kernel gives no random numbers")?;
    }
    Ok(random.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

/// The containers by how far they are from those that depend on nothing, which come first.
fn levels(containers: &[Container]) -> Vec<Vec<&Container>> {
    let mut depths = BTreeMap::new();
    let mut levels: Vec<Vec<&Container>> = Vec::new();
    // The plan is sorted: what a container depends on comes before it.
    for container in containers {
        let depth = container
            .depends_on
            .iter()
            .filter_map(|(on, _)| depths.get(on.as_str()))
            .max()
            .map_or(0, |deepest| deepest + 1);
        depths.insert(container.name.as_str(), depth);
        if depth == levels.len() {
            levels.push(Vec::new());
        }
        levels[depth].push(container);
    }
    levels
}

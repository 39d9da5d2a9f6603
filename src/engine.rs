//! The engine: a guest whose architecture is right becomes one with an engine that answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::event::Events;
use crate::failure::{Fault, Reason};
use crate::guest::Guest;
use crate::host::Host;
use crate::host::engine::{Connect, Engine, EngineError, EngineVersion};
use crate::plan::Plan;

/// The engine's service on every distribution that packages Docker.
const UNIT: &str = "docker.service";
const RETRY_PAUSE: Duration = Duration::from_millis(250);

pub struct RunningEngine {
    pub guest: Guest,
    pub engine: Arc<dyn Engine>,
    pub version: EngineVersion,
}

/// Connects; where the engine is installed but does not run, has systemd start it first.
pub async fn reach(
    guest: Guest,
    plan: &Plan,
    host: &Host,
    events: &Events,
) -> Result<RunningEngine, Fault> {
    let connect = &*host.engine;
    let end = Instant::now() + plan.engine.timeout;
    let mut asked_to_start = !connect.is_default();
    let mut last: Option<EngineError> = None;
    let mut note = String::new();
    loop {
        match timeout_at(end, answered(connect, events)).await {
            Ok(Ok((engine, version))) => {
                return Ok(RunningEngine {
                    guest,
                    engine,
                    version,
                });
            }
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = last.or(Some(EngineError::Silent(plan.engine.timeout))),
        }
        if !asked_to_start {
            asked_to_start = true;
            match host.units.start(UNIT).await {
                Ok(()) => events.line(format!(
                    "the engine does not answer yet; systemd was asked to start {UNIT}"
                )),
                Err(error) => note = format!("; {UNIT} could not be started: {error}"),
            }
        }
        if Instant::now() + RETRY_PAUSE >= end {
            let cause = last.map_or(String::new(), |error| error.to_string());
            return Err(Fault::new(
                Reason::EngineUnavailable,
                format!(
                    "no engine at {} within {}s: {cause}{note}",
                    connect.address(),
                    plan.engine.timeout.as_secs(),
                ),
            ));
        }
        sleep(RETRY_PAUSE).await;
    }
}

/// The engine if it answers now, for who only wants to look at what it runs.
pub async fn as_found(
    guest: Guest,
    limit: Duration,
    host: &Host,
    events: &Events,
) -> Result<RunningEngine, Fault> {
    let connect = &*host.engine;
    let answer = timeout(limit, answered(connect, events)).await;
    let (engine, version) = answer
        .unwrap_or(Err(EngineError::Silent(limit)))
        .map_err(|error| {
            let message = format!("no engine at {}: {error}", connect.address());
            Fault::new(Reason::EngineUnavailable, message)
        })?;
    Ok(RunningEngine {
        guest,
        engine,
        version,
    })
}

async fn answered(
    connect: &dyn Connect,
    events: &Events,
) -> Result<(Arc<dyn Engine>, EngineVersion), EngineError> {
    let engine = connect.connect().await?;
    let version = engine.version().await?;
    events.line(format!(
        "engine {} (API {}.{}, {}, data in {}) answers at {}",
        version.version,
        version.api.0,
        version.api.1,
        version.storage,
        version.data_root.display(),
        connect.address(),
    ));
    Ok((engine, version))
}

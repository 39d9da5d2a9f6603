use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bollard::models::EventMessage;
use bollard::query_parameters::{EventsOptionsBuilder, LogsOptionsBuilder};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::{DockerEngine, refine};
use crate::host::engine::{Change, ContainerEvent, EngineResult, Observation, Output};

/// The engine repeats what happened this long before the subscription, so that nothing falls between an inspection and it.
const REPLAY_S: u64 = 2;
/// The last two are Podman's: its older word for `die`, and that a container which died will not be started again.
const EVENTS: [&str; 6] = ["start", "die", "oom", "health_status", "died", "cleanup"];

#[async_trait]
impl Observation for DockerEngine {
    #[expect(
        clippy::disallowed_methods,
        reason = "the engine counts by the wall clock"
    )]
    async fn events(&self) -> BoxStream<'static, EngineResult<ContainerEvent>> {
        let filters: HashMap<&str, Vec<&str>> =
            [("type", vec!["container"]), ("event", EVENTS.to_vec())].into();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let options = EventsOptionsBuilder::default()
            .filters(&filters)
            .since(&now.as_secs().saturating_sub(REPLAY_S).to_string())
            .build();
        let docker = self.docker.clone();
        futures_util::stream::once(async move { docker.events(Some(options)).boxed() })
            .flatten()
            .filter_map(|answer| async { answer.map_err(refine).map(container_event).transpose() })
            .boxed()
    }

    fn output(&self, container: &str, part: Output) -> BoxStream<'static, EngineResult<Bytes>> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true);
        let options = match part {
            Output::Tail(lines) => options.tail(&lines.to_string()),
            Output::Follow => options.follow(true).tail("all"),
        };
        let docker = self.docker.clone();
        let container = container.to_owned();
        futures_util::stream::once(
            async move { docker.logs(&container, Some(options.build())).boxed() },
        )
        .flatten()
        .map(|answer| answer.map(|frame| frame.into_bytes()).map_err(refine))
        .boxed()
    }
}

fn container_event(message: EventMessage) -> Option<ContainerEvent> {
    let attributes = message.actor?.attributes?;
    let action = message.action?;
    let change = match action.split(':').next()? {
        "start" => Change::Started,
        "die" | "died" => Change::Died {
            exit_code: ["exitCode", "containerExitCode"]
                .iter()
                .find_map(|name| attributes.get(*name)?.parse().ok())
                .unwrap_or(-1),
        },
        "oom" => Change::OutOfMemory,
        "health_status" | "cleanup" => Change::Other,
        _ => return None,
    };
    Some(ContainerEvent {
        container: attributes.get("name")?.clone(),
        change,
    })
}

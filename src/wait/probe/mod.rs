//! One attempt of each kind of probe.

mod exec;
mod http;
mod log;
mod state;
mod tcp;

use std::sync::Arc;
use std::time::Duration;

use crate::containers::Observer;
use crate::host::Host;
use crate::host::engine::{ContainerFacts, Engine};
use crate::host::probes::Network;
use crate::plan::{Probe, Service};

/// What one attempt found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Good,
    NotYet(String),
    /// Nothing came in the time there was.
    Silence(String),
    /// It will not become ready any more.
    Never(String),
}

/// A probe's word that waiting is in vain.
#[derive(Debug)]
pub struct Fatal(pub String);

/// The means to probe with.
pub struct Prober {
    pub engine: Arc<dyn Engine>,
    pub network: Arc<dyn Network>,
}

impl Prober {
    pub fn new(engine: &Arc<dyn Engine>, host: &Host) -> Self {
        Prober {
            engine: engine.clone(),
            network: host.network.clone(),
        }
    }

    /// `limit` is for what must be ended by hand; whoever calls bounds the rest.
    pub async fn attempt(&self, service: &Service, observer: &Observer, limit: Duration) -> Answer {
        let container = service.container.as_deref().unwrap_or_default();
        match &service.probe {
            Probe::Tcp {
                host,
                port,
                published,
            } => {
                // While it is being started the engine accepts in its place, and does not know better.
                if *published && observer.watches(container) {
                    let started = |facts: &ContainerFacts| facts.status != "created";
                    observer.until(container, started).await;
                }
                tcp::judge(self.network.tcp(host, *port, *published).await)
            }
            Probe::Unix(path) => tcp::judge(self.network.unix(path).await),
            Probe::Http(probe) => http::attempt(&*self.network, probe).await,
            Probe::Exec {
                command,
                user,
                fatal_exit_codes,
            } => {
                let command = exec::command(command, user);
                exec::attempt(&*self.engine, container, &command, fatal_exit_codes, limit).await
            }
            Probe::Log(pattern) => {
                log::until_matched(&*self.engine, observer, container, pattern).await
            }
            Probe::Healthy => state::until_healthy(observer, container).await,
            Probe::Completed => state::until_completed(observer, container).await,
            Probe::Up => state::until_up(observer, container).await,
        }
    }

    /// What a service that is not polled is doing now, in a few words.
    pub fn state(&self, service: &Service, observer: &Observer) -> Option<String> {
        let container = service.container.as_deref().unwrap_or_default();
        let status = || {
            let facts = observer.facts(container);
            facts.map_or("no such container".to_owned(), |facts| facts.status)
        };
        match &service.probe {
            Probe::Healthy => Some(
                match observer.facts(container).and_then(|facts| facts.health) {
                    Some(health) => format!("health: {health:?}").to_lowercase(),
                    None => format!("{}, without a health check", status()),
                },
            ),
            Probe::Completed => Some(status()),
            Probe::Up => Some(
                match observer.facts(container).and_then(|facts| facts.health) {
                    Some(health) => format!("health: {health:?}").to_lowercase(),
                    None => status(),
                },
            ),
            Probe::Log(pattern) => Some(format!("{}, no line matches {pattern}", status())),
            _ => None,
        }
    }
}

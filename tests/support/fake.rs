//! An engine and a network that do what a test says at a moment of its own clock, for what no real machine can show
//! exactly: when something is seen, and when it is given up.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use guestbake::host::engine::*;
use guestbake::host::probes::{HttpAnswer, Network};
use guestbake::plan::{self, Container, HttpProbe, NamedVolume};
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep};

/// Containers that are running until the test ends one.
pub struct FakeEngine {
    containers: Mutex<BTreeMap<String, ContainerFacts>>,
    events: broadcast::Sender<ContainerEvent>,
}

impl FakeEngine {
    pub fn running(names: &[&str]) -> Arc<Self> {
        let facts = ContainerFacts {
            status: "running".into(),
            running: true,
            ..Default::default()
        };
        let containers = names.iter().map(|name| ((*name).into(), facts.clone()));
        Arc::new(FakeEngine {
            containers: Mutex::new(containers.collect()),
            events: broadcast::Sender::new(16),
        })
    }

    pub fn die(&self, name: &str, exit_code: i64) {
        let facts = ContainerFacts {
            status: "exited".into(),
            exit_code: Some(exit_code),
            ..Default::default()
        };
        self.containers.lock().unwrap().insert(name.into(), facts);
        self.tell(name, Change::Died { exit_code });
    }

    /// It has ended and runs again, which only asking shows so far.
    pub fn restart(&self, name: &str) {
        let mut containers = self.containers.lock().unwrap();
        containers.get_mut(name).expect("a container").restarts += 1;
    }

    pub fn tell(&self, name: &str, change: Change) {
        let container = name.to_owned();
        let _ = self.events.send(ContainerEvent { container, change });
    }
}

#[async_trait]
impl Pruning for FakeEngine {
    async fn prune(&self, _: Leftover) -> EngineResult<Option<u64>> {
        unreachable!("nobody finishes")
    }
}

#[async_trait]
impl Images for FakeEngine {
    async fn version(&self) -> EngineResult<EngineVersion> {
        unreachable!("nobody asks")
    }

    async fn image(&self, _: &str) -> EngineResult<Option<ImageFacts>> {
        unreachable!("nobody asks")
    }

    async fn load(
        &self,
        _: BoxStream<'static, io::Result<Bytes>>,
        _: &ProgressSink<'_>,
    ) -> EngineResult<()> {
        unreachable!("nobody asks")
    }
}

#[async_trait]
impl Containers for FakeEngine {
    async fn ensure_network(&self, _: &plan::Network) -> EngineResult<()> {
        Ok(())
    }

    async fn ensure_volume(&self, _: &NamedVolume) -> EngineResult<()> {
        Ok(())
    }

    async fn create(&self, _: &Container) -> EngineResult<()> {
        Ok(())
    }

    async fn start(&self, _: &str) -> EngineResult<()> {
        Ok(())
    }

    async fn stop(&self, _: &str, _: Duration) -> EngineResult<()> {
        Ok(())
    }

    async fn remove(&self, _: &str) -> EngineResult<()> {
        Ok(())
    }

    async fn container(&self, name: &str) -> EngineResult<Option<ContainerFacts>> {
        Ok(self.containers.lock().unwrap().get(name).cloned())
    }
}

#[async_trait]
impl Observation for FakeEngine {
    async fn events(&self) -> BoxStream<'static, EngineResult<ContainerEvent>> {
        stream::unfold(self.events.subscribe(), |mut events| async {
            Some((Ok(events.recv().await.ok()?), events))
        })
        .boxed()
    }

    fn output(&self, _: &str, _: Output) -> BoxStream<'static, EngineResult<Bytes>> {
        stream::pending().boxed()
    }
}

#[async_trait]
impl Exec for FakeEngine {
    /// Never ends by itself, as a hung `pg_isready` does not.
    async fn exec(
        &self,
        _: &str,
        _: &Command,
        limit: Duration,
        _: &mut OutputSink<'_>,
    ) -> EngineResult<Option<i64>> {
        sleep(limit).await;
        Ok(None)
    }
}

/// Ports that open, and servers that answer, so many milliseconds after the network was made: the number is the port, or
/// the path of the URL.
pub struct FakeNetwork {
    pub began: Instant,
    /// What each HTTP answer takes.
    pub slowness: Duration,
    pub attempts: AtomicUsize,
}

impl FakeNetwork {
    pub fn new() -> Self {
        FakeNetwork {
            began: Instant::now(),
            slowness: Duration::ZERO,
            attempts: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl Network for FakeNetwork {
    async fn tcp(&self, host: &str, _: u16, _: bool) -> Result<(), String> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let now = self.began.elapsed().as_millis() as u64;
        // Milliseconds from which on it is open, or spans of them.
        let is_open = host.split(',').any(|span| {
            let (opens, closes) = span.split_once('-').unwrap_or((span, ""));
            let closes = closes.parse().unwrap_or(u64::MAX);
            opens
                .parse()
                .is_ok_and(|opens: u64| (opens..closes).contains(&now))
        });
        match is_open {
            true => Ok(()),
            false => Err("connection refused".into()),
        }
    }

    async fn unix(&self, _: &Path) -> Result<(), String> {
        unreachable!("nobody asks")
    }

    async fn http(&self, probe: &HttpProbe) -> Result<HttpAnswer, String> {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed);
        if probe.address.url.ends_with("/silent") {
            return pending().await;
        }
        if probe.address.url.ends_with("/fickle") {
            return Err(format!("answer {number}"));
        }
        sleep(self.slowness).await;
        Ok(HttpAnswer {
            status: if probe.address.url.ends_with("/down") {
                503
            } else {
                200
            },
            headers: vec![],
            body: vec![],
        })
    }
}

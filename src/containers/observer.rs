//! What the plan's containers are doing, kept current by the engine's events, so that nobody polls for it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, select_all};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::event::Events;
use crate::failure::{Fault, Reason};
use crate::host::engine::{Change, ContainerFacts, Engine, Health};
use crate::plan::{Condition, Container, Plan, Probe, Restart, Service, secrets_among};

/// After the event stream broke, before it is asked for again.
const RESUBSCRIBE_PAUSE: Duration = Duration::from_millis(500);
/// 128 + SIGKILL, as a shell says it.
const KILLED: i64 = 137;
/// Docker may note a death first, and only then that it was for memory.
const MEMORY_NOTICE: Duration = Duration::from_millis(500);
/// Events are the source; this is for what an engine might not report.
const RECONCILE_EVERY: Duration = Duration::from_secs(30);

/// By then the engine has told of a death that made something else fail.
const DEATH_NOTICE: Duration = Duration::from_secs(1);

/// How often, in words.
pub fn times(count: i64) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

/// What the plan says about a container's end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rule {
    /// Ending with status 0 is what it is for, or concerns nobody.
    may_complete: bool,
    /// The same, unless it has a health check.
    may_finish: bool,
    /// So many ends are tolerated if its restart policy starts it again.
    tolerated: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Rules(BTreeMap<String, Rule>);

impl Rules {
    pub fn of(plan: &Plan) -> Self {
        let awaited_to_complete = |name: &str| {
            plan.containers
                .iter()
                .flat_map(|container| &container.depends_on)
                .any(|(on, condition)| on == name && *condition == Condition::CompletedSuccessfully)
        };
        let rules = plan.containers.iter().map(|container| {
            let services = || {
                plan.wait
                    .services
                    .iter()
                    .filter(|service| service.container.as_ref() == Some(&container.name))
            };
            let completes = |service: &Service| matches!(service.probe, Probe::Completed);
            let is_up = |service: &Service| matches!(service.probe, Probe::Up);
            let rule = Rule {
                may_complete: services().next().is_none()
                    || services().any(completes)
                    || awaited_to_complete(&container.name),
                may_finish: services().all(is_up) && !restarts(container),
                tolerated: services()
                    .map(|service| service.restarts)
                    .max()
                    .unwrap_or(0),
            };
            (container.name.clone(), rule)
        });
        Rules(rules.collect())
    }

    /// Whether its end with status 0 is no loss.
    pub fn may_complete(&self, container: &str) -> bool {
        self.0.get(container).is_some_and(|rule| rule.may_complete)
    }

    /// One container that must not end.
    pub fn for_server(name: &str) -> Self {
        Rules([(name.to_owned(), Rule::default())].into())
    }
}

/// Ended, it is started again, so an end is none that is meant.
fn restarts(container: &Container) -> bool {
    matches!(container.restart, Restart::Always | Restart::UnlessStopped)
}

/// Why a container cannot be waited for any longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub container: String,
    pub how: How,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    Exited {
        exit_code: Option<i64>,
        out_of_memory: bool,
        restarts: u32,
        tolerated: u32,
    },
    Unhealthy {
        last: String,
    },
    Removed,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {} ", self.container)?;
        match &self.how {
            How::Exited {
                exit_code,
                out_of_memory,
                restarts,
                tolerated,
            } => {
                f.write_str("exited")?;
                if let Some(code) = exit_code {
                    write!(f, " with code {code}")?;
                }
                match exit_code {
                    _ if *out_of_memory => f.write_str(", killed for memory")?,
                    Some(code @ 129..=159) => write!(f, " (signal {})", code - 128)?,
                    _ => {}
                }
                match (restarts, tolerated) {
                    (0, _) => Ok(()),
                    (restarts, tolerated) => write!(
                        f,
                        "; restarted {}, of which the plan tolerates {tolerated}",
                        times((*restarts).into())
                    ),
                }
            }
            How::Unhealthy { last } if last.is_empty() => f.write_str("is unhealthy"),
            How::Unhealthy { last } => write!(f, "is unhealthy; its health check says: {last}"),
            How::Removed => f.write_str("is gone: it was removed or never created"),
        }
    }
}

impl Broken {
    pub fn into_fault(self) -> Fault {
        let reason = match self.how {
            How::Unhealthy { .. } => Reason::DependencyUnhealthy,
            How::Exited { .. } | How::Removed => Reason::DependencyExited,
        };
        Fault::new(reason, &self).of_container(&self.container)
    }
}

/// None until the engine was first asked, then what it said; None again inside once it is gone.
type State = Option<Option<ContainerFacts>>;

pub struct Observer {
    states: Arc<BTreeMap<String, watch::Sender<State>>>,
    rules: Rules,
    _task: AbortOnDropHandle<()>,
}

impl Observer {
    pub fn watch(engine: Arc<dyn Engine>, rules: Rules, events: &Events) -> Self {
        let states: BTreeMap<_, _> = rules
            .0
            .keys()
            .map(|name| (name.clone(), watch::Sender::new(None)))
            .collect();
        let states = Arc::new(states);
        let task = tokio::spawn(keep_current(engine, states.clone(), events.clone()));
        Observer {
            states,
            rules,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub fn watches(&self, name: &str) -> bool {
        self.states.contains_key(name)
    }

    /// Waits until the container's state is as wanted; for a container it does not know, for ever.
    pub async fn until(&self, name: &str, wanted: impl Fn(&ContainerFacts) -> bool) {
        let Some(state) = self.states.get(name) else {
            return std::future::pending().await;
        };
        let met = |state: &State| matches!(state, Some(Some(facts)) if wanted(facts));
        // Cannot end otherwise: the sender lives as long as this does.
        let _ = state.subscribe().wait_for(met).await;
    }

    /// Does the work as long as no container breaks the rules.
    pub async fn guard<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        self.guard_except(&[], work).await
    }

    /// The same, but for containers that are being stopped on purpose.
    pub async fn guard_except<T>(
        &self,
        stopped: &[String],
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        tokio::select! {
            biased;
            broken = self.broken_except(stopped) => Err(broken.into_fault()),
            result = work => match result {
                Ok(value) => Ok(value),
                // What ran in a container that died, or needed it, may be heard of before the death itself.
                Err(fault) => match timeout(DEATH_NOTICE, self.broken_except(stopped)).await {
                    Ok(broken) => Err(Fault {
                        evidence: fault.evidence,
                        ..broken.into_fault()
                    }),
                    Err(_) => Err(fault),
                },
            },
        }
    }

    /// The latest known state.
    pub fn facts(&self, name: &str) -> Option<ContainerFacts> {
        self.states.get(name)?.borrow().clone().flatten()
    }

    /// Ends when a container breaks the rules; for ever pending while none does.
    pub async fn broken(&self) -> Broken {
        self.broken_except(&[]).await
    }

    /// The same, but for containers that are being stopped on purpose.
    pub async fn broken_except(&self, stopped: &[String]) -> Broken {
        let watched = self
            .states
            .iter()
            .filter(|(name, _)| !stopped.contains(name));
        let watched = watched.map(|(name, state)| {
            let rule = self.rules.0[name];
            Box::pin(async move {
                let mut state = state.subscribe();
                loop {
                    let how = state
                        .borrow_and_update()
                        .as_ref()
                        .and_then(|s| breach(s, rule));
                    match how {
                        Some(how) => {
                            return Broken {
                                container: name.clone(),
                                how,
                            };
                        }
                        None => state
                            .changed()
                            .await
                            .expect("the observer outlives its watchers"),
                    }
                }
            })
        });
        let watched: Vec<_> = watched.collect();
        if watched.is_empty() {
            return std::future::pending().await;
        }
        select_all(watched).await.0
    }
}

fn breach(state: &Option<ContainerFacts>, rule: Rule) -> Option<How> {
    let Some(facts) = state else {
        return Some(How::Removed);
    };
    let restarts = facts.restarts.try_into().unwrap_or(u32::MAX);
    let ended = matches!(facts.status.as_str(), "exited" | "dead");
    let is_meant = facts.exit_code == Some(0)
        && (rule.may_complete || (rule.may_finish && facts.health.is_none()));
    if (ended && !is_meant) || restarts > rule.tolerated {
        return Some(How::Exited {
            exit_code: facts.exit_code,
            out_of_memory: facts.oom_killed,
            restarts,
            tolerated: rule.tolerated,
        });
    }
    // Of one that has ended Docker says unhealthy, whatever it was before.
    (!ended && facts.health == Some(Health::Unhealthy)).then(|| How::Unhealthy {
        last: facts.last_health_output(),
    })
}

async fn keep_current(
    engine: Arc<dyn Engine>,
    states: Arc<BTreeMap<String, watch::Sender<State>>>,
    events: Events,
) {
    loop {
        let mut changes = engine.events().await;
        let refresh_all = |after: Duration, occasion: Occasion| {
            let (engine, states, events) = (&engine, &states, &events);
            Box::pin(async move {
                tokio::time::sleep(after).await;
                join_all(
                    states
                        .iter()
                        .map(|(name, state)| refresh(&**engine, name, state, occasion, events)),
                )
                .await;
            })
        };
        // The first poll subscribes, so it goes on while the present state is asked for.
        let mut present = refresh_all(Duration::ZERO, Occasion::Early);
        let mut next = DEATH_NOTICE;
        loop {
            tokio::select! {
                _ = &mut present => {
                    present = refresh_all(next, Occasion::Late);
                    next = RECONCILE_EVERY;
                }
                change = changes.next() => match change {
                    Some(Ok(change)) => {
                        if let Some(state) = states.get(&change.container) {
                            if change.change == Change::OutOfMemory {
                                events.line(format!("container {}: a process was killed for memory", change.container));
                            }
                            let occasion = match change.change {
                                Change::Died { exit_code } => Occasion::Death(exit_code),
                                _ => Occasion::Early,
                            };
                            refresh(&*engine, &change.container, state, occasion, &events).await;
                        }
                    }
                    Some(Err(_)) | None => break,
                }
            }
        }
        tokio::time::sleep(RESUBSCRIBE_PAUSE).await;
    }
}

#[derive(Clone, Copy)]
enum Occasion {
    /// It has ended with this code, which the engine may not tell any more of one that was started again.
    Death(i64),
    /// A death that the engine already counts may still be told of.
    Early,
    /// What the engine has to tell has been heard.
    Late,
}

async fn refresh(
    engine: &dyn Engine,
    name: &str,
    state: &watch::Sender<State>,
    occasion: Occasion,
    events: &Events,
) {
    // An engine that does not answer now says nothing about the container; what was known stays.
    let Ok(mut now) = engine.container(name).await else {
        return;
    };
    let before = state.borrow().clone().flatten().unwrap_or_default();
    let was_killed = |facts: &ContainerFacts| !facts.running && facts.exit_code == Some(KILLED);
    let newly_killed = now.as_ref().is_some_and(was_killed) && !was_killed(&before);
    if newly_killed && now.as_ref().is_some_and(|facts| !facts.oom_killed) {
        tokio::time::sleep(MEMORY_NOTICE).await;
        now = engine.container(name).await.unwrap_or(now);
    }
    if let Some(facts) = &mut now
        && facts.running
        && facts.exit_code.is_none()
    {
        match occasion {
            Occasion::Death(code) => facts.exit_code = Some(code),
            Occasion::Early => {
                facts.restarts = facts.restarts.min(before.restarts);
                facts.exit_code = before.exit_code;
            }
            Occasion::Late => facts.exit_code = before.exit_code,
        }
    }
    let (before, after) = (
        before.restarts,
        now.as_ref().map_or(0, |facts| facts.restarts),
    );
    if after > before {
        events.line(format!(
            "container {name} was restarted ({} so far)",
            times(after)
        ));
    }
    if let Some(facts) = &now {
        // Also of a container that another run created.
        events.masker.add(secrets_among(&facts.environment));
    }
    state.send_replace(Some(now));
}

//! The wait: started containers become services that answer, all within one budget.

mod attempts;
mod moments;
mod probe;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use moments::Moments;
pub use probe::{Answer, Fatal, Prober};

use crate::containers::{Broken, CreatedContainers, Observer};
use crate::event::{Awaited, Event, Events};
use crate::failure::{Fault, Reason};
use crate::plan::{Plan, Service};

/// Between two looks at what has changed in why services are not ready; an emulated guest's are stretched.
const NEWS_PAUSE: Duration = Duration::from_secs(1);

/// What is ready answers within this, also where everything is slow.
const STANDING_LIMIT: Duration = Duration::from_secs(30);

/// Proof that every service answered.
pub struct ReadyServices {
    pub containers: CreatedContainers,
}

impl ReadyServices {
    /// Takes it for granted, for a stage run alone against what is running.
    pub fn taken_for_granted(created: CreatedContainers) -> Self {
        ReadyServices {
            containers: created,
        }
    }
}

/// Waits for the plan's services, counted from the first container's start.
pub async fn until_ready(
    created: CreatedContainers,
    plan: &Plan,
    prober: &Prober,
    events: &Events,
) -> Result<ReadyServices, Fault> {
    let services = &plan.wait.services;
    all(created, services, plan.wait.timeout, plan, prober, events).await
}

/// Services that are taken to be ready must answer soon: for a run that waits for none.
pub async fn as_found(
    created: CreatedContainers,
    plan: &Plan,
    prober: &Prober,
    events: &Events,
) -> Result<ReadyServices, Fault> {
    let limit = plan.wait.timeout.min(STANDING_LIMIT);
    all(created, &plan.wait.services, limit, plan, prober, events).await
}

/// Only starts the containers, each when what it depends on is as it wants it: for a run that ends there.
pub async fn until_started(
    created: CreatedContainers,
    plan: &Plan,
    prober: &Prober,
    events: &Events,
) -> Result<(), Fault> {
    let started = all(created, &[], plan.wait.timeout, plan, prober, events);
    started.await.map(|_| ())
}

async fn all(
    created: CreatedContainers,
    services: &[Service],
    total: Duration,
    plan: &Plan,
    prober: &Prober,
    events: &Events,
) -> Result<ReadyServices, Fault> {
    let group = Group {
        services,
        budget: Budget {
            since: created.since,
            total,
        },
        heartbeat: plan.wait.heartbeat,
        slowness: plan.slowness,
        observer: &created.observer,
        prober,
        events,
    };
    match group.all_ready(created.start_all()).await {
        Ok(()) => Ok(ReadyServices {
            containers: created,
        }),
        Err(unready) => Err(unready.into_fault()),
    }
}

/// One amount of time for everything that shares it.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub since: Instant,
    pub total: Duration,
}

impl Budget {
    pub fn end(&self) -> Instant {
        self.since + self.total
    }
}

/// Services that are waited for together.
pub struct Group<'a> {
    pub services: &'a [Service],
    pub budget: Budget,
    pub heartbeat: Duration,
    /// The plan's.
    pub slowness: f64,
    pub observer: &'a Observer,
    pub prober: &'a Prober,
    pub events: &'a Events,
}

/// Why a group did not become ready.
#[derive(Debug)]
pub enum Unready {
    TimedOut {
        total: Duration,
        pending: String,
    },
    Broken(Broken),
    /// A probe's answer says that it never will be.
    Fatal {
        service: Box<Service>,
        answer: String,
    },
    /// What should have happened meanwhile did not.
    Meanwhile(Fault),
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unready::TimedOut { total, pending } => {
                write!(f, "TIMEOUT after {}: {pending}", seconds(*total))
            }
            Unready::Broken(broken) => broken.fmt(f),
            Unready::Fatal { service, answer } => {
                write!(f, "{} has failed for good: {answer}", service.name)
            }
            Unready::Meanwhile(fault) => write!(f, "{:#}", fault.error),
        }
    }
}

impl Unready {
    pub fn into_fault(self) -> Fault {
        let message = self.to_string();
        match self {
            Unready::TimedOut { .. } => Fault::new(Reason::WaitTimeout, message),
            Unready::Broken(broken) => broken.into_fault(),
            Unready::Fatal { service, .. } => {
                let mut fault = Fault::new(Reason::DependencyUnhealthy, message);
                fault.container = service.container;
                fault
            }
            Unready::Meanwhile(fault) => fault,
        }
    }
}

/// What is known of a service that is not ready.
#[derive(Clone, Debug, Default)]
struct Progress {
    ready: bool,
    attempts: u32,
    last_error: String,
    /// What of it was told in an event.
    told: String,
}

impl Group<'_> {
    /// Ends when all are ready, when the budget is spent, or as soon as one cannot become ready any more.
    /// `meanwhile` is driven beside it, and must have ended well too.
    pub async fn all_ready(
        &self,
        meanwhile: impl Future<Output = Result<(), Fault>>,
    ) -> Result<(), Unready> {
        let progress: Vec<_> = self
            .services
            .iter()
            .map(|_| RefCell::new(Progress::default()))
            .collect();
        self.events.emit(Event::Waiting {
            services: self.services.iter().map(awaited).collect(),
            budget_s: self.budget.total.as_secs_f64(),
            waited_s: self.budget.since.elapsed().as_secs_f64(),
        });
        let result = self.all_ready_of(&progress, meanwhile).await;
        if result.is_err() {
            self.tell_unready(&progress, |_, _| true);
        }
        result
    }

    async fn all_ready_of(
        &self,
        progress: &[RefCell<Progress>],
        meanwhile: impl Future<Output = Result<(), Fault>>,
    ) -> Result<(), Unready> {
        let moments = &Moments::of_guest(self.slowness);
        let mut pending: FuturesUnordered<_> = self
            .services
            .iter()
            .zip(progress)
            .map(|(service, progress)| async move {
                let result = self.one_ready(service, progress, moments).await;
                (service, progress, result)
            })
            .collect();
        let broken = self.observer.broken();
        tokio::pin!(broken, meanwhile);
        let mut busy = true;
        let mut heartbeat = interval_at(self.budget.since + self.heartbeat, self.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut news = self.next_news();
        while busy || !pending.is_empty() {
            tokio::select! {
                biased;
                broken = &mut broken => return Err(Unready::Broken(broken)),
                result = &mut meanwhile, if busy => {
                    result.map_err(Unready::Meanwhile)?;
                    busy = false;
                }
                Some((service, progress, result)) = pending.next() => {
                    if let Err(Fatal(answer)) = result {
                        return Err(Unready::Fatal { service: Box::new(service.clone()), answer });
                    }
                    progress.borrow_mut().ready = true;
                    let waited = self.budget.since.elapsed();
                    self.events.emit(Event::Service {
                        name: service.name.clone(),
                        ready_s: waited.as_secs_f64(),
                        attempts: progress.borrow().attempts,
                    });
                }
                () = sleep_until(self.budget.end()) => {
                    return Err(Unready::TimedOut {
                        total: self.budget.total,
                        pending: self.pending(progress),
                    });
                }
                () = moments.until(news) => {
                    self.tell_unready(progress, |told, error| told != error);
                    news = self.next_news();
                }
                _ = heartbeat.tick() => self.events.line(format!(
                    "still waiting ({} of {}): {}",
                    seconds(self.budget.since.elapsed()),
                    seconds(self.budget.total),
                    self.pending(progress),
                )),
            }
        }
        Ok(())
    }

    fn next_news(&self) -> Instant {
        let waited = self.budget.since.elapsed() + NEWS_PAUSE.mul_f64(self.slowness);
        self.budget.since + attempts::in_step(waited, self.slowness)
    }

    fn unready<'p>(
        &'p self,
        progress: &'p [RefCell<Progress>],
    ) -> impl Iterator<Item = (&'p Service, &'p RefCell<Progress>)> {
        let all = self.services.iter().zip(progress);
        all.filter(|(_, progress)| !progress.borrow().ready)
    }

    fn why_not(&self, service: &Service, progress: &RefCell<Progress>) -> String {
        let state = self.prober.state(service, self.observer);
        state.unwrap_or_else(|| progress.borrow().last_error.clone())
    }

    /// Has it told why services are not ready, of those for which what was told before and what is so now are `worth` it.
    fn tell_unready(&self, progress: &[RefCell<Progress>], worth: fn(&str, &str) -> bool) {
        for (service, progress) in self.unready(progress) {
            let error = self.why_not(service, progress);
            let mut progress = progress.borrow_mut();
            if worth(&progress.told, &error) {
                progress.told.clone_from(&error);
                self.events.emit(Event::NotReady {
                    name: service.name.clone(),
                    error,
                    attempts: progress.attempts,
                });
            }
        }
    }

    /// `NAME (last error), …` of those that are not ready.
    fn pending(&self, progress: &[RefCell<Progress>]) -> String {
        let named: Vec<_> = self
            .unready(progress)
            .map(|(service, progress)| {
                format!("{} ({})", service.name, self.why_not(service, progress))
            })
            .collect();
        match named.is_empty() {
            true => "a container whose depends_on is not met".to_owned(),
            false => named.join(", "),
        }
    }
}

fn awaited(service: &Service) -> Awaited {
    Awaited {
        name: service.name.clone(),
        container: service.container.clone(),
    }
}

/// `30s`, `1500s`; with a decimal only below ten seconds.
pub fn seconds(duration: Duration) -> String {
    let s = duration.as_secs_f64();
    if s < 9.95 && (s - s.round()).abs() > 0.05 {
        format!("{s:.1}s")
    } else {
        format!("{s:.0}s")
    }
}

//! A run under its one deadline, and what is known of it.

use std::cell::Cell;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::event::{Event, Events};
use crate::failure::{Failure, Fault, Reason, Stage};
use crate::host::engine::Engine;
use crate::plan::{DEFAULT_RUN_TIMEOUT, Plan};
use crate::wait;

/// What is known so far of a run; diagnostics need it whatever stage failed.
#[derive(Default)]
pub struct Known {
    plan: Mutex<Option<Arc<Plan>>>,
    pub engine: OnceLock<Arc<dyn Engine>>,
}

impl Known {
    pub fn plan(&self) -> Option<Arc<Plan>> {
        self.plan
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From here on this is the plan.
    pub fn follow(&self, plan: Plan) -> Arc<Plan> {
        let plan = Arc::new(plan);
        let mut known = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(plan.clone());
        plan
    }

    /// The whole run's.
    pub fn limit(&self) -> Duration {
        self.plan()
            .map_or(DEFAULT_RUN_TIMEOUT, |plan| plan.run.timeout)
    }
}

/// The one deadline, and the one place where a stage is begun, ended and blamed.
pub struct Run<'a> {
    pub events: &'a Events,
    pub known: &'a Known,
    pub began: Instant,
    current: Cell<Stage>,
    /// When that stage began.
    since: Cell<Instant>,
}

impl<'a> Run<'a> {
    pub fn new(events: &'a Events, known: &'a Known) -> Self {
        Run {
            events,
            known,
            began: Instant::now(),
            current: Cell::new(Stage::Bundle),
            since: Cell::new(Instant::now()),
        }
    }

    pub async fn stage<T>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Failure> {
        self.current.set(stage);
        self.events.emit(Event::StageStarted { stage });
        let since = Instant::now();
        let limit = self.known.limit();
        self.since.set(since);
        let result = tokio::select! {
            biased;
            result = work => result,
            () = sleep_until(self.began + limit) => Err(Fault::new(
                Reason::DeadlineExceeded,
                format!("the run's limit of {} ended in this stage, after {} of it", wait::seconds(limit), wait::seconds(since.elapsed())),
            )),
        };
        match result {
            Ok(value) => {
                let seconds = since.elapsed().as_secs_f64();
                self.events.emit(Event::StageDone { stage, seconds });
                Ok(value)
            }
            Err(fault) => {
                self.has_failed();
                Err(Failure {
                    stage: fault.stage.unwrap_or(stage),
                    fault,
                })
            }
        }
    }

    fn has_failed(&self) {
        self.events.emit(Event::StageFailed {
            stage: self.current.get(),
            seconds: self.since.get().elapsed().as_secs_f64(),
        });
    }

    pub fn given_up(&self, reason: Reason, why: String) -> Failure {
        self.has_failed();
        Failure {
            stage: self.current.get(),
            fault: Fault::new(reason, why),
        }
    }
}

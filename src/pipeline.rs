//! The whole run: every stage in its order, each made of what the one before it left.

mod range;

use std::cell::Cell;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until, timeout};

use crate::event::{Event, Events, Outcome, Smoke, Verdict};
use crate::failure::{Failure, Fault, Reason, Stage};
use crate::host::Host;
use crate::host::engine::Engine;
use crate::plan::{DEFAULT_RUN_TIMEOUT, Emulated, Plan};
use crate::wait::Prober;
use crate::{
    bundle, containers, diagnose, engine, finish, guest, images, migrate, plan, smoke, wait,
};

use range::standing;
pub use range::{CHOICES, Range};

/// The stages of a run, in their order.
pub const STAGES: [Stage; 11] = [
    Stage::Bundle,
    Stage::Plan,
    Stage::Guest,
    Stage::Engine,
    Stage::Images,
    Stage::Containers,
    Stage::Wait,
    Stage::Migrations,
    Stage::Smoke,
    Stage::Stop,
    Stage::Finish,
];

/// For stopping containers of a run that is given up.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(30);

/// How many of a dead container's last lines make it into the message.
const LAST_LINES: usize = 3;
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(3);

/// What a run is asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Request {
    /// None: the volume with the plan's label.
    pub bundle: Option<PathBuf>,
    /// None: the bundle's, or that in `/etc`.
    pub plan: Option<PathBuf>,
    pub accel: Option<String>,
    pub docker_host: Option<String>,
    pub range: Range,
    /// Leaves everything up when it is given up.
    pub hold: bool,
    /// The log and the report, which no clearing of logs may touch.
    #[serde(default)]
    pub own_files: Vec<PathBuf>,
}

/// What a run may be told while it goes on.
#[derive(Debug)]
pub enum Wish {
    GiveUp(Reason, String),
    Diagnose,
}

/// What is known so far of a run; diagnostics need it whatever stage failed.
#[derive(Default)]
pub struct Known {
    plan: Mutex<Option<Arc<Plan>>>,
    engine: OnceLock<Arc<dyn Engine>>,
}

impl Known {
    fn plan(&self) -> Option<Arc<Plan>> {
        self.plan
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From here on this is the plan.
    fn follow(&self, plan: Plan) -> Arc<Plan> {
        let plan = Arc::new(plan);
        let mut known = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(plan.clone());
        plan
    }

    /// The whole run's.
    fn limit(&self) -> Duration {
        self.plan()
            .map_or(DEFAULT_RUN_TIMEOUT, |plan| plan.run.timeout)
    }
}

/// All stages in order.
async fn stages(
    run: &Run<'_>,
    host: &Host,
    request: &Request,
    known: &Known,
) -> Result<(Verdict, Smoke), Failure> {
    let events = run.events;
    let outer = plan::outer(request).map_err(|fault| Failure {
        stage: Stage::Plan,
        fault,
    })?;
    let source = outer.bundle_source(request);
    let bundle = run
        .stage(Stage::Bundle, bundle::verified(&source, host, events))
        .await?;
    let plans = run
        .stage(Stage::Plan, plan::load(&bundle, outer, events))
        .await?;
    known.follow(plans.native.clone());

    let guest = run
        .stage(
            Stage::Guest,
            guest::examined(&bundle, request.accel.as_deref(), host, events),
        )
        .await?;
    let emulation = guest.emulation.clone();
    let plan = &*known.follow(plans.for_guest(&emulation, events));
    let engine = run
        .stage(Stage::Engine, engine::reach(guest, plan, host, events))
        .await?;
    let prober = Prober::new(known.engine.get_or_init(|| engine.engine.clone()), host);

    let range = request.range;
    if range.first == Stage::Finish {
        let stopped = standing(Stage::Stop, containers::as_stopped(engine, plan));
        let stopped = run.stage(Stage::Stop, stopped).await?;
        let finished = finish::finish(stopped, plan, &request.own_files, host, events);
        let finished = run.stage(Stage::Finish, finished).await?;
        return Ok((Verdict::Done, finished.smoke));
    }
    let loaded = async {
        match range.does(Stage::Images) {
            true => images::load(engine, &bundle, plan, host, events).await,
            false => standing(Stage::Images, images::as_found(engine, plan, host, events)).await,
        }
    };
    let loaded = run.stage(Stage::Images, loaded).await?;
    // Of a guest that is emulated itself everything is.
    let foreign = loaded.emulated.clone();
    let plan = match foreign.is_empty() || emulation.is_emulated() {
        true => plan,
        false => &*known.follow(plans.told(&Emulated::Images(&foreign), events)),
    };
    if range.last == Stage::Images {
        return Ok((Verdict::Done, Smoke::NotRun));
    }
    let created = async {
        match range.does(Stage::Containers) {
            true => containers::create_all(loaded, &bundle, plan, events).await,
            false => standing(Stage::Containers, containers::running(loaded, plan, events)).await,
        }
    };
    let created = run.stage(Stage::Containers, created).await?;
    if range.last == Stage::Containers {
        let started = wait::until_started(created, plan, &prober, events);
        run.stage(Stage::Containers, started).await?;
        return Ok((Verdict::Done, Smoke::NotRun));
    }
    let ready = async {
        match range.does(Stage::Wait) {
            true => wait::until_ready(created, plan, &prober, events).await,
            false => standing(Stage::Wait, wait::as_found(created, plan, &prober, events)).await,
        }
    };
    let ready = run.stage(Stage::Wait, ready).await?;
    if range.last == Stage::Wait {
        return Ok((Verdict::Done, Smoke::NotRun));
    }
    let migrated = async {
        match range.does(Stage::Migrations) {
            true => migrate::run(ready, plan, events).await,
            false => Ok(migrate::as_found(ready, plan, events)),
        }
    };
    let migrated = run.stage(Stage::Migrations, migrated).await?;
    if range.last == Stage::Migrations {
        return Ok((Verdict::Done, Smoke::NotRun));
    }
    let tested = async {
        match range.does(Stage::Smoke) {
            true => smoke::test(migrated, plan, (&emulation, &foreign), &prober, events).await,
            false => Ok(smoke::as_found(migrated)),
        }
    };
    let tested = run.stage(Stage::Smoke, tested).await?;
    if range.last == Stage::Smoke {
        return Ok((Verdict::Done, tested.smoke));
    }
    if plan.finish.capture && range.first < Stage::Stop {
        return Ok((Verdict::Ready, tested.smoke));
    }
    let stopped = run
        .stage(Stage::Stop, containers::stop(tested, plan, events))
        .await?;
    if let Err(error) = bundle.close().await {
        events.line(format!("the bundle was left mounted: {error}"));
    }
    if range.last == Stage::Stop {
        return Ok((Verdict::Done, stopped.smoke));
    }
    let finished = finish::finish(stopped, plan, &request.own_files, host, events);
    let finished = run.stage(Stage::Finish, finished).await?;
    Ok((Verdict::Done, finished.smoke))
}

/// A part of a run, for whoever looks on: no diagnostics, nothing to conclude.
pub async fn part(host: &Host, request: &Request, events: &Events) -> Result<(), Failure> {
    let known = Known::default();
    let run = Run::new(events, &known);
    stages(&run, host, request, &known).await.map(|_| ())
}

/// Runs it all, and on failure finds out what can be found out.
pub async fn provision(
    host: &Host,
    request: &Request,
    events: &Events,
    mut wishes: UnboundedReceiver<Wish>,
) -> Outcome {
    let known = Known::default();
    let run = Run::new(events, &known);
    let result = {
        let work = stages(&run, host, request, &known);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(wish) = wishes.recv() => match wish {
                    Wish::Diagnose => diagnose(&known, host, None, Duration::ZERO, events).await,
                    Wish::GiveUp(reason, why) => break Err(run.given_up(reason, why)),
                },
                result = &mut work => break result,
            }
        }
    };
    match result {
        Ok((verdict, smoke)) => Outcome {
            verdict,
            stage: None,
            reason: None,
            message: None,
            smoke,
        },
        Err(failure) => {
            // Now, not after diagnostics that may take a while, and at the end once more, where it is looked for.
            events.line(format!(
                "stage {} failed: {}",
                failure.stage,
                failure.message()
            ));
            events.emit(Event::Cause {
                message: failure.message(),
                container: failure.fault.container.clone(),
            });
            tokio::select! {
                () = conclude_failed(&run, host, request, &failure) => {}
                // A second wish to give up: at once.
                () = second_wish(&mut wishes) => events.line("the rest is left undone: a second signal came"),
            }
            let smoke = match failure.stage {
                Stage::Smoke => Smoke::Failed,
                _ => Smoke::NotRun,
            };
            let mut message = failure.message();
            if let Some(words) = last_words(&known, &failure.fault).await {
                message += &format!("; its last words: {words}");
            }
            Outcome {
                smoke,
                ..Outcome::failed(Some(failure.stage), failure.fault.reason, message)
            }
        }
    }
}

async fn second_wish(wishes: &mut UnboundedReceiver<Wish>) {
    loop {
        match wishes.recv().await {
            Some(Wish::GiveUp(..)) => return,
            Some(Wish::Diagnose) => {}
            None => return std::future::pending().await,
        }
    }
}

async fn conclude_failed(run: &Run<'_>, host: &Host, request: &Request, failure: &Failure) {
    let (known, events) = (run.known, run.events);
    let left = (run.began + known.limit()).saturating_duration_since(Instant::now());
    diagnose(known, host, Some(&failure.fault), left, events).await;
    let given_up = !request.hold
        && matches!(
            failure.fault.reason,
            Reason::Interrupted | Reason::DeadlineExceeded | Reason::Killed
        );
    if let (true, Some(engine), Some(plan)) = (given_up, known.engine.get(), known.plan()) {
        match timeout(
            GIVE_UP_LIMIT,
            containers::stop_all(&**engine, &plan, events),
        )
        .await
        {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => events.line(format!("{:#}", fault.error)),
            Err(_) => events.line("the containers did not stop in time"),
        }
    }
}

/// In an emulated guest diagnostics may take longer, by no more than is `left` of the run: whoever waits for its end
/// allows for the usual limit after it.
async fn diagnose(
    known: &Known,
    host: &Host,
    fault: Option<&Fault>,
    left: Duration,
    events: &Events,
) {
    let (Some(plan), Some(engine)) = (known.plan(), known.engine.get()) else {
        diagnose::show_evidence(fault, events);
        return;
    };
    let scene = diagnose::Scene {
        plan: &plan,
        engine: engine.clone(),
        prober: &Prober::new(engine, host),
        vitals: &*host.vitals,
        patience: (1.0 + left.div_duration_f64(diagnose::LIMIT)).min(plan.slowness),
    };
    diagnose::dump(&scene, fault, events).await;
}

/// The last things that a container which died had to say.
async fn last_words(known: &Known, fault: &Fault) -> Option<String> {
    let name = fault.container.as_deref()?;
    let engine = known.engine.get()?;
    if fault.reason != Reason::DependencyExited {
        return None;
    }
    let tail = diagnose::log_tail(&**engine, name, LAST_LINES, diagnose::LOG_BYTES);
    let lines = timeout(LAST_WORDS_LIMIT, tail).await.ok()?;
    let said: Vec<_> = lines
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
        .collect();
    (!said.is_empty()).then(|| said.join(" / "))
}

/// The one deadline, and the one place where a stage is begun, ended and blamed.
struct Run<'a> {
    events: &'a Events,
    known: &'a Known,
    began: Instant,
    current: Cell<Stage>,
    /// When that stage began.
    since: Cell<Instant>,
}

impl<'a> Run<'a> {
    fn new(events: &'a Events, known: &'a Known) -> Self {
        Run {
            events,
            known,
            began: Instant::now(),
            current: Cell::new(Stage::Bundle),
            since: Cell::new(Instant::now()),
        }
    }

    async fn stage<T>(
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

    fn given_up(&self, reason: Reason, why: String) -> Failure {
        self.has_failed();
        Failure {
            stage: self.current.get(),
            fault: Fault::new(reason, why),
        }
    }
}

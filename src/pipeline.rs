//! The whole run: every stage in its order, each made of what the one before it left.

mod failed;
mod range;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::event::{Event, Events, Outcome, Smoke, Verdict};
use crate::failure::{Failure, Reason, Stage};
use crate::host::Host;
use crate::plan::Emulated;
use crate::wait::Prober;
use crate::{bundle, containers, engine, finish, guest, images, migrate, plan, smoke, wait};

use failed::{conclude_failed, diagnose, last_words, second_wish};
use range::standing;
pub use range::{CHOICES, Range};
use run::{Known, Run};

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

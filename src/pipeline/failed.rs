//! What is still found out and done after a run has failed.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout};

use super::run::{Known, Run};
use super::{Request, Wish};
use crate::event::Events;
use crate::failure::{Failure, Fault, Reason};
use crate::host::Host;
use crate::wait::Prober;
use crate::{containers, diagnose};

/// For stopping containers of a run that is given up.
const GIVE_UP_LIMIT: Duration = Duration::from_secs(30);

/// How many of a dead container's last lines make it into the message.
const LAST_LINES: usize = 3;
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(3);

pub async fn second_wish(wishes: &mut UnboundedReceiver<Wish>) {
    loop {
        match wishes.recv().await {
            Some(Wish::GiveUp(..)) => return,
            Some(Wish::Diagnose) => {}
            None => return std::future::pending().await,
        }
    }
}

pub async fn conclude_failed(run: &Run<'_>, host: &Host, request: &Request, failure: &Failure) {
    let (known, events) = (run.known, run.events);
    let left = match failure.fault.reason {
        // Whoever gives up waits no longer than usual.
        Reason::Interrupted | Reason::Killed => Duration::ZERO,
        _ => (run.began + known.limit()).saturating_duration_since(Instant::now()),
    };
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
pub async fn diagnose(
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
pub async fn last_words(known: &Known, fault: &Fault) -> Option<String> {
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

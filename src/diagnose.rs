//! Diagnostics: what can be known about a stack that did not work, each part bounded, what matters most last.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join, join_all};
use tokio::time::timeout;

use crate::containers::{Observer, Rules, times};
use crate::event::{Event, Events};
use crate::failure::Fault;
use crate::host::engine::{ContainerFacts, Engine, Output};
use crate::host::vitals::{Section, Vitals};
use crate::lines::{LineSplitter, Tail};
use crate::plan::{Plan, Probe, Service, secrets_among};
use crate::wait::{Answer, Prober};

/// All of it together; the parts run side by side and have less. Each is multiplied by the scene's patience.
pub const LIMIT: Duration = Duration::from_secs(20);
const PART_LIMIT: Duration = Duration::from_secs(8);
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// Lines of each container's log.
const LOG_LINES: usize = 300;
/// Bytes of each container's log; a line can be long.
pub const LOG_BYTES: usize = 64 * 1024;
/// As much of an HTTP answer's body as is shown.
const BODY_BYTES: usize = 300;

/// What there is to look at.
pub struct Scene<'a> {
    pub plan: &'a Plan,
    pub engine: Arc<dyn Engine>,
    pub prober: &'a Prober,
    pub vitals: &'a dyn Vitals,
    /// 1, or more in an emulated guest that has time left.
    pub patience: f64,
}

/// Looks at everything and says it; what the fault points at comes last.
pub async fn dump(scene: &Scene<'_>, fault: Option<&Fault>, events: &Events) {
    events.emit(Event::DiagnosticsStarted);
    let limit = LIMIT.mul_f64(scene.patience);
    if timeout(limit, look(scene, fault, events)).await.is_err() {
        events.diagnostics(format!(
            "diagnostics were cut off after {}s",
            limit.as_secs()
        ));
    }
}

/// The machine alone, where there is nothing else to look at.
pub async fn dump_machine(vitals: &dyn Vitals, events: &Events) {
    show_machine(timeout(PART_LIMIT, vitals.take(&[])).await.ok(), events);
}

fn show_machine(sections: Option<Vec<Section>>, events: &Events) {
    let Some(sections) = sections else {
        return events.diagnostics("---- the machine does not say how it is ----");
    };
    for section in sections {
        events.diagnostics(format!("---- {} ----", section.title));
        section
            .lines
            .iter()
            .for_each(|line| events.diagnostics(line));
    }
}

async fn look(scene: &Scene<'_>, fault: Option<&Fault>, events: &Events) {
    let guilty = fault.and_then(|fault| fault.container.as_deref());
    let plan = scene.plan;
    let mut names: Vec<&str> = plan.containers.iter().map(|c| c.name.as_str()).collect();
    let of_smoke = plan
        .smoke
        .as_ref()
        .and_then(|smoke| smoke.container.as_ref());
    names.extend(of_smoke.map(|container| container.name.as_str()));
    if let Some(guilty) = guilty {
        names.retain(|name| *name != guilty);
        names.push(guilty);
    }
    let machine = timeout(PART_LIMIT.mul_f64(scene.patience), scene.vitals.take(&[]));
    let containers = join_all(names.iter().map(|name| container(scene, name, events)));
    let probes = join_all(
        plan.wait
            .services
            .iter()
            .map(|service| probe(scene, service, events)),
    );
    let (machine, (containers, probes)) = join(machine, join(containers, probes)).await;

    show_machine(machine.ok(), events);
    let section = |name: &str, log: &[String]| {
        events.diagnostics(format!("---- log of container {name} ----"));
        log.iter()
            .for_each(|line| events.diagnostics(format!("{name} | {line}")));
    };
    // What was never created has no log.
    let known = names
        .iter()
        .zip(&containers)
        .filter(|(_, (_, log))| !log.is_empty());
    for (name, (_, log)) in known.clone().filter(|(name, _)| Some(**name) != guilty) {
        section(name, log);
    }
    events.diagnostics("---- containers ----");
    containers
        .iter()
        .flat_map(|(state, _)| state)
        .for_each(|line| events.diagnostics(line));
    if !probes.is_empty() {
        events.diagnostics("---- probes, once more ----");
        probes.iter().for_each(|line| events.diagnostics(line));
    }
    for (name, (_, log)) in known.filter(|(name, _)| Some(**name) == guilty) {
        section(name, log);
    }
    show_evidence(fault, events);
}

/// The output that a fault brought with it.
pub fn show_evidence(fault: Option<&Fault>, events: &Events) {
    let evidence = fault
        .map(|fault| fault.evidence.as_slice())
        .unwrap_or_default();
    if !evidence.is_empty() {
        events.diagnostics("---- last output ----");
        evidence
            .iter()
            .for_each(|line| events.diagnostics(format!("| {line}")));
    }
}

async fn part(
    scene: &Scene<'_>,
    what: &str,
    work: impl Future<Output = Vec<String>>,
) -> Vec<String> {
    let limit = PART_LIMIT.mul_f64(scene.patience);
    match timeout(limit, work).await {
        Ok(lines) => lines,
        Err(_) => vec![format!("{what}: no answer within {}s", limit.as_secs())],
    }
}

/// One container's state and its log.
async fn container(scene: &Scene<'_>, name: &str, events: &Events) -> (Vec<String>, Vec<String>) {
    let engine = &*scene.engine;
    let state = part(scene, name, async {
        match engine.container(name).await {
            Ok(Some(facts)) => {
                // Before its log is shown: what the image sets may be secret too.
                events.masker.add(secrets_among(&facts.environment));
                describe(name, &facts)
            }
            Ok(None)
                if scene
                    .plan
                    .containers
                    .iter()
                    .all(|container| container.name != name) =>
            {
                vec![]
            }
            Ok(None) => vec![format!("{name}: there is no such container")],
            Err(error) => vec![format!("{name}: {error}")],
        }
    });
    let log = part(scene, name, log_tail(engine, name, LOG_LINES, LOG_BYTES));
    join(state, log).await
}

/// The last lines of a container's output.
pub async fn log_tail(engine: &dyn Engine, name: &str, lines: usize, bytes: usize) -> Vec<String> {
    let mut output = engine.output(name, Output::Tail(lines));
    let mut splitter = LineSplitter::default();
    let mut tail = Tail::new(lines, bytes);
    while let Some(piece) = output.next().await {
        match piece {
            Ok(piece) => splitter
                .push(&piece)
                .into_iter()
                .for_each(|line| tail.push(line)),
            Err(error) if error.is_not_found() => break,
            Err(error) => {
                tail.push(format!("(the log breaks off: {error})"));
                break;
            }
        }
    }
    splitter
        .finish()
        .into_iter()
        .for_each(|line| tail.push(line));
    tail.lines().map(str::to_owned).collect()
}

fn describe(name: &str, facts: &ContainerFacts) -> Vec<String> {
    let mut state = format!("{name}: {}", facts.status);
    if let Some(code) = facts.exit_code {
        state += &format!(", exit code {code}");
    }
    if facts.oom_killed {
        state += ", killed for memory";
    }
    if facts.restarts > 0 {
        state += &format!(", restarted {}", times(facts.restarts));
    }
    if !facts.error.is_empty() {
        state += &format!(", error: {}", facts.error);
    }
    if let Some(health) = facts.health {
        state += &format!(", health: {health:?}").to_lowercase();
    }
    state += &format!(", started {}", facts.started_at);
    if !facts.running {
        state += &format!(", ended {}", facts.finished_at);
    }
    let checks = facts.health_log.iter().map(|(code, output)| {
        format!(
            "{name}: health check exited with {code}: {}",
            output.trim().replace('\n', " / ")
        )
    });
    std::iter::once(state).chain(checks).collect()
}

/// One more attempt, with everything that came back.
async fn probe(scene: &Scene<'_>, service: &Service, events: &Events) -> String {
    let name = &service.name;
    let limit = PROBE_LIMIT.mul_f64(scene.patience);
    let found = match &service.probe {
        Probe::Http(http) => {
            let answer = timeout(limit, scene.prober.network.http(http)).await;
            match answer {
                Ok(Ok(answer)) => {
                    let headers: Vec<_> = answer
                        .headers
                        .iter()
                        .map(|(k, v)| format!("{k}: {v}"))
                        .collect();
                    let body = &answer.body[..answer.body.len().min(BODY_BYTES)];
                    let body = String::from_utf8_lossy(body);
                    format!(
                        "status {}, headers {headers:?}, body {body:?}",
                        answer.status
                    )
                }
                Ok(Err(why)) => why,
                Err(_) => format!("no answer within {}s", limit.as_secs()),
            }
        }
        Probe::Tcp { .. } | Probe::Unix(_) | Probe::Exec { .. } => {
            let nobody = Observer::watch(scene.engine.clone(), Rules::default(), events);
            let attempt = scene.prober.attempt(service, &nobody, limit);
            // An exec ends its command itself, and needs a moment for it.
            match timeout(limit * 2, attempt).await {
                Ok(Answer::Good) => "good".to_owned(),
                Ok(Answer::NotYet(why) | Answer::Silence(why) | Answer::Never(why)) => why,
                Err(_) => format!("no answer within {}s", limit.as_secs()),
            }
        }
        Probe::Healthy | Probe::Completed | Probe::Up => {
            return format!("{name}: see its container");
        }
        Probe::Log(pattern) => return format!("{name}: waits for a line that matches {pattern}"),
    };
    format!("{name}: {}: {found}", service.probe)
}

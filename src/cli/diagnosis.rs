//! `diagnose`: the dump on standard output, or in an archive with everything else that tells what happened.

use std::borrow::Cow;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::alone::{Found, block_on, exit_code, say};
use super::args::{DEFAULT_STATE, DiagnoseArgs};
use super::status::latest_report;
use crate::diagnose::{self, Scene};
use crate::event::{Event, Events};
use crate::failure::{ExitCode, Fault};
use crate::host::engine::{ContainerFacts, Engine};
use crate::host::{Host, durable, kernel_log};
use crate::pipeline::Request;
use crate::plan::secrets_among;

/// Of each container's log.
const MOST_LINES: usize = 100_000;
const MOST_BYTES: usize = 8 << 20;
/// For all containers together.
const LOG_LIMIT: Duration = Duration::from_secs(60);

pub fn diagnose(args: DiagnoseArgs) -> ExitCode {
    let request = args.stage.into_request();
    let Some(output) = &args.output else {
        let events = Events::new(|event| text_of(&event).iter().for_each(|text| say(text)));
        let host = Host::of_this_guest(request.docker_host.as_deref());
        let result = block_on(async {
            let found = Found::glance(&request, &host, &events).await;
            dump(&found, args.brief, &host, &events).await;
            found.map(|_| ())
        });
        return exit_code(result, &events);
    };
    let report = args
        .report
        .unwrap_or_else(|| latest_report(DEFAULT_STATE.as_ref()));
    let (files, result) = collected(&request, &args.log, &report);
    let to_standard_output = output == Path::new("-");
    let written = packed(&files, output).and_then(|archive| match to_standard_output {
        true => io::stdout().write_all(&archive),
        false => durable::replace(output, &archive),
    });
    if let Err(error) = written {
        eprintln!("guestbake: {}: {error}", output.display());
        return ExitCode::Internal;
    }
    if !to_standard_output {
        say(&format!("{}: {} files", output.display(), files.len()));
    }
    result
}

/// Which stages it takes to look is of no interest.
fn text_of(event: &Event) -> Option<Cow<'_, str>> {
    event
        .text()
        .filter(|_| !matches!(event, Event::StageDone { .. }))
}

/// Without an engine or a plan there is still the machine.
async fn dump(found: &Result<Found, Fault>, brief: bool, host: &Host, events: &Events) {
    match found {
        Ok(found) => diagnose::dump(&scene(found, brief, host), None, events).await,
        Err(_) => diagnose::dump_machine(&*host.vitals, events).await,
    }
}

fn scene<'a>(found: &'a Found, brief: bool, host: &'a Host) -> Scene<'a> {
    Scene {
        plan: &found.plan,
        engine: found.running.engine.clone(),
        prober: &found.prober,
        vitals: &*host.vitals,
        patience: if brief { 1.0 } else { found.plan.slowness },
    }
}

type Files = Vec<(String, Vec<u8>)>;

/// Everything there is. What cannot be had is left out, and the dump says why.
fn collected(request: &Request, log: &Path, report: &Path) -> (Files, ExitCode) {
    let lines = Arc::new(Mutex::new(String::new()));
    let heard = lines.clone();
    let events = Events::new(move |event| {
        if let Some(text) = text_of(&event)
            && let Ok(mut lines) = heard.lock()
        {
            *lines += &text;
            lines.push('\n');
        }
    });
    let host = Host::of_this_guest(request.docker_host.as_deref());
    let mut files = Files::new();
    let result = block_on(async {
        let found = Found::glance(request, &host, &events).await;
        dump(&found, false, &host, &events).await;
        if let Ok(found) = &found {
            files.push(("plan.toml".into(), found.plan.effective().into()));
            let look = of_containers(found, &events);
            match timeout(LOG_LIMIT, look).await {
                Ok(of_containers) => files.extend(of_containers),
                Err(_) => events.line("the containers' logs were not to be had in time"),
            }
        }
        found.map(|_| ())
    });
    if let Err(fault) = &result {
        events.line(format!("{:#}", fault.error));
    }
    let mut old = log.as_os_str().to_owned();
    old.push(".old");
    for path in [log, &PathBuf::from(old), report] {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match fs::read(path) {
            // Written masked; the plan of today may know more secrets.
            Ok(bytes) => files.push((name.into(), masked(&bytes, &events))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => events.line(format!("{}: {error}", path.display())),
        }
    }
    match kernel_log::read() {
        Ok(records) => {
            let line = |record: kernel_log::Record| {
                format!("[{:12.6}] {}\n", record.uptime.as_secs_f64(), record.text)
            };
            let text: String = records.into_iter().map(line).collect();
            files.push(("kernel.log".into(), masked(text.as_bytes(), &events)));
        }
        Err(error) => events.line(format!("the kernel's log: {error}")),
    }
    let code = exit_code(result, &events);
    let dump = lines.lock().map(|lines| lines.clone()).unwrap_or_default();
    files.insert(0, ("diagnostics.txt".into(), dump.into()));
    (files, code)
}

fn masked(bytes: &[u8], events: &Events) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split_inclusive('\n');
    let masked: String = lines.map(|line| events.masker.mask(line)).collect();
    masked.into()
}

/// Of each container of the plan what the engine knows of it, and its log.
async fn of_containers(found: &Found, events: &Events) -> Files {
    let engine = &*found.running.engine;
    let of_smoke = found.plan.smoke.as_ref();
    let of_smoke = of_smoke.and_then(|smoke| smoke.container.as_ref());
    let containers = found.plan.containers.iter().chain(of_smoke);
    let files = containers.map(async |container| of_one(engine, &container.name, events).await);
    join_all(files).await.into_iter().flatten().collect()
}

async fn of_one(engine: &dyn Engine, name: &str, events: &Events) -> Files {
    let log = diagnose::log_tail(engine, name, MOST_LINES, MOST_BYTES);
    let (facts, log) = join(engine.container(name), log).await;
    let Ok(Some(facts)) = facts else {
        return Files::new();
    };
    // Before its log is written: what the image sets may be secret too.
    events.masker.add(secrets_among(&facts.environment));
    let log: String = log
        .iter()
        .map(|line| events.masker.mask(line) + "\n")
        .collect();
    let facts = serde_json::to_string_pretty(&in_json(&facts, events)).unwrap_or_default();
    vec![
        (format!("containers/{name}.json"), facts.into()),
        (format!("containers/{name}.log"), log.into()),
    ]
}

fn in_json(facts: &ContainerFacts, events: &Events) -> Value {
    let masked = |text: &String| events.masker.mask(text);
    let environment: Vec<_> = facts.environment.iter().map(masked).collect();
    let checks = facts
        .health_log
        .iter()
        .map(|(code, output)| json!({ "exit_code": code, "output": masked(output) }));
    json!({
        "status": facts.status,
        "running": facts.running,
        "exit_code": facts.exit_code,
        "oom_killed": facts.oom_killed,
        "error": masked(&facts.error),
        "restarts": facts.restarts,
        "health": facts.health.map(|health| format!("{health:?}").to_lowercase()),
        "health_checks": checks.collect::<Vec<_>>(),
        "environment": environment,
        "started_at": facts.started_at,
        "finished_at": facts.finished_at,
    })
}

/// In a folder named after the archive, so that it can be unpacked anywhere.
fn packed(files: &Files, output: &Path) -> io::Result<Vec<u8>> {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let folder = match name.split('.').next() {
        Some(stem) if !matches!(stem, "" | "-") => stem,
        _ => "guestbake-diagnostics",
    };
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        archive.append_data(&mut header, format!("{folder}/{name}"), bytes.as_slice())?;
    }
    archive.into_inner()?.finish()
}

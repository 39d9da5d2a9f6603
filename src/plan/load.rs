//! Which text is the plan, and reading it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    BundleFiles, DEFAULT_BUNDLE_TIMEOUT, DEFAULT_LABEL, Environment, Plan, PlanErrors, Plans,
    Source, syntax,
};
use crate::bundle::{self, Bundle, Files};
use crate::event::{Event, Events};
use crate::failure::{Because, Fault, Reason};
use crate::host::bounded::bounded;
use crate::pipeline::Request;

/// The plan's name in the bundle.
pub const FILE: &str = "guestbake.toml";
/// For images that bring their plan with them.
const INSTALLED: &str = "/etc/guestbake/guestbake.toml";
/// Reading the plan and the env files.
const READ_LIMIT: Duration = Duration::from_secs(60);

/// A plan that is known before the bundle is; it may say how the bundle is found.
#[derive(Default)]
pub struct OuterPlan {
    text: Option<(PathBuf, Vec<u8>)>,
    /// Asked for by name, so it goes before the bundle's own.
    asked_for: bool,
}

/// The plan outside the bundle, if there is one.
pub fn outer(request: &Request) -> Result<OuterPlan, Fault> {
    if let Some(path) = &request.plan {
        let bytes = fs::read(path).map_err(|error| {
            Fault::new(Reason::PlanInvalid, format!("{}: {error}", path.display()))
        })?;
        return Ok(OuterPlan {
            text: Some((path.clone(), bytes)),
            asked_for: true,
        });
    }
    match fs::read(INSTALLED) {
        Ok(bytes) => Ok(OuterPlan {
            text: Some((INSTALLED.into(), bytes)),
            asked_for: false,
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(OuterPlan::default()),
        Err(error) => Err(Fault::new(
            Reason::PlanInvalid,
            format!("{INSTALLED}: {error}"),
        )),
    }
}

impl OuterPlan {
    /// Where the bundle is, as far as it can be known now. What is wrong with the plan is said when it is loaded.
    pub fn bundle_source(&self, request: &Request) -> bundle::Source {
        if let Some(path) = &request.bundle {
            return bundle::Source::Path(path.clone());
        }
        let document = self
            .text
            .as_ref()
            .and_then(|(_, bytes)| str::from_utf8(bytes).ok()?.parse::<toml::Table>().ok());
        let key = |name: &str| {
            document
                .as_ref()?
                .get("bundle")?
                .get(name)?
                .as_str()
                .map(str::to_owned)
        };
        bundle::Source::Label {
            label: key("label").unwrap_or_else(|| DEFAULT_LABEL.to_owned()),
            timeout: key("timeout")
                .and_then(|text| syntax::limit(&text).ok())
                .unwrap_or(DEFAULT_BUNDLE_TIMEOUT),
        }
    }
}

/// Reads and validates the plan.
///
/// # Errors
/// `plan_invalid`, with everything that is wrong as evidence.
pub async fn load(bundle: &Bundle, outer: OuterPlan, events: &Events) -> Result<Plans, Fault> {
    load_with(std::env::vars().collect(), bundle, outer, events).await
}

/// As [`load`], where the agent's environment is another than this program's.
///
/// # Errors
/// As of [`load`].
pub async fn load_with(
    own: Vec<(String, String)>,
    bundle: &Bundle,
    outer: OuterPlan,
    events: &Events,
) -> Result<Plans, Fault> {
    let files = bundle.files().clone();
    let mut environment: Vec<(String, String)> = (bundle.build().variables.iter())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    environment.extend(own);
    let plans = bounded(READ_LIMIT, "reading the plan", move || {
        Ok(parse(&files, outer, environment))
    })
    .await
    .because(Reason::BundleCorrupt)?
    .inspect_err(|fault| events.masker.publish_keys(fault.keys.iter().cloned()))?;
    for plan in [&plans.native, &plans.emulated] {
        events.masker.publish(plan.names());
        events.masker.add(plan.secrets());
    }
    for note in &plans.native.notes {
        events.line(format!("note: {note}"));
    }
    announce(&plans.native, events);
    Ok(plans)
}

/// What holds for the run as a whole.
pub fn announce(plan: &Plan, events: &Events) {
    events.emit(Event::Plan {
        power_off: plan.finish.power_off,
        run_timeout_s: plan.run.timeout.as_secs_f64(),
    });
}

fn parse(
    files: &Files,
    outer: OuterPlan,
    environment: Vec<(String, String)>,
) -> Result<Plans, Fault> {
    let (name, bytes) = match outer.text {
        Some(text) if outer.asked_for || !files.exists(FILE) => text,
        _ => match files.read(FILE) {
            Ok(bytes) => (FILE.into(), bytes),
            Err(error) => {
                return Err(Fault::new(
                    Reason::PlanInvalid,
                    format!(
                        "no plan: {error}; there is none at {INSTALLED} either, and --plan was not given"
                    ),
                ));
            }
        },
    };
    let source = Source {
        name: &name.to_string_lossy(),
        bytes: &bytes,
    };
    let environment = environment.into_iter().collect::<Environment>();
    super::parse(&source, files, &environment).map_err(|errors| fault(&errors))
}

/// Everything that is wrong with a plan as evidence, the first of it as the message.
pub fn fault(errors: &PlanErrors) -> Fault {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let more = match lines.len() {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let first = lines.first().map_or("", String::as_str);
    let mut fault = Fault::new(Reason::PlanInvalid, format!("{first}{more}"));
    fault.evidence = lines;
    fault.keys = errors.iter().map(|error| error.key.clone()).collect();
    fault
}

impl BundleFiles for Files {
    fn exists(&self, name: &str) -> bool {
        Files::exists(self, Path::new(name))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Files::read(self, Path::new(name))
    }
}

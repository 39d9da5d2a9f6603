//! The plan: the text of `guestbake.toml` and the bundle's env files become values that refer only to what exists.
//!
//! bytes → `document` → `raw` (mirrors the file) → `resolve` (references, defaults) → [`Plan`]; and the same once more for
//! the document that `emulation` makes. What is wrong on the way is collected, not thrown, so that one run shows every
//! error.

mod compose;
mod debug;
mod document;
mod effective;
mod emulation;
pub mod env_file;
mod error;
mod load;
mod model;
mod networks;
mod node;
mod plans;
mod raw;
mod reader;
mod resolve;
mod secrets;
mod settings;
mod starting;
mod syntax;
mod table;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;

pub use compose::project_name;
pub use error::{PlanError, PlanErrors};
pub use load::{FILE, OuterPlan, announce, fault, load, load_with, outer};
pub use model::*;
pub use plans::{Emulated, Plans};
pub use secrets::{is_secret_name, mask_url_passwords, secrets_among};
pub use starting::Origin;

/// The variable with which a host overrides `wait.timeout`, in whole seconds.
pub const DEPS_TIMEOUT: &str = "STACK_DEPS_TIMEOUT";

/// A plan's text and the name it is shown under.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Such as `guestbake.toml`, or the path given with `--plan`.
    pub name: &'a str,
    pub bytes: &'a [u8],
}

/// The files of the bundle, by names relative to it.
pub trait BundleFiles {
    fn exists(&self, name: &str) -> bool;

    /// A whole small file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
}

/// The agent's own environment, as far as a plan depends on it: [`DEPS_TIMEOUT`], and the variables that env files and
/// `environment` name without a value.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Environment(variables.collect())
    }
}

/// Whether a name may be that of a file in a bundle.
pub fn is_bundle_path(name: &str) -> bool {
    syntax::bundle_path(name).is_ok()
}

/// What an env file says by Compose's rules; nothing, if it breaks them.
pub fn variables_of_env_file(bytes: &[u8]) -> BTreeMap<String, String> {
    let outside = compose::Variables::of(&Environment::default());
    let read = compose::parse_env_file(bytes, &outside);
    read.unwrap_or_default().variables.into_iter().collect()
}

/// The validated plan in both its forms, or everything that is wrong with them.
///
/// # Errors
/// Each with file, line, column and key; those of env files with their names and lines.
pub fn parse(
    source: &Source<'_>,
    files: &dyn BundleFiles,
    environment: &Environment,
) -> Result<Plans, PlanErrors> {
    let text = document::text(source.name, source.bytes)?;
    let findings = error::Findings::new(source.name, text);
    let plans = document::parse(text, &findings).map(|document| {
        let overlay = emulation::read(&document, &findings);
        let emulated = emulation::emulated(&document, &overlay);
        let plan = |document, emulation| {
            let raw = raw::read(document, &findings);
            let raw = compose::joined(raw, &findings, files, environment, emulation);
            resolve::resolve(raw, &findings, files, environment)
        };
        let native = plan(&document, None);
        let emulated = plan(&emulated, Some(&overlay));
        Plans::new(native, emulated, overlay)
    });
    let hidden = Hidden(findings.secrets());
    let mut notes = findings.take_notes();
    // Both forms have been read.
    notes.sort();
    notes.dedup();
    findings.finish()?;
    let mut plans = plans.expect("where there is no document there are findings");
    plans.native.hidden = hidden.clone();
    plans.emulated.hidden = hidden;
    let masker = plans.native.masker();
    let notes = notes.iter().map(|note| masker.mask_known(note));
    plans.native.notes = notes.collect();
    Ok(plans)
}

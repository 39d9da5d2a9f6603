//! Whole plans: which are taken and what they mean, which are refused and with what words.

mod accepted;
mod effective;
mod emulation;
mod refused;
mod robustness;

use std::collections::BTreeMap;
use std::io;

use super::*;

/// The example that the outside is promised.
const CONTRACT: &str = include_str!("contract.toml");

/// The shortest plan with a container, for tests of what stands beside it.
const DEPS: &str = "[containers.deps]\nimage = 'app'\n";

struct Bundle(BTreeMap<&'static str, Vec<u8>>);

impl Bundle {
    fn with(files: &[(&'static str, &[u8])]) -> Self {
        Bundle(
            files
                .iter()
                .map(|(name, content)| (*name, content.to_vec()))
                .collect(),
        )
    }

    fn usual() -> Self {
        Bundle::with(&[("img.tgz", b""), ("build.env", b"FROM_FILE=1\n")])
    }
}

impl BundleFiles for Bundle {
    fn exists(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.0
            .get(name)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn parse_in(bundle: &Bundle, environment: &Environment, text: &str) -> Result<Plan, PlanErrors> {
    let source = Source {
        name: "guestbake.toml",
        bytes: text.as_bytes(),
    };
    parse(&source, bundle, environment).map(|plans| plans.native)
}

fn plan(text: &str) -> Plan {
    match parse_in(&Bundle::usual(), &Environment::default(), text) {
        Ok(plan) => plan,
        Err(errors) => panic!("{errors}"),
    }
}

/// One line for each error.
fn errors(text: &str) -> Vec<String> {
    let errors = parse_in(&Bundle::usual(), &Environment::default(), text).unwrap_err();
    errors.to_string().lines().map(str::to_owned).collect()
}

/// The container `deps` with these further keys.
fn container(keys: &str) -> Container {
    plan(&format!("{DEPS}{keys}")).containers.remove(0)
}

/// The messages, without file and position, about `deps` with these further keys.
fn container_errors(keys: &str) -> Vec<String> {
    let errors = errors(&format!("{DEPS}{keys}"));
    errors
        .iter()
        .map(|error| error.split_once(": ").expect("a position").1.to_owned())
        .collect()
}

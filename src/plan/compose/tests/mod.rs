//! Compose files as plans: which are taken and what they mean, which are refused and with what words.

mod accepted;
mod files;
mod keys;
mod refused;
mod schema;
mod secrets;
mod starting;
mod variables;

use std::collections::BTreeMap;
use std::io;

use crate::plan::*;

struct Bundle(BTreeMap<String, String>);

impl BundleFiles for Bundle {
    fn exists(&self, name: &str) -> bool {
        let folder = format!("{name}/");
        name == "."
            || self.0.contains_key(name)
            || self.0.keys().any(|file| file.starts_with(&folder))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let content = self.0.get(name).cloned();
        content
            .map(String::into_bytes)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A plan and the files beside it.
fn parse_with(toml: &str, files: &[(&str, &str)]) -> Result<Plan, PlanErrors> {
    let files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let source = Source {
        name: "guestbake.toml",
        bytes: toml.as_bytes(),
    };
    let environment = Environment::from_iter([("OUTSIDE", "from outside")]);
    parse(&source, &Bundle(files.collect()), &environment).map(|plans| plans.native)
}

fn plan_of(toml: &str, files: &[(&str, &str)]) -> Plan {
    match parse_with(toml, files) {
        Ok(plan) => {
            for (name, text) in files.iter().filter(|(name, _)| name.ends_with(".yaml")) {
                schema::assert_valid(name, text);
            }
            plan
        }
        Err(errors) => panic!("{errors}"),
    }
}

const ONE: &str = "compose = 'compose.yaml'\n";

/// The plan of one Compose file and nothing else.
fn plan(yaml: &str) -> Plan {
    plan_of(ONE, &[("compose.yaml", yaml)])
}

fn container(plan: &Plan, name: &str) -> Container {
    let found = plan
        .containers
        .iter()
        .find(|container| container.name == name);
    found
        .unwrap_or_else(|| panic!("no container {name}"))
        .clone()
}

/// The only service, `a`, with these further lines.
fn service(lines: &str) -> Container {
    let lines: String = lines
        .lines()
        .map(|line| format!("    {}\n", line))
        .collect();
    let yaml =
        format!("services:\n  aa:\n    image: x\n{lines}volumes:\n  data:\nnetworks:\n  back:\n");
    container(&plan(&yaml), "aa")
}

fn errors_of(toml: &str, files: &[(&str, &str)]) -> Vec<String> {
    let errors = match parse_with(toml, files) {
        Ok(_) => panic!("no errors"),
        Err(errors) => errors,
    };
    errors.to_string().lines().map(str::to_owned).collect()
}

fn errors(yaml: &str) -> Vec<String> {
    errors_of(ONE, &[("compose.yaml", yaml)])
}

/// The one error of a service with these further lines, without its file and line.
fn service_error(lines: &str) -> String {
    let lines: String = lines
        .lines()
        .map(|line| format!("    {}\n", line))
        .collect();
    let errors = errors(&format!("services:\n  aa:\n    image: x\n{lines}"));
    assert_eq!(errors.len(), 1, "{errors:?}");
    let (place, message) = errors[0].split_once(": ").expect("a place");
    assert!(place.starts_with("compose.yaml:"), "{place}");
    message.to_owned()
}

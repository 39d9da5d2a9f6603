//! The tree of a project becomes raw parts of the plan.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::canonical::Canonical;
use super::load::Loader;
use super::merge;
use super::mounted::Mounted;
use super::paths::Folder;
use super::service::Services;
use super::variables::Variables;
use crate::plan::emulation::Overlay;
use crate::plan::error::{At, Findings, Place};
use crate::plan::model::{Condition, NamedVolume, Network, Probe};
use crate::plan::node::{Item, Node};
use crate::plan::raw::{self, Defined, RawCompose, RawPlan, RawService};
use crate::plan::reader::Value;
use crate::plan::{BundleFiles, Environment};

/// Where files of the bundle that containers mount are copied to.
const DEFAULT_DIRECTORY: &str = "/var/lib/guestbake/files";
/// When nothing names the project: the bundle has no folder of its own.
pub const DEFAULT_PROJECT: &str = "guestbake";

/// The plan with what its Compose files say, if it names some; under emulation what that is there.
pub fn joined(
    mut plan: RawPlan,
    findings: &Findings<'_>,
    files: &dyn BundleFiles,
    environment: &Environment,
    emulation: Option<&Overlay>,
) -> RawPlan {
    let Some(compose) = plan.compose.take() else {
        return plan;
    };
    let directory = compose.directory.clone();
    let directory = directory.unwrap_or_else(|| DEFAULT_DIRECTORY.to_owned());
    let directory = directory.trim_end_matches('/');
    let Some(first) = compose.files.first() else {
        return plan;
    };
    let loader = Loader::new(findings, files, directory);
    let folder = Folder::of(&first.value, directory);
    let mut variables = Variables::of(environment);
    // Where one runs Compose, whatever folder the agent happens to be in.
    variables.fix("PWD", &folder.in_guest(".").unwrap_or_default());
    match &compose.env_files {
        Some(paths) => loader.sources.read_env_files(paths, &mut variables),
        None => loader
            .sources
            .read_env_files(&loader.sources.usual_env_file(&folder), &mut variables),
    }
    let name = name(&compose, &loader, &folder, &variables);
    variables.fix("COMPOSE_PROJECT_NAME", &name);
    let chain = [first.value.clone()];
    let Some(mut tree) = loader.project(&compose.files, &folder, &variables, &chain) else {
        return plan;
    };
    if let Some(overlay) = emulation {
        let canonical = |document: &mut Node| {
            let folder = &folder;
            Canonical { folder, findings }.file(document);
        };
        let merge = |base, over| merge::merged(base, over, &mut Vec::new(), findings);
        tree = overlay.over_services(tree, canonical, merge, findings);
    }
    let project = Project {
        name,
        directory,
        variables: Rc::new(variables),
        findings,
        files,
    };
    let active = project.profiles(&compose);
    project.resources(&tree, &mut plan);
    project.services(&tree, &active, &mut plan);
    plan
}

pub struct Project<'a> {
    pub name: String,
    pub directory: &'a str,
    pub variables: Rc<Variables>,
    pub findings: &'a Findings<'a>,
    pub files: &'a dyn BundleFiles,
}

/// As Compose finds it: what was asked for, the variable, the file, the folder.
fn name(
    compose: &RawCompose,
    loader: &Loader<'_>,
    folder: &Folder,
    variables: &Variables,
) -> String {
    if let Some(name) = &compose.project {
        return name.value.clone();
    }
    if let Some(name) = variables.get("COMPOSE_PROJECT_NAME")
        && !name.is_empty()
    {
        return normalized(name);
    }
    if let Some(node) = loader.name(&compose.files, variables) {
        match &node.item {
            Item::Text(name) if *name == normalized(name) => return name.clone(),
            _ => {
                let message = "expected lower-case letters, digits, `-` and `_`, beginning with a letter or digit";
                loader.fail(node.at, "name", message.to_owned());
            }
        }
    }
    let folder = folder.relative.rsplit('/').next().unwrap_or_default();
    match normalized(folder) {
        name if name.is_empty() => DEFAULT_PROJECT.to_owned(),
        name => name,
    }
}

/// A name as Compose makes it of a folder's.
pub fn normalized(name: &str) -> String {
    let name = name.to_lowercase();
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(*c);
    let name: String = name.chars().filter(allowed).collect();
    name.trim_start_matches(['-', '_']).to_owned()
}

impl Project<'_> {
    fn profiles(&self, compose: &RawCompose) -> BTreeSet<String> {
        match &compose.profiles {
            Some(profiles) => profiles.iter().cloned().collect(),
            None => {
                let listed = self.variables.get("COMPOSE_PROFILES").unwrap_or_default();
                // Of nothing, as Compose has it, that is the profile without a name: of who wants to be on by default.
                let listed = listed.split(',').map(str::trim);
                listed.map(str::to_owned).collect()
            }
        }
    }

    pub fn value<'n>(&'n self, key: &str, node: &'n Node) -> Value<'n> {
        Value {
            place: Place {
                key: key.to_owned(),
                at: node.at,
            },
            item: &node.item,
            findings: self.findings,
        }
    }

    /// Networks and volumes, named and labelled as Compose does, so that it knows them again.
    fn resources(&self, tree: &Node, plan: &mut RawPlan) {
        let networks = tree.get("networks");
        let networks = networks
            .and_then(|node| raw::read_networks(&self.value("networks", node)))
            .unwrap_or_default();
        for mut network in networks {
            self.own(&mut network, "network", |n: &mut Network| {
                (&mut n.labels, n.external)
            });
            plan.networks.push(network);
        }
        let volumes = tree.get("volumes");
        let volumes = volumes
            .and_then(|node| raw::read_volumes(&self.value("volumes", node)))
            .unwrap_or_default();
        for mut volume in volumes {
            self.own(&mut volume, "volume", |v: &mut NamedVolume| {
                (&mut v.labels, v.external)
            });
            plan.volumes.push(volume);
        }
    }

    fn own<T>(
        &self,
        defined: &mut Defined<T>,
        kind: &str,
        parts: impl Fn(&mut T) -> (&mut std::collections::BTreeMap<String, String>, bool),
    ) {
        let key = defined.key.value.clone();
        let (labels, external) = parts(&mut defined.value);
        if external {
            return;
        }
        labels.insert(format!("com.docker.compose.{kind}"), key.clone());
        labels.insert("com.docker.compose.project".to_owned(), self.name.clone());
        let own = format!("{}_{key}", self.name);
        defined.name.get_or_insert(own);
    }

    fn services(&self, tree: &Node, active: &BTreeSet<String>, plan: &mut RawPlan) {
        let Some(node) = tree.get("services") else {
            let message = "no `services`";
            let at = tree.at;
            let key = String::new();
            return self.findings.at(&Place { key, at }, message);
        };
        let mounted = Mounted::new(self, tree);
        let services = Services::read(self, &mounted, node, active, plan);
        self.default_network(&services, plan);
        if plan.services.is_empty() {
            plan.services = self.waits(&services);
        }
        for (key, container) in services.containers {
            let other = plan
                .containers
                .iter()
                .find(|(other, _)| other.value == key.value);
            if let Some((other, _)) = other {
                let named = self.findings.named(key.place.at);
                let message = format!("is a service of {named} too");
                self.findings.at(&other.place.clone(), message);
            } else {
                plan.containers.push((key, container));
            }
        }
        only_used(plan);
        plan.volumes
            .iter()
            .for_each(|volume| mounted.volume(volume));
        plan.files.extend(mounted.files());
        let external = plan.networks.iter().filter(|n| n.value.external);
        let external = external.map(|n| (&n.key, "network"));
        let volumes = plan.volumes.iter().filter(|v| v.value.external);
        for (key, what) in external.chain(volumes.map(|v| (&v.key, "volume"))) {
            let name = &key.value;
            let note = format!("{what} `{name}` is external: the guest has to have it already");
            self.findings.note(key.place.at, note);
        }
    }

    /// `default`, which every service is on that says nothing else.
    fn default_network(&self, services: &Services, plan: &mut RawPlan) {
        let is_defined = |key: &str| plan.networks.iter().any(|n| n.key.value == key);
        if !services.use_default || is_defined("default") {
            return;
        }
        let mut defined = Defined {
            key: At {
                value: "default".to_owned(),
                place: Place::default(),
            },
            name: None,
            value: Network::default(),
        };
        self.own(&mut defined, "network", |n: &mut Network| {
            (&mut n.labels, n.external)
        });
        plan.networks.push(defined);
    }

    /// Each service as `docker compose up --wait` waits for it.
    fn waits(&self, services: &Services) -> Vec<RawService> {
        let completes = |name: &str| {
            services
                .containers
                .iter()
                .flat_map(|(_, container)| &container.depends_on)
                .any(|on| on.value.0 == name && on.value.1 == Condition::CompletedSuccessfully)
        };
        let wait = |key: &At<String>| {
            let probe = match completes(&key.value) {
                true => Probe::Completed,
                false => Probe::Up,
            };
            RawService::implied(key, probe)
        };
        services
            .containers
            .iter()
            .map(|(key, _)| wait(key))
            .collect()
    }
}

/// As Compose does, without the networks and volumes that nothing names.
fn only_used(plan: &mut RawPlan) {
    let of_migrations = plan.migrations.iter().map(|migration| &migration.own);
    let of_smoke = plan
        .smoke
        .iter()
        .filter_map(|smoke| smoke.container.as_ref());
    let containers = plan.containers.iter().map(|(_, container)| container);
    let containers = containers.chain(of_migrations).chain(of_smoke);
    let (mut networks, mut volumes) = (BTreeSet::new(), BTreeSet::new());
    for container in containers {
        let attached = container.networks.iter().flat_map(|n| &n.value);
        networks.extend(attached.map(|(_, attachment)| attachment.network.clone()));
        let mounts = container.volumes.iter();
        volumes.extend(mounts.filter_map(|mount| mount.value.named_volume().map(str::to_owned)));
    }
    plan.networks.retain(|n| networks.contains(&n.key.value));
    plan.volumes.retain(|v| volumes.contains(&v.key.value));
}

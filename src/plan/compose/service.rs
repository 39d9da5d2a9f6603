//! The services of a project become the plan's raw containers.

mod deploy;
mod references;
mod unset;

use std::collections::BTreeSet;

use super::canonical::{entry, table};
use super::keys::{self, Standing};
use super::mounted::Mounted;
use super::project::Project;
use crate::plan::error::{At, Place, suggestion};
use crate::plan::node::{Entry, Item, Node};
use crate::plan::raw::{EnvFile, EnvSyntax, RawContainer, RawPlan};
use crate::plan::reader::{Value, joined, quoted};
use crate::plan::syntax;
use crate::plan::table::Table;

pub struct Services {
    pub containers: Vec<(At<String>, RawContainer)>,
    /// One of them is on the network `default`.
    pub use_default: bool,
}

impl Services {
    /// Those of active profiles.
    pub fn read(
        project: &Project<'_>,
        mounted: &Mounted<'_>,
        services: &Node,
        active: &BTreeSet<String>,
        plan: &RawPlan,
    ) -> Services {
        let mut read = Services {
            containers: Vec::new(),
            use_default: false,
        };
        let value = project.value("services", services);
        if !value.is_table() {
            value.fail(format!(
                "expected a table, found {}",
                services.item.type_str()
            ));
            return read;
        }
        let entries = services.item.entries();
        let is_on = |entry: &&Entry| is_active(&entry.value, active);
        let on: Vec<&Entry> = entries.iter().filter(is_on).collect();
        let names: Names = Names {
            on: on.iter().map(|entry| entry.name.as_str()).collect(),
            all: entries.iter().map(|entry| entry.name.as_str()).collect(),
        };
        for entry in on {
            let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if entry.name.is_empty() || !entry.name.chars().all(is_allowed) {
                let place = Place {
                    key: joined("services", &entry.name),
                    at: entry.at,
                };
                let message = "expected a name of letters, digits, `.`, `_` and `-`";
                project.findings.at(&place, message);
            }
            let service = Service {
                project,
                mounted,
                names: &names,
                plan,
                key: joined("services", &entry.name),
                name: &entry.name,
            };
            let place = Place {
                key: service.key.clone(),
                at: entry.at,
            };
            let container = service.read(&entry.value);
            let networks = container.networks.iter().flat_map(|n| &n.value);
            read.use_default |= networks.into_iter().any(|(_, a)| a.network == "default");
            let value = entry.name.clone();
            read.containers.push((At { value, place }, container));
        }
        if read.containers.is_empty() {
            value.fail("no service of an active profile; name some in `profiles`");
        }
        read
    }
}

fn is_active(service: &Node, active: &BTreeSet<String>) -> bool {
    let Some(Node {
        item: Item::List(profiles),
        ..
    }) = service.get("profiles")
    else {
        return true;
    };
    let is_on = |profile: &Node| match &profile.item {
        Item::Text(profile) => active.contains(profile) || active.contains("*"),
        _ => false,
    };
    profiles.is_empty() || profiles.iter().any(is_on)
}

struct Names<'a> {
    on: BTreeSet<&'a str>,
    all: BTreeSet<&'a str>,
}

struct Service<'a> {
    project: &'a Project<'a>,
    mounted: &'a Mounted<'a>,
    names: &'a Names<'a>,
    plan: &'a RawPlan,
    key: String,
    name: &'a str,
}

impl Service<'_> {
    fn fail(&self, entry: &Entry, message: impl std::fmt::Display) {
        let place = Place {
            key: joined(&self.key, &entry.name),
            at: entry.at,
        };
        self.project.findings.at(&place, message);
    }

    fn read(&self, node: &Node) -> RawContainer {
        let mut node = node.clone();
        if !matches!(node.item, Item::Table(_)) {
            let value = self.project.value(&self.key, &node);
            value.fail(format!("expected a table, found {}", node.item.type_str()));
            return RawContainer {
                has_image: true,
                ..RawContainer::default()
            };
        }
        self.check_keys(&mut node);
        for name in ["scale", "deploy"] {
            if let Some(entry) = node.take(name) {
                match name {
                    "scale" => self.one_only(&entry, &entry.value),
                    _ => self.deploy(&entry, &mut node),
                }
            }
        }
        node.take("profiles");
        let build = node.take("build");
        if node.get("image").is_none()
            && let (Some(build), Item::Table(entries)) = (&build, &mut node.item)
        {
            // As `docker compose build` names what it makes.
            let image = format!("{}-{}", self.project.name, self.name);
            entries.push(entry("image", Node::text(image.to_lowercase(), build.at)));
        }
        unset::remove(&mut node);
        self.without_digest(&mut node);
        if let Some(health) = node.get_mut("healthcheck")
            && let Some(disable) = health.get("disable").cloned()
            && self.project.value(&self.key, &disable).boolean() == Some(true)
        {
            // What a file below says of it counts no more.
            *health = table([("disable", disable)], health.at);
        }
        let env_file = node.take("env_file");
        let depends_on = node.take("depends_on");
        let links = node.take("links");
        let secrets = node.take("secrets");
        let configs = node.take("configs");
        let place = Place {
            key: self.key.clone(),
            at: node.at,
        };
        let findings = self.project.findings;
        let mut container = Table::read(
            node.item.entries(),
            place,
            findings,
            RawContainer::read_shared,
        );
        container.env_file = env_file.map(|e| self.env_files(&e)).unwrap_or_default();
        container.depends_on = depends_on.map(|e| self.depends_on(&e)).unwrap_or_default();
        if let Some(links) = links {
            self.links(&links, &mut container);
        }
        for (name, value) in &mut container.environment {
            if value.is_none() {
                *value = self.project.variables.get(&name.value).map(str::to_owned);
            }
        }
        if container.container_name.is_none() && syntax::docker_name(self.name).is_err() {
            // A single letter is no name for the engine: as Compose has it.
            let value = format!("{}-{}-1", self.project.name, self.name);
            let place = container.place.clone();
            container.container_name = Some(At { value, place });
        }
        self.networks(&mut container);
        self.mounted
            .mounts(&self.key, secrets, configs, &mut container);
        self.named_volumes(&container);
        self.labels(&mut container);
        container
    }

    /// `docker save` keeps no digests: by one, nothing would be found in a guest. Behind a tag it can be done without.
    fn without_digest(&self, node: &mut Node) {
        let Some(image) = node.get_mut("image") else {
            return;
        };
        let at = image.at;
        let Item::Text(text) = &mut image.item else {
            return;
        };
        let Some((name, _)) = text.split_once('@') else {
            return;
        };
        let last = name.rsplit('/').next().unwrap_or_default();
        if last.contains(':') {
            let note = format!(
                "{} is looked for by its tag, as archives keep no digests",
                quoted(name)
            );
            *text = name.to_owned();
            self.project.findings.note(at, note);
        } else {
            let place = Place {
                key: joined(&self.key, "image"),
                at,
            };
            let message =
                "archives keep no digests, and there is no tag beside it; name the image by a tag";
            self.project.findings.at(&place, message);
        }
    }

    fn check_keys(&self, node: &mut Node) {
        let Item::Table(entries) = &mut node.item else {
            return;
        };
        entries.retain(|entry| match keys::standing(keys::SERVICE, &entry.name) {
            Some(Standing::Supported(_)) => true,
            Some(Standing::Ignored(_)) => false,
            Some(Standing::Refused(why)) => {
                if !matches!(entry.value.item, Item::Null) {
                    self.fail(entry, format!("not supported: {why}"));
                }
                false
            }
            None => {
                if !entry.name.starts_with("x-") {
                    let known = keys::names(keys::SERVICE);
                    self.fail(
                        entry,
                        format!("unknown key; {}", suggestion(&entry.name, &known)),
                    );
                }
                false
            }
        });
    }

    fn env_files(&self, entry: &Entry) -> Vec<At<EnvFile>> {
        let value = self
            .project
            .value(&joined(&self.key, "env_file"), &entry.value);
        let variables = &self.project.variables;
        let one = |item: &Value<'_>| {
            item.table(|t| {
                let required = t.value("required", Value::boolean).unwrap_or(true);
                let is_raw = t.value("format", |v| v.word(&[("raw", true)]));
                let path = t.require("path", Value::string)?;
                let syntax = match is_raw {
                    Some(true) => EnvSyntax::Docker,
                    _ => EnvSyntax::Compose(Some(variables.clone())),
                };
                Some(At {
                    value: EnvFile {
                        path: path.value,
                        required,
                        syntax,
                    },
                    place: path.place,
                })
            })?
        };
        let files = value.list().unwrap_or_default();
        files.iter().filter_map(one).collect()
    }

    /// By these `docker compose` knows the container again, in the finished image.
    fn labels(&self, container: &mut RawContainer) {
        let own = [
            ("project", self.project.name.as_str()),
            ("service", self.name),
            ("container-number", "1"),
            ("oneoff", "False"),
        ];
        let own = own.map(|(name, value)| (format!("com.docker.compose.{name}"), value.to_owned()));
        container.labels.extend(own);
    }
}

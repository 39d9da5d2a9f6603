//! The mirror of the file becomes the plan: defaults filled in, every name checked against what it refers to, and keys
//! that exclude each other refused.

mod container;
mod migration;
mod network;
mod order;
mod seccomp;
mod service;
mod smoke;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::error::{At, Findings, Place, suggestion};
use super::model::*;
use super::raw::{Defined, RawContainer, RawContent, RawFile, RawFinish, RawPlan};
use super::{BundleFiles, DEPS_TIMEOUT, Environment};

/// What names and files in a plan are checked against.
pub(super) struct Resolver<'a> {
    findings: &'a Findings<'a>,
    files: &'a dyn BundleFiles,
    environment: &'a Environment,
    /// `[containers]` by their keys.
    containers: BTreeMap<String, Known>,
    /// The engine's names of the plan's networks and volumes, by their keys.
    networks: BTreeMap<String, String>,
    volumes: BTreeMap<String, String>,
}

/// What others must know of a container they refer to.
struct Known {
    /// The engine's name for it.
    name: String,
    /// The plan says it has no health check.
    never_healthy: bool,
    /// The engine starts it again whenever it ends.
    never_ends: bool,
    /// The guest's ports that lead to its own.
    published: Vec<u16>,
}

impl Known {
    fn new(key: &str, raw: &RawContainer) -> Known {
        let restart = raw
            .restart
            .as_ref()
            .map(|restart| restart.value)
            .unwrap_or_default();
        let test = raw
            .healthcheck
            .as_ref()
            .and_then(|healthcheck| healthcheck.test.first());
        Known {
            name: raw
                .container_name
                .as_ref()
                .map_or_else(|| key.to_owned(), |name| name.value.clone()),
            never_healthy: test.is_some_and(|word| word == "NONE"),
            never_ends: matches!(restart, Restart::Always | Restart::UnlessStopped),
            published: (raw.ports.iter())
                .filter_map(|port| port.value.published)
                .collect(),
        }
    }
}

/// The plan; it is one only if there are no findings.
pub(super) fn resolve(
    raw: RawPlan,
    findings: &Findings<'_>,
    files: &dyn BundleFiles,
    environment: &Environment,
) -> Plan {
    let known =
        |(key, raw): &(At<String>, RawContainer)| (key.value.clone(), Known::new(&key.value, raw));
    let resolver = Resolver {
        findings,
        files,
        environment,
        containers: raw.containers.iter().map(known).collect(),
        networks: names(&raw.networks),
        volumes: names(&raw.volumes),
    };
    resolver.plan(raw)
}

fn names<T>(defined: &[Defined<T>]) -> BTreeMap<String, String> {
    let name = |defined: &Defined<T>| (defined.key.value.clone(), engine_name(defined));
    defined.iter().map(name).collect()
}

fn engine_name<T>(defined: &Defined<T>) -> String {
    let name = defined.name.as_ref();
    name.unwrap_or(&defined.key.value).clone()
}

impl Resolver<'_> {
    fn plan(&self, raw: RawPlan) -> Plan {
        let mut taken = BTreeMap::new();
        let mut containers = Vec::new();
        for (key, raw) in &raw.containers {
            if raw.container_name.is_none()
                && let Err(message) = super::syntax::docker_name(&key.value)
            {
                self.findings.at(&key.place, message);
            }
            let place = raw
                .container_name
                .as_ref()
                .map_or(&key.place, |name| &name.place);
            let container = self.container(raw, self.containers[&key.value].name.clone());
            self.engine_name(&mut taken, &container.name, place);
            containers.push((key.place.clone(), container));
        }
        self.published_once(&raw.containers);
        for defined in &raw.networks {
            self.resource_name(&defined.key, &defined.name);
        }
        for defined in &raw.volumes {
            self.resource_name(&defined.key, &defined.name);
        }
        let completed = self.completed_containers(&raw.services);
        let migrations = self.migrations(&raw.migrations, &completed, &mut taken);
        Plan {
            run: Run {
                timeout: raw.run_timeout.unwrap_or(DEFAULT_RUN_TIMEOUT),
            },
            bundle: BundleSource {
                label: raw.bundle_label.unwrap_or_else(|| DEFAULT_LABEL.to_owned()),
                timeout: raw.bundle_timeout.unwrap_or(DEFAULT_BUNDLE_TIMEOUT),
            },
            engine: Engine {
                timeout: raw.engine_timeout.unwrap_or(DEFAULT_ENGINE_TIMEOUT),
            },
            images: Images {
                archives: self.archives(&raw.archives),
                require: raw.require,
                timeout: raw.images_timeout.unwrap_or(DEFAULT_IMAGES_TIMEOUT),
            },
            wait: Wait {
                timeout: self.wait_timeout(raw.wait_timeout),
                heartbeat: raw.heartbeat.unwrap_or(DEFAULT_HEARTBEAT),
                services: self.services(&raw.services, "service", None),
            },
            migrations,
            smoke: raw.smoke.map(|smoke| self.smoke(&smoke, &mut taken)),
            files: self.files(raw.files),
            networks: raw.networks.iter().map(network).collect(),
            volumes: raw.volumes.iter().map(volume).collect(),
            containers: order::sorted(containers, self.findings),
            finish: self.finish(raw.finish),
            notes: Vec::new(),
            hidden: Hidden::default(),
            slowness: 1.0,
        }
    }

    fn resource_name(&self, key: &At<String>, name: &Option<String>) {
        if name.is_none()
            && let Err(message) = super::syntax::docker_name(&key.value)
        {
            self.findings.at(&key.place, message);
        }
    }

    fn files(&self, raw: Vec<RawFile>) -> Vec<PlacedFile> {
        let file = |raw: RawFile| {
            let content = raw.content?;
            let secret = raw.secret.then(|| self.content(&content.value));
            let content = match content.value {
                RawContent::Bundle(name) => {
                    if !self.files.exists(&name) {
                        self.findings
                            .at(&content.place, format!("no file `{name}` in the bundle"));
                    }
                    PlacedContent::Bundle(name.into())
                }
                RawContent::Text(text) => PlacedContent::Text(text),
                RawContent::Folder => PlacedContent::Folder,
            };
            Some(PlacedFile {
                path: raw.path?.into(),
                content,
                mode: raw.mode,
                uid: raw.uid,
                gid: raw.gid,
                secret,
            })
        };
        raw.into_iter().filter_map(file).collect()
    }

    fn content(&self, content: &RawContent) -> String {
        let text = match content {
            RawContent::Bundle(name) => self.files.read(name).unwrap_or_default(),
            RawContent::Text(text) => return text.clone(),
            RawContent::Folder => Vec::new(),
        };
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The variable is the host's word and wins over the file.
    fn wait_timeout(&self, in_file: Option<Duration>) -> Duration {
        let default = in_file.unwrap_or(DEFAULT_WAIT_TIMEOUT);
        // Empty is as good as unset, as with the `${STACK_DEPS_TIMEOUT:-1500}` of a shell.
        let Some(text) = self
            .environment
            .get(DEPS_TIMEOUT)
            .filter(|text| !text.is_empty())
        else {
            return default;
        };
        match text.trim().parse::<u32>() {
            Ok(seconds @ 1..) => Duration::from_secs(seconds.into()),
            _ => {
                let found = super::reader::quoted(text);
                let message = format!("expected a whole number of seconds above 0, found {found}");
                self.findings.in_variable(DEPS_TIMEOUT, message);
                default
            }
        }
    }

    fn archives(&self, raw: &[At<String>]) -> Vec<PathBuf> {
        let mut archives = Vec::new();
        for At { value, place } in raw {
            let path = PathBuf::from(value);
            if archives.contains(&path) {
                self.findings
                    .at(place, format!("`{value}` is listed twice"));
            } else if !self.files.exists(value) {
                self.findings
                    .at(place, format!("no file `{value}` in the bundle"));
            }
            archives.push(path);
        }
        archives
    }

    fn finish(&self, raw: RawFinish) -> Finish {
        let capture = raw.capture;
        if let Some(At {
            value: PowerOff::Always,
            place,
        }) = raw.power_off.as_ref().filter(|_| capture)
        {
            let message =
                "`capture = true` leaves the machine on; expected `on-failure` or `never`";
            self.findings.at(place, message);
        }
        let default = if capture {
            PowerOff::OnFailure
        } else {
            PowerOff::Always
        };
        let chore = |chore: Option<At<bool>>| {
            let Some(At { value: true, place }) = chore else {
                return false;
            };
            if capture {
                let message =
                    "`capture = true` leaves everything as it is; it is for a run that stops";
                self.findings.at(&place, message);
            }
            true
        };
        Finish {
            power_off: raw.power_off.map_or(default, |power_off| power_off.value),
            capture,
            timeout: raw.timeout.unwrap_or(DEFAULT_FINISH_TIMEOUT),
            prune: chore(raw.prune),
            logs: chore(raw.logs),
            zero: chore(raw.zero),
            trim: chore(raw.trim),
            golden: chore(raw.golden),
        }
    }

    /// The engine has one container of a name.
    fn engine_name(&self, taken: &mut BTreeMap<String, Place>, name: &str, place: &Place) {
        if let Some(other) = taken.get(name) {
            let message = format!("the container name `{name}` is taken by `{}`", other.key);
            return self.findings.at(place, message);
        }
        taken.insert(name.to_owned(), place.clone());
    }

    /// The container of this key in `[containers]`.
    fn known(&self, key: &str, place: &Place) -> Option<&Known> {
        let known = self.containers.get(key);
        if known.is_none() {
            self.no_such_container(key, place, None);
        }
        known
    }

    fn no_such_container(&self, key: &str, place: &Place, besides: Option<&str>) {
        let keys: Vec<&str> = self
            .containers
            .keys()
            .map(String::as_str)
            .chain(besides)
            .collect();
        let message = match keys.is_empty() {
            true => "the plan has no `[containers]`".to_owned(),
            false => suggestion(key, &keys),
        };
        self.findings
            .at(place, format!("no container `{}`; {message}", shown(key)));
    }
}

fn network(defined: &Defined<Network>) -> Network {
    Network {
        name: engine_name(defined),
        ..defined.value.clone()
    }
}

fn volume(defined: &Defined<NamedVolume>) -> NamedVolume {
    NamedVolume {
        name: engine_name(defined),
        ..defined.value.clone()
    }
}

/// A name from the plan inside a message.
fn shown(name: &str) -> String {
    let quoted = super::reader::quoted(name);
    quoted[1..quoted.len() - 1].to_owned()
}

//! A container's keys become a [`Container`]: its env files read, its references the engine's names.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Resolver;
use crate::plan::compose;
use crate::plan::document::MOST_BYTES;
use crate::plan::env_file;
use crate::plan::error::{At, Place};
use crate::plan::model::*;
use crate::plan::raw::{EnvFile, EnvSyntax, Mount, RawContainer};

impl Resolver<'_> {
    pub(super) fn container(&self, raw: &RawContainer, name: String) -> Container {
        if !raw.has_image {
            self.findings.at(&raw.place, "missing key `image`");
        }
        self.network_conflicts(raw);
        let (environment, secrets) = self.variables(raw);
        let (volumes, tmpfs) = self.mounts(raw);
        let mut depends_on = self.depends_on(raw);
        let network_mode = self.network_mode(raw, &mut depends_on);
        let ipc = self.joined(
            "ipc",
            &["host", "none", "private", "shareable"],
            &raw.ipc,
            &mut depends_on,
        );
        let pid = self.joined("pid", &["host"], &raw.pid, &mut depends_on);
        let volumes_from = self.volumes_from(raw, &mut depends_on);
        Container {
            name,
            image: raw.image.clone().unwrap_or_default(),
            command: raw.command.as_ref().map(|command| command.value.clone()),
            entrypoint: raw.entrypoint.clone(),
            environment,
            secrets,
            volumes,
            tmpfs,
            ports: raw.ports.iter().map(|port| port.value.clone()).collect(),
            network_mode,
            networks: self.attachments(raw),
            extra_hosts: raw
                .extra_hosts
                .as_ref()
                .map(|hosts| hosts.value.clone())
                .unwrap_or_default(),
            depends_on,
            healthcheck: raw.healthcheck.clone(),
            user: raw.user.clone(),
            working_dir: raw.working_dir.clone(),
            hostname: raw.hostname.as_ref().map(|hostname| hostname.value.clone()),
            restart: raw
                .restart
                .as_ref()
                .map(|restart| restart.value)
                .unwrap_or_default(),
            stop_grace_period: raw.stop_grace_period.unwrap_or(DEFAULT_STOP_GRACE_PERIOD),
            stop_signal: raw.stop_signal.clone(),
            labels: raw.labels.iter().cloned().collect(),
            ipc,
            pid,
            volumes_from,
            settings: Settings {
                security_opt: self.security_opt(raw),
                ..raw.settings.clone()
            },
        }
    }

    /// A container beside `[containers]`: the smoke test's, or a migration's own.
    pub(super) fn extra_container(
        &self,
        raw: &RawContainer,
        default_name: &str,
        taken: &mut BTreeMap<String, Place>,
    ) -> Container {
        if let Some(entry) = raw.depends_on.first() {
            let message =
                "only `[containers]` depend on each other: they are all up before this one starts";
            self.findings.at(&entry.place, message);
        }
        let (name, place) = match &raw.container_name {
            Some(name) => (name.value.clone(), &name.place),
            None => (default_name.to_owned(), &raw.place),
        };
        self.engine_name(taken, &name, place);
        // All of `[containers]` have been started by then, also the one whose network it joins.
        Container {
            depends_on: Vec::new(),
            ..self.container(raw, name)
        }
    }

    /// The env files in their order, then `environment` over them; and the throwaway secrets, which win over the files.
    fn variables(&self, raw: &RawContainer) -> (BTreeMap<String, String>, BTreeMap<String, usize>) {
        let mut variables = self.environment(raw);
        let written: BTreeSet<&str> = raw
            .environment
            .iter()
            .map(|(name, _)| name.value.as_str())
            .collect();
        let mut secrets = BTreeMap::new();
        for (name, bytes) in &raw.secrets {
            if written.contains(name.value.as_str()) {
                self.findings.at(
                    &name.place,
                    "is in `environment` too; a secret gets its value here only",
                );
            }
            variables.remove(&name.value);
            secrets.insert(name.value.clone(), *bytes);
        }
        (variables, secrets)
    }

    pub(super) fn environment(&self, raw: &RawContainer) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        for file in &raw.env_file {
            let read = self.env_file(file, raw, &variables);
            variables.extend(read);
        }
        for (name, value) in &raw.environment {
            let value = value
                .as_deref()
                .or_else(|| self.environment.get(&name.value));
            // A name that nobody has a value for is left out, whatever the env files say.
            match value {
                Some(value) => variables.insert(name.value.clone(), value.to_owned()),
                None => variables.remove(&name.value),
            };
        }
        variables
    }

    /// `before` is what the files before it say.
    fn env_file(
        &self,
        file: &At<EnvFile>,
        raw: &RawContainer,
        before: &BTreeMap<String, String>,
    ) -> Vec<(String, String)> {
        let EnvFile {
            path,
            required,
            syntax,
        } = &file.value;
        if !self.files.exists(path) {
            if *required {
                self.findings
                    .at(&file.place, format!("no file `{path}` in the bundle"));
            }
            return Vec::new();
        }
        let bytes = match self.files.read(path) {
            Ok(bytes) if bytes.len() > MOST_BYTES => {
                let message = format!(
                    "{} bytes are too many for an env file; at most {MOST_BYTES}",
                    bytes.len()
                );
                self.findings.in_file(path, None, message);
                return Vec::new();
            }
            Ok(bytes) => bytes,
            Err(error) => {
                self.findings
                    .at(&file.place, format!("cannot read `{path}`: {error}"));
                return Vec::new();
            }
        };
        let variables = match syntax {
            EnvSyntax::Docker => env_file::parse(&bytes, self.environment),
            EnvSyntax::Compose(variables) => {
                let of_agent = || Rc::new(compose::Variables::of(self.environment));
                let variables = variables.clone().unwrap_or_else(of_agent);
                let own = raw.environment.iter();
                let own = own.filter_map(|(name, value)| Some((&*name.value, value.as_deref()?)));
                let mut variables = variables.for_env_files(own);
                for (name, value) in before {
                    variables.set(name, value);
                }
                compose::parse_env_file(&bytes, &variables).map(|read| {
                    read.report(path, self.findings);
                    read.variables
                })
            }
        };
        variables.unwrap_or_else(|errors| {
            for error in errors {
                self.findings.in_file(path, Some(error.line), error.message);
            }
            Vec::new()
        })
    }

    fn mounts(&self, raw: &RawContainer) -> (Vec<Volume>, Vec<String>) {
        let (mut volumes, mut tmpfs) = (Vec::new(), Vec::new());
        let mut targets = BTreeSet::new();
        for mount in raw.volumes.iter().chain(&raw.tmpfs) {
            let target = mount.value.target().trim_end_matches('/');
            if target.is_empty() {
                self.findings
                    .at(&mount.place, "nothing can be mounted over `/`");
            } else if !targets.insert(target) {
                let target = super::shown(target);
                self.findings.at(
                    &mount.place,
                    format!("`{target}` has another mount in this container"),
                );
            }
            match &mount.value {
                Mount::Volume(volume) => volumes.push(self.named_volume(volume, &mount.place)),
                Mount::Tmpfs(path) => tmpfs.push(path.clone()),
            }
        }
        (volumes, tmpfs)
    }

    /// The engine's name for a volume that the plan has under another.
    fn named_volume(&self, volume: &Volume, place: &Place) -> Volume {
        let VolumeSource::Named(key) = &volume.source else {
            return volume.clone();
        };
        Volume {
            source: VolumeSource::Named(self.resource(&self.volumes, key, place)),
            ..volume.clone()
        }
    }

    fn depends_on(&self, raw: &RawContainer) -> Vec<(String, Condition)> {
        let mut depends_on: Vec<(String, Condition)> = Vec::new();
        for entry in &raw.depends_on {
            let (key, condition) = &entry.value;
            let Some(other) = self.known(key, &entry.place) else {
                continue;
            };
            if depends_on.iter().any(|(name, _)| *name == other.name) {
                self.findings.at(
                    &entry.place,
                    format!("`{}` is listed twice", super::shown(key)),
                );
                continue;
            }
            match condition {
                Condition::Healthy if other.never_healthy => {
                    self.findings.at(
                        &entry.place,
                        format!("`{key}` has its health check disabled"),
                    );
                }
                Condition::CompletedSuccessfully if other.never_ends => {
                    let message = format!("`{key}` never completes: its `restart` starts it again");
                    self.findings.at(&entry.place, message);
                }
                _ => {}
            }
            depends_on.push((other.name.clone(), *condition));
        }
        depends_on
    }
}

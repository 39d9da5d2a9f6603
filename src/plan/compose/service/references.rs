//! What a service refers to by name: other services, networks, volumes.

use super::Service;
use crate::plan::error::{At, suggestion};
use crate::plan::model::{Attachment, Condition};
use crate::plan::node::Entry;
use crate::plan::raw::{self, RawContainer};
use crate::plan::reader::{Value, joined, quoted};

impl Service<'_> {
    pub fn depends_on(&self, entry: &Entry) -> Vec<At<(String, Condition)>> {
        let value = self
            .project
            .value(&joined(&self.key, "depends_on"), &entry.value);
        let mut depends_on = Vec::new();
        for (name, value) in value.entries().unwrap_or_default() {
            let read = value.table(|t| {
                // Nothing restarts one service for the sake of another here.
                t.value("restart", Value::boolean);
                let condition = t.require("condition", |v| v.word(&raw::CONDITIONS))?;
                let required = t.value("required", Value::boolean);
                Some((condition.value, required.unwrap_or(true)))
            });
            let Some((condition, required)) = read.flatten() else {
                continue;
            };
            if self.is_there(&name, required) {
                depends_on.push(At {
                    value: (name.value, condition),
                    place: name.place,
                });
            }
        }
        depends_on
    }

    /// Whether a service that this one depends on runs; if it should, that it does not is an error.
    fn is_there(&self, name: &At<String>, required: bool) -> bool {
        let is_on = self.names.on.contains(name.value.as_str());
        if !is_on && required {
            let all: Vec<&str> = self.names.all.iter().copied().collect();
            let what = quoted(&name.value);
            let message = match self.names.all.contains(name.value.as_str()) {
                true => format!("service {what} belongs to a profile that is not active"),
                false => format!("no service {what}; {}", suggestion(&name.value, &all)),
            };
            self.project.findings.at(&name.place, message);
        }
        is_on
    }

    /// Names of services: they answer to them anyway, and must have been started.
    pub fn links(&self, entry: &Entry, container: &mut RawContainer) {
        let value = self
            .project
            .value(&joined(&self.key, "links"), &entry.value);
        for item in value.list().unwrap_or_default() {
            let Some(text) = item.string() else { continue };
            let (name, alias) = text.split_once(':').unwrap_or((&text, &text));
            if alias != name {
                item.fail("a link with an alias is not supported; give the service `aliases` on a network");
                continue;
            }
            let name = At {
                value: name.to_owned(),
                place: item.place.clone(),
            };
            let known = |on: &At<(String, Condition)>| on.value.0 == name.value;
            if self.is_there(&name, true) && !container.depends_on.iter().any(known) {
                container.depends_on.push(At {
                    value: (name.value, Condition::Started),
                    place: name.place,
                });
            }
        }
    }

    /// `default` where nothing else is said; everywhere the service answers to its own name.
    pub fn networks(&self, container: &mut RawContainer) {
        if container.network_mode.is_some() && container.networks.is_none() {
            return;
        }
        let place = container.place.clone();
        let networks = container.networks.get_or_insert(At {
            value: vec![],
            place: place.clone(),
        });
        if networks.value.is_empty() && container.network_mode.is_none() {
            let network = "default".to_owned();
            let attachment = Attachment {
                network,
                ..Attachment::default()
            };
            networks.value.push((place, attachment));
        }
        for (place, attachment) in &mut networks.value {
            let defined = &self.plan.networks;
            let is_defined = defined.iter().any(|n| n.key.value == attachment.network);
            if !is_defined && attachment.network != "default" {
                let known: Vec<&str> = defined.iter().map(|n| n.key.value.as_str()).collect();
                let what = quoted(&attachment.network);
                let message = format!(
                    "no network {what} in `networks`{}",
                    or_nearest(&attachment.network, &known)
                );
                self.project.findings.at(place, message);
            }
            if !attachment.aliases.iter().any(|alias| alias == self.name) {
                attachment.aliases.insert(0, self.name.to_owned());
            }
        }
    }

    pub fn named_volumes(&self, container: &RawContainer) {
        let defined = &self.plan.volumes;
        for mount in &container.volumes {
            let Some(key) = mount.value.named_volume() else {
                continue;
            };
            if !defined.iter().any(|volume| volume.key.value == key) {
                let known: Vec<&str> = defined.iter().map(|v| v.key.value.as_str()).collect();
                let message = format!(
                    "no volume {} in `volumes`{}",
                    quoted(key),
                    or_nearest(key, &known)
                );
                self.project.findings.at(&mount.place, message);
            }
        }
    }
}

fn or_nearest(word: &str, known: &[&str]) -> String {
    match known.is_empty() {
        true => String::new(),
        false => format!("; {}", suggestion(word, known)),
    }
}

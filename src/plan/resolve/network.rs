//! What of a container's network keys goes together, with the engine's rules.

use std::collections::BTreeMap;

use super::Resolver;
use crate::plan::error::{At, Place};
use crate::plan::model::{Attachment, Condition, Port};
use crate::plan::raw::RawContainer;

impl Resolver<'_> {
    pub(super) fn network_conflicts(&self, raw: &RawContainer) {
        let Some(mode) = &raw.network_mode else {
            return;
        };
        let mode = mode.value.as_str();
        let joins_another = mode.starts_with("container:") || mode.starts_with("service:");
        let refuse = |place: Option<&Place>, why: &str| {
            if let Some(place) = place {
                self.findings.at(
                    place,
                    format!(
                        "excluded by `network_mode = \"{}\"`: {why}",
                        super::shown(mode)
                    ),
                );
            }
        };
        refuse(
            raw.networks.as_ref().map(|networks| &networks.place),
            "it says the whole network",
        );
        if mode == "host" || mode == "none" || joins_another {
            let why = match mode {
                "host" => "the container's ports are the guest's",
                "none" => "there is no network to publish from",
                _ => "ports are published by the container whose network it is",
            };
            refuse(raw.ports.first().map(|port| &port.place), why);
        }
        if joins_another {
            let why = "the container whose network it is has these";
            refuse(raw.hostname.as_ref().map(|hostname| &hostname.place), why);
            refuse(raw.extra_hosts.as_ref().map(|hosts| &hosts.place), why);
        }
    }

    /// The networks by the engine's names, that with the highest priority first.
    pub(super) fn attachments(&self, raw: &RawContainer) -> Vec<Attachment> {
        let networks = raw.networks.as_ref();
        let networks = networks.map_or(&[][..], |networks| &networks.value);
        let attachment = |(place, attachment): &(Place, Attachment)| Attachment {
            network: self.resource(&self.networks, &attachment.network, place),
            ..attachment.clone()
        };
        let mut attachments: Vec<Attachment> = networks.iter().map(attachment).collect();
        attachments.sort_by_key(|attachment| std::cmp::Reverse(attachment.priority));
        attachments
    }

    /// The engine's name for what the plan may have under another; what it has not, the engine has under this one.
    pub(super) fn resource(
        &self,
        defined: &BTreeMap<String, String>,
        key: &str,
        place: &Place,
    ) -> String {
        if let Some(name) = defined.get(key) {
            return name.clone();
        }
        if let Err(message) = crate::plan::syntax::docker_name(key) {
            self.findings.at(place, message);
        }
        key.to_owned()
    }

    /// `ipc` and `pid`: a word, or another container's, which must have been started.
    pub(super) fn joined(
        &self,
        key: &str,
        words: &[&str],
        mode: &Option<At<String>>,
        depends_on: &mut Vec<(String, Condition)>,
    ) -> Option<String> {
        let At { value: mode, place } = mode.as_ref()?;
        if let Some(service) = mode.strip_prefix("service:") {
            let name = &self.known(service, place)?.name;
            return Some(after(name, depends_on));
        }
        if words.contains(&mode.as_str()) || mode.starts_with("container:") {
            return Some(mode.clone());
        }
        let words = words.join("\", \"");
        let found = crate::plan::reader::quoted(mode);
        let message = format!(
            "expected \"{words}\", \"service:KEY\" or \"container:NAME\" for `{key}`, found {found}"
        );
        self.findings.at(place, message);
        None
    }

    pub(super) fn volumes_from(
        &self,
        raw: &RawContainer,
        depends_on: &mut Vec<(String, Condition)>,
    ) -> Vec<String> {
        let from = |At { value, place }: &At<String>| {
            // A container from outside of the plan.
            if let Some(other) = value.strip_prefix("container:") {
                return Some(other.to_owned());
            }
            let (key, mode) = value.split_once(':').unwrap_or((value, ""));
            let name = &self.known(key, place)?.name;
            after(name, depends_on);
            let separator = if mode.is_empty() { "" } else { ":" };
            Some(format!("{name}{separator}{mode}"))
        };
        raw.volumes_from.iter().filter_map(from).collect()
    }

    /// The mode as the engine takes it; a container whose network is joined must have been started.
    pub(super) fn network_mode(
        &self,
        raw: &RawContainer,
        depends_on: &mut Vec<(String, Condition)>,
    ) -> Option<String> {
        let At { value: mode, place } = raw.network_mode.as_ref()?;
        if let Some(key) = mode.strip_prefix("service:") {
            return Some(after(&self.known(key, place)?.name, depends_on));
        }
        if let Some(name) = mode
            .strip_prefix("container:")
            .filter(|name| !name.is_empty())
        {
            return match self
                .containers
                .values()
                .find(|container| container.name == name)
            {
                Some(container) => Some(after(&container.name, depends_on)),
                // One that is there already, from outside of the plan.
                None => Some(mode.clone()),
            };
        }
        if ["bridge", "host", "none"].contains(&mode.as_str()) {
            return Some(mode.clone());
        }
        let found = crate::plan::reader::quoted(mode);
        let message = format!(
            "expected \"bridge\", \"host\", \"none\", \"service:KEY\" or \"container:NAME\", found {found}; \
             a network with a name goes into `networks`"
        );
        self.findings.at(place, message);
        None
    }

    /// Two containers cannot publish the same port; the engine would say so only after the first was started.
    pub(super) fn published_once(&self, containers: &[(At<String>, RawContainer)]) {
        let mut published: BTreeMap<(Option<&str>, u16, &str), &str> = BTreeMap::new();
        for (key, raw) in containers {
            for At { value: port, place } in &raw.ports {
                let Port {
                    host_ip,
                    published: Some(number),
                    protocol,
                    ..
                } = port
                else {
                    continue;
                };
                let address = (host_ip.as_deref(), *number, protocol.as_str());
                if let Some(other) = published.insert(address, &key.value) {
                    let message = format!(
                        "port {number}/{protocol} is published by `{}` already",
                        super::shown(other)
                    );
                    self.findings.at(place, message);
                }
            }
        }
    }
}

/// Has it started after the other container, whose name it gives as the engine takes it.
fn after(name: &str, depends_on: &mut Vec<(String, Condition)>) -> String {
    if depends_on.iter().all(|(other, _)| other != name) {
        depends_on.push((name.to_owned(), Condition::Started));
    }
    format!("container:{name}")
}

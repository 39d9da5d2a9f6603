//! `deploy` and `scale`: what of them concerns a single engine.

use super::Service;
use crate::plan::compose::canonical::entry;
use crate::plan::compose::keys;
use crate::plan::error::{Place, suggestion};
use crate::plan::node::{Entry, Item, Node};
use crate::plan::reader::{Value, joined};

impl Service<'_> {
    pub fn one_only(&self, entry: &Entry, count: &Node) {
        let value = self.project.value(&self.key, count);
        match value.integer::<i64>("a number", 0..=i64::MAX) {
            Some(1) | None => {}
            Some(0) => self.fail(entry, "0 containers; use `profiles` to leave a service out"),
            Some(number) => self.fail(
                entry,
                format!("{number} containers; one of each is provisioned: probes and migrations mean one"),
            ),
        }
    }

    /// What of `deploy` concerns a single engine, as the service's own keys.
    pub fn deploy(&self, deploy: &Entry, node: &mut Node) {
        for entry in deploy.value.item.entries() {
            let key = joined(&self.key, "deploy");
            let fail = |message: String| {
                let place = Place {
                    key: joined(&key, &entry.name),
                    at: entry.at,
                };
                self.project.findings.at(&place, message);
            };
            match entry.name.as_str() {
                "replicas" => self.one_only(deploy, &entry.value),
                "mode" => match &entry.value.item {
                    Item::Text(mode) if mode == "replicated" => {}
                    _ => fail(
                        "only `replicated` is supported: a single engine runs one container".into(),
                    ),
                },
                "resources" => self.resources(&entry.value, &key, node),
                "restart_policy" => self.restart_policy(&entry.value, &key, node),
                name if keys::standing(keys::DEPLOY, name).is_some() || name.starts_with("x-") => {}
                name => {
                    let known = keys::names(keys::DEPLOY);
                    fail(format!("unknown key; {}", suggestion(name, &known)));
                }
            }
        }
    }

    fn resources(&self, resources: &Node, key: &str, node: &mut Node) {
        let names = [
            ("limits", "cpus", Some("cpus")),
            ("limits", "memory", Some("mem_limit")),
            ("limits", "pids", Some("pids_limit")),
            ("reservations", "memory", Some("mem_reservation")),
            // Where a Swarm has room for it.
            ("reservations", "cpus", None),
        ];
        for part in resources.item.entries() {
            for entry in part.value.item.entries() {
                let known = names
                    .iter()
                    .find(|(kind, name, _)| *kind == part.name && *name == entry.name);
                match (known, &mut node.item) {
                    (Some((_, _, Some(own))), Item::Table(entries)) => {
                        entries.retain(|entry| entry.name != *own);
                        entries.push(Entry {
                            name: (*own).to_owned(),
                            ..entry.clone()
                        });
                    }
                    (Some(_), _) => {}
                    (None, _) => {
                        let place = Place {
                            key: format!("{key}.resources.{}.{}", part.name, entry.name),
                            at: entry.at,
                        };
                        let message = "not supported; of `limits`, `cpus`, `memory` and `pids` are, of `reservations` `memory`";
                        self.project.findings.at(&place, message);
                    }
                }
            }
        }
    }

    fn restart_policy(&self, policy: &Node, key: &str, node: &mut Node) {
        let key = format!("{key}.restart_policy");
        let value = self.project.value(&key, policy);
        let restart = value.table(|t| {
            let condition = t.value("condition", |v| {
                v.word(&[
                    ("none", "no"),
                    ("on-failure", "on-failure"),
                    ("any", "always"),
                ])
            });
            let most = t.value("max_attempts", |v| {
                v.integer::<u32>("a number", 0..=1_000_000)
            });
            // The engine has its own.
            for key in ["delay", "window"] {
                t.value(key, Value::scalar);
            }
            match (condition.unwrap_or("always"), most) {
                ("on-failure", Some(most)) => format!("on-failure:{most}"),
                (word, _) => word.to_owned(),
            }
        });
        if node.get("restart").is_none()
            && let (Some(restart), Item::Table(entries)) = (restart, &mut node.item)
        {
            entries.push(entry("restart", Node::text(restart, policy.at)));
        }
    }
}

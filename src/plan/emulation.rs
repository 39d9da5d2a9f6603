//! `[emulation]`: the document becomes the one that holds in an emulated guest, its limits stretched and the overlay
//! merged in by Compose's rules. Values keep their places, so an error in the overlay is one in its own line.

use std::time::Duration;

use super::error::{Findings, Place, suggestion};
use super::model::{
    DEFAULT_EMULATION_FACTOR, DEFAULT_MIGRATION_TIMEOUT, DEFAULT_SMOKE_TIMEOUT,
    DEFAULT_STOP_GRACE_PERIOD,
};
use super::node::{Entry, Item, Node};
use super::reader::{Value, joined};
use super::syntax;
use super::table::{Table, entries_of};

const KEY: &str = "emulation";

/// The sections that an overlay may have besides those of containers and migrations, and their keys there.
const SECTIONS: [(&str, &[&str]); 6] = [
    ("run", &["timeout"]),
    ("engine", &["timeout"]),
    ("images", &["timeout"]),
    ("wait", &["timeout", "heartbeat"]),
    ("smoke", &["when", "timeout", "container"]),
    ("finish", &["timeout"]),
];

/// What the table says, and that it says nothing about names that are not there.
pub(super) struct Overlay {
    pub factor: f64,
    /// The plan has the table: what it writes elsewhere is for native speed.
    pub is_stated: bool,
    /// The keys that the overlay sets, as they are written under `[emulation]`.
    pub keys: Vec<String>,
    /// What it says of services of the Compose files, which are read later.
    services: Vec<Entry>,
}

pub(super) fn read<'a>(document: &'a Node, findings: &'a Findings<'a>) -> Overlay {
    let mut overlay = Overlay {
        factor: DEFAULT_EMULATION_FACTOR,
        is_stated: document.get(KEY).is_some(),
        keys: Vec::new(),
        services: of_services(document),
    };
    // The other sections are read where the whole plan is.
    let own = entries_of(document.item.entries(), &Place::default(), findings).into_iter();
    let own = own
        .filter(|(key, _)| key.value == KEY)
        .map(|(_, value)| value);
    own.for_each(|value| {
        value.table(|t| read_table(t, document, &mut overlay));
    });
    overlay
}

fn of_services(document: &Node) -> Vec<Entry> {
    let overlays = document.get(KEY).and_then(|own| own.get("containers"));
    let own = names(document.get("containers"));
    let is_foreign = |entry: &&Entry| has_compose(document) && !own.contains(&&*entry.name);
    let overlays = overlays.map(|node| node.item.entries()).unwrap_or_default();
    overlays.iter().filter(is_foreign).cloned().collect()
}

fn has_compose(document: &Node) -> bool {
    document.get("compose").is_some()
}

fn read_table(t: &Table<'_>, document: &Node, overlay: &mut Overlay) {
    if let Some(factor) = t.value("factor", factor) {
        overlay.factor = factor;
    }
    for (section, keys) in SECTIONS {
        let is_set = |t: &Table<'_>, key: &&'static str| t.get(key).is_some();
        let set = |t: &Table<'_>| keys.iter().filter(|key| is_set(t, key)).collect::<Vec<_>>();
        for key in t.value(section, |v| v.table(set)).unwrap_or_default() {
            overlay.keys.push(format!("{section}.{key}"));
        }
    }
    for (section, what) in [("containers", "container"), ("migrations", "migration")] {
        let known = names(document.get(section));
        let overlays = t.value(section, Value::entries).unwrap_or_default();
        for (name, keys) in overlays {
            let may_be_service = section == "containers" && has_compose(document);
            let is_known = may_be_service || known.contains(&name.value.as_str());
            if !is_known {
                let hint = match known.is_empty() {
                    true => format!("the plan has no `{section}`"),
                    false => suggestion(&name.value, &known),
                };
                let message = format!("no {what} of this name; {hint}");
                keys.findings.at(&name.place, message);
            }
            for (key, _) in keys.entries().unwrap_or_default() {
                if is_known && section == "migrations" && key.value == "name" {
                    keys.findings.at(&key.place, "a migration keeps its name");
                }
                let path = format!("{section}.{}.{}", name.value, key.value);
                overlay.keys.push(path);
            }
        }
    }
}

fn factor(value: &Value<'_>) -> Option<f64> {
    const BOUNDS: std::ops::RangeInclusive<f64> = 1.0..=100.0;
    let number = match value.item {
        Item::Integer(number) | Item::Float(number) => number.parse().ok(),
        _ => None,
    };
    number
        .filter(|number| BOUNDS.contains(number))
        .or_else(|| value.unexpected("a factor from 1 to 100"))
}

/// The names that an overlay may speak of: keys of a table, or `name` in an array of tables.
fn names(value: Option<&Node>) -> Vec<&str> {
    match value.map(|node| &node.item) {
        Some(Item::Table(entries)) => entries.iter().map(|entry| entry.name.as_str()).collect(),
        Some(Item::List(items)) => items.iter().filter_map(name_of).collect(),
        _ => Vec::new(),
    }
}

fn name_of(migration: &Node) -> Option<&str> {
    text(migration.get("name")?)
}

fn text(node: &Node) -> Option<&str> {
    match &node.item {
        Item::Text(text) => Some(text),
        _ => None,
    }
}

/// The document as it holds under emulation.
pub(super) fn emulated(document: &Node, stated: &Overlay) -> Node {
    let mut document = document.clone();
    let overlay = document.take(KEY);
    stated.stretch().all(&mut document);
    let Some(Item::Table(sections)) = overlay.map(|entry| entry.value.item) else {
        return document;
    };
    for section in sections {
        // Names that are not there have been reported.
        match section.name.as_str() {
            "migrations" => {
                for over in entries(section.value) {
                    let all = items(&mut document, "migrations").iter_mut();
                    let mut own = all.filter(|item| name_of(item) == Some(&over.name));
                    if let Some(base) = own.next() {
                        merge(base, over.value, "");
                    }
                }
            }
            "containers" => {
                for over in entries(section.value) {
                    let all = document.get_mut("containers");
                    if let Some(base) = all.and_then(|all| all.get_mut(&over.name)) {
                        merge(base, over.value, "");
                    }
                }
            }
            name if SECTIONS.iter().any(|(known, _)| *known == name) => {
                put(&mut document, section);
            }
            _ => {}
        }
    }
    document
}

impl Overlay {
    fn stretch(&self) -> Stretch {
        Stretch {
            factor: self.factor,
            written: self.is_stated,
        }
    }

    /// The services of Compose files, all short forms made long, as they hold under emulation: what the overlay says of
    /// them is another Compose file over theirs.
    pub fn over_services(
        &self,
        mut tree: Node,
        canonical: impl FnOnce(&mut Node),
        merge: impl FnOnce(Node, Node) -> Node,
        findings: &Findings<'_>,
    ) -> Node {
        if let Some(Item::Table(services)) = tree.get_mut("services").map(|node| &mut node.item) {
            for service in services {
                self.stretch().container(&mut service.value);
            }
        }
        let known = names(tree.get("services"));
        let (over, unknown): (Vec<_>, Vec<_>) = (self.services.iter().cloned())
            .partition(|service| known.contains(&service.name.as_str()));
        for service in unknown {
            let key = joined("emulation.containers", &service.name);
            let place = Place {
                key,
                at: service.at,
            };
            let message = format!(
                "no container or service of this name; {}",
                suggestion(&service.name, &known)
            );
            findings.at(&place, message);
        }
        if over.is_empty() {
            return tree;
        }
        let at = tree.at;
        let table = |name: &str, item: Item| Entry {
            name: name.to_owned(),
            at,
            value: Node { item, at },
        };
        let mut over = Node {
            item: Item::Table(vec![table("services", Item::Table(over))]),
            at,
        };
        canonical(&mut over);
        merge(tree, over)
    }
}

fn entries(node: Node) -> Vec<Entry> {
    match node.item {
        Item::Table(entries) => entries,
        _ => Vec::new(),
    }
}

fn items<'n>(node: &'n mut Node, key: &str) -> &'n mut [Node] {
    match node.get_mut(key).map(|node| &mut node.item) {
        Some(Item::List(items)) => items,
        _ => &mut [],
    }
}

/// Limits times a factor: those that are written, if they are for native speed, and defaults that are.
struct Stretch {
    factor: f64,
    written: bool,
}

impl Stretch {
    fn all(&self, document: &mut Node) {
        for section in ["engine", "images", "wait", "finish"] {
            if let Some(section) = document.get_mut(section) {
                self.limit(section, "timeout", None);
                self.probes(section, "services");
            }
        }
        if let Some(Item::Table(containers)) =
            document.get_mut("containers").map(|node| &mut node.item)
        {
            containers
                .iter_mut()
                .for_each(|entry| self.container(&mut entry.value));
        }
        for migration in items(document, "migrations") {
            self.limit(migration, "timeout", Some(DEFAULT_MIGRATION_TIMEOUT));
            if migration.get("image").is_some() {
                self.container(migration);
            }
        }
        if let Some(smoke) = document.get_mut("smoke") {
            self.limit(smoke, "timeout", Some(DEFAULT_SMOKE_TIMEOUT));
            self.probes(smoke, "checks");
            if let Some(container) = smoke.get_mut("container") {
                self.container(container);
            }
        }
    }

    fn probes(&self, section: &mut Node, key: &str) {
        let services = items(section, key).iter_mut();
        services.for_each(|service| {
            self.limit(service, "timeout", None);
            // A temporary server is there for longer, too. A number of answers is none.
            self.limit(service, "stable", None);
        });
    }

    fn container(&self, container: &mut Node) {
        self.limit(
            container,
            "stop_grace_period",
            Some(DEFAULT_STOP_GRACE_PERIOD),
        );
        if let Some(check) = container.get_mut("healthcheck") {
            for key in ["interval", "timeout", "start_period", "start_interval"] {
                self.limit(check, key, None);
            }
        }
    }

    fn limit(&self, table: &mut Node, key: &str, default: Option<Duration>) {
        let at = table.at;
        match (table.get_mut(key), default) {
            (Some(value), _) if self.written => {
                // What is no duration is reported where it is read.
                if let Some(Ok(limit)) = text(value).map(syntax::duration) {
                    value.item = self.times(limit);
                }
            }
            (None, Some(default)) => {
                if let Item::Table(entries) = &mut table.item {
                    let item = self.times(default);
                    entries.push(Entry {
                        name: key.to_owned(),
                        at,
                        value: Node { item, at },
                    });
                }
            }
            _ => {}
        }
    }

    fn times(&self, limit: Duration) -> Item {
        let milliseconds = limit.mul_f64(self.factor).as_millis();
        let milliseconds = milliseconds.min(syntax::LONGEST.as_millis()) as u64;
        let limit = humantime::format_duration(Duration::from_millis(milliseconds));
        Item::Text(limit.to_string().replace(' ', ""))
    }
}

/// Compose's merge: tables by key, lists one after the other, commands and all single values replaced.
/// <https://github.com/compose-spec/compose-spec/blob/main/13-merge.md>
fn merge(base: &mut Node, over: Node, key: &str) {
    let is_command = ["command", "entrypoint", "test"].contains(&key);
    let at = over.at;
    if let (Item::Table(_), Item::Table(_)) = (&base.item, &over.item) {
        entries(over).into_iter().for_each(|entry| put(base, entry));
        return;
    }
    match (as_list(base, key), as_list(&over, key)) {
        (Some(mut list), Some(over)) if !is_command => {
            append(&mut list, over, key);
            *base = Node {
                item: Item::List(list),
                at,
            };
        }
        _ => *base = over,
    }
}

fn put(base: &mut Node, entry: Entry) {
    match base.get_mut(&entry.name) {
        Some(base) => merge(base, entry.value, &entry.name),
        None => {
            if let Item::Table(entries) = &mut base.item {
                entries.push(entry);
            }
        }
    }
}

/// Volumes are told apart by their path in the container, as Compose does; the rest by all of it.
fn append(base: &mut Vec<Node>, over: Vec<Node>, key: &str) {
    let identity = |node: &Node| match (key, &node.item) {
        ("volumes", Item::Text(text)) => syntax::volume(text).ok().map(|volume| volume.target),
        ("volumes", Item::Table(_)) => node.get("target").and_then(text).map(str::to_owned),
        (_, Item::Text(text)) => Some(text.clone()),
        _ => None,
    };
    for item in over {
        let same = identity(&item);
        let mut old = base
            .iter_mut()
            .filter(|old| same.is_some() && identity(old) == same);
        match old.next() {
            Some(old) => *old = item,
            None => base.push(item),
        }
    }
}

/// Where Compose takes a list and something else for the same: the list.
fn as_list(node: &Node, key: &str) -> Option<Vec<Node>> {
    match (key, &node.item) {
        (_, Item::List(list)) => Some(list.clone()),
        ("environment" | "labels", Item::Table(entries)) => {
            let assignment = |entry: &Entry| match &entry.value.item {
                Item::Text(value) | Item::Integer(value) | Item::Float(value) => {
                    Node::text(format!("{}={value}", entry.name), entry.value.at)
                }
                Item::Boolean(value) => {
                    Node::text(format!("{}={value}", entry.name), entry.value.at)
                }
                // Not for an environment, and the reader says so.
                _ => entry.value.clone(),
            };
            Some(entries.iter().map(assignment).collect())
        }
        ("env_file", _) => Some(vec![node.clone()]),
        _ => None,
    }
}

//! One file over another, and a service over the one it extends, by the rules of the Compose specification
//! ("Merge and override"): tables merge, lists append, some replace, and what names the same thing replaces it.

use super::canonical::is_text;
use crate::plan::error::{Findings, Place};
use crate::plan::node::{Entry, Item, Node};

/// Whole values, however they are written.
const REPLACED: [&str; 3] = ["command", "entrypoint", "test"];

/// What is left of `base` under `over`; `path` are the keys that lead there.
pub fn merged(base: Node, over: Node, path: &mut Vec<String>, findings: &Findings<'_>) -> Node {
    let at = over.at;
    match (base.item, over.item) {
        (_, Item::Override(inner)) => *inner,
        // A key without a value changes nothing; what takes the place of another does so without one too.
        (item, Item::Null) if !replaces_by_nothing(path) => Node { item, at: base.at },
        (Item::Null, item) => Node { item, at },
        (base, item) if replaces(&base, &item, path) => Node { item, at },
        (Item::Table(base), Item::Table(over)) => Node {
            item: Item::Table(tables(base, over, path, findings)),
            at,
        },
        (Item::List(mut base), Item::List(over)) => {
            base.extend(over);
            Node {
                item: Item::List(unique(base, path)),
                at,
            }
        }
        (base, over) => {
            let is_other = matches!(base, Item::Table(_) | Item::List(_));
            if is_other {
                let place = Place {
                    key: path.join("."),
                    at,
                };
                findings.at(
                    &place,
                    format!(
                        "a {} cannot override a {}",
                        over.type_str(),
                        base.type_str()
                    ),
                );
            }
            Node { item: over, at }
        }
    }
}

/// A command that is the image's again, a variable that is the project's.
fn replaces_by_nothing(path: &[String]) -> bool {
    const OF_PAIRS: [&str; 4] = ["annotations", "environment", "labels", "sysctls"];
    match path {
        [services, _, key] => {
            services == "services" && ["command", "entrypoint"].contains(&key.as_str())
        }
        [services, _, key, _] => services == "services" && OF_PAIRS.contains(&key.as_str()),
        _ => false,
    }
}

fn replaces(base: &Item, over: &Item, path: &[String]) -> bool {
    let last = path.last().map_or("", String::as_str);
    let parent = path.len().checked_sub(2).map_or("", |index| &path[index]);
    match last {
        _ if path.len() == 3 && REPLACED.contains(&last) => true,
        "test" if parent == "healthcheck" => true,
        // Options belong to a driver.
        "logging" => {
            let driver = |item: &Item| {
                let driver = item.entries().iter().find(|entry| entry.name == "driver");
                driver.map(|entry| entry.value.clone())
            };
            match (driver(base), driver(over)) {
                (Some(base), Some(over)) => match &over.item {
                    Item::Text(text) => !is_text(&base, text),
                    _ => true,
                },
                _ => false,
            }
        }
        _ => parent == "ulimits" && !matches!((base, over), (Item::Table(_), Item::Table(_))),
    }
}

fn tables(
    mut base: Vec<Entry>,
    over: Vec<Entry>,
    path: &mut Vec<String>,
    findings: &Findings<'_>,
) -> Vec<Entry> {
    for entry in over {
        let index = base.iter().position(|known| known.name == entry.name);
        if matches!(entry.value.item, Item::Reset) {
            if let Some(index) = index {
                base.remove(index);
            }
            continue;
        }
        let Some(index) = index else {
            base.push(entry);
            continue;
        };
        path.push(entry.name.clone());
        let known = &mut base[index];
        let value = std::mem::replace(
            &mut known.value,
            Node {
                item: Item::Null,
                at: entry.at,
            },
        );
        known.value = merged(value, entry.value, path, findings);
        known.at = entry.at;
        path.pop();
    }
    base
}

/// Of entries that name the same thing the last one counts, where the first one stood.
pub fn unique(items: Vec<Node>, path: &[String]) -> Vec<Node> {
    let list = match path {
        [services, _, list] if services == "services" => list.as_str(),
        [.., list] => list.as_str(),
        [] => "",
    };
    let mut seen = std::collections::BTreeMap::new();
    let mut kept: Vec<Node> = Vec::new();
    for item in items {
        let Some(key) = identity(list, &item) else {
            kept.push(item);
            continue;
        };
        match seen.get(&key) {
            Some(index) => kept[*index] = item,
            None => {
                seen.insert(key, kept.len());
                kept.push(item);
            }
        }
    }
    kept
}

/// By what an entry of a list is known; None: it is only itself.
fn identity(list: &str, item: &Node) -> Option<String> {
    let of = |name: &str| match item.get(name).map(|node| &node.item) {
        Some(Item::Text(text) | Item::Integer(text)) => Some(text.clone()),
        _ => None,
    };
    match (&item.item, list) {
        (Item::Table(_), "ports") => {
            let part = |name| of(name).unwrap_or_default();
            let protocol = of("protocol").unwrap_or_else(|| "tcp".to_owned());
            let protocol = protocol.to_ascii_lowercase();
            Some(format!(
                "{}:{}:{}/{protocol}",
                part("host_ip"),
                part("published"),
                part("target")
            ))
        }
        (Item::Table(_), "volumes" | "devices") => {
            of("target").map(|target| target.trim_end_matches('/').to_owned())
        }
        (Item::Table(_), "secrets" | "configs") => of("target").or_else(|| of("source")),
        (Item::Table(_), "env_file") => of("path"),
        (Item::Text(text), "devices") => {
            let mut parts = text.split(':');
            let source = parts.next().unwrap_or_default();
            Some(parts.next().unwrap_or(source).to_owned())
        }
        (Item::Text(text) | Item::Integer(text), _) => Some(text.clone()),
        _ => None,
    }
}

/// Tags that override nothing: what is reset is not there, and what overrides is as it stands.
pub fn settle(node: &mut Node) {
    if let Item::Override(inner) = &mut node.item {
        let inner = std::mem::replace(&mut inner.item, Item::Null);
        node.item = inner;
        return settle(node);
    }
    match &mut node.item {
        Item::Reset => node.item = Item::Null,
        Item::List(items) => items.iter_mut().for_each(settle),
        Item::Table(entries) => {
            entries.retain(|entry| !matches!(entry.value.item, Item::Reset));
            entries
                .iter_mut()
                .for_each(|entry| settle(&mut entry.value));
        }
        _ => {}
    }
}

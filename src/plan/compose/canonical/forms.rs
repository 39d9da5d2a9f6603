//! Each short form, and the long one that it stands for.

use super::{entry, table};
use crate::plan::model::Port;
use crate::plan::node::{Entry, Item, Node, Spot};
use crate::plan::reader::quoted;
use crate::plan::syntax;

pub fn wrapped_text(node: &mut Node, name: &str) {
    if matches!(node.item, Item::Text(_)) {
        let at = node.at;
        let inner = std::mem::replace(&mut node.item, Item::Null);
        *node = table([(name, Node { item: inner, at })], at);
    }
}

/// A single text as a list of one.
pub fn listed(node: &mut Node) {
    if !matches!(node.item, Item::List(_) | Item::Null | Item::Reset) {
        let at = node.at;
        let inner = std::mem::replace(&mut node.item, Item::Null);
        node.item = Item::List(vec![Node { item: inner, at }]);
    }
}

/// `[NAME=value, NAME]` as a table; a name alone has no value. What is no text stays for the reader to complain about.
pub fn mapping(node: &mut Node) {
    let Item::List(items) = &mut node.item else {
        return;
    };
    if !items.iter().all(|item| matches!(item.item, Item::Text(_))) {
        return;
    }
    let mut entries: Vec<Entry> = Vec::new();
    let mut indices = std::collections::BTreeMap::new();
    for item in std::mem::take(items) {
        let Item::Text(text) = &item.item else {
            continue;
        };
        let at = item.at;
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Node::text(value, at)),
            None => (
                text.as_str(),
                Node {
                    item: Item::Null,
                    at,
                },
            ),
        };
        let new = entry(name, value);
        // The last one counts.
        match indices.get(name) {
            Some(index) => entries[*index] = new,
            None => {
                indices.insert(name.to_owned(), entries.len());
                entries.push(new);
            }
        }
    }
    node.item = Item::Table(entries);
}

/// A list of names as a table of them.
pub fn names(node: &mut Node, value: impl Fn(Spot) -> Node) {
    let Item::List(items) = &node.item else {
        return;
    };
    let mut entries: Vec<Entry> = Vec::new();
    for item in items {
        let Item::Text(name) = &item.item else {
            return;
        };
        if entries.iter().all(|entry| entry.name != *name) {
            entries.push(entry(name, value(item.at)));
        }
    }
    node.item = Item::Table(entries);
}

/// A table of hosts as a list of `HOST=IP`.
pub fn hosts(node: &mut Node) {
    let Item::Table(entries) = &node.item else {
        return;
    };
    let mut lines = Vec::new();
    for entry in entries {
        let addresses: &[Node] = match &entry.value.item {
            Item::List(items) => items,
            _ => std::slice::from_ref(&entry.value),
        };
        for address in addresses {
            let Item::Text(text) = &address.item else {
                return;
            };
            lines.push(Node::text(format!("{}={text}", entry.name), address.at));
        }
    }
    node.item = Item::List(lines);
}

pub fn long_port(port: Port, at: Spot) -> Node {
    let number = |number: u16| Node {
        item: Item::Integer(number.to_string()),
        at,
    };
    let mut long = table(
        [
            ("target", number(port.target)),
            ("protocol", Node::text(port.protocol, at)),
        ],
        at,
    );
    if let Item::Table(entries) = &mut long.item {
        entries.extend(
            port.published
                .map(|published| entry("published", number(published))),
        );
        entries.extend(port.host_ip.map(|ip| entry("host_ip", Node::text(ip, at))));
    }
    long
}

/// One path has one name, by which an override finds it.
pub fn without_trailing_slashes(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" => path.to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

/// `[SOURCE:]TARGET[:OPTIONS]`.
pub fn short_volume(text: &str, at: Spot) -> Result<Item, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => (Some(""), "", ""),
    };
    if source == Some("") || !target.starts_with('/') {
        return Err(format!(
            "expected a volume such as \"name:/path\", \"./folder:/path:ro\" or \"/path\", found {}",
            quoted(text)
        ));
    }
    let is_path = |source: &str| source.starts_with(['/', '.', '~']);
    let kind = match source {
        Some(source) if is_path(source) => "bind",
        _ => "volume",
    };
    let yes = || Node {
        item: Item::Boolean(true),
        at,
    };
    let mut entries = vec![
        entry("type", Node::text(kind, at)),
        entry("target", Node::text(target, at)),
    ];
    entries.extend(source.map(|source| entry("source", Node::text(source, at))));
    let mut bind = Vec::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => entries.push(entry("read_only", yes())),
            // The latter three are for Docker Desktop's file sharing.
            "rw" | "cached" | "consistent" | "delegated" => {}
            "nocopy" => entries.push(entry("volume", table([("nocopy", yes())], at))),
            "z" | "Z" => bind.push(entry("selinux", Node::text(option, at))),
            _ if syntax::PROPAGATIONS.contains(&option) => {
                bind.push(entry("propagation", Node::text(option, at)));
            }
            _ => {
                return Err(format!(
                    "expected `ro`, `rw`, `z`, `Z`, `nocopy` or one of `{}` after the second colon, found {}",
                    syntax::PROPAGATIONS.join("`, `"),
                    quoted(option)
                ));
            }
        }
    }
    // On a named volume there is nothing to relabel.
    if !bind.is_empty() && kind == "bind" {
        let item = Item::Table(bind);
        entries.push(entry("bind", Node { item, at }));
    }
    Ok(Item::Table(entries))
}

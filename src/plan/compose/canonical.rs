//! Short forms become long ones, and relative paths become those of the bundle or the guest: what is merged must look
//! alike, whichever file it comes from.

mod forms;

use forms::{
    hosts, listed, long_port, mapping, names, short_volume, without_trailing_slashes, wrapped_text,
};

use super::merge;
use super::paths::Folder;
use crate::plan::error::{Findings, Place};
use crate::plan::node::{Entry, Item, Node, Spot};
use crate::plan::reader::joined;
use crate::plan::syntax;

pub struct Canonical<'a> {
    pub folder: &'a Folder,
    pub findings: &'a Findings<'a>,
}

/// What is a list of `NAME=value` or a table.
const MAPPINGS: [&str; 6] = [
    "environment",
    "labels",
    "annotations",
    "sysctls",
    "driver_opts",
    "storage_opt",
];

impl Canonical<'_> {
    /// A whole file.
    pub fn file(&self, document: &mut Node) {
        if let Some(services) = document.get_mut("services") {
            for entry in entries_mut(services) {
                let key = joined("services", &entry.name);
                self.service(unwrapped(&mut entry.value), &key);
            }
        }
        for kind in ["networks", "volumes"] {
            for entry in document.get_mut(kind).into_iter().flat_map(entries_mut) {
                for entry in entries_mut(&mut entry.value) {
                    if MAPPINGS.contains(&entry.name.as_str()) {
                        mapping(unwrapped(&mut entry.value));
                    }
                }
            }
        }
        for entry in document
            .get_mut("volumes")
            .into_iter()
            .flat_map(entries_mut)
        {
            let key = joined("volumes", &entry.name);
            self.device(&mut entry.value, &format!("{key}.driver_opts.device"));
        }
        for kind in ["secrets", "configs"] {
            for entry in document.get_mut(kind).into_iter().flat_map(entries_mut) {
                let key = format!("{}.file", joined(kind, &entry.name));
                if let Some(file) = entry.value.get_mut("file") {
                    self.bundle_path(file, &key);
                }
            }
        }
    }

    fn service(&self, service: &mut Node, key: &str) {
        for entry in entries_mut(service) {
            let value = unwrapped(&mut entry.value);
            let key = joined(key, &entry.name);
            match entry.name.as_str() {
                name if MAPPINGS.contains(&name) => mapping(value),
                "build" => wrapped_text(value, "context"),
                "extends" => {
                    wrapped_text(value, "service");
                }
                "depends_on" => names(value, |at| {
                    table([("condition", Node::text("service_started", at))], at)
                }),
                "networks" => names(value, |at| Node {
                    item: Item::Null,
                    at,
                }),
                "dns" | "dns_search" | "tmpfs" => listed(value),
                "env_file" => {
                    listed(value);
                    for (index, item) in items_mut(value).iter_mut().enumerate() {
                        wrapped_text(item, "path");
                        if let Some(path) = item.get_mut("path") {
                            self.bundle_path(path, &format!("{key}[{index}].path"));
                        }
                    }
                }
                "secrets" | "configs" => items_mut(value)
                    .iter_mut()
                    .for_each(|item| wrapped_text(item, "source")),
                "extra_hosts" => hosts(value),
                "security_opt" => {
                    for (index, option) in items_mut(value).iter_mut().enumerate() {
                        self.security_opt(option, &format!("{key}[{index}]"));
                    }
                }
                "ports" => self.ports(value, &key),
                "volumes" => self.volumes(value, &key),
                _ => {}
            }
        }
    }

    fn fail(&self, at: Spot, key: &str, message: String) {
        let key = key.to_owned();
        self.findings.at(&Place { key, at }, message);
    }

    /// The path of a file in the bundle.
    fn bundle_path(&self, node: &mut Node, key: &str) {
        let Item::Text(text) = &node.item else { return };
        match self.folder.in_bundle(text) {
            Ok(path) => node.item = Item::Text(path),
            Err(message) => self.fail(node.at, key, message),
        }
    }

    /// A volume that is a folder, as the driver takes it: relative to nothing.
    fn device(&self, volume: &mut Node, key: &str) {
        let is_local = volume.get("driver").is_none_or(|d| is_text(d, "local"));
        let Some(options) = volume.get_mut("driver_opts").filter(|_| is_local) else {
            return;
        };
        let is_bind = options.get("o").is_some_and(|o| match &o.item {
            Item::Text(o) => o.split(',').any(|option| option == "bind"),
            _ => false,
        });
        if let Some(device) = options.get_mut("device").filter(|_| is_bind) {
            self.guest_path(device, key);
        }
    }

    /// The path of the guest that is mounted.
    fn guest_path(&self, node: &mut Node, key: &str) {
        let Item::Text(text) = &mut node.item else {
            return;
        };
        match self.folder.in_guest(text) {
            Ok(path) => *text = path,
            Err(message) => {
                // Said once.
                *text = "/".to_owned();
                self.fail(node.at, key, message);
            }
        }
    }

    /// `seccomp:FILE`, which is a file of the bundle.
    fn security_opt(&self, option: &mut Node, key: &str) {
        let Item::Text(text) = &mut option.item else {
            return;
        };
        let Some(file) = syntax::seccomp_file(text) else {
            return;
        };
        *text = match self.folder.in_bundle(file) {
            Ok(file) => format!("seccomp={file}"),
            Err(message) => {
                self.fail(option.at, key, message);
                // Said once.
                "seccomp=unconfined".to_owned()
            }
        };
    }

    fn ports(&self, value: &mut Node, key: &str) {
        let Item::List(items) = &mut value.item else {
            return;
        };
        let mut long = Vec::new();
        for (index, item) in std::mem::take(items).into_iter().enumerate() {
            let at = item.at;
            let text = match &item.item {
                Item::Text(text) | Item::Integer(text) => text.clone(),
                _ => {
                    long.push(item);
                    continue;
                }
            };
            match syntax::ports(&text) {
                // A mistake: the engine's request would have as many entries.
                Ok(ports) if long.len() + ports.len() > 10_000 => {
                    self.fail(at, key, "more than 10000 ports".to_owned());
                    return;
                }
                Ok(ports) => long.extend(ports.into_iter().map(|port| long_port(port, at))),
                Err(message) => self.fail(at, &format!("{key}[{index}]"), message),
            }
        }
        // An entry that is there twice is there once.
        *items = merge::unique(long, &["ports".to_owned()]);
    }

    fn volumes(&self, value: &mut Node, key: &str) {
        for (index, item) in items_mut(value).iter_mut().enumerate() {
            let key = format!("{key}[{index}]");
            if let Item::Text(text) = &item.item {
                match short_volume(text, item.at) {
                    Ok(long) => item.item = long,
                    Err(message) => {
                        self.fail(item.at, &key, message);
                        continue;
                    }
                }
            }
            if let Some(Node {
                item: Item::Text(target),
                ..
            }) = item.get_mut("target")
            {
                *target = without_trailing_slashes(target);
            }
            let is_bind = item.get("type").is_some_and(|kind| is_text(kind, "bind"));
            if let Some(source) = item.get_mut("source").filter(|_| is_bind) {
                self.guest_path(source, &key);
            }
        }
    }
}

pub fn is_text(node: &Node, text: &str) -> bool {
    matches!(&node.item, Item::Text(found) if found == text)
}

pub fn entries_mut(node: &mut Node) -> &mut [Entry] {
    match &mut node.item {
        Item::Table(entries) => entries,
        Item::Override(inner) => entries_mut(inner),
        _ => &mut [],
    }
}

pub fn items_mut(node: &mut Node) -> &mut [Node] {
    match &mut node.item {
        Item::List(items) => items,
        _ => &mut [],
    }
}

fn unwrapped(node: &mut Node) -> &mut Node {
    // As deep as the tags are, and a value has one.
    if matches!(node.item, Item::Override(_)) {
        let Item::Override(inner) = &mut node.item else {
            unreachable!("just seen")
        };
        return unwrapped(inner);
    }
    node
}

pub fn entry(name: &str, value: Node) -> Entry {
    Entry {
        name: name.to_owned(),
        at: value.at,
        value,
    }
}

pub fn table<const N: usize>(entries: [(&str, Node); N], at: Spot) -> Node {
    let entries = entries.map(|(name, value)| entry(name, value));
    Node {
        item: Item::Table(entries.into()),
        at,
    }
}

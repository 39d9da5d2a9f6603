//! Keys that are written and say nothing, as with `user: ${USER_ID:-}`.

use crate::plan::node::{Entry, Item, Node};

const WHEN_EMPTY: [&str; 17] = [
    "cgroup_parent",
    "container_name",
    "cpuset",
    "domainname",
    "hostname",
    "ipc",
    "mac_address",
    "network_mode",
    "pid",
    "platform",
    "restart",
    "runtime",
    "stop_signal",
    "user",
    "userns_mode",
    "uts",
    "working_dir",
];
const WHEN_ZERO: [&str; 5] = [
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "pids_limit",
    "shm_size",
];

/// Takes them out of a service.
pub fn remove(service: &mut Node) {
    if let Item::Table(entries) = &mut service.item {
        let is_unset = |entry: &Entry| {
            let name = entry.name.as_str();
            let is_empty = matches!(&entry.value.item, Item::Text(text) if text.is_empty());
            (is_empty && WHEN_EMPTY.contains(&name))
                || (is_zero(&entry.value) && WHEN_ZERO.contains(&name))
        };
        entries.retain(|entry| !is_unset(entry));
    }
    if let Some(health) = service.get_mut("healthcheck")
        && health.get("retries").is_some_and(is_zero)
    {
        health.take("retries");
    }
}

/// With a unit or without.
fn is_zero(node: &Node) -> bool {
    match &node.item {
        Item::Text(text) | Item::Integer(text) | Item::Float(text) => {
            let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            number.trim().parse() == Ok(0.0)
        }
        _ => false,
    }
}

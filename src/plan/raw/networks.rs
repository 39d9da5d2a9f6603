//! `[networks]`, `[volumes]` and a container's `networks`, with Compose's keys.

use super::environment;
use crate::plan::error::{At, Place};
use crate::plan::model::{Attachment, Ipam, NamedVolume, Network, Subnet};
use crate::plan::reader::Value;
use crate::plan::syntax;
use crate::plan::table::Table;

/// A definition, with the name that was given to it if it was given one.
pub struct Defined<T> {
    pub key: At<String>,
    pub name: Option<String>,
    pub value: T,
}

pub fn networks(value: &Value<'_>) -> Option<Vec<Defined<Network>>> {
    definitions(value, network)
}

fn network(t: &Table<'_>) -> Network {
    let why = "engines before Docker 28 know no network without IPv4";
    t.refuse("enable_ipv4", |v| v.boolean() != Some(false), why);
    Network {
        name: String::new(),
        driver: t.value("driver", Value::string),
        driver_opts: by_name(t, "driver_opts"),
        internal: t.value("internal", Value::boolean).unwrap_or_default(),
        attachable: t.value("attachable", Value::boolean).unwrap_or_default(),
        enable_ipv6: t.value("enable_ipv6", Value::boolean),
        ipam: t.value("ipam", |v| v.table(ipam)),
        labels: by_name(t, "labels"),
        external: false,
    }
}

pub fn volumes(value: &Value<'_>) -> Option<Vec<Defined<NamedVolume>>> {
    definitions(value, |t| NamedVolume {
        name: String::new(),
        driver: t.value("driver", Value::string),
        driver_opts: by_name(t, "driver_opts"),
        labels: by_name(t, "labels"),
        external: false,
    })
}

/// What networks and volumes have in common.
trait Definition {
    fn external(&mut self) -> &mut bool;
}

impl Definition for Network {
    fn external(&mut self) -> &mut bool {
        &mut self.external
    }
}

impl Definition for NamedVolume {
    fn external(&mut self) -> &mut bool {
        &mut self.external
    }
}

fn definitions<T: Definition>(
    value: &Value<'_>,
    read: impl Fn(&Table<'_>) -> T,
) -> Option<Vec<Defined<T>>> {
    let one = |(key, value): (At<String>, Value<'_>)| {
        value.table(|t| {
            let mut value = read(t);
            let name = t.value("name", |v| v.parsed(syntax::docker_name));
            // An old file names it inside of `external`.
            let (external, named) = t.value("external", external).unwrap_or_default();
            *value.external() = external;
            let name = name.or(named);
            Defined { key, name, value }
        })
    };
    Some(value.entries()?.into_iter().filter_map(one).collect())
}

fn external(value: &Value<'_>) -> Option<(bool, Option<String>)> {
    if value.is_table() {
        let name = value.table(|t| t.value("name", |v| v.parsed(syntax::docker_name)))?;
        return Some((true, name));
    }
    Some((value.boolean()?, None))
}

fn by_name(t: &Table<'_>, key: &'static str) -> std::collections::BTreeMap<String, String> {
    let values = t.value(key, environment::labels);
    values.unwrap_or_default().into_iter().collect()
}

fn ipam(t: &Table<'_>) -> Ipam {
    let subnet = |t: &Table<'_>| Subnet {
        subnet: t.value("subnet", Value::string),
        gateway: t.value("gateway", Value::string),
        ip_range: t.value("ip_range", Value::string),
        aux_addresses: by_name(t, "aux_addresses"),
    };
    let config = t.value("config", Value::list).unwrap_or_default();
    Ipam {
        driver: t.value("driver", Value::string),
        config: config.iter().filter_map(|v| v.table(subnet)).collect(),
        options: by_name(t, "options"),
    }
}

/// A list of names, or a table of them with what there is to say of each. The place is that of the name.
pub fn attachments(value: &Value<'_>) -> Option<Vec<(Place, Attachment)>> {
    if value.is_array() {
        let name = |v: Value<'_>| {
            let network = v.parsed(syntax::resource_key)?;
            let attachment = Attachment {
                network,
                ..Attachment::default()
            };
            Some((v.place, attachment))
        };
        return Some(value.list()?.into_iter().filter_map(name).collect());
    }
    let mut attachments = Vec::new();
    for (name, value) in value.entries()? {
        let attachment = value.table(attachment).unwrap_or_default();
        match syntax::resource_key(&name.value) {
            Ok(network) => attachments.push((
                name.place,
                Attachment {
                    network,
                    ..attachment
                },
            )),
            Err(message) => value.fail(message),
        }
    }
    Some(attachments)
}

fn attachment(t: &Table<'_>) -> Attachment {
    let address = |key| t.value(key, |v| v.parsed(syntax::host_ip));
    let texts = |key| t.value(key, Value::strings).unwrap_or_default();
    let why = "engines before Docker 28 choose the network with the gateway themselves";
    t.refuse("gw_priority", |v| v.as_integer() == Some(0), why);
    let why = "engines before Docker 28 name a container's interfaces themselves";
    t.refuse("interface_name", |v| v.as_str() == Some(""), why);
    Attachment {
        network: String::new(),
        aliases: texts("aliases"),
        ipv4_address: address("ipv4_address"),
        ipv6_address: address("ipv6_address"),
        link_local_ips: texts("link_local_ips"),
        mac_address: t.value("mac_address", Value::string),
        driver_opts: by_name(t, "driver_opts"),
        priority: t
            .value("priority", |v| {
                v.integer("a whole number", -1_000_000..=1_000_000)
            })
            .unwrap_or_default(),
    }
}

//! `volumes`, `tmpfs` and `ports`, in Compose's short and long forms.

use std::path::PathBuf;

use crate::plan::error::At;
use crate::plan::model::{Port, Volume, VolumeSource};
use crate::plan::reader::Value;
use crate::plan::syntax;
use crate::plan::table::Table;

/// What an entry of `volumes` may turn out to be.
pub enum Mount {
    Volume(Volume),
    Tmpfs(String),
}

impl Mount {
    pub fn named_volume(&self) -> Option<&str> {
        match self {
            Mount::Volume(Volume {
                source: VolumeSource::Named(name),
                ..
            }) => Some(name),
            _ => None,
        }
    }

    /// The path in the container.
    pub fn target(&self) -> &str {
        match self {
            Mount::Volume(volume) => &volume.target,
            Mount::Tmpfs(tmpfs) => tmpfs.split(':').next().unwrap_or_default(),
        }
    }
}

pub fn volumes(value: &Value<'_>) -> Option<Vec<At<Mount>>> {
    let mount = |item: &Value<'_>| {
        let mount = if item.is_table() {
            item.table(long_volume)??
        } else {
            Mount::Volume(item.parsed(syntax::volume)?)
        };
        Some(item.at(mount))
    };
    Some(value.list()?.iter().filter_map(mount).collect())
}

fn long_volume(table: &Table<'_>) -> Option<Mount> {
    const KINDS: [(&str, &str); 3] = [("volume", "volume"), ("bind", "bind"), ("tmpfs", "tmpfs")];
    let kind = table
        .require("type", |v| v.word(&KINDS))
        .map(|kind| kind.value);
    let target = table.require("target", |v| v.parsed(syntax::absolute_path));
    let read_only = table.value("read_only", Value::boolean).unwrap_or_default();
    let bind = table.value("bind", |v| v.table(bind)).unwrap_or_default();
    let volume = table
        .value("volume", |v| v.table(volume_options))
        .unwrap_or_default();
    // For other kernels than Linux.
    table.value("consistency", Value::string);
    let options = table
        .value("tmpfs", |v| v.table(tmpfs_options))
        .unwrap_or_default();
    let source = table.get("source");
    for key in ["bind", "tmpfs", "volume"] {
        if let Some(value) = table
            .get(key)
            .filter(|_| kind.is_some_and(|kind| kind != key))
        {
            value.fail(format!("belongs to `type = \"{key}\"`"));
        }
    }
    let source = match (kind?, source) {
        ("bind", Some(source)) => VolumeSource::Bind(source.parsed(syntax::bind_source)?),
        ("bind", None) => {
            table.fail("missing key `source`: the absolute path of the guest to mount");
            VolumeSource::Bind(PathBuf::new())
        }
        ("tmpfs", source) => {
            if let Some(source) = source {
                source.fail("a tmpfs has no source");
            }
            let mut options = options;
            options.extend(read_only.then(|| "ro".to_owned()));
            let target = target?.value;
            let separator = if options.is_empty() { "" } else { ":" };
            return Some(Mount::Tmpfs(format!(
                "{target}{separator}{}",
                options.join(",")
            )));
        }
        (_, Some(source)) => VolumeSource::Named(source.parsed(syntax::resource_key)?),
        (_, None) => VolumeSource::Anonymous,
    };
    Some(Mount::Volume(Volume {
        source,
        target: target?.value,
        read_only,
        propagation: bind.propagation,
        selinux: bind.selinux,
        nocopy: volume.0,
        subpath: volume.1,
    }))
}

#[derive(Default)]
struct Bind {
    propagation: Option<String>,
    selinux: Option<String>,
}

fn bind(table: &Table<'_>) -> Bind {
    let propagations = syntax::PROPAGATIONS.map(|word| (word, word));
    // A folder that is missing is made in any case.
    table.value("create_host_path", Value::boolean);
    let why = "what is mounted below the folder is in the container too, as by `enabled`";
    table.refuse("recursive", |v| v.as_str() == Some("enabled"), why);
    Bind {
        propagation: table
            .value("propagation", |v| v.word(&propagations))
            .map(str::to_owned),
        selinux: table
            .value("selinux", |v| v.word(&[("z", "z"), ("Z", "Z")]))
            .map(str::to_owned),
    }
}

fn volume_options(table: &Table<'_>) -> (bool, Option<String>) {
    let why = "write them under the volume's name in `volumes`";
    table.refuse("labels", |_| false, why);
    (
        table.value("nocopy", Value::boolean).unwrap_or_default(),
        table.value("subpath", Value::string),
    )
}

fn tmpfs_options(table: &Table<'_>) -> Vec<String> {
    let size = table
        .value("size", bytes)
        .map(|bytes| format!("size={bytes}"));
    let mode = table.value("mode", super::files::mode);
    size.into_iter()
        .chain(mode.map(|mode| format!("mode={mode:o}")))
        .collect()
}

/// A number of bytes, or a string with a unit.
pub fn bytes(value: &Value<'_>) -> Option<u64> {
    number(value, syntax::size)
}

/// A number, or what has one in it as a string.
fn number<T>(value: &Value<'_>, parse: fn(&str) -> Result<T, String>) -> Option<T> {
    match value.as_integer() {
        Some(number) => value.parsed_as(&number.to_string(), parse),
        None => value.parsed(parse),
    }
}

pub fn tmpfs(value: &Value<'_>) -> Option<Vec<At<Mount>>> {
    let one = |item: &Value<'_>| Some(item.at(Mount::Tmpfs(item.parsed(syntax::tmpfs)?)));
    Some(value.one_or_many()?.iter().filter_map(one).collect())
}

pub fn ports(value: &Value<'_>) -> Option<Vec<At<Port>>> {
    /// Ranges make many of a few characters; each becomes an entry in the engine's request.
    const MOST: usize = 10_000;
    let mut all = Vec::new();
    for item in value.list()? {
        let ports = if item.is_table() {
            item.table(long_port).flatten().map(|port| vec![port])
        } else {
            number(&item, syntax::ports)
        };
        all.extend(
            ports
                .unwrap_or_default()
                .into_iter()
                .map(|port| item.at(port)),
        );
        if all.len() > MOST {
            item.fail(format!("more than {MOST} ports"));
            break;
        }
    }
    Some(all)
}

fn long_port(table: &Table<'_>) -> Option<Port> {
    let published = table.value("published", |v| number(v, syntax::published));
    let host_ip = table.value("host_ip", |v| match v.as_str() {
        Some("") => None,
        _ => v.parsed(syntax::host_ip),
    });
    let protocol = table.value("protocol", |v| v.parsed(syntax::protocol));
    // What a Swarm's load balancer reads, and what the protocol inside is; neither changes what is published.
    for key in ["mode", "app_protocol", "name"] {
        table.value(key, Value::string);
    }
    Some(Port {
        target: table.require("target", |v| number(v, syntax::port))?.value,
        host_ip,
        published: published.flatten(),
        protocol: protocol.unwrap_or_else(|| "tcp".to_owned()),
    })
}

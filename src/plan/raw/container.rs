//! The keys of a container, with Compose's names and forms.

use std::time::Duration;

use super::environment::{self, EnvFile};
use super::health;
use super::limits;
use super::mounts::{self, Mount};
use super::service::{command, user};
use crate::plan::error::{At, Place};
use crate::plan::model::{Condition, Healthcheck, Port, Restart, Ulimit};
use crate::plan::reader::{Value, quoted};
use crate::plan::syntax;
use crate::plan::table::Table;

/// Names, and the container's further names there.
type Networks = Vec<(String, Vec<String>)>;

#[derive(Default)]
pub struct RawContainer {
    pub place: Place,
    pub image: Option<String>,
    pub has_image: bool,
    pub container_name: Option<At<String>>,
    pub command: Option<At<Vec<String>>>,
    pub entrypoint: Option<Vec<String>>,
    pub environment: Vec<(At<String>, Option<String>)>,
    pub env_file: Vec<At<EnvFile>>,
    pub secrets: Vec<(At<String>, usize)>,
    pub volumes: Vec<At<Mount>>,
    pub tmpfs: Vec<At<Mount>>,
    pub ports: Vec<At<Port>>,
    pub network_mode: Option<At<String>>,
    pub networks: Option<At<Networks>>,
    pub extra_hosts: Option<At<Vec<String>>>,
    pub depends_on: Vec<At<(String, Condition)>>,
    pub healthcheck: Option<Healthcheck>,
    pub shm_size: Option<u64>,
    pub mem_limit: Option<u64>,
    pub ulimits: Vec<Ulimit>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub hostname: Option<At<String>>,
    pub privileged: bool,
    pub read_only: bool,
    pub init: Option<bool>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub security_opt: Vec<String>,
    pub restart: Option<At<Restart>>,
    pub stop_grace_period: Option<Duration>,
    pub stop_signal: Option<String>,
    pub labels: Vec<(String, String)>,
}

const KEYS: [&str; 31] = [
    "image",
    "container_name",
    "command",
    "entrypoint",
    "environment",
    "env_file",
    "secrets",
    "volumes",
    "tmpfs",
    "ports",
    "network_mode",
    "networks",
    "extra_hosts",
    "depends_on",
    "healthcheck",
    "shm_size",
    "mem_limit",
    "ulimits",
    "user",
    "working_dir",
    "hostname",
    "privileged",
    "read_only",
    "init",
    "cap_add",
    "cap_drop",
    "security_opt",
    "restart",
    "stop_grace_period",
    "stop_signal",
    "labels",
];

impl RawContainer {
    pub fn keys() -> impl Iterator<Item = &'static str> {
        KEYS.into_iter()
    }

    pub fn read(t: &Table<'_>) -> RawContainer {
        RawContainer {
            place: t.place.clone(),
            image: t.value("image", |v| v.parsed(syntax::image)),
            has_image: t.has("image"),
            container_name: t.read_key("container_name", |v| v.parsed(syntax::docker_name)),
            command: t.read_key("command", command),
            entrypoint: t.value("entrypoint", command),
            environment: t
                .value("environment", environment::variables)
                .unwrap_or_default(),
            env_file: t
                .value("env_file", environment::env_files)
                .unwrap_or_default(),
            secrets: t.value("secrets", environment::secrets).unwrap_or_default(),
            volumes: t.value("volumes", mounts::volumes).unwrap_or_default(),
            tmpfs: t.value("tmpfs", mounts::tmpfs).unwrap_or_default(),
            ports: t.value("ports", mounts::ports).unwrap_or_default(),
            network_mode: t.read_key("network_mode", Value::string),
            networks: t.read_key("networks", networks),
            extra_hosts: t.read_key("extra_hosts", extra_hosts),
            depends_on: t.value("depends_on", depends_on).unwrap_or_default(),
            healthcheck: t
                .value("healthcheck", |v| v.table(health::healthcheck))
                .flatten(),
            shm_size: t.value("shm_size", mounts::bytes),
            mem_limit: t.value("mem_limit", limits::mem_limit),
            ulimits: t.value("ulimits", limits::ulimits).unwrap_or_default(),
            user: t.value("user", user),
            working_dir: t.value("working_dir", |v| v.parsed(syntax::absolute_path)),
            hostname: t.read_key("hostname", |v| v.parsed(syntax::hostname)),
            privileged: t.value("privileged", Value::boolean).unwrap_or_default(),
            read_only: t.value("read_only", Value::boolean).unwrap_or_default(),
            init: t.value("init", Value::boolean),
            cap_add: t.value("cap_add", capabilities).unwrap_or_default(),
            cap_drop: t.value("cap_drop", capabilities).unwrap_or_default(),
            security_opt: t.value("security_opt", Value::strings).unwrap_or_default(),
            restart: t.read_key("restart", |v| v.parsed(restart)),
            stop_grace_period: t.value("stop_grace_period", duration),
            stop_signal: t.value("stop_signal", |v| v.parsed(signal)),
            labels: t.value("labels", environment::labels).unwrap_or_default(),
        }
    }
}

/// A duration that may be zero.
pub fn duration(value: &Value<'_>) -> Option<Duration> {
    super::duration_with(value, syntax::duration)
}

/// A list of names, or a table of them with `aliases`.
fn networks(value: &Value<'_>) -> Option<Networks> {
    if value.is_array() {
        let name = |v: Value<'_>| Some((v.parsed(syntax::docker_name)?, Vec::new()));
        return Some(value.list()?.into_iter().filter_map(name).collect());
    }
    let mut networks = Vec::new();
    for (name, network) in value.entries()? {
        let aliases = network.table(|t| t.value("aliases", Value::strings).unwrap_or_default());
        match syntax::docker_name(&name.value) {
            Ok(name) => networks.push((name, aliases.unwrap_or_default())),
            Err(message) => network.fail(message),
        }
    }
    Some(networks)
}

/// A list of `HOST:IP`, or a table of hosts with one address or several.
fn extra_hosts(value: &Value<'_>) -> Option<Vec<String>> {
    let mut hosts = Vec::new();
    if value.is_array() {
        hosts.extend(
            value
                .list()?
                .iter()
                .filter_map(|v| v.parsed(syntax::extra_host)),
        );
    } else {
        for (host, addresses) in value.entries()? {
            for address in addresses.one_or_many().unwrap_or_default() {
                let line = |text: &str| syntax::extra_host(&format!("{}={text}", host.value));
                hosts.extend(address.parsed(line));
            }
        }
    }
    Some(hosts)
}

/// A list of containers that must have been started, or a table with a `condition` for each.
fn depends_on(value: &Value<'_>) -> Option<Vec<At<(String, Condition)>>> {
    const CONDITIONS: [(&str, Condition); 3] = [
        ("service_started", Condition::Started),
        ("service_healthy", Condition::Healthy),
        (
            "service_completed_successfully",
            Condition::CompletedSuccessfully,
        ),
    ];
    if value.is_array() {
        let started = |v: Value<'_>| Some(v.at((v.string()?, Condition::Started)));
        return Some(value.list()?.into_iter().filter_map(started).collect());
    }
    let entry = |(name, value): (At<String>, Value<'_>)| {
        let condition = value.table(|t| t.value("condition", |v| v.word(&CONDITIONS)))?;
        Some(At {
            value: (name.value, condition.unwrap_or(Condition::Started)),
            place: name.place,
        })
    };
    Some(value.entries()?.into_iter().filter_map(entry).collect())
}

fn capabilities(value: &Value<'_>) -> Option<Vec<String>> {
    let capability = |text: &str| {
        let is_name = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let error = || {
            format!(
                "expected a capability such as \"SYS_ADMIN\" or \"ALL\", found {}",
                quoted(text)
            )
        };
        is_name.then(|| text.to_owned()).ok_or_else(error)
    };
    Some(
        value
            .list()?
            .iter()
            .filter_map(|v| v.parsed(capability))
            .collect(),
    )
}

fn restart(text: &str) -> Result<Restart, String> {
    let times = |text: &str| {
        text.parse()
            .ok()
            .map(|times| Restart::OnFailure(Some(times)))
    };
    let restart = match text {
        "no" => Some(Restart::No),
        "always" => Some(Restart::Always),
        "unless-stopped" => Some(Restart::UnlessStopped),
        "on-failure" => Some(Restart::OnFailure(None)),
        _ => text.strip_prefix("on-failure:").and_then(times),
    };
    let error = || {
        format!(
            "expected \"no\", \"always\", \"unless-stopped\", \"on-failure\" or \"on-failure:3\", found {}",
            quoted(text)
        )
    };
    restart.ok_or_else(error)
}

fn signal(text: &str) -> Result<String, String> {
    let is_name = text
        .bytes()
        .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"+-".contains(&byte));
    if text.is_empty() || !is_name {
        return Err(format!(
            "expected a signal such as \"SIGTERM\", found {}",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

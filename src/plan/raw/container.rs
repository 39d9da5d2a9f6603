//! The keys of a container, with Compose's names and forms.

use std::time::Duration;

use super::environment::{self, EnvFile};
use super::health;
use super::mounts::{self, Mount};
use super::networks;
use super::service::{command, user};
use super::settings;
use crate::plan::error::{At, Place};
use crate::plan::model::{Attachment, Condition, Healthcheck, Port, Restart, Settings};
use crate::plan::reader::{Value, quoted};
use crate::plan::syntax;
use crate::plan::table::Table;

type Networks = Vec<(Place, Attachment)>;

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
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub hostname: Option<At<String>>,
    pub restart: Option<At<Restart>>,
    pub stop_grace_period: Option<Duration>,
    pub stop_signal: Option<String>,
    pub labels: Vec<(String, String)>,
    pub ipc: Option<At<String>>,
    pub pid: Option<At<String>>,
    pub volumes_from: Vec<At<String>>,
    pub security_opt: Vec<At<String>>,
    pub settings: Settings,
}

impl RawContainer {
    pub fn read(t: &Table<'_>) -> RawContainer {
        RawContainer {
            env_file: t
                .value("env_file", environment::env_files)
                .unwrap_or_default(),
            secrets: t.value("secrets", environment::secrets).unwrap_or_default(),
            depends_on: t.value("depends_on", depends_on).unwrap_or_default(),
            ..Self::read_shared(t)
        }
    }

    /// The keys that a Compose file has in the very same forms.
    pub fn read_shared(t: &Table<'_>) -> RawContainer {
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
            env_file: Vec::new(),
            secrets: Vec::new(),
            volumes: t.value("volumes", mounts::volumes).unwrap_or_default(),
            tmpfs: t.value("tmpfs", mounts::tmpfs).unwrap_or_default(),
            ports: t.value("ports", mounts::ports).unwrap_or_default(),
            network_mode: t.read_key("network_mode", Value::string),
            networks: t.read_key("networks", networks::attachments),
            extra_hosts: t.read_key("extra_hosts", extra_hosts),
            depends_on: Vec::new(),
            healthcheck: t
                .value("healthcheck", |v| v.table(health::healthcheck))
                .flatten(),
            user: t.value("user", user),
            working_dir: t.value("working_dir", |v| v.parsed(syntax::absolute_path)),
            hostname: t.read_key("hostname", |v| v.parsed(syntax::hostname)),
            restart: t.read_key("restart", |v| v.parsed(restart)),
            stop_grace_period: t.value("stop_grace_period", duration),
            stop_signal: t.value("stop_signal", |v| v.parsed(signal)),
            labels: t.value("labels", environment::labels).unwrap_or_default(),
            ipc: t.read_key("ipc", Value::string),
            pid: t.read_key("pid", Value::string),
            volumes_from: t.value("volumes_from", names).unwrap_or_default(),
            security_opt: t.value("security_opt", names).unwrap_or_default(),
            settings: settings::settings(t),
        }
    }
}

pub fn names(value: &Value<'_>) -> Option<Vec<At<String>>> {
    let name = |v: &Value<'_>| v.string().map(|name| v.at(name));
    Some(value.list()?.iter().filter_map(name).collect())
}

/// A duration that may be zero.
pub fn duration(value: &Value<'_>) -> Option<Duration> {
    super::duration_with(value, syntax::duration)
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

pub const CONDITIONS: [(&str, Condition); 3] = [
    ("service_started", Condition::Started),
    ("service_healthy", Condition::Healthy),
    (
        "service_completed_successfully",
        Condition::CompletedSuccessfully,
    ),
];

/// A list of containers that must have been started, or a table with a `condition` for each.
fn depends_on(value: &Value<'_>) -> Option<Vec<At<(String, Condition)>>> {
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
        .all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(&byte));
    if text.is_empty() || !is_name {
        return Err(format!(
            "expected a signal such as \"SIGTERM\", found {}",
            quoted(text)
        ));
    }
    Ok(text.to_ascii_uppercase())
}

//! The document becomes structures that mirror the file, each value read for itself and with its place. What refers to
//! something else is left for the next step.

mod container;
mod environment;
mod files;
mod health;
mod limits;
mod mounts;
mod networks;
mod service;
mod settings;

pub(super) use container::CONDITIONS;
pub(super) use container::RawContainer;
pub(super) use environment::{EnvFile, EnvSyntax};
pub(super) use files::{RawContent, RawFile, mode as file_mode};
pub(super) use mounts::Mount;
pub(super) use networks::{Defined, networks as read_networks, volumes as read_volumes};
pub(super) use service::RawService;

use std::time::Duration;

use super::error::{At, Findings, Place};
use super::model::{NamedVolume, Network, PowerOff, SmokeWhen};
use super::node::Node;
use super::reader::Value;
use super::syntax;
use super::table::Table;

/// Containers, and migrations: bounds what a plan that is a mistake costs.
const MOST_CONTAINERS: usize = 200;

/// Which Compose files the containers come from.
pub(super) struct RawCompose {
    pub files: Vec<At<String>>,
    pub profiles: Option<Vec<String>>,
    pub project: Option<At<String>>,
    pub env_files: Option<Vec<At<String>>>,
    pub directory: Option<String>,
}

#[derive(Default)]
pub(super) struct RawPlan {
    pub compose: Option<RawCompose>,
    pub run_timeout: Option<Duration>,
    pub bundle_label: Option<String>,
    pub bundle_timeout: Option<Duration>,
    pub engine_timeout: Option<Duration>,
    pub archives: Vec<At<String>>,
    pub require: Vec<String>,
    pub images_timeout: Option<Duration>,
    pub networks: Vec<Defined<Network>>,
    pub volumes: Vec<Defined<NamedVolume>>,
    pub files: Vec<RawFile>,
    pub containers: Vec<(At<String>, RawContainer)>,
    pub wait_timeout: Option<Duration>,
    pub heartbeat: Option<Duration>,
    pub services: Vec<RawService>,
    pub migrations: Vec<RawMigration>,
    pub smoke: Option<RawSmoke>,
    pub finish: RawFinish,
}

#[derive(Default)]
pub(super) struct RawFinish {
    pub power_off: Option<At<PowerOff>>,
    pub capture: bool,
    pub timeout: Option<Duration>,
    pub prune: Option<At<bool>>,
    pub logs: Option<At<bool>>,
    pub zero: Option<At<bool>>,
    pub trim: Option<At<bool>>,
    pub golden: Option<At<bool>>,
}

#[derive(Default)]
pub(super) struct RawSmoke {
    pub place: Place,
    pub when: Option<SmokeWhen>,
    pub timeout: Option<Duration>,
    pub stop: Vec<At<String>>,
    pub container: Option<RawContainer>,
    pub checks: Vec<RawService>,
}

#[derive(Default)]
pub(super) struct RawMigration {
    pub place: Place,
    pub name: Option<At<String>>,
    /// The running container the command is for; without it, `own` describes one.
    pub container: Option<At<String>>,
    pub timeout: Option<Duration>,
    /// The container keys, of which a command in a running container has a few.
    pub own: RawContainer,
    /// Keys that only a container of one's own can have.
    pub own_only: Vec<Place>,
    pub has_container: bool,
    pub has_image: bool,
    pub has_command: bool,
}

/// What a command in a running container can have of the container keys.
const EXEC_KEYS: [&str; 8] = [
    "name",
    "timeout",
    "container",
    "command",
    "working_dir",
    "user",
    "environment",
    "env_file",
];

pub(super) fn read<'a>(document: &'a Node, findings: &'a Findings<'a>) -> RawPlan {
    let mut plan = RawPlan::default();
    Table::read(
        document.item.entries(),
        Place::default(),
        findings,
        |root| {
            root.value("run", |v| {
                v.table(|t| plan.run_timeout = limit(t, "timeout"))
            });
            root.value("bundle", |v| v.table(|t| read_bundle(t, &mut plan)));
            root.value("engine", |v| {
                v.table(|t| plan.engine_timeout = limit(t, "timeout"))
            });
            root.value("images", |v| v.table(|t| read_images(t, &mut plan)));
            plan.compose = compose(root);
            plan.networks = root
                .value("networks", networks::networks)
                .unwrap_or_default();
            plan.volumes = root.value("volumes", networks::volumes).unwrap_or_default();
            plan.files = root.value("files", files::files).unwrap_or_default();
            plan.containers = root.value("containers", containers).unwrap_or_default();
            root.value("wait", |v| v.table(|t| read_wait(t, &mut plan)));
            plan.migrations = root.value("migrations", migrations).unwrap_or_default();
            plan.smoke = root.value("smoke", |v| v.table(smoke));
            plan.finish = root
                .value("finish", |v| v.table(finish))
                .unwrap_or_default();
            // Read and merged in before.
            root.get("emulation");
        },
    );
    plan
}

/// `compose = "compose.yaml"`, a list of files, or a table; `profiles` may stand beside it.
fn compose(root: &Table<'_>) -> Option<RawCompose> {
    let paths = |v: &Value<'_>| {
        let path = |v: &Value<'_>| v.parsed(syntax::bundle_path).map(|path| v.at(path));
        let paths: Vec<_> = v.one_or_many()?.iter().filter_map(path).collect();
        if paths.is_empty() {
            return v.unexpected("a Compose file of the bundle");
        }
        Some(paths)
    };
    let beside = root.get("profiles");
    let Some(value) = root.get("compose") else {
        if let Some(beside) = beside {
            beside.fail("belongs to `compose`, and there is none");
        }
        return None;
    };
    let mut compose = if value.is_table() {
        value.table(|t| RawCompose {
            files: t
                .require("files", paths)
                .map(|files| files.value)
                .unwrap_or_default(),
            profiles: t.value("profiles", Value::strings),
            project: t.read_key("project", |v| v.parsed(project)),
            env_files: t.value("env_file", paths),
            directory: t.value("directory", |v| v.parsed(syntax::absolute_path)),
        })?
    } else {
        RawCompose {
            files: paths(&value)?,
            profiles: None,
            project: None,
            env_files: None,
            directory: None,
        }
    };
    if let Some(beside) = beside {
        if compose.profiles.is_some() {
            beside.fail("is in `[compose]` too");
        }
        compose.profiles = beside.strings();
    }
    Some(compose)
}

fn project(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    match starts_well && text.chars().all(is_name) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "expected a project name of lower-case letters, digits, `-` and `_`, found {}",
            super::reader::quoted(text)
        )),
    }
}

/// A duration above zero.
fn limit(table: &Table<'_>, key: &'static str) -> Option<Duration> {
    table.value(key, limit_value)
}

/// As everywhere, a bare number would leave the unit to guess.
fn limit_value(value: &Value<'_>) -> Option<Duration> {
    duration_with(value, syntax::limit)
}

fn duration_with(
    value: &Value<'_>,
    parse: fn(&str) -> Result<Duration, String>,
) -> Option<Duration> {
    match value.as_integer() {
        Some(number) => value.parsed_as(&number.to_string(), parse),
        None => value.parsed(parse),
    }
}

fn read_bundle(table: &Table<'_>, plan: &mut RawPlan) {
    plan.bundle_label = table.value("label", |v| v.parsed(label));
    plan.bundle_timeout = limit(table, "timeout");
}

/// ISO 9660 gives a volume's name 32 characters; a `/` would lead out of `/dev/disk/by-label`.
fn label(text: &str) -> Result<String, String> {
    let is_graphic = text.chars().all(|c| c.is_ascii_graphic() && c != '/');
    if text.is_empty() || text.len() > 32 || !is_graphic {
        return Err(
            "expected a volume label of 1 to 32 characters, without blanks and `/`".to_owned(),
        );
    }
    Ok(text.to_owned())
}

fn read_images(table: &Table<'_>, plan: &mut RawPlan) {
    let archive = |v: Value<'_>| v.parsed(syntax::bundle_path).map(|path| v.at(path));
    let archives = table.value("archives", Value::list).unwrap_or_default();
    plan.archives = archives.into_iter().filter_map(archive).collect();
    let require = table.value("require", Value::list).unwrap_or_default();
    plan.require = require
        .iter()
        .filter_map(|v| v.parsed(syntax::tagged_image))
        .collect();
    plan.images_timeout = limit(table, "timeout");
}

fn containers(value: &Value<'_>) -> Option<Vec<(At<String>, RawContainer)>> {
    let mut containers = Vec::new();
    for (name, value) in bounded(value, value.entries()?) {
        // What is no table has been reported; that it has no image need not be.
        let unreadable = || RawContainer {
            has_image: true,
            ..RawContainer::default()
        };
        let container = value.table(RawContainer::read).unwrap_or_else(unreadable);
        containers.push((name, container));
    }
    Some(containers)
}

fn bounded<T>(value: &Value<'_>, mut items: Vec<T>) -> Vec<T> {
    if items.len() > MOST_CONTAINERS {
        value.fail(format!(
            "{} entries; at most {MOST_CONTAINERS}",
            items.len()
        ));
        items.truncate(MOST_CONTAINERS);
    }
    items
}

fn read_wait(table: &Table<'_>, plan: &mut RawPlan) {
    plan.wait_timeout = limit(table, "timeout");
    plan.heartbeat = table.value("heartbeat", |v| duration_with(v, heartbeat));
    plan.services = services(table, "services");
}

/// Anything shorter would only fill the consoles.
fn heartbeat(text: &str) -> Result<Duration, String> {
    const SHORTEST: Duration = Duration::from_millis(10);
    let heartbeat = syntax::limit(text)?;
    if heartbeat < SHORTEST {
        return Err("expected a heartbeat of at least \"10ms\"".to_owned());
    }
    Ok(heartbeat)
}

fn services(table: &Table<'_>, key: &'static str) -> Vec<RawService> {
    let services = table.value(key, Value::list).unwrap_or_default();
    services
        .iter()
        .filter_map(|v| v.table(RawService::read))
        .collect()
}

fn migrations(value: &Value<'_>) -> Option<Vec<RawMigration>> {
    let migrations = bounded(value, value.list()?);
    Some(
        migrations
            .iter()
            .filter_map(|v| v.table(migration))
            .collect(),
    )
}

fn migration(table: &Table<'_>) -> RawMigration {
    let name = table.require("name", |v| v.parsed(syntax::display_name));
    let container = table.read_key("container", Value::string);
    let timeout = limit(table, "timeout");
    let own = RawContainer::read(table);
    let asked = table.asked().into_iter();
    let own_only = asked
        .filter(|key| !EXEC_KEYS.contains(key))
        .filter_map(|key| table.place_of(key));
    RawMigration {
        place: table.place.clone(),
        name,
        container,
        timeout,
        own_only: own_only.collect(),
        own,
        has_container: table.has("container"),
        has_image: table.has("image"),
        has_command: table.has("command"),
    }
}

fn smoke(table: &Table<'_>) -> RawSmoke {
    const WHEN: [(&str, SmokeWhen); 3] = [
        ("unless-tcg", SmokeWhen::UnlessTcg),
        ("always", SmokeWhen::Always),
        ("never", SmokeWhen::Never),
    ];
    RawSmoke {
        place: table.place.clone(),
        when: table.value("when", |v| v.word(&WHEN)),
        timeout: limit(table, "timeout"),
        stop: table.value("stop", container::names).unwrap_or_default(),
        container: table.value("container", |v| v.table(RawContainer::read)),
        checks: services(table, "checks"),
    }
}

fn finish(table: &Table<'_>) -> RawFinish {
    const POWER_OFF: [(&str, PowerOff); 3] = [
        ("always", PowerOff::Always),
        ("on-failure", PowerOff::OnFailure),
        ("never", PowerOff::Never),
    ];
    let chore = |key| table.read_key(key, Value::boolean);
    RawFinish {
        power_off: table.read_key("power_off", |v| v.word(&POWER_OFF)),
        capture: table.value("capture", Value::boolean).unwrap_or_default(),
        timeout: limit(table, "timeout"),
        prune: chore("prune"),
        logs: chore("logs"),
        zero: chore("zero"),
        trim: chore("trim"),
        golden: chore("golden"),
    }
}

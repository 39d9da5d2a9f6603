//! The keys of a container that refer to nothing; see [`Settings`].

use std::collections::BTreeMap;

use super::environment;
use super::limits;
use super::mounts;
use crate::plan::model::{Device, Logging, Settings};
use crate::plan::reader::{Value, quoted};
use crate::plan::syntax;
use crate::plan::table::Table;

pub fn settings(t: &Table<'_>) -> Settings {
    let number = |key, expected: &str, bounds: std::ops::RangeInclusive<i64>| {
        t.value(key, |v| v.integer(expected, bounds))
    };
    let microseconds = "a number of microseconds";
    Settings {
        annotations: texts_by_name(t, "annotations"),
        cap_add: t.value("cap_add", capabilities).unwrap_or_default(),
        cap_drop: t.value("cap_drop", capabilities).unwrap_or_default(),
        cgroup: t.value("cgroup", |v| {
            v.word(&[("host", "host"), ("private", "private")])
                .map(str::to_owned)
        }),
        cgroup_parent: t.value("cgroup_parent", Value::string),
        cpu_period: number("cpu_period", microseconds, 0..=1_000_000_000),
        cpu_quota: number("cpu_quota", microseconds, -1..=1_000_000_000_000),
        cpu_rt_period: number("cpu_rt_period", microseconds, 0..=1_000_000_000),
        cpu_rt_runtime: number("cpu_rt_runtime", microseconds, 0..=1_000_000_000),
        cpu_shares: number("cpu_shares", "a share such as 1024", 0..=262_144),
        nano_cpus: t.value("cpus", cpus),
        cpuset: t.value("cpuset", Value::string),
        device_cgroup_rules: texts(t, "device_cgroup_rules"),
        devices: t.value("devices", devices).unwrap_or_default(),
        dns: one_or_many(t, "dns"),
        dns_opt: texts(t, "dns_opt"),
        dns_search: one_or_many(t, "dns_search"),
        domainname: t.value("domainname", |v| v.parsed(syntax::hostname)),
        expose: t.value("expose", expose).unwrap_or_default(),
        group_add: t.value("group_add", group_add).unwrap_or_default(),
        init: t.value("init", Value::boolean),
        logging: t.value("logging", |v| v.table(logging)),
        mac_address: t.value("mac_address", Value::string),
        mem_limit: t.value("mem_limit", limits::mem_limit),
        mem_reservation: t.value("mem_reservation", mounts::bytes),
        mem_swappiness: number("mem_swappiness", "a number from 0 to 100", 0..=100),
        memswap_limit: t.value("memswap_limit", memswap),
        oom_kill_disable: flag(t, "oom_kill_disable"),
        oom_score_adj: number("oom_score_adj", "a number from -1000 to 1000", -1000..=1000),
        pids_limit: number("pids_limit", "a number of processes, or -1", -1..=4_194_304),
        platform: t.value("platform", Value::string),
        privileged: flag(t, "privileged"),
        read_only: flag(t, "read_only"),
        runtime: t.value("runtime", Value::string),
        security_opt: Vec::new(),
        shm_size: t.value("shm_size", mounts::bytes),
        stdin_open: flag(t, "stdin_open"),
        storage_opt: texts_by_name(t, "storage_opt"),
        sysctls: texts_by_name(t, "sysctls"),
        tty: flag(t, "tty"),
        ulimits: t.value("ulimits", limits::ulimits).unwrap_or_default(),
        userns_mode: t.value("userns_mode", Value::string),
        uts: t.value("uts", |v| v.word(&[("host", "host")]).map(str::to_owned)),
    }
}

fn flag(t: &Table<'_>, key: &'static str) -> bool {
    t.value(key, Value::boolean).unwrap_or_default()
}

fn texts(t: &Table<'_>, key: &'static str) -> Vec<String> {
    t.value(key, Value::strings).unwrap_or_default()
}

fn one_or_many(t: &Table<'_>, key: &'static str) -> Vec<String> {
    let texts = |v: &Value<'_>| Some(v.one_or_many()?.iter().filter_map(Value::string).collect());
    t.value(key, texts).unwrap_or_default()
}

fn texts_by_name(t: &Table<'_>, key: &'static str) -> BTreeMap<String, String> {
    let labels = t.value(key, environment::labels);
    labels.unwrap_or_default().into_iter().collect()
}

fn capabilities(value: &Value<'_>) -> Option<Vec<String>> {
    let capability = |text: &str| {
        let is_name = !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        let error = || {
            format!(
                "expected a capability such as \"SYS_ADMIN\" or \"ALL\", found {}",
                quoted(text)
            )
        };
        let name = text.to_ascii_uppercase();
        is_name.then_some(name).ok_or_else(error)
    };
    Some(
        value
            .list()?
            .iter()
            .filter_map(|v| v.parsed(capability))
            .collect(),
    )
}

/// `0.5` of a processor.
fn cpus(value: &Value<'_>) -> Option<i64> {
    let text = value.scalar()?;
    let number = text.parse::<f64>().ok();
    match number.filter(|cpus| (0.0..=10_000.0).contains(cpus)) {
        Some(cpus) => Some((cpus * 1e9).round() as i64),
        None => value.unexpected("a number of processors such as 0.5 or 2"),
    }
}

/// Memory and swap together; -1 is no limit.
fn memswap(value: &Value<'_>) -> Option<i64> {
    match value.scalar()?.as_str() {
        "-1" => Some(-1),
        "0" => Some(0),
        _ => mounts::bytes(value).map(|bytes| bytes as i64),
    }
}

/// `SOURCE[:TARGET[:PERMISSIONS]]`, or a table of them.
fn devices(value: &Value<'_>) -> Option<Vec<Device>> {
    let device = |v: &Value<'_>| {
        if v.is_table() {
            return v.table(|t| {
                let source = t.require("source", Value::string)?.value;
                let permissions = t.value("permissions", |v| v.parsed(permissions));
                Some(Device {
                    target: t
                        .value("target", Value::string)
                        .unwrap_or_else(|| source.clone()),
                    source,
                    permissions: permissions.unwrap_or_else(|| "rwm".to_owned()),
                })
            })?;
        }
        v.parsed(short_device)
    };
    Some(value.list()?.iter().filter_map(device).collect())
}

pub fn short_device(text: &str) -> Result<Device, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, rights) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, rights] if permissions(rights).is_ok() => (source, source, rights),
        [source, target] => (source, target, "rwm"),
        [source, target, rights] => (source, target, rights),
        _ => ("", "", ""),
    };
    if !source.starts_with('/') || !target.starts_with('/') {
        return Err(format!(
            "expected a device such as \"/dev/ttyS0\" or \"/dev/sda:/dev/xvda:rwm\", found {}",
            quoted(text)
        ));
    }
    Ok(Device {
        source: source.to_owned(),
        target: target.to_owned(),
        permissions: permissions(rights)?,
    })
}

fn permissions(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.chars().all(|c| "rwm".contains(c)) {
        true => Ok(text.to_owned()),
        false => Err(format!("expected some of `rwm`, found {}", quoted(text))),
    }
}

/// `PORT[-PORT][/PROTOCOL]`, without a port of the guest.
fn expose(value: &Value<'_>) -> Option<Vec<String>> {
    let mut exposed = Vec::new();
    for item in value.list()? {
        let text = item.scalar()?;
        if text.contains(':') {
            item.fail("publishes nothing: expected a port such as \"80\" or \"53/udp\"");
            continue;
        }
        let ports = item.parsed_as(&text, syntax::ports).unwrap_or_default();
        exposed.extend(
            ports
                .iter()
                .map(|port| format!("{}/{}", port.target, port.protocol)),
        );
    }
    Some(exposed)
}

fn group_add(value: &Value<'_>) -> Option<Vec<String>> {
    Some(value.list()?.iter().filter_map(Value::scalar).collect())
}

fn logging(t: &Table<'_>) -> Logging {
    Logging {
        driver: t.value("driver", Value::string),
        options: texts_by_name(t, "options"),
    }
}

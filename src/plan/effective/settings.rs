//! A container's [`Settings`] as TOML; those that were not given stay out.

use super::toml_text::{TomlText, inline, text, texts, variable};
use crate::plan::model::*;
use crate::plan::secrets::is_secret_name;

pub fn put_settings(out: &mut TomlText, settings: &Settings) {
    let s = settings;
    texts_by_name(out, "annotations", &s.annotations);
    out.texts("cap_add", &s.cap_add);
    out.texts("cap_drop", &s.cap_drop);
    out.optional_text("cgroup", s.cgroup.as_ref());
    out.optional_text("cgroup_parent", s.cgroup_parent.as_ref());
    out.optional("cpu_period", s.cpu_period);
    out.optional("cpu_quota", s.cpu_quota);
    out.optional("cpu_rt_period", s.cpu_rt_period);
    out.optional("cpu_rt_runtime", s.cpu_rt_runtime);
    out.optional("cpu_shares", s.cpu_shares);
    out.optional("cpus", s.nano_cpus.map(cpus));
    out.optional_text("cpuset", s.cpuset.as_ref());
    out.texts("device_cgroup_rules", &s.device_cgroup_rules);
    if !s.devices.is_empty() {
        let devices: Vec<String> = s.devices.iter().map(device).collect();
        out.key("devices", format_args!("[{}]", devices.join(", ")));
    }
    out.texts("dns", &s.dns);
    out.texts("dns_opt", &s.dns_opt);
    out.texts("dns_search", &s.dns_search);
    out.optional_text("domainname", s.domainname.as_ref());
    out.texts("expose", &s.expose);
    out.texts("group_add", &s.group_add);
    out.optional("init", s.init);
    if let Some(logging) = &s.logging {
        out.key("logging", put_logging(logging));
    }
    out.optional_text("mac_address", s.mac_address.as_ref());
    out.optional("mem_limit", s.mem_limit);
    out.optional("mem_reservation", s.mem_reservation);
    out.optional("mem_swappiness", s.mem_swappiness);
    out.optional("memswap_limit", s.memswap_limit);
    flag(out, "oom_kill_disable", s.oom_kill_disable);
    out.optional("oom_score_adj", s.oom_score_adj);
    out.optional("pids_limit", s.pids_limit);
    out.optional_text("platform", s.platform.as_ref());
    out.key("privileged", s.privileged);
    out.key("read_only", s.read_only);
    out.optional_text("runtime", s.runtime.as_ref());
    out.texts("security_opt", &s.security_opt);
    out.optional("shm_size", s.shm_size);
    flag(out, "stdin_open", s.stdin_open);
    texts_by_name(out, "storage_opt", &s.storage_opt);
    texts_by_name(out, "sysctls", &s.sysctls);
    flag(out, "tty", s.tty);
    if !s.ulimits.is_empty() {
        let limit = |limit: &Ulimit| {
            let numbers = [("soft", limit.soft), ("hard", limit.hard)];
            let numbers = numbers.map(|(name, number)| (name.to_owned(), number.to_string()));
            (limit.name.clone(), inline(numbers))
        };
        out.key("ulimits", inline(s.ulimits.iter().map(limit)));
    }
    out.optional_text("userns_mode", s.userns_mode.as_ref());
    out.optional_text("uts", s.uts.as_ref());
}

fn flag(out: &mut TomlText, name: &str, value: bool) {
    if value {
        out.key(name, true);
    }
}

pub fn texts_by_name(
    out: &mut TomlText,
    name: &str,
    values: &std::collections::BTreeMap<String, String>,
) {
    if !values.is_empty() {
        out.key(name, by_name(values));
    }
}

pub fn by_name(values: &std::collections::BTreeMap<String, String>) -> String {
    let value =
        |(name, value): (&String, &String)| (name.clone(), variable(name, value, is_secret_name));
    inline(values.iter().map(value))
}

fn cpus(nano: i64) -> String {
    format!("{:?}", nano as f64 / 1e9)
}

fn device(device: &Device) -> String {
    let keys = [
        ("source", &device.source),
        ("target", &device.target),
        ("permissions", &device.permissions),
    ];
    inline(keys.map(|(name, value)| (name.to_owned(), text(value))))
}

fn put_logging(logging: &Logging) -> String {
    let driver = logging.driver.as_ref();
    let driver = driver.map(|driver| ("driver".to_owned(), text(driver)));
    let options = match logging.options.is_empty() {
        true => None,
        false => Some(("options".to_owned(), by_name(&logging.options))),
    };
    inline(driver.into_iter().chain(options))
}

pub fn list_or_nothing(name: &str, values: &[String]) -> Option<(String, String)> {
    (!values.is_empty()).then(|| (name.to_owned(), texts(values)))
}

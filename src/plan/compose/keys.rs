//! Every key of a Compose file, and how it stands with it here: the table in the README is made of this, and a test
//! holds it against the official schema.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// With what there is to say about it, if anything.
    Supported(&'static str),
    /// An error, with this reason.
    Refused(&'static str),
    /// It has no effect in a guest, for this reason.
    Ignored(&'static str),
}

use Standing::{Ignored, Refused, Supported};

type Keys = &'static [(&'static str, Standing)];

pub const TOP: Keys = &[
    ("configs", Supported("`file`, `environment` and `content`")),
    ("include", Supported("short and long syntax")),
    ("models", Refused("no model runner is in the guest")),
    ("name", Supported("`[compose] project` goes before it")),
    ("networks", Supported("")),
    ("secrets", Supported("`file` and `environment`")),
    ("services", Supported("")),
    ("version", Ignored("obsolete, Compose ignores it too")),
    ("volumes", Supported("")),
];

pub const SERVICE: Keys = &[
    ("annotations", Supported("")),
    (
        "attach",
        Ignored("about whose logs `docker compose up` prints"),
    ),
    (
        "blkio_config",
        Refused("block I/O limits are not passed on"),
    ),
    (
        "build",
        Supported(
            "nothing is built: the image must be in the bundle, as `image` or `PROJECT-SERVICE`",
        ),
    ),
    ("cap_add", Supported("")),
    ("cap_drop", Supported("")),
    ("cgroup", Supported("")),
    ("cgroup_parent", Supported("")),
    ("command", Supported("")),
    ("configs", Supported("")),
    (
        "container_name",
        Supported("without it, the service's name"),
    ),
    ("cpu_count", Refused("Windows only")),
    ("cpu_percent", Refused("Windows only")),
    ("cpu_period", Supported("")),
    ("cpu_quota", Supported("")),
    ("cpu_rt_period", Supported("in microseconds")),
    ("cpu_rt_runtime", Supported("in microseconds")),
    ("cpu_shares", Supported("")),
    ("cpus", Supported("")),
    ("cpuset", Supported("")),
    ("credential_spec", Refused("Windows only")),
    ("depends_on", Supported("`restart` has nothing to act on")),
    ("deploy", Supported("see below")),
    ("develop", Ignored("for `docker compose watch`")),
    ("device_cgroup_rules", Supported("")),
    ("devices", Supported("")),
    ("dns", Supported("")),
    ("dns_opt", Supported("")),
    ("dns_search", Supported("")),
    ("domainname", Supported("")),
    (
        "driver_opts",
        Refused("of networks and volumes, not of a service"),
    ),
    ("entrypoint", Supported("")),
    ("env_file", Supported("with `required` and `format: raw`")),
    ("environment", Supported("")),
    ("expose", Supported("")),
    ("extends", Supported("")),
    (
        "external_links",
        Refused("a guest has no containers but the bundle's"),
    ),
    ("extra_hosts", Supported("")),
    (
        "gpus",
        Refused("a guest that is being provisioned has no GPU"),
    ),
    ("group_add", Supported("")),
    ("healthcheck", Supported("")),
    ("hostname", Supported("")),
    (
        "image",
        Supported("never pulled; by its tag, a digest behind that is left out"),
    ),
    ("init", Supported("")),
    ("ipc", Supported("")),
    ("isolation", Refused("Windows only")),
    ("label_file", Refused("write the labels into `labels`")),
    ("labels", Supported("")),
    (
        "links",
        Supported("without an alias; for one, `aliases` of a network"),
    ),
    ("logging", Supported("")),
    ("mac_address", Supported("")),
    ("mem_limit", Supported("")),
    ("mem_reservation", Supported("")),
    ("mem_swappiness", Supported("")),
    ("memswap_limit", Supported("")),
    ("models", Refused("no model runner is in the guest")),
    ("network_mode", Supported("")),
    ("networks", Supported("")),
    ("oom_kill_disable", Supported("")),
    ("oom_score_adj", Supported("")),
    ("pid", Supported("")),
    ("pids_limit", Supported("")),
    ("platform", Supported("")),
    ("ports", Supported("")),
    (
        "post_start",
        Refused("write a `[[migrations]]`, which is reported and has a time limit"),
    ),
    (
        "pre_stop",
        Refused("write a `[[migrations]]`, which is reported and has a time limit"),
    ),
    ("privileged", Supported("")),
    ("profiles", Supported("")),
    (
        "provider",
        Refused("nothing but containers is provided in a guest"),
    ),
    (
        "pull_policy",
        Ignored("nothing is pulled or built in a guest"),
    ),
    (
        "pull_refresh_after",
        Ignored("nothing is pulled in a guest"),
    ),
    ("read_only", Supported("")),
    ("restart", Supported("")),
    ("runtime", Supported("")),
    (
        "scale",
        Supported("1 only: probes, migrations and fixed names mean one container"),
    ),
    ("secrets", Supported("")),
    (
        "security_opt",
        Supported("a seccomp profile is a file of the bundle"),
    ),
    ("shm_size", Supported("")),
    ("stdin_open", Supported("")),
    ("stop_grace_period", Supported("")),
    ("stop_signal", Supported("")),
    ("storage_opt", Supported("")),
    ("sysctls", Supported("")),
    ("tmpfs", Supported("")),
    ("tty", Supported("")),
    ("ulimits", Supported("")),
    (
        "use_api_socket",
        Refused("mount the engine's socket under `volumes`"),
    ),
    ("user", Supported("")),
    ("userns_mode", Supported("")),
    ("uts", Supported("")),
    (
        "volumes",
        Supported(
            "of types `volume`, `bind` and `tmpfs`; what a relative bind mount names is copied from the bundle into the guest",
        ),
    ),
    ("volumes_from", Supported("")),
    ("working_dir", Supported("")),
];

pub const DEPLOY: Keys = &[
    ("endpoint_mode", Ignored("for a Swarm")),
    ("labels", Ignored("of a Swarm's service")),
    (
        "mode",
        Supported("`replicated` only, which a single container is"),
    ),
    ("placement", Ignored("for a Swarm")),
    ("replicas", Supported("1 only, as `scale`")),
    (
        "resources",
        Supported(
            "`limits` of `cpus`, `memory`, `pids`; `reservations` of `memory`; devices are refused",
        ),
    ),
    (
        "restart_policy",
        Supported("`condition` and `max_attempts`, where there is no `restart`"),
    ),
    ("rollback_config", Ignored("for a Swarm")),
    ("update_config", Ignored("for a Swarm")),
];

pub fn standing(keys: Keys, name: &str) -> Option<Standing> {
    let known = keys.iter().find(|(key, _)| *key == name)?;
    Some(known.1)
}

pub fn names(keys: Keys) -> Vec<&'static str> {
    keys.iter().map(|(name, _)| *name).collect()
}

/// The table of the README.
#[cfg(test)]
pub fn table() -> String {
    use std::fmt::Write as _;
    let mut table = "| key | | |\n|---|---|---|\n".to_owned();
    for (title, keys) in [
        ("", TOP),
        ("services.*.", SERVICE),
        ("services.*.deploy.", DEPLOY),
    ] {
        for (key, standing) in keys {
            let (word, why) = match standing {
                Supported(why) => ("supported", why),
                Refused(why) => ("refused", why),
                Ignored(why) => ("ignored", why),
            };
            writeln!(table, "| `{title}{key}` | {word} | {why} |").expect("a String");
        }
    }
    table
}

//! What a container may further be given: keys that refer to nothing, and go to the engine as they are.

use std::collections::BTreeMap;

use super::model::Ulimit;

/// Limits, namespaces, devices, names: all optional, each with its name in the Compose specification.
#[derive(Clone, Default, PartialEq)]
pub struct Settings {
    pub annotations: BTreeMap<String, String>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub cgroup: Option<String>,
    pub cgroup_parent: Option<String>,
    pub cpu_period: Option<i64>,
    pub cpu_quota: Option<i64>,
    pub cpu_rt_period: Option<i64>,
    pub cpu_rt_runtime: Option<i64>,
    pub cpu_shares: Option<i64>,
    /// In billionths of a processor.
    pub nano_cpus: Option<i64>,
    pub cpuset: Option<String>,
    pub device_cgroup_rules: Vec<String>,
    pub devices: Vec<Device>,
    pub dns: Vec<String>,
    pub dns_opt: Vec<String>,
    pub dns_search: Vec<String>,
    pub domainname: Option<String>,
    /// `PORT/PROTOCOL`.
    pub expose: Vec<String>,
    pub group_add: Vec<String>,
    pub init: Option<bool>,
    pub logging: Option<Logging>,
    pub mac_address: Option<String>,
    /// Bytes.
    pub mem_limit: Option<u64>,
    /// Bytes.
    pub mem_reservation: Option<u64>,
    pub mem_swappiness: Option<i64>,
    /// Bytes, memory included; -1 is no limit.
    pub memswap_limit: Option<i64>,
    pub oom_kill_disable: bool,
    pub oom_score_adj: Option<i64>,
    pub pids_limit: Option<i64>,
    pub platform: Option<String>,
    pub privileged: bool,
    pub read_only: bool,
    pub runtime: Option<String>,
    pub security_opt: Vec<String>,
    /// Bytes.
    pub shm_size: Option<u64>,
    pub stdin_open: bool,
    pub storage_opt: BTreeMap<String, String>,
    pub sysctls: BTreeMap<String, String>,
    pub tty: bool,
    pub ulimits: Vec<Ulimit>,
    pub userns_mode: Option<String>,
    pub uts: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// In the guest, or a CDI name.
    pub source: String,
    pub target: String,
    /// Some of `rwm`.
    pub permissions: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    pub driver: Option<String>,
    pub options: BTreeMap<String, String>,
}

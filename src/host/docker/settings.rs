//! A container's [`Settings`] in the words of the engine.

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigLogConfig, ResourcesUlimits,
};

use crate::plan::Settings;

/// Fills in what is the settings' to say; the rest stays as it is.
pub fn apply(settings: &Settings, body: &mut ContainerCreateBody) {
    let s = settings;
    body.domainname = s.domainname.clone();
    body.open_stdin = Some(s.stdin_open);
    body.tty = Some(s.tty);
    let exposed = body.exposed_ports.get_or_insert_default();
    for port in &s.expose {
        if !exposed.contains(port) {
            exposed.push(port.clone());
        }
    }
    let host = body.host_config.get_or_insert_default();
    limits(s, host);
    let given = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let named = |map: &std::collections::BTreeMap<String, String>| {
        (!map.is_empty()).then(|| map.clone().into_iter().collect())
    };
    host.annotations = named(&s.annotations);
    host.cap_add = Some(s.cap_add.clone());
    host.cap_drop = Some(s.cap_drop.clone());
    host.cgroupns_mode = s.cgroup.as_deref().map(|mode| match mode {
        "host" => HostConfigCgroupnsModeEnum::HOST,
        _ => HostConfigCgroupnsModeEnum::PRIVATE,
    });
    host.cgroup_parent = s.cgroup_parent.clone();
    host.device_cgroup_rules = given(&s.device_cgroup_rules);
    let device = |device: &crate::plan::Device| DeviceMapping {
        path_on_host: Some(device.source.clone()),
        path_in_container: Some(device.target.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    };
    host.devices = Some(s.devices.iter().map(device).collect());
    host.dns = given(&s.dns);
    host.dns_options = given(&s.dns_opt);
    host.dns_search = given(&s.dns_search);
    host.group_add = given(&s.group_add);
    host.init = s.init;
    host.log_config = s.logging.as_ref().map(|logging| HostConfigLogConfig {
        typ: logging.driver.clone(),
        config: Some(logging.options.clone().into_iter().collect()),
    });
    host.oom_score_adj = s.oom_score_adj;
    host.privileged = Some(s.privileged);
    host.readonly_rootfs = Some(s.read_only);
    host.runtime = s.runtime.clone();
    host.security_opt = Some(s.security_opt.clone());
    host.storage_opt = named(&s.storage_opt);
    host.sysctls = named(&s.sysctls);
    host.userns_mode = s.userns_mode.clone();
    host.uts_mode = s.uts.clone();
}

fn limits(s: &Settings, host: &mut HostConfig) {
    host.cpu_period = s.cpu_period;
    host.cpu_quota = s.cpu_quota;
    host.cpu_realtime_period = s.cpu_rt_period;
    host.cpu_realtime_runtime = s.cpu_rt_runtime;
    host.cpu_shares = s.cpu_shares;
    host.nano_cpus = s.nano_cpus;
    host.cpuset_cpus = s.cpuset.clone();
    host.memory = s.mem_limit.map(|bytes| bytes as i64);
    host.memory_reservation = s.mem_reservation.map(|bytes| bytes as i64);
    host.memory_swappiness = s.mem_swappiness;
    host.memory_swap = s.memswap_limit;
    host.oom_kill_disable = s.oom_kill_disable.then_some(true);
    host.pids_limit = s.pids_limit;
    host.shm_size = s.shm_size.map(|bytes| bytes as i64);
    let limit = |limit: &crate::plan::Ulimit| ResourcesUlimits {
        name: Some(limit.name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    };
    host.ulimits = Some(s.ulimits.iter().map(limit).collect());
}

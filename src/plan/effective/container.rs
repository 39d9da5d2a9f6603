//! A container's keys as TOML; those that were not given and have no default stay out.

use std::collections::BTreeSet;

use super::settings::{by_name, list_or_nothing, put_settings};
use super::toml_text::{TomlText, duration, inline, text, texts};
use crate::plan::model::*;

/// `header` is the path of the table that the keys are put into.
pub fn put_container(
    out: &mut TomlText,
    header: &str,
    container: &Container,
    containers: &BTreeSet<&str>,
) {
    out.text("image", &container.image);
    // An empty one is not the same as none: it takes the image's away.
    out.optional(
        "command",
        container.command.as_ref().map(|command| texts(command)),
    );
    out.optional(
        "entrypoint",
        container
            .entrypoint
            .as_ref()
            .map(|entrypoint| texts(entrypoint)),
    );
    if !container.secrets.is_empty() {
        let secret = |(name, bytes): (&String, &usize)| (name.clone(), bytes.to_string());
        out.key("secrets", inline(container.secrets.iter().map(secret)));
    }
    let volumes: Vec<String> = container.volumes.iter().map(volume).collect();
    if !volumes.is_empty() {
        out.key(
            "volumes",
            format_args!("[\n    {},\n]", volumes.join(",\n    ")),
        );
    }
    out.texts("tmpfs", &container.tmpfs);
    let ports: Vec<String> = container.ports.iter().map(port).collect();
    out.texts("ports", &ports);
    out.optional_text("network_mode", container.network_mode.as_ref());
    if !container.networks.is_empty() {
        out.key(
            "networks",
            inline(container.networks.iter().map(attachment)),
        );
    }
    out.texts("extra_hosts", &container.extra_hosts);
    if !container.depends_on.is_empty() {
        let entry = |(name, condition): &(String, Condition)| {
            let condition = inline([("condition".to_owned(), text(condition_word(*condition)))]);
            (name.clone(), condition)
        };
        out.key("depends_on", inline(container.depends_on.iter().map(entry)));
    }
    if let Some(healthcheck) = &container.healthcheck {
        out.key("healthcheck", health(healthcheck));
    }
    out.optional_text("user", container.user.as_ref());
    out.optional_text("working_dir", container.working_dir.as_ref());
    out.optional_text("hostname", container.hostname.as_ref());
    out.optional_text("ipc", container.ipc.as_ref());
    out.optional_text("pid", container.pid.as_ref());
    let from = |from: &String| match from.split(':').next() {
        Some(name) if containers.contains(name) => from.clone(),
        _ => format!("container:{from}"),
    };
    let volumes_from: Vec<String> = container.volumes_from.iter().map(from).collect();
    out.texts("volumes_from", &volumes_from);
    put_settings(out, &container.settings);
    out.text("restart", &restart(container.restart));
    out.duration("stop_grace_period", container.stop_grace_period);
    out.optional_text("stop_signal", container.stop_signal.as_ref());
    out.variables(&format!("[{header}.environment]"), &container.environment);
    out.variables(&format!("[{header}.labels]"), &container.labels);
}

fn volume(volume: &Volume) -> String {
    let (kind, source) = match &volume.source {
        VolumeSource::Named(name) => ("volume", Some(name.clone())),
        VolumeSource::Bind(path) => ("bind", Some(path.to_string_lossy().into_owned())),
        VolumeSource::Anonymous => ("volume", None),
    };
    let mut keys = vec![("type".to_owned(), text(kind))];
    keys.extend(source.map(|source| ("source".to_owned(), text(&source))));
    keys.push(("target".to_owned(), text(&volume.target)));
    keys.push(("read_only".to_owned(), volume.read_only.to_string()));
    let bind = [
        ("propagation", &volume.propagation),
        ("selinux", &volume.selinux),
    ];
    let bind: Vec<_> = bind
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), text(value.as_ref()?))))
        .collect();
    let nocopy = volume
        .nocopy
        .then(|| ("nocopy".to_owned(), "true".to_owned()));
    let subpath = volume.subpath.as_ref();
    let subpath = subpath.map(|subpath| ("subpath".to_owned(), text(subpath)));
    let of_volume: Vec<_> = nocopy.into_iter().chain(subpath).collect();
    for (name, options) in [("bind", bind), ("volume", of_volume)] {
        if !options.is_empty() {
            keys.push((name.to_owned(), inline(options)));
        }
    }
    inline(keys)
}

fn attachment(attachment: &Attachment) -> (String, String) {
    let a = attachment;
    let address = |name: &str, value: &Option<String>| {
        let value = value.as_ref()?;
        Some((name.to_owned(), text(value)))
    };
    let mut keys = vec![("aliases".to_owned(), texts(&a.aliases))];
    keys.extend(address("ipv4_address", &a.ipv4_address));
    keys.extend(address("ipv6_address", &a.ipv6_address));
    keys.extend(list_or_nothing("link_local_ips", &a.link_local_ips));
    keys.extend(address("mac_address", &a.mac_address));
    if !a.driver_opts.is_empty() {
        keys.push(("driver_opts".to_owned(), by_name(&a.driver_opts)));
    }
    if a.priority != 0 {
        keys.push(("priority".to_owned(), a.priority.to_string()));
    }
    (a.network.clone(), inline(keys))
}

fn port(port: &Port) -> String {
    let ip = match &port.host_ip {
        Some(ip) if ip.contains(':') => format!("[{ip}]:"),
        Some(ip) => format!("{ip}:"),
        None => String::new(),
    };
    let published = match port.published {
        Some(published) => format!("{published}:"),
        None if ip.is_empty() => String::new(),
        None => ":".to_owned(),
    };
    format!("{ip}{published}{}/{}", port.target, port.protocol)
}

fn condition_word(condition: Condition) -> &'static str {
    match condition {
        Condition::Started => "service_started",
        Condition::Healthy => "service_healthy",
        Condition::CompletedSuccessfully => "service_completed_successfully",
    }
}

fn health(healthcheck: &Healthcheck) -> String {
    let mut keys = Vec::new();
    if !healthcheck.test.is_empty() {
        keys.push(("test".to_owned(), texts(&healthcheck.test)));
    }
    let durations = [
        ("interval", healthcheck.interval),
        ("timeout", healthcheck.timeout),
        ("start_period", healthcheck.start_period),
        ("start_interval", healthcheck.start_interval),
    ];
    for (name, value) in durations {
        keys.extend(value.map(|value| (name.to_owned(), duration(value))));
    }
    keys.extend(
        healthcheck
            .retries
            .map(|retries| ("retries".to_owned(), retries.to_string())),
    );
    inline(keys)
}

fn restart(restart: Restart) -> String {
    match restart {
        Restart::No => "no".to_owned(),
        Restart::Always => "always".to_owned(),
        Restart::UnlessStopped => "unless-stopped".to_owned(),
        Restart::OnFailure(None) => "on-failure".to_owned(),
        Restart::OnFailure(Some(times)) => format!("on-failure:{times}"),
    }
}

//! A container's keys as TOML; those that were not given and have no default stay out.

use super::toml_text::{TomlText, duration, inline, text, texts};
use crate::plan::model::*;

/// `header` is the path of the table that the keys are put into.
pub fn put_container(out: &mut TomlText, header: &str, container: &Container) {
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
        let network = |(name, aliases): &(String, Vec<String>)| {
            let aliases = inline([("aliases".to_owned(), texts(aliases))]);
            (name.clone(), aliases)
        };
        out.key("networks", inline(container.networks.iter().map(network)));
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
    out.optional("shm_size", container.shm_size);
    out.optional("mem_limit", container.mem_limit);
    if !container.ulimits.is_empty() {
        let limit = |limit: &Ulimit| {
            let numbers = [("soft", limit.soft), ("hard", limit.hard)];
            let numbers = numbers.map(|(name, number)| (name.to_owned(), number.to_string()));
            (limit.name.clone(), inline(numbers))
        };
        out.key("ulimits", inline(container.ulimits.iter().map(limit)));
    }
    out.optional_text("user", container.user.as_ref());
    out.optional_text("working_dir", container.working_dir.as_ref());
    out.optional_text("hostname", container.hostname.as_ref());
    out.key("privileged", container.privileged);
    out.key("read_only", container.read_only);
    out.optional("init", container.init);
    out.texts("cap_add", &container.cap_add);
    out.texts("cap_drop", &container.cap_drop);
    out.texts("security_opt", &container.security_opt);
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
    if let Some(propagation) = &volume.propagation {
        let bind = inline([("propagation".to_owned(), text(propagation))]);
        keys.push(("bind".to_owned(), bind));
    }
    inline(keys)
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

//! The plan becomes text again: what `guestbake check` shows, with every default filled in, env files merged and
//! secrets masked. It is a plan itself, except for the secrets.

mod container;
mod resources;
mod settings;
mod toml_text;

use std::collections::BTreeSet;

use super::model::*;
use super::secrets::is_secret_header;
use container::put_container;
use toml_text::{TomlText, inline, text, texts, variable};
pub(super) use toml_text::{text as quoted, texts as words};

impl Plan {
    /// The effective plan as TOML. No secret is in it.
    pub fn effective(&self) -> String {
        let mut out = TomlText::new(self.masker());
        for note in &self.notes {
            out.comment(note);
        }
        out.header("[run]");
        out.duration("timeout", self.run.timeout);
        out.header("[bundle]");
        out.text("label", &self.bundle.label);
        out.duration("timeout", self.bundle.timeout);
        out.header("[engine]");
        out.duration("timeout", self.engine.timeout);
        out.header("[images]");
        let archive = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
        let archives: Vec<String> = self.images.archives.iter().map(archive).collect();
        out.key("archives", texts(&archives));
        out.key("require", texts(&self.images.require));
        out.duration("timeout", self.images.timeout);
        resources::put(&mut out, self);
        let containers = self.containers.iter().map(|c| c.name.as_str());
        let containers: BTreeSet<&str> = containers.collect();
        for container in &self.containers {
            let header = format!("containers.{}", toml_text::key(&container.name));
            out.header(&format!("[{header}]"));
            put_container(&mut out, &header, container, &containers);
        }
        out.header("[wait]");
        out.duration("timeout", self.wait.timeout);
        out.duration("heartbeat", self.wait.heartbeat);
        for service in &self.wait.services {
            out.header("[[wait.services]]");
            put_service(&mut out, service);
        }
        for migration in &self.migrations {
            put_migration(&mut out, migration, &containers);
        }
        if let Some(smoke) = &self.smoke {
            put_smoke(&mut out, smoke, &containers);
        }
        out.header("[finish]");
        let power_off = match self.finish.power_off {
            PowerOff::Always => "always",
            PowerOff::OnFailure => "on-failure",
            PowerOff::Never => "never",
        };
        out.text("power_off", power_off);
        out.key("capture", self.finish.capture);
        out.duration("timeout", self.finish.timeout);
        out.key("prune", self.finish.prune);
        out.key("logs", self.finish.logs);
        out.key("zero", self.finish.zero);
        out.key("trim", self.finish.trim);
        out.key("golden", self.finish.golden);
        out.finish()
    }
}

fn put_service(out: &mut TomlText, service: &Service) {
    out.text("name", &service.name);
    out.optional_text("container", service.container.as_ref());
    match &service.probe {
        Probe::Tcp { host, port, .. } if host.contains(':') => {
            out.text("tcp", &format!("[{host}]:{port}"))
        }
        Probe::Tcp { host, port, .. } => out.text("tcp", &format!("{host}:{port}")),
        Probe::Unix(path) => out.text("tcp", &format!("unix://{}", path.display())),
        Probe::Http(http) => put_http(out, http),
        Probe::Exec {
            command,
            user,
            fatal_exit_codes,
        } => {
            out.key("exec", texts(command));
            out.optional_text("user", user.as_ref());
            out.key("fatal_exit_codes", format_args!("{fatal_exit_codes:?}"));
        }
        Probe::Log(pattern) => out.text("log", pattern.as_str()),
        Probe::Healthy => out.key("healthy", true),
        Probe::Completed => out.key("completed", true),
        Probe::Up => out.key("up", true),
    }
    if matches!(
        service.probe,
        Probe::Tcp { .. } | Probe::Unix(_) | Probe::Http(_) | Probe::Exec { .. }
    ) {
        match service.stable {
            Stable::Answers(answers) => out.key("stable", answers),
            Stable::For(time) => out.duration("stable", time),
        }
        match service.attempt_timeout {
            Some(timeout) => out.duration("timeout", timeout),
            None => out.comment("timeout of an attempt: grows with the time waited"),
        }
    }
    // Without a container there is nothing to restart.
    if service.container.is_some() {
        out.key("restarts", service.restarts);
    }
}

fn put_http(out: &mut TomlText, http: &HttpProbe) {
    out.text("http", &http.address.to_string());
    out.text("method", &http.method);
    if !http.headers.is_empty() {
        let header = |(name, value): &(String, String)| {
            (name.clone(), variable(name, value, is_secret_header))
        };
        out.key("headers", inline(http.headers.iter().map(header)));
    }
    match http.status[..] {
        [] => out.key("status", "[] # any 2xx"),
        _ => out.key("status", format_args!("{:?}", http.status)),
    }
    out.optional("body", http.body.as_ref().map(|body| text(body.as_str())));
    out.key("insecure", http.insecure);
    out.optional_text("ca_file", http.ca.as_ref().map(|ca| &ca.name));
}

fn put_migration(out: &mut TomlText, migration: &Migration, containers: &BTreeSet<&str>) {
    out.header("[[migrations]]");
    out.text("name", &migration.name);
    out.duration("timeout", migration.timeout);
    match &migration.target {
        MigrationTarget::OneShot(container) => {
            out.text("container_name", &container.name);
            put_container(out, "migrations", container, containers);
        }
        MigrationTarget::Exec {
            container,
            command,
            working_dir,
            user,
            environment,
        } => {
            out.text("container", container);
            out.key("command", texts(command));
            out.optional_text("working_dir", working_dir.as_ref());
            out.optional_text("user", user.as_ref());
            out.variables("[migrations.environment]", environment);
        }
    }
}

fn put_smoke(out: &mut TomlText, smoke: &Smoke, containers: &BTreeSet<&str>) {
    out.header("[smoke]");
    let when = match smoke.when {
        SmokeWhen::UnlessTcg => "unless-tcg",
        SmokeWhen::Always => "always",
        SmokeWhen::Never => "never",
    };
    out.text("when", when);
    out.duration("timeout", smoke.timeout);
    out.key("stop", texts(&smoke.stop));
    if let Some(container) = &smoke.container {
        out.header("[smoke.container]");
        out.text("container_name", &container.name);
        put_container(out, "smoke.container", container, containers);
    }
    for check in &smoke.checks {
        out.header("[[smoke.checks]]");
        put_service(out, check);
    }
}

//! `plan from-compose`: what Compose files say becomes the text of a plan to start from.

use std::fmt::Write as _;
use std::sync::LazyLock;

use super::compose::DEFAULT_PROJECT;
use super::effective::{quoted, words};
use super::model::*;

/// How to tell that a well-known image is ready.
static KNOWN_IMAGES: LazyLock<toml::Table> = LazyLock::new(|| {
    let text = include_str!("../../config/known-images.toml");
    text.parse().expect("the file is part of the program")
});

/// What the text begins with: where its containers come from.
pub struct Origin<'a> {
    /// Compose files, relative to the bundle.
    pub files: &'a [String],
    /// Instead of `.env` beside the first of them, if there are any.
    pub env_files: &'a [String],
    pub profiles: &'a [String],
    /// The project's name, unless the files say it.
    pub project: Option<&'a str>,
    /// The bundle has its images under this name; else it is left to be filled in.
    pub archive: Option<&'a str>,
}

impl Origin<'_> {
    /// The part of the plan that says so, and a plan by itself.
    pub fn toml(&self) -> String {
        let mut text = format!("[compose]\nfiles = {}\n", words(self.files));
        if !self.env_files.is_empty() {
            writeln!(text, "env_file = {}", words(self.env_files)).expect("a String");
        }
        if !self.profiles.is_empty() {
            writeln!(text, "profiles = {}", words(self.profiles)).expect("a String");
        }
        if let Some(project) = self.project {
            writeln!(text, "project = {}", quoted(project)).expect("a String");
        }
        text
    }
}

impl Plan {
    /// Nothing has named the project of its Compose files.
    pub fn takes_default_project(&self) -> bool {
        let project = |container: &Container| {
            let name = container.labels.get("com.docker.compose.project");
            name.is_some_and(|name| name == DEFAULT_PROJECT)
        };
        self.containers.iter().any(project)
    }

    /// A commented plan for these containers, which `check` takes as it is.
    pub fn starting(&self, origin: &Origin<'_>) -> String {
        let mut text = String::new();
        text += "# A plan to start from, made of a Compose file. `guestbake check` shows what it comes to.\n\n";
        text += &origin.toml();
        text += "\n[images]\n";
        match origin.archive {
            Some(archive) => {
                text += &format!("archives = [{}]\n", quoted(archive));
            }
            None => {
                text += "# Name the archives of the bundle; nothing is pulled.\n# archives = [\"images.tar.zst\"]\n"
            }
        }
        let mut images: Vec<String> = self.all_containers().map(|c| c.image.clone()).collect();
        images.sort();
        images.dedup();
        text += &format!("require = {}\n", words(&images));
        text += "\n[wait]\ntimeout = \"1500s\"           # for all services together\n";
        text += "\n# Proposed from health checks, known images and ports. Without any of these, each service is waited for as\n\
                 # `docker compose up --wait` does. Also: http = \"URL\", exec = [\"…\"], log = \"REGEX\", stable = \"3s\".\n";
        for service in &self.wait.services {
            self.propose(service, &mut text);
        }
        text + MIGRATIONS_AND_SMOKE
    }

    fn propose(&self, service: &Service, text: &mut String) {
        let name = service.container.as_deref().unwrap_or(&service.name);
        let key = &service.name;
        writeln!(
            text,
            "\n[[wait.services]]\nname = {0}\ncontainer = {0}",
            quoted(key)
        )
        .expect("a String");
        let container = self
            .containers
            .iter()
            .find(|container| container.name == name);
        let probe = match (&service.probe, container) {
            (Probe::Completed, _) => "completed = true\n".to_owned(),
            (_, Some(container)) => proposed(container),
            (_, None) => UP.to_owned(),
        };
        *text += &probe;
    }
}

const UP: &str = "up = true                   # healthy if the image has a health check, else running for a short while\n";

fn proposed(container: &Container) -> String {
    let test = container
        .healthcheck
        .as_ref()
        .and_then(|health| health.test.first());
    if test.is_some_and(|test| test != "NONE") {
        return "healthy = true\n".to_owned();
    }
    let image = container.image.split('@').next().unwrap_or_default();
    let image = image.rsplit('/').next().unwrap_or_default();
    let name = image.split(':').next().unwrap_or_default();
    let known = KNOWN_IMAGES.get(name);
    let known = known.filter(|known| is_server(container, name, known));
    if let Some(exec) = known.and_then(|known| known.get("exec")) {
        return format!("exec = {exec}\n");
    }
    let port = known.and_then(|known| known.get("port")?.as_integer());
    let path = known.and_then(|known| known.get("http")?.as_str());
    match address(container, port) {
        Some(address) => match path {
            Some(path) => {
                let status = known.and_then(|known| known.get("status"));
                let status = status.map(|status| format!("status = {status}\n"));
                let url = quoted(&format!("http://{address}{path}"));
                format!("http = {url}\n{}", status.unwrap_or_default())
            }
            None => format!("tcp = {}\n", quoted(&address)),
        },
        None => UP.to_owned(),
    }
}

/// It runs what its image is known for: another command may do anything, once or for good.
fn is_server(container: &Container, image: &str, known: &toml::Value) -> bool {
    let servers = known.get("server").and_then(toml::Value::as_array);
    let mut servers = servers.into_iter().flatten();
    let command = container.command.iter().flatten().next();
    let command = command.and_then(|command| command.rsplit('/').next());
    container.entrypoint.is_none()
        && command.is_none_or(|command| {
            let is_named = servers.any(|server| server.as_str() == Some(command));
            command.starts_with('-') || command == image || is_named
        })
}

/// Where the guest reaches the container's port, or that of its ports which is published first.
fn address(container: &Container, port: Option<i64>) -> Option<String> {
    if container.network_mode.as_deref() == Some("host") {
        return port.map(|port| format!("127.0.0.1:{port}"));
    }
    let published = |wanted: &Port| {
        let is_it = port.is_none_or(|port| port == i64::from(wanted.target));
        let number = wanted
            .published
            .filter(|_| is_it && wanted.protocol == "tcp")?;
        let ip = match wanted.host_ip.as_deref() {
            None | Some("0.0.0.0" | "::") => "127.0.0.1".to_owned(),
            Some(ip) if ip.contains(':') => format!("[{ip}]"),
            Some(ip) => ip.to_owned(),
        };
        Some(format!("{ip}:{number}"))
    };
    container.ports.iter().find_map(published)
}

const MIGRATIONS_AND_SMOKE: &str = r#"
# Commands that run once all are ready, in this order; each must exit with 0.
# [[migrations]]
# name = "schema"
# container = "SERVICE"                # in a running one; or image = "…" and networks = ["default"]: a container of its own
# command = ["…"]
# timeout = "20m"

# Does the result work? Left out in an emulated guest, where an application may take longer than any sensible limit.
# [smoke]
# when = "unless-tcg"                  # or "always", "never"
# timeout = "300s"
# [[smoke.checks]]
# name = "application"
# http = "http://127.0.0.1:8080/health"

[finish]
power_off = "always"        # or "on-failure", "never"
# For a small image, and for one that is to become many machines:
# prune = true
# trim = true
# golden = true
"#;

//! The same Compose files, read here and by Docker Compose itself (`config`): both must come to the same.
//!
//! Docker Compose comes from Debian's packages (tests/compose_peer.sh), without being installed; where it cannot be had,
//! that is said and the comparison left out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use guestbake::plan::{
    self, BundleFiles, Condition, Container, Environment, Plan, Restart, Source, VolumeSource,
};
use serde_json::{Value, json};

/// Where the plan says relative paths are; the peer has them in the folder.
const GUEST: &str = "/var/lib/guestbake/files";

struct Folder(PathBuf);

impl BundleFiles for Folder {
    fn exists(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }
}

fn peer() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compose_peer.sh");
    let output = Command::new("bash").arg(script).output().expect("bash");
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() {
        println!(
            "skipped: no Docker Compose to compare with: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        return None;
    }
    Some(path.into())
}

/// The one with a usual name, and those over it whose names begin with `over`.
fn compose_files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).expect("a folder of a case");
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_usual = |name: &String| {
        let name = name.trim_start_matches("docker-");
        name == "compose.yaml" || name == "compose.yml"
    };
    let (main, mut over): (Vec<String>, Vec<String>) = names
        .filter(|name| is_usual(name) || name.starts_with("over"))
        .partition(is_usual);
    over.sort();
    main.into_iter().chain(over).collect()
}

fn of_peer(peer: &Path, folder: &Path, files: &[String]) -> Value {
    let mut command = Command::new(peer);
    command
        .env_clear()
        .env("HOME", "/root")
        .env("PWD", folder)
        .args(["--project-name", "compared", "--profile", "on"])
        .current_dir(folder);
    for file in files {
        command.args(["--file", file]);
    }
    let output = command
        .args(["config", "--format", "json"])
        .output()
        .expect("the peer");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", folder.display());
    // What it prints is a Compose file again, with its dollars doubled.
    let text = String::from_utf8_lossy(&output.stdout).replace("$$", "$");
    serde_json::from_str(&text).expect("JSON")
}

fn of_plan(folder: &Path, files: &[String]) -> Plan {
    let toml = format!("[compose]\nfiles = {files:?}\nproject = 'compared'\nprofiles = ['on']\n");
    let source = Source {
        name: "plan",
        bytes: toml.as_bytes(),
    };
    let environment = Environment::from_iter([("HOME", "/root")]);
    match plan::parse(&source, &Folder(folder.to_owned()), &environment) {
        Ok(plans) => plans.native,
        Err(errors) => panic!("{}:\n{errors}", folder.display()),
    }
}

/// A container in the words of `docker compose config`.
fn container(container: &Container, plan: &Plan) -> Value {
    let c = container;
    let environment: BTreeMap<_, _> = c.environment.iter().collect();
    let labels: BTreeMap<_, _> = c
        .labels
        .iter()
        .filter(|(name, _)| !name.starts_with("com.docker.compose."))
        .collect();
    let mut ports: Vec<String> = c
        .ports
        .iter()
        .map(|p| {
            let published = p.published.map(|port| port.to_string()).unwrap_or_default();
            let ip = p.host_ip.clone().unwrap_or_default();
            format!("{ip} {published} {} {}", p.target, p.protocol)
        })
        .collect();
    ports.sort();
    let mut volumes: Vec<String> = c
        .volumes
        .iter()
        .map(|v| {
            let (kind, source) = match &v.source {
                VolumeSource::Named(name) => ("volume", name.clone()),
                VolumeSource::Bind(path) => ("bind", path.to_string_lossy().into_owned()),
                VolumeSource::Anonymous => ("volume", String::new()),
            };
            format!("{kind} {source} {} {}", v.target, v.read_only)
        })
        .collect();
    volumes.sort();
    let mut networks: Vec<String> = c
        .networks
        .iter()
        .map(|n| {
            let own = |alias: &&String| **alias != c.labels["com.docker.compose.service"];
            let aliases: Vec<&String> = n.aliases.iter().filter(own).collect();
            format!("{} {aliases:?} {:?}", n.network, n.ipv4_address)
        })
        .collect();
    networks.sort();
    let mut depends_on: Vec<String> = c
        .depends_on
        .iter()
        .map(|(name, condition)| {
            let condition = match condition {
                Condition::Started => "service_started",
                Condition::Healthy => "service_healthy",
                Condition::CompletedSuccessfully => "service_completed_successfully",
            };
            let on = plan.containers.iter().find(|other| other.name == *name);
            let name = &on.expect("a container").labels["com.docker.compose.service"];
            format!("{name} {condition}")
        })
        .collect();
    depends_on.sort();
    let health = c.healthcheck.as_ref().map(|h| {
        let disabled = h.test.first().is_some_and(|word| word == "NONE");
        json!({
            "test": if disabled { vec![] } else { h.test.clone() },
            "interval_s": h.interval.map(|d| d.as_secs_f64()),
            "retries": h.retries,
            "disable": disabled,
        })
    });
    let restart = match c.restart {
        Restart::No => "no".to_owned(),
        Restart::Always => "always".to_owned(),
        Restart::UnlessStopped => "unless-stopped".to_owned(),
        Restart::OnFailure(None) => "on-failure".to_owned(),
        Restart::OnFailure(Some(n)) => format!("on-failure:{n}"),
    };
    let limits: BTreeMap<&str, [i64; 2]> = c
        .settings
        .ulimits
        .iter()
        .map(|limit| (limit.name.as_str(), [limit.soft, limit.hard]))
        .collect();
    json!({
        "image": c.image,
        "command": c.command,
        "entrypoint": c.entrypoint,
        "environment": environment,
        "labels": labels,
        "ports": ports,
        "volumes": volumes,
        "networks": networks,
        "depends_on": depends_on,
        "healthcheck": health,
        "restart": restart,
        "ulimits": limits,
        "mem_limit": c.settings.mem_limit.unwrap_or(0),
        "cap_add": c.settings.cap_add,
        "dns": c.settings.dns,
        "tmpfs": c.tmpfs,
        "privileged": c.settings.privileged,
        "user": c.user,
        "working_dir": c.working_dir,
        "hostname": c.hostname,
        "sysctls": c.settings.sysctls,
        "extra_hosts": sorted(c.extra_hosts.iter().map(|host| host.replacen(':', "=", 1)).collect()),
        "logging": c.settings.logging.as_ref().map(|l| json!({"driver": l.driver, "options": l.options})),
    })
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().into_iter().flatten().collect()
}

fn table(value: &Value) -> BTreeMap<String, &Value> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), value)).collect()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let entries = table(value)
        .into_iter()
        .filter(|(_, value)| !value.is_null());
    entries.map(|(name, value)| (name, text(value))).collect()
}

/// What the peer says of a service, in the same form.
fn service(key: &str, whole: &Value, folder: &str) -> Value {
    let s = &whole["services"][key];
    // `docker compose build` names it so, and `config` leaves the name out.
    let image = s["image"].as_str().map(str::to_owned);
    let image = image.unwrap_or_else(|| format!("compared-{key}"));
    // No archive keeps it.
    let image = image.split('@').next();
    let ports = list(&s["ports"]).into_iter().map(|p| {
        format!(
            "{} {} {} {}",
            text(&p["host_ip"]),
            text(&p["published"]),
            p["target"],
            text(&p["protocol"])
        )
    });
    let mut tmpfs: Vec<String> = list(&s["tmpfs"]).into_iter().map(text).collect();
    let mut volumes = Vec::new();
    for volume in list(&s["volumes"]) {
        if volume["type"] == "tmpfs" {
            let size = text(&volume["tmpfs"]["size"]);
            tmpfs.push(format!("{}:size={size}", text(&volume["target"])));
            continue;
        }
        let source = text(&volume["source"]);
        let source = match volume["type"].as_str() {
            Some("volume") if !source.is_empty() => text(&whole["volumes"][&source]["name"]),
            _ => source.replacen(folder, GUEST, 1),
        };
        let read_only = volume["read_only"].as_bool().unwrap_or_default();
        // A path has one name here, by which an override finds it.
        let target = text(&volume["target"]);
        let target = target.trim_end_matches('/');
        let kind = text(&volume["type"]);
        volumes.push(format!("{kind} {source} {target} {read_only}"));
    }
    for (kind, base) in [("secrets", "/run/secrets/"), ("configs", "/")] {
        for reference in list(&s[kind]) {
            let source = text(&reference["source"]);
            let target = match text(&reference["target"]) {
                target if target.is_empty() => format!("{base}{source}"),
                target if target.starts_with('/') => target,
                target => format!("{base}{target}"),
            };
            let file = text(&whole[kind][&source]["file"]).replacen(folder, GUEST, 1);
            volumes.push(format!("bind {file} {target} true"));
        }
    }
    let networks = table(&s["networks"]).into_iter().map(|(key, network)| {
        let aliases: Vec<String> = list(&network["aliases"]).into_iter().map(text).collect();
        let address = network["ipv4_address"].as_str();
        format!(
            "{} {aliases:?} {address:?}",
            text(&whole["networks"][&key]["name"])
        )
    });
    let depends_on = table(&s["depends_on"])
        .into_iter()
        .map(|(name, on)| format!("{name} {}", text(&on["condition"])));
    let health = s["healthcheck"].as_object().map(|h| {
        let interval = h.get("interval").and_then(Value::as_str);
        let interval = interval.map(|d| {
            humantime::parse_duration(d)
                .expect("a duration")
                .as_secs_f64()
        });
        json!({
            "test": list(h.get("test").unwrap_or(&Value::Null)),
            "interval_s": interval,
            "retries": h.get("retries"),
            "disable": h.get("disable").is_some_and(|d| d == true),
        })
    });
    let limits: BTreeMap<String, [i64; 2]> = table(&s["ulimits"])
        .into_iter()
        .map(|(name, limit)| match limit.as_i64() {
            Some(both) => (name, [both, both]),
            None => (
                name,
                [
                    limit["soft"].as_i64().unwrap(),
                    limit["hard"].as_i64().unwrap(),
                ],
            ),
        })
        .collect();
    let restart = match text(&s["restart"]) {
        restart if restart.is_empty() => "no".to_owned(),
        restart => restart,
    };
    let memory = text(&s["mem_limit"]).parse::<u64>().unwrap_or(0);
    let limit = text(&s["deploy"]["resources"]["limits"]["memory"])
        .parse::<u64>()
        .unwrap_or(0);
    let empty = |value: &Value| {
        if value.is_null() {
            json!([])
        } else {
            value.clone()
        }
    };
    json!({
        "image": image,
        "command": s["command"],
        "entrypoint": s["entrypoint"],
        "environment": texts(&s["environment"]),
        "labels": texts(&s["labels"]),
        "ports": sorted(ports.collect()),
        "volumes": sorted(volumes),
        "networks": sorted(networks.collect()),
        "depends_on": sorted(depends_on.collect()),
        "healthcheck": health,
        "restart": restart,
        "ulimits": limits,
        "mem_limit": memory.max(limit),
        "cap_add": empty(&s["cap_add"]),
        "dns": empty(&s["dns"]),
        "tmpfs": tmpfs,
        "privileged": s["privileged"] == true,
        "user": s["user"],
        "working_dir": s["working_dir"],
        "hostname": s["hostname"],
        "sysctls": texts(&s["sysctls"]),
        "extra_hosts": sorted(list(&s["extra_hosts"]).into_iter().map(text).collect()),
        "logging": s["logging"].as_object().map(|l| json!({"driver": l.get("driver"), "options": texts(l.get("options").unwrap_or(&Value::Null))})),
    })
}

#[test]
fn both_come_to_the_same() {
    let Some(peer) = peer() else { return };
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose");
    let (mut compared, mut different) = (0, Vec::new());
    let folders = ["cases", "stacks"].map(|kind| fs::read_dir(top.join(kind)).expect("the cases"));
    for case in folders.into_iter().flatten() {
        let folder = case.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let files = compose_files(&folder);
        let theirs = of_peer(&peer, &folder, &files);
        let plan = of_plan(&folder, &files);
        let services = table(&theirs["services"]);
        let ours: Vec<&str> = plan.containers.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(services.len(), ours.len(), "{name}: {ours:?}");
        for c in &plan.containers {
            let key = c.labels["com.docker.compose.service"].as_str();
            let expected = service(key, &theirs, &folder.to_string_lossy());
            let found = container(c, &plan);
            for (what, expected) in table(&expected) {
                if &found[&what] != expected {
                    let found = &found[&what];
                    different.push(format!("{name}: {key}: {what}: {found}, not {expected}"));
                }
                compared += 1;
            }
        }
        let volumes: Vec<&str> = plan
            .volumes
            .iter()
            .map(|volume| volume.name.as_str())
            .collect();
        let expected = table(&theirs["volumes"]);
        assert_eq!(
            sorted(volumes.iter().map(|&name| name.to_owned()).collect()),
            sorted(
                expected
                    .values()
                    .map(|volume| text(&volume["name"]))
                    .collect()
            ),
            "{name}"
        );
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(compared > 100, "only {compared} values were compared");
    println!("{compared} values are the same");
}

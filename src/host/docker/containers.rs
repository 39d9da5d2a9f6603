use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, HealthConfig,
    HealthStatusEnum, HostConfig, Mount, MountType, MountVolumeOptions, PortBinding, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use serde_json::{Value, json};

use super::{CHANGE_LIMIT, DockerEngine, QUERY_LIMIT, bounded, if_found, networks, settings};
use crate::host::engine::{ContainerFacts, Containers, EngineResult, Health};
use crate::plan::{
    Container, Healthcheck, NamedVolume, Network, Port, Restart, Volume, VolumeSource,
};

#[async_trait]
impl Containers for DockerEngine {
    async fn create(&self, container: &Container) -> EngineResult<()> {
        self.remove(&container.name).await?;
        let options = CreateContainerOptionsBuilder::default().name(&container.name);
        let options = match &container.settings.platform {
            Some(platform) => options.platform(platform),
            None => options,
        };
        let options = options.build();
        let request = self
            .docker
            .create_container(Some(options), create_body(container));
        bounded(CHANGE_LIMIT, request).await?;
        // Engines before API 1.44 take one network at creation and the others only afterwards.
        for attachment in container.networks.iter().skip(1) {
            let request = bollard::models::NetworkConnectRequest {
                container: container.name.clone(),
                endpoint_config: Some(networks::endpoint(&container.name, attachment)),
            };
            let network = &attachment.network;
            bounded(CHANGE_LIMIT, self.docker.connect_network(network, request)).await?;
        }
        Ok(())
    }

    async fn start(&self, name: &str) -> EngineResult<()> {
        bounded(CHANGE_LIMIT, self.docker.start_container(name, None)).await
    }

    async fn stop(&self, name: &str, grace: Duration) -> EngineResult<()> {
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let request = self.docker.stop_container(name, Some(options));
        bounded(grace + CHANGE_LIMIT, request).await
    }

    async fn remove(&self, name: &str) -> EngineResult<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        let request = self.docker.remove_container(name, Some(options));
        if_found(bounded(CHANGE_LIMIT, request).await).map(|_| ())
    }

    async fn ensure_network(&self, network: &Network) -> EngineResult<()> {
        networks::ensure_network(self, network).await
    }

    async fn ensure_volume(&self, volume: &NamedVolume) -> EngineResult<()> {
        networks::ensure_volume(self, volume).await
    }

    async fn container(&self, name: &str) -> EngineResult<Option<ContainerFacts>> {
        let asked = async {
            match self.docker.inspect_container(name, None).await {
                Err(Error::JsonDataError {
                    contents,
                    message,
                    column,
                }) => {
                    let unread = || Error::JsonDataError {
                        contents: String::new(),
                        message,
                        column,
                    };
                    in_docker_s_words(&contents).ok_or_else(unread)
                }
                answer => answer,
            }
        };
        Ok(if_found(bounded(QUERY_LIMIT, asked).await)?.map(facts))
    }
}

fn create_body(container: &Container) -> ContainerCreateBody {
    let c = container;
    let mut exposed = Vec::new();
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &c.ports {
        let key = format!("{}/{}", port.target, port.protocol);
        exposed.push(key.clone());
        bindings
            .entry(key)
            .or_default()
            .get_or_insert_default()
            .push(binding(port));
    }
    let anonymous = c
        .volumes
        .iter()
        .filter(|volume| volume.source == VolumeSource::Anonymous)
        .map(|volume| volume.target.clone())
        .collect();
    let mut body = ContainerCreateBody {
        image: Some(c.image.clone()),
        cmd: c.command.clone(),
        entrypoint: c.entrypoint.clone(),
        env: Some(
            c.environment
                .iter()
                .map(|(k, v)| format!("{k}={v}"))
                .collect(),
        ),
        exposed_ports: Some(exposed),
        volumes: Some(anonymous),
        healthcheck: c.healthcheck.as_ref().map(health_config),
        hostname: c.hostname.clone(),
        labels: Some(c.labels.clone().into_iter().collect()),
        stop_signal: c.stop_signal.clone(),
        stop_timeout: Some(c.stop_grace_period.as_secs() as i64),
        user: c.user.clone(),
        working_dir: c.working_dir.clone(),
        networking_config: networks::at_creation(c),
        host_config: Some(HostConfig {
            binds: Some(c.volumes.iter().filter_map(bind).collect()),
            port_bindings: Some(bindings),
            network_mode: c
                .network_mode
                .clone()
                .or_else(|| c.networks.first().map(|a| a.network.clone())),
            extra_hosts: Some(c.extra_hosts.clone()),
            tmpfs: Some(c.tmpfs.iter().map(|mount| tmpfs(mount)).collect()),
            mounts: Some(c.volumes.iter().filter_map(mount).collect()),
            ipc_mode: c.ipc.clone(),
            pid_mode: c.pid.clone(),
            volumes_from: (!c.volumes_from.is_empty()).then(|| c.volumes_from.clone()),
            restart_policy: Some(restart_policy(c.restart)),
            // Never: the logs of a container that died are the evidence.
            auto_remove: Some(false),
            ..Default::default()
        }),
        ..Default::default()
    };
    settings::apply(&c.settings, &mut body);
    body
}

fn binding(port: &Port) -> PortBinding {
    PortBinding {
        host_ip: port.host_ip.clone(),
        host_port: port.published.map(|number| number.to_string()),
    }
}

/// The engine's `SOURCE:TARGET:OPTIONS`; as with Compose's short syntax a missing source is created.
fn bind(volume: &Volume) -> Option<String> {
    let source = match &volume.source {
        VolumeSource::Named(name) if volume.subpath.is_none() => name.clone(),
        VolumeSource::Bind(path) => path.display().to_string(),
        VolumeSource::Named(_) | VolumeSource::Anonymous => return None,
    };
    let mut options: Vec<&str> = Vec::new();
    if volume.read_only {
        options.push("ro");
    }
    options.extend(volume.propagation.as_deref());
    options.extend(volume.selinux.as_deref());
    if volume.nocopy {
        options.push("nocopy");
    }
    let suffix = if options.is_empty() {
        String::new()
    } else {
        format!(":{}", options.join(","))
    };
    Some(format!("{source}:{}{suffix}", volume.target))
}

/// What `SOURCE:TARGET` cannot say: a part of a volume.
fn mount(volume: &Volume) -> Option<Mount> {
    let (VolumeSource::Named(name), Some(_)) = (&volume.source, &volume.subpath) else {
        return None;
    };
    Some(Mount {
        target: Some(volume.target.clone()),
        source: Some(name.clone()),
        typ: Some(MountType::VOLUME),
        read_only: Some(volume.read_only),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(volume.nocopy),
            subpath: volume.subpath.clone(),
            ..Default::default()
        }),
        ..Default::default()
    })
}

fn tmpfs(mount: &str) -> (String, String) {
    let (path, options) = mount.split_once(':').unwrap_or((mount, ""));
    (path.to_owned(), options.to_owned())
}

fn health_config(check: &Healthcheck) -> HealthConfig {
    let nanoseconds = |d: Option<Duration>| d.map(|d| d.as_nanos() as i64);
    HealthConfig {
        test: Some(check.test.clone()),
        interval: nanoseconds(check.interval),
        timeout: nanoseconds(check.timeout),
        retries: check.retries.map(i64::from),
        start_period: nanoseconds(check.start_period),
        start_interval: nanoseconds(check.start_interval),
    }
}

fn restart_policy(restart: Restart) -> RestartPolicy {
    let (name, most) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure(most) => (RestartPolicyNameEnum::ON_FAILURE, most),
    };
    RestartPolicy {
        name: Some(name),
        maximum_retry_count: most.map(i64::from),
    }
}

/// Podman's answer where Docker's client cannot read it: it has states of its own between Docker's. Of the rest, only what
/// is needed has to be readable.
fn in_docker_s_words(answer: &str) -> Option<ContainerInspectResponse> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let mut state = answer["State"].clone();
    let status = match state["Status"].as_str()? {
        "configured" | "initialized" => "created",
        // Ended, and not yet cleaned up after, which is when it may be started again.
        "stopped" if starts_again(&answer) => "restarting",
        "stopped" => "exited",
        "unknown" | "improper" => "dead",
        known => known,
    };
    state["Status"] = status.into();
    let needed = json!({
        "State": state,
        "Config": {"Env": answer["Config"]["Env"]},
        "RestartCount": answer["RestartCount"],
    });
    serde_json::from_value(needed).ok()
}

fn starts_again(answer: &Value) -> bool {
    let policy = &answer["HostConfig"]["RestartPolicy"];
    let most = policy["MaximumRetryCount"]
        .as_u64()
        .filter(|most| *most > 0);
    match policy["Name"].as_str() {
        Some("always" | "unless-stopped") => true,
        Some("on-failure") => {
            answer["State"]["ExitCode"].as_i64() != Some(0)
                && most.is_none_or(|most| answer["RestartCount"].as_u64() < Some(most))
        }
        _ => false,
    }
}

fn facts(answer: ContainerInspectResponse) -> ContainerFacts {
    let restarts = answer.restart_count.unwrap_or_default();
    let environment = answer
        .config
        .and_then(|config| config.env)
        .unwrap_or_default();
    let Some(state) = answer.state else {
        return ContainerFacts::default();
    };
    let health = state.health.unwrap_or_default();
    let running = state.running.unwrap_or_default();
    // The engines write 0 when they start a container.
    let exit_code = state.exit_code.filter(|code| !running || *code != 0);
    ContainerFacts {
        status: state
            .status
            .unwrap_or(ContainerStateStatusEnum::EMPTY)
            .to_string(),
        running,
        restarting: state.restarting.unwrap_or_default(),
        exit_code,
        oom_killed: state.oom_killed.unwrap_or_default(),
        error: state.error.unwrap_or_default(),
        restarts,
        health: match health.status {
            Some(HealthStatusEnum::STARTING) => Some(Health::Starting),
            Some(HealthStatusEnum::HEALTHY) => Some(Health::Healthy),
            Some(HealthStatusEnum::UNHEALTHY) => Some(Health::Unhealthy),
            _ => None,
        },
        health_log: health
            .log
            .unwrap_or_default()
            .into_iter()
            .map(|r| {
                (
                    r.exit_code.unwrap_or_default(),
                    r.output.unwrap_or_default(),
                )
            })
            .collect(),
        environment,
        started_at: state.started_at.unwrap_or_default(),
        finished_at: state.finished_at.unwrap_or_default(),
    }
}

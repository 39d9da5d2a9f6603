use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, EndpointSettings,
    HealthConfig, HealthStatusEnum, HostConfig, NetworkCreateRequest, NetworkingConfig,
    PortBinding, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};

use super::{CHANGE_LIMIT, DockerEngine, QUERY_LIMIT, bounded, if_found};
use crate::host::engine::{ContainerFacts, Containers, EngineError, EngineResult, Health};
use crate::plan::{Container, Healthcheck, Port, Restart, Volume, VolumeSource};

#[async_trait]
impl Containers for DockerEngine {
    async fn create(&self, container: &Container) -> EngineResult<()> {
        self.remove(&container.name).await?;
        for (network, _) in &container.networks {
            self.ensure_network(network).await?;
        }
        let options = CreateContainerOptionsBuilder::default()
            .name(&container.name)
            .build();
        let request = self
            .docker
            .create_container(Some(options), create_body(container));
        bounded(CHANGE_LIMIT, request).await?;
        // Engines before API 1.44 take one network at creation and the others only afterwards.
        for (network, aliases) in container.networks.iter().skip(1) {
            let request = bollard::models::NetworkConnectRequest {
                container: container.name.clone(),
                endpoint_config: Some(endpoint(&container.name, aliases)),
            };
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

    async fn container(&self, name: &str) -> EngineResult<Option<ContainerFacts>> {
        let answer = bounded(QUERY_LIMIT, self.docker.inspect_container(name, None)).await;
        Ok(if_found(answer)?.map(facts))
    }
}

impl DockerEngine {
    async fn ensure_network(&self, name: &str) -> EngineResult<()> {
        let found = bounded(QUERY_LIMIT, self.docker.inspect_network(name, None)).await;
        if if_found(found)?.is_some() {
            return Ok(());
        }
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        match bounded(CHANGE_LIMIT, self.docker.create_network(request)).await {
            // Another container, starting side by side, was quicker.
            Err(EngineError::Refused { status: 409, .. }) => Ok(()),
            answer => answer.map(|_| ()),
        }
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
    ContainerCreateBody {
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
        networking_config: c
            .networks
            .first()
            .map(|(network, aliases)| NetworkingConfig {
                endpoints_config: Some([(network.clone(), endpoint(&c.name, aliases))].into()),
            }),
        host_config: Some(HostConfig {
            binds: Some(c.volumes.iter().filter_map(bind).collect()),
            port_bindings: Some(bindings),
            network_mode: c
                .network_mode
                .clone()
                .or_else(|| c.networks.first().map(|(network, _)| network.clone())),
            extra_hosts: Some(c.extra_hosts.clone()),
            tmpfs: Some(c.tmpfs.iter().map(|mount| tmpfs(mount)).collect()),
            shm_size: c.shm_size.map(|bytes| bytes as i64),
            memory: c.mem_limit.map(|bytes| bytes as i64),
            ulimits: Some(
                c.ulimits
                    .iter()
                    .map(|limit| ResourcesUlimits {
                        name: Some(limit.name.clone()),
                        soft: Some(limit.soft),
                        hard: Some(limit.hard),
                    })
                    .collect(),
            ),
            privileged: Some(c.privileged),
            readonly_rootfs: Some(c.read_only),
            init: c.init,
            cap_add: Some(c.cap_add.clone()),
            cap_drop: Some(c.cap_drop.clone()),
            security_opt: Some(c.security_opt.clone()),
            restart_policy: Some(restart_policy(c.restart)),
            // Never: the logs of a container that died are the evidence.
            auto_remove: Some(false),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A container answers to its own name on each of its networks, as a Compose service does.
fn endpoint(name: &str, aliases: &[String]) -> EndpointSettings {
    let names = std::iter::once(name.to_owned()).chain(aliases.iter().cloned());
    EndpointSettings {
        aliases: Some(names.collect()),
        ..Default::default()
    }
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
        VolumeSource::Named(name) => name.clone(),
        VolumeSource::Bind(path) => path.display().to_string(),
        VolumeSource::Anonymous => return None,
    };
    let mut options: Vec<&str> = Vec::new();
    if volume.read_only {
        options.push("ro");
    }
    options.extend(volume.propagation.as_deref());
    let suffix = if options.is_empty() {
        String::new()
    } else {
        format!(":{}", options.join(","))
    };
    Some(format!("{source}:{}{suffix}", volume.target))
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
    ContainerFacts {
        status: state
            .status
            .unwrap_or(ContainerStateStatusEnum::EMPTY)
            .to_string(),
        running: state.running.unwrap_or_default(),
        restarting: state.restarting.unwrap_or_default(),
        exit_code: state.exit_code.unwrap_or_default(),
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

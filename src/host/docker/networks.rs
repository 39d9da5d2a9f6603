//! Networks, volumes, and a container's place in a network, in the words of the engine.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkCreateRequest, NetworkingConfig,
    VolumeCreateRequest,
};

use super::{CHANGE_LIMIT, DockerEngine, QUERY_LIMIT, bounded, if_found};
use crate::host::engine::{EngineError, EngineResult};
use crate::plan::{Attachment, Container, NamedVolume, Network, Subnet};

pub async fn ensure_network(engine: &DockerEngine, network: &Network) -> EngineResult<()> {
    let name = network.name.as_str();
    let found = bounded(QUERY_LIMIT, engine.docker.inspect_network(name, None)).await;
    if if_found(found)?.is_some() {
        return Ok(());
    }
    if network.external {
        return Err(missing("network"));
    }
    let ipam = network.ipam.as_ref().map(|ipam| Ipam {
        driver: ipam.driver.clone(),
        config: Some(ipam.config.iter().map(subnet).collect()),
        options: given(&ipam.options),
    });
    let request = NetworkCreateRequest {
        name: network.name.clone(),
        driver: network.driver.clone(),
        internal: network.internal.then_some(true),
        attachable: network.attachable.then_some(true),
        enable_ipv6: network.enable_ipv6,
        options: given(&network.driver_opts),
        labels: given(&network.labels),
        ipam,
        ..Default::default()
    };
    match bounded(CHANGE_LIMIT, engine.docker.create_network(request)).await {
        // Another was quicker.
        Err(EngineError::Refused { status: 409, .. }) => Ok(()),
        answer => answer.map(|_| ()),
    }
}

pub async fn ensure_volume(engine: &DockerEngine, volume: &NamedVolume) -> EngineResult<()> {
    let found = bounded(QUERY_LIMIT, engine.docker.inspect_volume(&volume.name)).await;
    if if_found(found)?.is_some() {
        return Ok(());
    }
    if volume.external {
        return Err(missing("volume"));
    }
    let request = VolumeCreateRequest {
        name: Some(volume.name.clone()),
        driver: volume.driver.clone(),
        driver_opts: given(&volume.driver_opts),
        labels: given(&volume.labels),
        ..Default::default()
    };
    bounded(CHANGE_LIMIT, engine.docker.create_volume(request))
        .await
        .map(|_| ())
}

fn missing(what: &str) -> EngineError {
    EngineError::Refused {
        status: 404,
        message: format!("there is no such {what}, and `external` says that it is not to be made"),
    }
}

/// The first of a container's networks; the others are connected once it exists.
pub fn at_creation(container: &Container) -> Option<NetworkingConfig> {
    let attachment = container.networks.first()?;
    let mut endpoint = endpoint(&container.name, attachment);
    if endpoint.mac_address.is_none() {
        endpoint.mac_address = container.settings.mac_address.clone();
    }
    Some(NetworkingConfig {
        endpoints_config: Some([(attachment.network.clone(), endpoint)].into()),
    })
}

/// A container answers to its own name on each of its networks, as a Compose service does.
pub fn endpoint(name: &str, attachment: &Attachment) -> EndpointSettings {
    let names = std::iter::once(name.to_owned()).chain(attachment.aliases.iter().cloned());
    let has_address = attachment.ipv4_address.is_some()
        || attachment.ipv6_address.is_some()
        || !attachment.link_local_ips.is_empty();
    EndpointSettings {
        aliases: Some(names.collect()),
        ipam_config: has_address.then(|| EndpointIpamConfig {
            ipv4_address: attachment.ipv4_address.clone(),
            ipv6_address: attachment.ipv6_address.clone(),
            link_local_ips: Some(attachment.link_local_ips.clone()),
        }),
        mac_address: attachment.mac_address.clone(),
        driver_opts: given(&attachment.driver_opts),
        ..Default::default()
    }
}

fn subnet(subnet: &Subnet) -> IpamConfig {
    IpamConfig {
        subnet: subnet.subnet.clone(),
        ip_range: subnet.ip_range.clone(),
        gateway: subnet.gateway.clone(),
        auxiliary_addresses: given(&subnet.aux_addresses),
    }
}

fn given(values: &BTreeMap<String, String>) -> Option<HashMap<String, String>> {
    (!values.is_empty()).then(|| values.clone().into_iter().collect())
}

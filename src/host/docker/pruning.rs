use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::{
    PruneBuildOptionsBuilder, PruneImagesOptionsBuilder, PruneVolumesOptions,
};

use super::{DockerEngine, bounded, if_found};
use crate::host::engine::{EngineResult, Leftover, Pruning};

/// Deleting gigabytes of small files; the whole has a limit of its own.
const PRUNE_LIMIT: Duration = Duration::from_secs(3600);
/// Before it, an engine takes named volumes for leftovers too.
const TELLS_ANONYMOUS_VOLUMES: (usize, usize) = (1, 42);

#[async_trait]
impl Pruning for DockerEngine {
    async fn prune(&self, leftover: Leftover) -> EngineResult<Option<u64>> {
        let docker = &self.docker;
        let answer = match leftover {
            Leftover::UntaggedImages => {
                let filters = HashMap::from([("dangling", vec!["true"])]);
                let options = PruneImagesOptionsBuilder::default().filters(&filters);
                let request = docker.prune_images(Some(options.build()));
                let answer = bounded(PRUNE_LIMIT, request).await;
                answer.map(|pruned| pruned.space_reclaimed)
            }
            Leftover::AnonymousVolumes => {
                let api = docker.client_version();
                if (api.major_version, api.minor_version) < TELLS_ANONYMOUS_VOLUMES {
                    return Ok(None);
                }
                let request = docker.prune_volumes(None::<PruneVolumesOptions>);
                let answer = bounded(PRUNE_LIMIT, request).await;
                answer.map(|pruned| pruned.space_reclaimed)
            }
            Leftover::BuildCache => {
                let options = PruneBuildOptionsBuilder::default().all(true);
                let request = docker.prune_build(Some(options.build()));
                let answer = bounded(PRUNE_LIMIT, request).await;
                answer.map(|pruned| pruned.space_reclaimed)
            }
        };
        // Podman builds without a cache that could be asked for.
        let bytes = if_found(answer)?;
        Ok(bytes.map(|bytes| bytes.unwrap_or(0).max(0).cast_unsigned()))
    }
}

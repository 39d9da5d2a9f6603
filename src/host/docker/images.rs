use std::io;

use async_trait::async_trait;
use bollard::query_parameters::ImportImageOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::{DockerEngine, QUERY_LIMIT, bounded, if_found, refine};
use crate::host::engine::{EngineResult, EngineVersion, ImageFacts, Images, ProgressSink};

impl DockerEngine {
    /// `docker save` of these references, as one archive.
    pub fn save<'a>(&'a self, images: &'a [&'a str]) -> BoxStream<'a, EngineResult<Bytes>> {
        let archive = self.docker.export_images(images);
        archive.map(|piece| piece.map_err(refine)).boxed()
    }
}

#[async_trait]
impl Images for DockerEngine {
    async fn version(&self) -> EngineResult<EngineVersion> {
        let version = bounded(QUERY_LIMIT, self.docker.version()).await?;
        let info = bounded(QUERY_LIMIT, self.docker.info()).await?;
        let api = self.docker.client_version();
        Ok(EngineVersion {
            version: version.version.unwrap_or_default(),
            api: (api.major_version, api.minor_version),
            arch: version.arch.unwrap_or_default(),
            storage: info.driver.unwrap_or_default(),
            data_root: info.docker_root_dir.unwrap_or_default().into(),
        })
    }

    async fn image(&self, reference: &str) -> EngineResult<Option<ImageFacts>> {
        let answer = bounded(QUERY_LIMIT, self.docker.inspect_image(reference)).await;
        Ok(if_found(answer)?.map(|image| ImageFacts {
            id: image.id.unwrap_or_default(),
            architecture: image.architecture.unwrap_or_default(),
            layers: image
                .root_fs
                .and_then(|root| root.layers)
                .unwrap_or_default(),
            tags: image.repo_tags.unwrap_or_default(),
        }))
    }

    async fn load(
        &self,
        archive: BoxStream<'static, io::Result<Bytes>>,
        progress: &ProgressSink<'_>,
    ) -> EngineResult<()> {
        let options = ImportImageOptionsBuilder::default().quiet(true).build();
        let mut answers = self.docker.import_image_stream(options, archive, None);
        while let Some(answer) = answers.next().await {
            if let Some(line) = answer.map_err(refine)?.stream {
                progress(line.trim_end());
            }
        }
        Ok(())
    }
}

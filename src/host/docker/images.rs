use std::io;

use async_trait::async_trait;
use bollard::query_parameters::ImportImageOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::{DockerEngine, QUERY_LIMIT, bounded, if_found, refine};
use crate::host::engine::{
    EngineError, EngineResult, EngineVersion, ImageFacts, Images, ProgressSink,
};

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
            if let Some(line) = answer.map_err(refine).map_err(of_one_format)?.stream {
                progress(line.trim_end());
            }
        }
        Ok(())
    }
}

/// Podman tries an archive as each of four formats, and says of each what was wrong; of most, that their files are absent.
fn of_one_format(error: EngineError) -> EngineError {
    let EngineError::Refused { status, message } = error else {
        return error;
    };
    let is_cause = |line: &&str| {
        !line.contains("no such file or directory") && !line.contains("not a directory")
    };
    let formats = message
        .lines()
        .skip(1)
        .filter_map(|line| line.trim().strip_prefix("* "));
    let causes: Vec<&str> = formats.filter(is_cause).collect();
    let message = match causes.is_empty() {
        true => message,
        false => causes.join("; "),
    };
    EngineError::Refused { status, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &str) -> String {
        let error = EngineError::Refused {
            status: 500,
            message: message.to_owned(),
        };
        of_one_format(error).to_string()
    }

    /// As Podman 5.4 says it.
    #[test]
    fn the_format_that_an_archive_has_is_the_one_whose_error_counts() {
        let message = "failed to load image: payload does not match any of the supported image formats:\n \
            * oci: open /var/tmp/api_load.tar3/index.json: not a directory\n \
            * oci-archive: loading index: open /var/tmp/container_images_oci2/index.json: no such file or directory\n \
            * docker-archive: writing blob: Digest did not match, expected sha256:04, got sha256:d5\n \
            * dir: open /var/tmp/api_load.tar3/manifest.json: not a directory\n";
        let expected = "the engine says: docker-archive: writing blob: Digest did not match, expected sha256:04, got sha256:d5";
        assert_eq!(shown(message), expected);
        assert_eq!(shown("Error: a\nb"), "the engine says: Error: a\nb");
    }
}

//! The images of an OCI layout: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::contents::{ArchivedImage, digest, parse};
use super::walk::Files;

pub const INDEX: &str = "index.json";
/// The spec knows an index within an index; nobody needs more of it.
const MAX_DEPTH: usize = 4;
const MAX_MANIFESTS: usize = 1000;

/// An index or a manifest, told apart by which of the lists it has: the media type may be missing.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default, rename = "artifactType")]
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: Option<HashMap<String, String>>,
}

impl Descriptor {
    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The full name of the image, with its tag.
    fn name(&self) -> Option<String> {
        if let Some(name) = self.annotation("io.containerd.image.name") {
            return Some(name.to_owned());
        }
        // By the spec a tag or a whole reference, by its writer's mind; a bare tag names no image.
        let name = self.annotation("org.opencontainers.image.ref.name")?;
        let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
        match (last.contains(':'), name.contains('/')) {
            (true, _) => Some(name.to_owned()),
            (false, true) => Some(format!("{name}:latest")),
            (false, false) => None,
        }
    }

    /// Build records and signatures are manifests too, of no image.
    fn is_image(&self) -> bool {
        self.annotation("vnd.docker.reference.type").is_none() && self.artifact_type.is_none()
    }
}

/// All images whose manifests are in the archive, each platform on its own.
pub fn images(files: &Files) -> Result<Vec<ArchivedImage>> {
    let bytes = files
        .json(INDEX)
        .context("has an index.json that is not JSON")?;
    let mut images = Vec::new();
    let index: Document = parse(bytes, INDEX)?;
    collect(files, index.manifests, None, MAX_DEPTH, &mut images)?;
    Ok(images)
}

fn collect(
    files: &Files,
    manifests: Vec<Descriptor>,
    name: Option<&str>,
    depth: usize,
    images: &mut Vec<ArchivedImage>,
) -> Result<()> {
    ensure!(depth > 0, "has indexes within indexes without end");
    for descriptor in manifests.into_iter().filter(Descriptor::is_image) {
        ensure!(
            images.len() < MAX_MANIFESTS,
            "has more than {MAX_MANIFESTS} manifests"
        );
        let path = blob_path(&descriptor.digest)?;
        // An archive saved for one platform still has the index of all.
        let Some(bytes) = files.json(&path) else {
            continue;
        };
        let actual = digest(bytes);
        ensure!(
            actual == descriptor.digest || !descriptor.digest.starts_with("sha256:"),
            "is corrupt: {path} has the digest {actual}"
        );
        let own_name = descriptor.name();
        let name = own_name.as_deref().or(name);
        let document: Document = parse(bytes, &path)?;
        let Some(config) = document.config else {
            collect(files, document.manifests, name, depth - 1, images)?;
            continue;
        };
        let layers = document
            .layers
            .iter()
            .map(|layer| blob_path(&layer.digest))
            .collect::<Result<_>>()?;
        let tags = name.map(str::to_owned).into_iter().collect();
        let mut image = ArchivedImage::read(files, &blob_path(&config.digest)?, layers, tags)?;
        ensure!(
            image.config_digest == config.digest || !config.digest.starts_with("sha256:"),
            "is corrupt: the config {} has the digest {}",
            config.digest,
            image.config_digest
        );
        image.manifest_digest = Some(actual);
        // The same manifest under several names is one image.
        match images
            .iter_mut()
            .find(|other| other.manifest_digest == image.manifest_digest)
        {
            Some(other) => other.tags.append(&mut image.tags),
            None => images.push(image),
        }
    }
    Ok(())
}

fn blob_path(digest: &str) -> Result<String> {
    let (algorithm, value) = digest
        .split_once(':')
        .with_context(|| format!("has the malformed digest {digest:?}"))?;
    let safe =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    ensure!(
        safe(algorithm) && safe(value),
        "has the malformed digest {digest:?}"
    );
    Ok(format!("blobs/{algorithm}/{value}"))
}

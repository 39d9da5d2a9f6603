//! Which images an archive holds, by its `manifest.json` (what `docker save` writes) or its `index.json` (OCI layout).

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::compression::{self, Compression};
use super::oci;
use super::walk::Files;

/// The file that the engine reads first.
pub const DOCKER_MANIFEST: &str = "manifest.json";

/// The images of an archive.
#[derive(Debug)]
pub struct Contents {
    pub images: Vec<ArchivedImage>,
    /// Of all files in the archive: what the engine's temporary copy takes.
    pub bytes: u64,
    /// An OCI layout without the `manifest.json` that engines with their own image store need.
    pub oci_only: bool,
}

/// One image for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedImage {
    /// As the archive has them: `name:tag` or `docker.io/library/name:tag`.
    pub tags: Vec<String>,
    /// `sha256:…`: the image's id in engines with their own image store.
    pub config_digest: String,
    /// `sha256:…`, of an OCI layout: the image's id in engines with containerd's.
    pub manifest_digest: Option<String>,
    pub diff_ids: Vec<String>,
    /// In Docker's words: `amd64`, `arm64`.
    pub architecture: String,
    pub os: String,
    /// Bytes of all layers unpacked; estimated if they are packed.
    pub unpacked: u64,
    /// A layer is packed with zstd, which engines before API 1.42 cannot unpack.
    pub zstd_layers: bool,
    config: String,
    layers: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

impl Contents {
    pub(super) fn of(files: &Files) -> Result<Contents> {
        let docker = files.get(DOCKER_MANIFEST).is_some();
        let images = if docker {
            docker_images(files)?
        } else if files.get(oci::INDEX).is_some() {
            oci::images(files)?
        } else if files.get("repositories").is_some() {
            bail!(
                "has no manifest.json: it was saved by a Docker before 1.10, save it again with a newer one"
            );
        } else {
            bail!(
                "has neither manifest.json nor index.json: not an image archive, or one that was cut short"
            );
        };
        ensure!(!images.is_empty(), "holds no image");
        Ok(Contents {
            images,
            bytes: files.bytes,
            oci_only: !docker,
        })
    }

    /// The tar entry with the `manifest.json` that makes an OCI layout loadable for every engine, None if there is one.
    /// Of several platforms only `architecture` is named, if it is there: an engine keeps one image for a tag.
    pub fn docker_manifest(&self, architecture: &str) -> Option<Vec<u8>> {
        if !self.oci_only {
            return None;
        }
        let fits = |image: &&ArchivedImage| image.architecture == architecture;
        let any = self.images.iter().any(|image| fits(&image));
        let images: Vec<_> = (self.images.iter())
            .filter(|image| !any || fits(image))
            .map(|image| {
                serde_json::json!({"Config": image.config, "RepoTags": image.tags, "Layers": image.layers})
            })
            .collect();
        Some(tar_entry(
            DOCKER_MANIFEST,
            serde_json::Value::from(images).to_string().as_bytes(),
        ))
    }
}

impl ArchivedImage {
    /// Whether the engine's image with this id is this one. The id is the digest of the config, in containerd's image
    /// store that of the manifest; of a manifest that containerd made itself nothing is known here.
    pub fn has_id(&self, id: &str) -> bool {
        self.config_digest == id || self.manifest_digest.as_deref() == Some(id)
    }

    /// Reads the config at `config` and looks at the layers.
    pub(super) fn read(
        files: &Files,
        config: &str,
        layers: Vec<String>,
        tags: Vec<String>,
    ) -> Result<ArchivedImage> {
        let bytes = files
            .json(config)
            .with_context(|| format!("names the config {config} and does not hold it"))?;
        let parsed: Config = parse(bytes, config)?;
        // A layer that is missing may already be in the engine, which then does not ask for it.
        let found = || layers.iter().filter_map(|layer| files.get(layer));
        Ok(ArchivedImage {
            tags,
            config_digest: digest(bytes),
            manifest_digest: None,
            diff_ids: parsed.rootfs.diff_ids,
            architecture: parsed.architecture,
            os: parsed.os,
            unpacked: found().map(|layer| layer.unpacked).sum(),
            zstd_layers: found().any(|layer| layer.compression == Some(Compression::Zstd)),
            config: config.to_owned(),
            layers,
        })
    }
}

fn docker_images(files: &Files) -> Result<Vec<ArchivedImage>> {
    let bytes = files
        .json(DOCKER_MANIFEST)
        .context("has a manifest.json that is not JSON")?;
    let manifest: Vec<DockerImage> = parse(bytes, DOCKER_MANIFEST)?;
    // What Docker 25 and later save is an OCI layout as well, which has the digests of the manifests.
    let oci = match files.get(oci::INDEX) {
        Some(_) => oci::images(files).unwrap_or_default(),
        None => Vec::new(),
    };
    (manifest.into_iter())
        .map(|image| {
            let tags = image.repo_tags.unwrap_or_default();
            let mut image = ArchivedImage::read(files, &image.config, image.layers, tags)?;
            image.manifest_digest = (oci.iter())
                .find(|other| other.config_digest == image.config_digest)
                .and_then(|other| other.manifest_digest.clone());
            Ok(image)
        })
        .collect()
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], path: &str) -> Result<T> {
    serde_json::from_slice(bytes).with_context(|| format!("has a {path} that cannot be understood"))
}

pub(super) fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut digest = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        let _ = write!(digest, "{byte:02x}");
    }
    digest
}

/// Header and content, padded to whole blocks.
fn tar_entry(path: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).expect("a short path");
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut entry = header.as_bytes().to_vec();
    entry.extend_from_slice(content);
    entry.resize(entry.len().next_multiple_of(compression::HEAD), 0);
    entry
}

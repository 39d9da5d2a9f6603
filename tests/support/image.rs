//! Image archives assembled by the tests themselves, whole or with a chosen defect, and the one image that all of
//! them use: `guestbake-test/tools`, the host's static busybox.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::engine::PrivateEngine;

/// The image that [`tools_image`] loads.
pub const TOOLS: &str = "guestbake-test/tools:latest";
const BUSYBOX: &str = "/bin/busybox";
const APPLETS: &[&str] = &[
    "cat",
    "chmod",
    "cp",
    "cut",
    "date",
    "dd",
    "df",
    "echo",
    "env",
    "false",
    "free",
    "grep",
    "head",
    "hostname",
    "httpd",
    "id",
    "kill",
    "ls",
    "mkdir",
    "mount",
    "mv",
    "nc",
    "printf",
    "ps",
    "pwd",
    "rm",
    "sed",
    "seq",
    "sh",
    "sha256sum",
    "sleep",
    "stat",
    "stty",
    "sync",
    "tail",
    "tar",
    "test",
    "timeout",
    "top",
    "touch",
    "true",
    "umount",
    "uname",
    "usleep",
    "wc",
    "wget",
    "yes",
];

/// What is inside the tar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As `docker save` of Docker before 25 writes it: `manifest.json`, `CONFIG.json`, `ID/layer.tar`.
    #[default]
    DockerArchive,
    /// `oci-layout`, `index.json`, `blobs/sha256/…`, without a `manifest.json`.
    OciLayout,
    /// As `docker save` of Docker 25 and later writes it: an OCI layout and a `manifest.json`.
    Both,
}

/// What is around the tar, or in an OCI layout around a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Packing {
    #[default]
    Plain,
    Gzip,
    Zstd,
}

/// One image in one archive.
#[derive(Clone, Debug)]
pub struct ImageArchive {
    pub tag: String,
    pub architecture: String,
    pub form: Form,
    pub packing: Packing,
    /// Of the layers, in an OCI layout.
    pub layer_packing: Packing,
    /// The image's default command.
    pub command: Vec<String>,
    /// `NAME=value`, beside the `PATH`.
    pub environment: Vec<String>,
    /// Uncompressed tar files.
    pub layers: Vec<Vec<u8>>,
    /// The config lists another digest than the first layer has.
    pub wrong_layer_digest: bool,
    /// Keep so many bytes of the finished archive.
    pub truncated_to: Option<usize>,
}

impl ImageArchive {
    pub fn new(tag: &str, layers: Vec<Vec<u8>>) -> Self {
        ImageArchive {
            tag: tag.to_owned(),
            architecture: host_architecture().to_owned(),
            form: Form::default(),
            packing: Packing::default(),
            layer_packing: Packing::default(),
            command: vec!["sh".to_owned()],
            environment: Vec::new(),
            layers,
            wrong_layer_digest: false,
            truncated_to: None,
        }
    }

    /// Busybox, and beside it a file named after the tag, so that each tag is an image of its own.
    ///
    /// # Panics
    /// With what to install if the host has no static busybox.
    pub fn tools(tag: &str) -> Self {
        Self::new(
            tag,
            vec![tools_layer(), layer(&[("etc/image", tag.as_bytes())])],
        )
    }

    /// The config, as its bytes stand in the archive.
    pub fn config(&self) -> Vec<u8> {
        let mut diff_ids: Vec<String> = self.layers.iter().map(|layer| digest(layer)).collect();
        if self.wrong_layer_digest {
            diff_ids[0] = digest(b"another layer");
        }
        let history: Vec<Value> = (self.layers.iter())
            .map(|_| json!({"created": "2024-01-01T00:00:00Z", "created_by": "guestbake tests"}))
            .collect();
        let environment: Vec<&str> = std::iter::once("PATH=/bin")
            .chain(self.environment.iter().map(String::as_str))
            .collect();
        serde_json::to_vec(&json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": {"Env": environment, "Cmd": self.command},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": history,
        }))
        .unwrap()
    }

    /// What the engine calls the image's id.
    pub fn id(&self) -> String {
        digest(&self.config())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut tar = Tar::new();
        match self.form {
            Form::DockerArchive => self.docker_archive(&mut tar),
            Form::OciLayout | Form::Both => self.oci_layout(&mut tar),
        }
        let mut bytes = pack(self.packing, &tar.finish());
        if let Some(length) = self.truncated_to {
            bytes.truncate(length);
        }
        bytes
    }

    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.bytes())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    fn docker_archive(&self, tar: &mut Tar) {
        let config = format!("{}.json", hex(&self.config()));
        let mut layers = Vec::new();
        for layer in &self.layers {
            layers.push(format!("{}/layer.tar", hex(layer)));
            tar.file(layers.last().unwrap(), layer);
        }
        tar.file(&config, &self.config());
        self.docker_manifest(tar, &config, &layers);
    }

    fn oci_layout(&self, tar: &mut Tar) {
        let config = self.config();
        let suffix = match self.layer_packing {
            Packing::Plain => "",
            Packing::Gzip => "+gzip",
            Packing::Zstd => "+zstd",
        };
        let layers: Vec<Vec<u8>> = (self.layers.iter())
            .map(|layer| pack(self.layer_packing, layer))
            .collect();
        let media_type = format!("application/vnd.oci.image.layer.v1.tar{suffix}");
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(|layer| descriptor(&media_type, layer)).collect::<Vec<_>>(),
        }))
        .unwrap();
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/{}", self.tag),
            "org.opencontainers.image.ref.name": self.tag.rsplit_once(':').map_or("latest", |(_, tag)| tag),
        });
        for blob in layers.iter().chain([&config, &manifest]) {
            tar.file(&blob_path(blob), blob);
        }
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        tar.file("index.json", index.to_string().as_bytes());
        if self.form == Form::Both {
            let layers: Vec<String> = layers.iter().map(|layer| blob_path(layer)).collect();
            self.docker_manifest(tar, &blob_path(&config), &layers);
        }
        tar.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    }

    fn docker_manifest(&self, tar: &mut Tar, config: &str, layers: &[String]) {
        let manifest = json!([{"Config": config, "RepoTags": [self.tag], "Layers": layers}]);
        tar.file("manifest.json", manifest.to_string().as_bytes());
    }
}

/// Loads [`TOOLS`], the image with a shell, `nc`, `httpd` and the like, into an engine.
pub fn tools_image(engine: &PrivateEngine) {
    engine.load(&ImageArchive::tools(TOOLS).bytes());
}

/// A layer of plain files.
pub fn layer(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Tar::new();
    for (path, content) in files {
        tar.file(path, content);
    }
    tar.finish()
}

/// In Docker's words.
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

pub fn pack(packing: Packing, bytes: &[u8]) -> Vec<u8> {
    match packing {
        Packing::Plain => bytes.to_vec(),
        Packing::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Zstd => zstd::bulk::compress(bytes, 1).unwrap(),
    }
}

fn tools_layer() -> Vec<u8> {
    let busybox = std::fs::read(BUSYBOX).unwrap_or_else(|error| {
        panic!("these tests need {BUSYBOX} ({error}): apt-get install busybox-static")
    });
    let mut tar = Tar::new();
    for (directory, mode) in [
        ("bin", 0o755),
        ("etc", 0o755),
        ("tmp", 0o1777),
        ("var", 0o755),
        ("www", 0o755),
    ] {
        tar.directory(directory, mode);
    }
    tar.executable("bin/busybox", &busybox);
    for applet in APPLETS {
        tar.symlink(&format!("bin/{applet}"), "busybox");
    }
    tar.file(
        "etc/passwd",
        b"root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    );
    tar.file("etc/group", b"root:x:0:\nnobody:x:65534:\n");
    tar.finish()
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest(blob), "size": blob.len()})
}

fn blob_path(blob: &[u8]) -> String {
    format!("blobs/sha256/{}", hex(blob))
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Tar(tar::Builder::new(Vec::new()))
    }

    fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, content, tar::EntryType::Regular, 0o644);
    }

    fn executable(&mut self, path: &str, content: &[u8]) {
        self.entry(path, content, tar::EntryType::Regular, 0o755);
    }

    fn directory(&mut self, path: &str, mode: u32) {
        self.entry(path, b"", tar::EntryType::Directory, mode);
    }

    fn entry(&mut self, path: &str, content: &[u8], kind: tar::EntryType, mode: u32) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(mode);
        self.0.append_data(&mut header, path, content).unwrap();
    }

    fn symlink(&mut self, path: &str, target: &str) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        self.0.append_link(&mut header, path, target).unwrap();
    }

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

//! Compose's short volume syntax, `[SOURCE:]TARGET[:OPTIONS]`, becomes a [`Volume`].

use std::path::PathBuf;

use super::name::{absolute_path, docker_name};
use crate::plan::model::{Volume, VolumeSource};

/// How mounts made later spread between host and container.
pub const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

pub fn volume(text: &str) -> Result<Volume, String> {
    const EXPECTED: &str = "a volume such as \"name:/path\", \"/host/path:/path:ro\" or \"/path\"";
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        // `/path:ro` is an anonymous volume to nobody but us, and to Compose a bind mount onto a relative path.
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return super::expected(EXPECTED, text),
    };
    if source == Some("") || target.is_empty() {
        return super::expected(EXPECTED, text);
    }
    let source = match source {
        None => VolumeSource::Anonymous,
        Some(path) if path.starts_with(['/', '.', '~']) => VolumeSource::Bind(bind_source(path)?),
        Some(name) => {
            VolumeSource::Named(docker_name(name).map_err(|error| format!("volume name: {error}"))?)
        }
    };
    let target =
        absolute_path(target).map_err(|error| format!("path in the container: {error}"))?;
    let mut volume = Volume {
        source,
        target,
        read_only: false,
        propagation: None,
        nocopy: false,
        subpath: None,
        selinux: None,
    };
    for option in options.split(',').filter(|_| !options.is_empty()) {
        match option {
            "ro" => volume.read_only = true,
            "rw" => {}
            "z" | "Z" => volume.selinux = Some(option.to_owned()),
            "nocopy" => volume.nocopy = true,
            _ if PROPAGATIONS.contains(&option) => volume.propagation = Some(option.to_owned()),
            _ => {
                let known = format!(
                    "`ro`, `rw`, `z`, `Z`, `nocopy` or one of `{}`",
                    PROPAGATIONS.join("`, `")
                );
                return super::expected(&format!("{known} after the second colon"), option);
            }
        }
    }
    if volume.propagation.is_some() && !matches!(volume.source, VolumeSource::Bind(_)) {
        return Err("only a bind mount has a propagation".to_owned());
    }
    Ok(volume)
}

/// A path of the guest. A relative one would have to be relative to the bundle, which is gone after the run.
pub fn bind_source(text: &str) -> Result<PathBuf, String> {
    if text.starts_with('/') {
        return Ok(PathBuf::from(text));
    }
    super::expected(
        "an absolute path of the guest (there is no folder a relative one could start from)",
        text,
    )
}

/// `PATH[:OPTIONS]`, as the engine takes it.
pub fn tmpfs(text: &str) -> Result<String, String> {
    absolute_path(text)
        .map_err(|_| ())
        .or_else(|()| super::expected("a tmpfs such as \"/run\" or \"/run:size=64m\"", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_form() {
        let named = volume("data:/data/postgres").unwrap();
        assert_eq!(named.source, VolumeSource::Named("data".into()));
        assert_eq!(
            (named.target.as_str(), named.read_only),
            ("/data/postgres", false)
        );
        let bind = volume("/mnt:/mnt:ro,rshared").unwrap();
        assert_eq!(bind.source, VolumeSource::Bind("/mnt".into()));
        assert_eq!(
            (bind.read_only, bind.propagation.as_deref()),
            (true, Some("rshared"))
        );
        assert_eq!(volume("/cache").unwrap().source, VolumeSource::Anonymous);
    }

    #[test]
    fn a_relative_source_is_explained() {
        assert_eq!(
            volume("./data:/data").unwrap_err(),
            "expected an absolute path of the guest (there is no folder a relative one could start from), \
             found \"./data\""
        );
        assert!(volume("~/data:/data").is_err());
    }

    #[test]
    fn wrong_forms() {
        for text in [
            "",
            ":",
            "a:",
            ":/b",
            "data:relative",
            "d:/data",
            "data:/data:ro:rw",
            "da ta:/data",
            "relative",
        ] {
            assert!(volume(text).is_err(), "{text}");
        }
        assert_eq!(
            volume("data:/data:y").unwrap_err(),
            "expected `ro`, `rw`, `z`, `Z`, `nocopy` or one of `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave` \
             after the second colon, found \"y\""
        );
        assert_eq!(
            volume("data:/data:shared").unwrap_err(),
            "only a bind mount has a propagation"
        );
        assert!(tmpfs("run").is_err());
    }
}

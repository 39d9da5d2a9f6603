//! Stage 1: a label, a device, an image or a folder becomes a [`Bundle`], whose files can be read.

pub mod build_arch;
pub mod checksums;
mod files;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::time::{Instant, sleep};

pub use build_arch::BuildArch;
pub use files::Files;

use crate::event::Events;
use crate::failure::{Because, Fault, Reason};
use crate::host::Host;
use crate::host::block_devices::{BlockDevice, Content};
use crate::host::bounded::bounded;
use crate::host::disks::size;
use crate::host::mounts::{MountError, Mounts};

/// Reading the first file of a bundle: a medium that needs longer is broken.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// Closing only drops the last reference; the kernel may have to wait for a dying device.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks for the device: at first it is seen quickly, later looking costs little.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Names listed in an error.
const MOST_NAMES: usize = 20;

/// What a bundle has for guestbake's sake, beside image archives.
pub const OWN_FILES: [&str; 4] = [
    build_arch::FILE,
    checksums::FILE,
    crate::plan::FILE,
    "guestbake",
];

/// Where the bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A volume with this label, which may take so long to appear.
    Label { label: String, timeout: Duration },
    /// A folder, an image file or a block device.
    Path(PathBuf),
}

impl Source {
    /// For who does not wait longer than that for a volume to appear.
    pub fn within(mut self, limit: Duration) -> Self {
        if let Source::Label { timeout, .. } = &mut self {
            *timeout = limit.min(*timeout);
        }
        self
    }
}

/// An open bundle whose `build-arch.env` makes sense.
#[derive(Debug)]
pub struct Bundle {
    location: PathBuf,
    build: BuildArch,
    files: Files,
}

impl Bundle {
    /// The folder, the image or the device, for messages. A mounted bundle has no path; go through [`Bundle::files`].
    pub fn location(&self) -> &Path {
        &self.location
    }

    pub fn build(&self) -> &BuildArch {
        &self.build
    }

    /// The files. Reading them blocks as long as the medium does.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Unmounts what was mounted. Dropping the bundle does the same, but would wait for a device that hangs.
    pub async fn close(self) -> io::Result<()> {
        let what = format!("unmounting {}", self.location.display());
        bounded(CLOSE_LIMIT, &what, move || {
            drop(self.files);
            Ok(())
        })
        .await
    }
}

/// The stage: an open bundle whose files are what its `SHA256SUMS` says.
///
/// # Errors
/// Those of [`open`], and `bundle_corrupt` for a file that is not what it should be.
pub async fn verified(source: &Source, host: &Host, events: &Events) -> Result<Bundle, Fault> {
    let bundle = opened(source, host, events).await?;
    let since = Instant::now();
    if let Some(verified) = checksums::verify(&bundle, &mut |_| ()).await? {
        let seconds = since.elapsed().as_secs_f64();
        events.line(format!(
            "{}: {} files, {}, verified ({seconds:.1}s)",
            checksums::FILE,
            verified.files,
            size(verified.bytes),
        ));
    }
    Ok(bundle)
}

/// The same without looking whether its files are what they should be, which takes as long as reading them.
///
/// # Errors
/// Those of [`open`].
pub async fn opened(source: &Source, host: &Host, events: &Events) -> Result<Bundle, Fault> {
    let bundle = open(source, &*host.mounts).await?;
    events.line(format!(
        "bundle {}, for {}",
        bundle.location().display(),
        bundle.build().arch
    ));
    Ok(bundle)
}

/// Finds, mounts and checks the bundle.
///
/// # Errors
/// `bundle_missing`: nothing is there, or it cannot be mounted here; `bundle_corrupt`: what is there is no bundle.
pub async fn open(source: &Source, mounts: &dyn Mounts) -> Result<Bundle, Fault> {
    let location = match source {
        Source::Label { label, timeout } => device_labelled(label, *timeout, mounts).await?,
        Source::Path(path) => path.clone(),
    };
    let files = Files::new(root_of(&location, mounts).await?);
    let (reading, what) = (files.clone(), format!("reading {}", location.display()));
    let build = bounded(READ_LIMIT, &what, move || Ok(read_build_arch(&reading))).await;
    let build = match build {
        Ok(Ok(build)) => build,
        Ok(Err(message)) => return Err(corrupt(&location, &message)),
        Err(error) => return Err(corrupt(&location, &error)),
    };
    Ok(Bundle {
        location,
        build,
        files,
    })
}

async fn device_labelled(
    label: &str,
    timeout: Duration,
    mounts: &dyn Mounts,
) -> Result<PathBuf, Fault> {
    let deadline = Instant::now() + timeout;
    let mut pause = FIRST_PAUSE;
    loop {
        let devices = mounts.block_devices().await;
        let labelled = devices.iter().flatten().find(
            |device| matches!(&device.content, Content::Iso9660(volume) if volume.has_label(label)),
        );
        if let Some(device) = labelled {
            return Ok(device.path.clone());
        }
        if Instant::now() >= deadline {
            return Err(Fault::new(
                Reason::BundleMissing,
                format!(
                    "no ISO 9660 volume labelled {label} after {}; {}",
                    humantime::format_duration(timeout),
                    in_words(&devices)
                ),
            ));
        }
        sleep(pause.min(deadline - Instant::now())).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn in_words(devices: &io::Result<Vec<BlockDevice>>) -> String {
    match devices {
        Err(error) => format!("the block devices could not be listed: {error}"),
        Ok(devices) if devices.is_empty() => "there is no block device at all".into(),
        Ok(devices) => {
            let words: Vec<String> = devices.iter().map(BlockDevice::to_string).collect();
            format!("there are: {}", words.join(", "))
        }
    }
}

async fn root_of(location: &Path, mounts: &dyn Mounts) -> Result<OwnedFd, Fault> {
    let (path, what) = (
        location.to_path_buf(),
        format!("looking at {}", location.display()),
    );
    let folder = bounded(READ_LIMIT, &what, move || {
        let kind = std::fs::metadata(&path)?.file_type();
        if kind.is_dir() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            return Ok(Some(openat(CWD, &path, flags, Mode::empty())?));
        }
        if !kind.is_file() && !kind.is_block_device() {
            return Err(io::Error::other(
                "is neither a folder, an image file nor a block device",
            ));
        }
        Ok(None)
    })
    .await
    .map_err(|error| anyhow::anyhow!("bundle {}: {error}", location.display()))
    .because(Reason::BundleMissing)?;
    if let Some(root) = folder {
        return Ok(root);
    }
    match mounts.mount_iso9660(location).await {
        Ok(mounted) => Ok(mounted.root),
        Err(error @ (MountError::NotIso9660 | MountError::Truncated { .. })) => {
            Err(corrupt(location, &error))
        }
        Err(error) => Err(Fault::new(
            Reason::BundleMissing,
            format!("bundle {}: {error}", location.display()),
        )),
    }
}

fn corrupt(location: &Path, what: &dyn std::fmt::Display) -> Fault {
    Fault::new(
        Reason::BundleCorrupt,
        format!("bundle {}: {what}", location.display()),
    )
}

fn read_build_arch(files: &Files) -> Result<BuildArch, String> {
    match files.read_text(build_arch::FILE) {
        Ok(text) => build_arch::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!(
            "{} is missing; {}",
            build_arch::FILE,
            content_in_words(files)
        )),
        Err(error) => Err(error.to_string()),
    }
}

fn content_in_words(files: &Files) -> String {
    let names = match files.names() {
        Err(error) => return format!("its files could not be listed: {error}"),
        Ok(names) if names.is_empty() => return "it is empty".into(),
        Ok(names) => names,
    };
    // Plain ISO 9660 has eight and three characters in upper case; Linux shows them lower-case, the shortened name stays.
    let shortened = |name: &String| {
        let name = name.to_ascii_lowercase();
        matches!(
            name.as_str(),
            "build_ar.env" | "build_ar.env;1" | "guestbak.tom" | "build_arch.env"
        )
    };
    let hint = if names.iter().any(shortened) {
        "; the names are those of bare ISO 9660: the image has neither Rock Ridge nor Joliet (mkisofs -r -J)"
    } else {
        ""
    };
    let more = names.len().saturating_sub(MOST_NAMES);
    let shown = names[..names.len() - more].join(", ");
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("there are: {shown}{more}{hint}")
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;

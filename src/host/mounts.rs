//! Finding and mounting the volume that carries the bundle, with system calls alone.
//!
//! The mount is a detached one (`fsopen`, `fsmount`; Linux 5.2): it has no mount point, is reached through a file
//! descriptor only, and ends with it. So nothing is left behind when the agent is killed, no second run meets the
//! remains of a first, and `check` beside a `run` takes nothing away from it.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::block_devices::{self, BlockDevice, Content};
use super::bounded::bounded;
use super::iso9660;
use super::loop_device::LoopDevice;

/// How long one device may take to say what is on it; a CD drive spins up within this.
const PROBE_LIMIT: Duration = Duration::from_secs(5);
/// How long the kernel may take to mount, the loading of its module included (seconds under emulation).
const MOUNT_LIMIT: Duration = Duration::from_secs(60);

/// The machine's block devices and what can be mounted from them.
#[async_trait]
pub trait Mounts: Send + Sync {
    /// Every block device with a size, and what is on it.
    async fn block_devices(&self) -> io::Result<Vec<BlockDevice>>;

    /// Mounts the ISO 9660 volume of a block device or of an image file: read-only, nosuid, nodev.
    async fn mount_iso9660(&self, image: &Path) -> Result<Mounted, MountError>;
}

/// A mounted file system. Dropping it unmounts; files still open keep it alive until they are closed.
#[derive(Debug)]
pub struct Mounted {
    pub root: OwnedFd,
}

#[derive(Debug)]
pub enum MountError {
    NotIso9660,
    Truncated {
        expected: u64,
        found: u64,
    },
    /// The kernel has no ISO 9660 and no module to load for it.
    Unsupported,
    /// Reading, attaching or mounting failed.
    Io {
        doing: &'static str,
        error: io::Error,
    },
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountError::NotIso9660 => {
                f.write_str("no ISO 9660 volume (none is described at byte 32768)")
            }
            MountError::Truncated { expected, found } => {
                write!(
                    f,
                    "truncated: {found} bytes, where its volume has {expected}"
                )
            }
            MountError::Unsupported => f.write_str(
                "this kernel cannot mount ISO 9660: neither built in nor a module `isofs` to load",
            ),
            MountError::Io { doing, error } => write!(f, "{doing}: {error}"),
        }
    }
}

impl std::error::Error for MountError {}

fn while_doing(doing: &'static str) -> impl Fn(io::Error) -> MountError {
    move |error| MountError::Io { doing, error }
}

/// The kernel of this machine.
#[derive(Default)]
pub struct Kernel {
    /// Devices whose probe hangs: asking again would cost one more thread each time.
    probing: Arc<Mutex<HashSet<PathBuf>>>,
}

#[async_trait]
impl Mounts for Kernel {
    async fn block_devices(&self) -> io::Result<Vec<BlockDevice>> {
        let paths = block_devices::paths()?;
        Ok(join_all(paths.into_iter().map(|path| self.probe(path))).await)
    }

    async fn mount_iso9660(&self, image: &Path) -> Result<Mounted, MountError> {
        let image = image.to_path_buf();
        let what = format!("mounting {}", image.display());
        bounded(MOUNT_LIMIT, &what, move || Ok(mount(&image, "iso9660")))
            .await
            .map_err(while_doing("mounting"))?
    }
}

impl Kernel {
    async fn probe(&self, path: PathBuf) -> BlockDevice {
        let lock = |set: &Mutex<HashSet<PathBuf>>,
                    change: &dyn Fn(&mut HashSet<PathBuf>) -> bool| {
            change(&mut set.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let unreadable = |why: String| BlockDevice {
            path: path.clone(),
            content: Content::Unreadable(why),
        };
        if !lock(&self.probing, &|set| set.insert(path.clone())) {
            return unreadable("does not answer".into());
        }
        let (probing, device) = (Arc::clone(&self.probing), path.clone());
        let answer = bounded(PROBE_LIMIT, "reading its volume", move || {
            let found = block_devices::probe(&device);
            lock(&probing, &|set| set.remove(&device));
            Ok(found)
        });
        answer
            .await
            .unwrap_or_else(|error| unreadable(error.to_string()))
    }
}

/// Mounts a file system read-only from a block device or an image file, and gives its root.
fn mount(image: &Path, file_system: &str) -> Result<Mounted, MountError> {
    let mut file = File::open(image).map_err(while_doing("opening"))?;
    let is_file = file.metadata().map_err(while_doing("opening"))?.is_file();
    if file_system == "iso9660" {
        all_there(&mut file)?;
    }
    if !is_file {
        return mount_device(image, file_system);
    }
    // Kept until the mount has taken over: the device detaches itself from the file when its last user is gone.
    let device = LoopDevice::attach(image).map_err(while_doing("attaching a loop device"))?;
    mount_device(&device.path, file_system)
}

/// The kernel mounts an image whose end is missing and fails later, in the middle of a file.
fn all_there(image: &mut File) -> Result<(), MountError> {
    let volume = iso9660::read_volume(image)
        .map_err(while_doing("reading"))?
        .ok_or(MountError::NotIso9660)?;
    let found = image
        .seek(SeekFrom::End(0))
        .map_err(while_doing("reading"))?;
    if found < volume.size {
        return Err(MountError::Truncated {
            expected: volume.size,
            found,
        });
    }
    Ok(())
}

fn mount_device(device: &Path, file_system: &str) -> Result<Mounted, MountError> {
    let context = match rustix::mount::fsopen(file_system, FsOpenFlags::FSOPEN_CLOEXEC) {
        Ok(context) => context,
        Err(Errno::NODEV) => return Err(MountError::Unsupported),
        Err(error) => return Err(while_doing("mounting")(error.into())),
    };
    let created = rustix::mount::fsconfig_set_string(&context, "source", device)
        .and_then(|()| rustix::mount::fsconfig_set_flag(&context, "ro"))
        .and_then(|()| rustix::mount::fsconfig_create(&context));
    if let Err(error) = created {
        return Err(while_doing("mounting")(with_kernels_words(
            error.into(),
            context,
        )));
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV;
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .map(|root| Mounted { root })
        .map_err(|error| while_doing("mounting")(error.into()))
}

/// A file system context keeps the messages of the mount: more than an error number says.
fn with_kernels_words(error: io::Error, context: OwnedFd) -> io::Error {
    let mut messages = String::new();
    let mut context = File::from(context);
    let mut message = [0; 512];
    // Each read yields one message, such as "e iso9660: bad sector", and fails with ENODATA behind the last.
    while let Ok(length @ 1..) = context.read(&mut message) {
        messages.push_str("; ");
        messages.push_str(String::from_utf8_lossy(&message[..length]).trim());
    }
    io::Error::new(error.kind(), format!("{error}{messages}"))
}

#[cfg(test)]
#[path = "mounts_tests.rs"]
mod tests;

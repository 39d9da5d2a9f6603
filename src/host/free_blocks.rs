//! What a file system has free: blocks that still hold what was deleted, and make the disk's image larger than it need be.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use rustix::fs::{Mode, OFlags, fstatvfs, open};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

use super::bounded::bounded;
use super::mount_table::{self, Mount};

/// Written at a time; so often it is looked whether to stop.
const PIECE: usize = 1 << 20;
/// The last blocks are filled one by one.
const BLOCK: usize = 4096;

/// The errors are those of the system, and [`ErrorKind::Unsupported`] where device or file system cannot do it.
#[async_trait]
pub trait FreeBlocks: Send + Sync {
    /// The mount points of all file systems that lie on a block device and take writes, each once.
    fn file_systems(&self) -> io::Result<Vec<PathBuf>>;
    /// Tells the device which blocks are free (FITRIM); how many bytes that were.
    async fn trim(&self, file_system: &Path, limit: Duration) -> io::Result<u64>;
    /// Fills what is free with zeros and frees it again; how many bytes that were.
    async fn zero(&self, file_system: &Path, limit: Duration) -> io::Result<u64>;
}

/// Those of the machine this runs on.
pub struct LocalFileSystems;

#[async_trait]
impl FreeBlocks for LocalFileSystems {
    fn file_systems(&self) -> io::Result<Vec<PathBuf>> {
        Ok(on_devices(&mount_table::read()?))
    }

    async fn trim(&self, file_system: &Path, limit: Duration) -> io::Result<u64> {
        let point = file_system.to_owned();
        bounded(limit, "the trim", move || trim(&point)).await
    }

    async fn zero(&self, file_system: &Path, limit: Duration) -> io::Result<u64> {
        let point = file_system.to_owned();
        let stop = StopWhenDropped::default();
        let stopped = stop.0.clone();
        bounded(limit, "filling it with zeros", move || {
            zero(&point, &stopped)
        })
        .await
    }
}

/// Ends the thread of who does not wait any more.
#[derive(Default)]
struct StopWhenDropped(Arc<AtomicBool>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn on_devices(mounts: &[Mount]) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    // A service's sandbox has parts of a file system mounted read-only beside the whole.
    let mut candidates: Vec<&Mount> = mounts
        .iter()
        .filter(|mount| mount.source.starts_with("/dev/") && !mount.device_is_read_only)
        .filter(|mount| mount.is_whole)
        .collect();
    candidates.sort_by_key(|mount| mount.is_read_only);
    candidates
        .into_iter()
        .filter(|mount| seen.insert(&mount.device))
        .map(|mount| mount.mount_point.clone())
        .collect()
}

/// `struct fstrim_range` of linux/fs.h.
#[repr(C)]
struct Range {
    start: u64,
    len: u64,
    minlen: u64,
}

const FITRIM: Opcode = opcode::read_write::<Range>(b'X', 121);

fn trim(point: &Path) -> io::Result<u64> {
    let folder = open(point, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut range = Range {
        start: 0,
        len: u64::MAX,
        minlen: 0,
    };
    // SAFETY: FITRIM takes a `struct fstrim_range` and writes into its `len` alone.
    match unsafe { ioctl(&folder, Updater::<FITRIM, Range>::new(&mut range)) } {
        Ok(()) => Ok(range.len),
        Err(Errno::OPNOTSUPP | Errno::NOTTY) => Err(ErrorKind::Unsupported.into()),
        Err(error) => Err(error.into()),
    }
}

fn zero(point: &Path, stopped: &AtomicBool) -> io::Result<u64> {
    // Without a name: whatever happens to this process or to the machine, the room is free again.
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = match open(point, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => file,
        // Old kernels take it for a folder that is to be written.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::ROFS) => {
            return Err(ErrorKind::Unsupported.into());
        }
        Err(error) => return Err(error.into()),
    };
    let space = fstatvfs(&file)?;
    // Compressed, zeros may never fill it.
    let most = space.f_bfree * space.f_frsize;
    let written = fill(File::from(file), most, stopped)?;
    match stopped.load(Relaxed) {
        false => Ok(written),
        true => Err(ErrorKind::Interrupted.into()),
    }
}

fn fill(mut file: File, most: u64, stopped: &AtomicBool) -> io::Result<u64> {
    let zeros = vec![0; PIECE];
    let mut piece = PIECE;
    let mut written = 0;
    while written < most && !stopped.load(Relaxed) {
        match file.write(&zeros[..piece]) {
            Ok(bytes) => written += bytes as u64,
            Err(error) if !is_full(&error) => return Err(error),
            Err(_) if piece > BLOCK => piece = BLOCK,
            Err(_) => break,
        }
    }
    match file.sync_all() {
        Err(error) if !is_full(&error) => Err(error),
        _ => Ok(written),
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::disks::statvfs;
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;
    use tempfile::TempDir;

    const LIMIT: Duration = Duration::from_secs(600);

    /// A file system of 1 MiB that knows unnamed files and no trim.
    struct Small(TempDir);

    impl Small {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let flags = MountFlags::empty();
            mount("tmpfs", folder.path(), "tmpfs", flags, c"size=1m").unwrap();
            Small(folder)
        }

        fn free(&self) -> u64 {
            statvfs(self.0.path(), PathBuf::new()).unwrap().bytes
        }
    }

    impl Drop for Small {
        fn drop(&mut self) {
            let _ = unmount(self.0.path(), UnmountFlags::DETACH);
        }
    }

    #[tokio::test]
    async fn all_that_is_free_is_filled_and_free_again() {
        let small = Small::new();
        std::fs::write(small.0.path().join("kept"), [1; 10_000]).unwrap();
        let before = small.free();
        let zeroed = LocalFileSystems.zero(small.0.path(), LIMIT).await.unwrap();
        assert_eq!(zeroed, before, "to the last block");
        assert_eq!(small.free(), before);
        let names = std::fs::read_dir(small.0.path()).unwrap().count();
        assert_eq!(names, 1, "nothing is left");
    }

    #[test]
    fn who_is_told_to_stop_leaves_nothing() {
        let small = Small::new();
        let before = small.free();
        let error = zero(small.0.path(), &AtomicBool::new(true)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert_eq!(small.free(), before);
    }

    #[tokio::test]
    async fn what_cannot_be_trimmed_is_told_from_what_failed() {
        let small = Small::new();
        let error = LocalFileSystems.trim(small.0.path(), LIMIT).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
        let missing = LocalFileSystems.trim(Path::new("/nowhere"), LIMIT).await;
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    }

    /// What was deleted is in the image until it is zeroed, and takes room until it is trimmed.
    #[tokio::test]
    async fn an_image_of_a_real_file_system_forgets_what_was_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let (image, point) = (folder.path().join("image"), folder.path().join("point"));
        std::fs::create_dir(&point).unwrap();
        File::create(&image).unwrap().set_len(64 << 20).unwrap();
        let run = |command: &mut Command| {
            assert!(command.status().unwrap().success(), "{command:?}");
        };
        run(Command::new("/sbin/mkfs.ext4").arg("-q").arg(&image));
        run(Command::new("mount")
            .args(["-o", "loop"])
            .args([&image, &point]));
        let deleted = point.join("deleted");
        std::fs::write(&deleted, b"secret!\n".repeat(2 << 20)).unwrap();
        rustix::fs::sync();
        std::fs::remove_file(&deleted).unwrap();
        let holds_it = || {
            rustix::fs::sync();
            let bytes = std::fs::read(&image).unwrap();
            bytes
                .chunks(BLOCK)
                .any(|block| block.starts_with(b"secret!"))
        };
        let held = holds_it();
        let zeroed = LocalFileSystems.zero(&point, LIMIT).await;
        let held_after = holds_it();
        let blocks = || std::fs::metadata(&image).unwrap().blocks() * 512;
        let full = blocks();
        let trimmed = LocalFileSystems.trim(&point, LIMIT).await;
        rustix::fs::sync();
        let empty = blocks();
        run(Command::new("umount").arg(&point));
        assert!(held && !held_after);
        assert!(zeroed.unwrap() > 40 << 20);
        assert!(trimmed.unwrap() > 40 << 20);
        assert!(
            empty + (40 << 20) < full,
            "{full} bytes before, {empty} after"
        );
    }

    #[test]
    fn each_file_system_on_a_device_counts_once_and_where_it_can_be_written() {
        let mount = |device: &str, point: &str, source: &str| Mount {
            device: device.into(),
            mount_point: point.into(),
            kind: "ext4".into(),
            source: source.into(),
            is_whole: true,
            is_read_only: false,
            device_is_read_only: false,
        };
        let mut read_only_here = mount("8:1", "/sandbox", "/dev/vda1");
        read_only_here.is_read_only = true;
        let mut bundle = mount("11:0", "/bundle", "/dev/sr0");
        bundle.device_is_read_only = true;
        let mut file = mount("8:2", "/etc/hosts", "/dev/vda2");
        file.is_whole = false;
        let mounts = [
            read_only_here,
            mount("8:1", "/", "/dev/vda1"),
            mount("8:1", "/again", "/dev/vda1"),
            mount("0:5", "/proc", "proc"),
            bundle,
            file,
        ];
        assert_eq!(on_devices(&mounts), [Path::new("/")]);
    }
}

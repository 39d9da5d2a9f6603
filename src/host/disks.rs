//! How much room a file system has left, in bytes and in inodes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::bounded::bounded;
use super::mount_table;

/// A file system on a disk answers at once; one on a lost network share never does.
const LIMIT: Duration = Duration::from_secs(5);

/// The room in a file system, for a user without privileges: the reserve for root is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeSpace {
    pub mount_point: PathBuf,
    pub bytes: u64,
    pub total_bytes: u64,
    /// Files that can still be made. `None`: the file system does not count them.
    pub inodes: Option<u64>,
    pub total_inodes: Option<u64>,
}

impl FreeSpace {
    /// Less than a hundredth of the bytes or of the inodes is left.
    pub fn is_full(&self) -> bool {
        self.lacks_bytes() || self.lacks_inodes()
    }

    fn lacks_bytes(&self) -> bool {
        self.bytes < self.total_bytes.div_ceil(100)
    }

    fn lacks_inodes(&self) -> bool {
        let counts = self.inodes.zip(self.total_inodes);
        counts.is_some_and(|(free, total)| free < total.div_ceil(100))
    }
}

impl fmt::Display for FreeSpace {
    /// `/var: 1.2 GiB of 9.8 GiB free, 12345 of 655360 inodes free`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (free, total) = (size(self.bytes), size(self.total_bytes));
        write!(f, "{}: {free} of {total} free", self.mount_point.display())?;
        if let (Some(free), Some(total)) = (self.inodes, self.total_inodes) {
            write!(f, ", {free} of {total} inodes free")?;
        }
        if self.lacks_bytes() {
            f.write_str(" - FULL")?;
        }
        if self.lacks_inodes() {
            f.write_str(" - OUT OF INODES")?;
        }
        Ok(())
    }
}

/// Bytes for people: `512 B`, `1.5 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1023.95 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

/// The machine's file systems.
#[async_trait]
pub trait Disks: Send + Sync {
    /// The room where a path is, or will be: what does not exist yet counts as its nearest folder that does.
    async fn free_space(&self, path: &Path) -> io::Result<FreeSpace>;
}

/// The file systems of the machine this runs on.
pub struct LocalDisks;

#[async_trait]
impl Disks for LocalDisks {
    async fn free_space(&self, path: &Path) -> io::Result<FreeSpace> {
        let (path, what) = (
            path.to_path_buf(),
            format!("asking {} for its free space", path.display()),
        );
        bounded(LIMIT, &what, move || measure(&path)).await
    }
}

fn measure(path: &Path) -> io::Result<FreeSpace> {
    let existing = nearest_existing(path)?;
    let mounts = mount_table::read()?;
    let mount_point =
        mount_table::holding(&mounts, &existing).map(|mount| mount.mount_point.clone());
    statvfs(&existing, mount_point.unwrap_or_else(|| existing.clone()))
}

pub(super) fn statvfs(path: &Path, mount_point: PathBuf) -> io::Result<FreeSpace> {
    let answer = rustix::fs::statvfs(path)?;
    let counts_inodes = answer.f_files > 0;
    Ok(FreeSpace {
        mount_point,
        bytes: answer.f_bavail * answer.f_frsize,
        total_bytes: answer.f_blocks * answer.f_frsize,
        inodes: counts_inodes.then_some(answer.f_favail),
        total_inodes: counts_inodes.then_some(answer.f_files),
    })
}

fn nearest_existing(path: &Path) -> io::Result<PathBuf> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for ancestor in path.ancestors() {
        match ancestor.canonicalize() {
            Ok(existing) => return Ok(existing),
            Err(error) if error.kind() == io::ErrorKind::NotFound => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

    fn space(bytes: u64, inodes: Option<u64>) -> FreeSpace {
        FreeSpace {
            mount_point: "/var".into(),
            bytes,
            total_bytes: 10 << 30,
            inodes,
            total_inodes: inodes.map(|_| 1000),
        }
    }

    #[test]
    fn it_reads_like_df_and_flags_what_is_full() {
        assert_eq!(
            space(3 << 29, Some(500)).to_string(),
            "/var: 1.5 GiB of 10.0 GiB free, 500 of 1000 inodes free"
        );
        assert_eq!(
            space(20 << 20, None).to_string(),
            "/var: 20.0 MiB of 10.0 GiB free - FULL"
        );
        assert_eq!(
            space(5 << 30, Some(9)).to_string(),
            "/var: 5.0 GiB of 10.0 GiB free, 9 of 1000 inodes free - OUT OF INODES"
        );
        assert!(space(0, None).is_full() && space(5 << 30, Some(0)).is_full());
        assert!(!space(5 << 30, Some(500)).is_full());
    }

    #[test]
    fn sizes_read_well_at_their_borders() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size((1 << 20) - 1), "1.0 MiB");
        assert_eq!(size(526 << 20), "526.0 MiB");
    }

    #[tokio::test]
    async fn a_full_file_system_is_seen_and_a_folder_to_come_counts_as_its_parent() {
        let folder = tempfile::tempdir().unwrap();
        let point = folder.path().canonicalize().unwrap();
        mount(
            "tmpfs",
            &point,
            "tmpfs",
            MountFlags::empty(),
            c"size=1m,nr_inodes=10",
        )
        .unwrap();
        let before = LocalDisks.free_space(&point.join("to/come")).await;
        std::fs::write(point.join("filler"), vec![1; 1 << 20]).unwrap();
        let after = LocalDisks.free_space(&point).await;
        unmount(&point, UnmountFlags::DETACH).unwrap();

        let (before, after) = (before.unwrap(), after.unwrap());
        assert_eq!(before.mount_point, point);
        assert_eq!((before.bytes, before.total_inodes), (1 << 20, Some(10)));
        assert!(!before.is_full());
        assert_eq!(after.bytes, 0);
        assert!(after.is_full());
    }
}

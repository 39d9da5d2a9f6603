//! The block devices of the machine and the volume each of them carries.
//!
//! Asked of the devices themselves, not of udev's links alone: udev may not run, or not have got to them yet.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::iso9660;

/// Opening a floppy drive without a disk takes seconds (major number of linux/major.h).
const FLOPPY_MAJOR: &str = "2";

/// A block device and what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    pub path: PathBuf,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Iso9660(iso9660::Volume),
    /// Something else, with the label that udev found.
    Other(Option<String>),
    /// No medium, an I/O error, no answer.
    Unreadable(String),
}

impl fmt::Display for BlockDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.path.display())?;
        match &self.content {
            Content::Iso9660(volume) => write!(f, "{volume}"),
            Content::Other(Some(label)) => write!(f, "\"{label}\" (not ISO 9660)"),
            Content::Other(None) => f.write_str("(not ISO 9660)"),
            Content::Unreadable(why) => write!(f, "({why})"),
        }
    }
}

/// Devices that have a size: whole disks before their partitions, because an image written to a disk shows on both.
pub fn paths() -> io::Result<Vec<PathBuf>> {
    paths_beneath(Path::new("/sys/class/block"), Path::new("/dev"))
}

fn paths_beneath(sys: &Path, dev: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(sys)? {
        let entry = entry?.path();
        let text = |name: &str| fs::read_to_string(entry.join(name)).unwrap_or_default();
        let Some(name) = entry.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if text("size").trim() == "0" || text("dev").split(':').next() == Some(FLOPPY_MAJOR) {
            continue;
        }
        // Names of the kernel with a slash (cciss!c0d0) have an exclamation mark here.
        found.push((
            entry.join("partition").exists(),
            dev.join(name.replace('!', "/")),
        ));
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Reads what is on a device. Blocks as long as the device does.
pub fn probe(path: &Path) -> BlockDevice {
    let content = match File::open(path).and_then(|file| iso9660::read_volume(&file)) {
        Ok(Some(volume)) => Content::Iso9660(volume),
        Ok(None) => Content::Other(udev_label(path, Path::new("/dev/disk/by-label"))),
        Err(error) => Content::Unreadable(error.to_string()),
    };
    BlockDevice {
        path: path.to_path_buf(),
        content,
    }
}

fn udev_label(device: &Path, links: &Path) -> Option<String> {
    fs::read_dir(links).ok()?.flatten().find_map(|link| {
        (fs::canonicalize(link.path()).ok()? == device)
            .then(|| link.file_name().to_string_lossy().replace("\\x20", " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn device(sys: &Path, name: &str, number: &str, size: &str, partition: bool) {
        let folder = sys.join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("dev"), format!("{number}\n")).unwrap();
        fs::write(folder.join("size"), format!("{size}\n")).unwrap();
        if partition {
            fs::write(folder.join("partition"), "1\n").unwrap();
        }
    }

    #[test]
    fn empty_devices_and_floppies_are_left_out_and_disks_come_first() {
        let sys = tempfile::tempdir().unwrap();
        device(sys.path(), "fd0", "2:0", "8", false);
        device(sys.path(), "loop0", "7:0", "0", false);
        device(sys.path(), "sda1", "8:1", "100", true);
        device(sys.path(), "vda", "254:0", "100", false);
        device(sys.path(), "cciss!c0d0", "104:0", "100", false);
        assert_eq!(
            paths_beneath(sys.path(), Path::new("/dev")).unwrap(),
            ["/dev/cciss/c0d0", "/dev/vda", "/dev/sda1"].map(PathBuf::from)
        );
    }

    #[test]
    fn a_probe_tells_iso_other_and_unreadable_apart() {
        let folder = tempfile::tempdir().unwrap();
        let iso = folder.path().join("sr0");
        fs::write(&iso, iso9660::tests::image("cidata", None, 20)).unwrap();
        let other = folder.path().join("vda");
        fs::write(&other, [0; 4096]).unwrap();
        assert!(probe(&iso).to_string().ends_with("sr0 \"cidata\""));
        assert!(probe(&other).to_string().ends_with("vda (not ISO 9660)"));
        assert!(matches!(
            probe(&folder.path().join("gone")).content,
            Content::Unreadable(_)
        ));
    }

    #[test]
    fn udevs_label_is_found_through_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().canonicalize().unwrap().join("vda1");
        fs::write(&device, "").unwrap();
        let links = folder.path().join("by-label");
        fs::create_dir(&links).unwrap();
        symlink(&device, links.join("my\\x20root")).unwrap();
        assert_eq!(udev_label(&device, &links).as_deref(), Some("my root"));
        assert_eq!(udev_label(Path::new("/dev/none"), &links), None);
    }
}

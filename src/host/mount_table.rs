//! `/proc/self/mountinfo`: what is mounted where.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One mounted file system (proc(5), `/proc/pid/mountinfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `MAJOR:MINOR`, the same for every mount of one file system.
    pub device: String,
    pub mount_point: PathBuf,
    /// `ext4`, `tmpfs`, …
    pub kind: String,
    pub source: String,
    /// All of the file system is mounted here, not a folder or a file of it.
    pub is_whole: bool,
    /// This mount takes no writes, although another of the same file system may.
    pub is_read_only: bool,
    /// The file system takes none, wherever it is mounted.
    pub device_is_read_only: bool,
}

/// Every mount, in the order they were made.
pub fn read() -> io::Result<Vec<Mount>> {
    Ok(fs::read_to_string("/proc/self/mountinfo")?
        .lines()
        .filter_map(parse)
        .collect())
}

/// The mount that a path without symbolic links lies in.
pub fn holding<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let candidates = mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.mount_point));
    // Of several on the same point the last hides the others, and max_by_key takes the last.
    candidates.max_by_key(|mount| mount.mount_point.as_os_str().len())
}

/// `22 27 0:21 / /proc rw,relatime shared:1 - proc proc rw`: a varying number of fields before the dash.
fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ');
    let mut after = after.split(' ');
    Some(Mount {
        device: before.nth(2)?.to_string(),
        is_whole: before.next()? == "/",
        mount_point: PathBuf::from(unescaped(before.next()?)),
        is_read_only: is_read_only(before.next()?),
        kind: after.next()?.to_string(),
        source: unescaped(after.next()?),
        device_is_read_only: is_read_only(after.next().unwrap_or_default()),
    })
}

fn is_read_only(options: &str) -> bool {
    options.split(',').any(|option| option == "ro")
}

/// Blanks, tabs, line feeds and backslashes come as `\040` and the like.
fn unescaped(text: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(text.to_string(), |text, (code, character)| {
        text.replace(code, character)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let line = r"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.device, "98:0");
        assert_eq!(mount.mount_point, Path::new("/mnt 2"));
        assert_eq!(
            (mount.kind.as_str(), mount.source.as_str()),
            ("ext3", "/dev/root")
        );
        assert!(!mount.is_whole && !mount.is_read_only && !mount.device_is_read_only);
        let mount = parse("40 36 98:0 / /usr ro,nosuid - ext4 /dev/vda1 rw").unwrap();
        assert!(mount.is_whole && mount.is_read_only && !mount.device_is_read_only);
        assert_eq!(parse("rubbish"), None);
    }

    #[test]
    fn the_deepest_and_last_mount_holds_a_path() {
        let mount = |device: &str, mount_point: &str| Mount {
            device: device.into(),
            mount_point: mount_point.into(),
            kind: "ext4".into(),
            source: "/dev/vda".into(),
            is_whole: true,
            is_read_only: false,
            device_is_read_only: false,
        };
        let mounts = [
            mount("1:0", "/"),
            mount("1:1", "/var"),
            mount("1:2", "/var"),
            mount("1:3", "/va"),
        ];
        assert_eq!(
            holding(&mounts, Path::new("/var/lib")).unwrap().device,
            "1:2"
        );
        assert_eq!(holding(&mounts, Path::new("/vary")).unwrap().device, "1:0");
        assert_eq!(holding(&mounts[1..], Path::new("/home")), None);
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(holding(&read().unwrap(), Path::new("/")).is_some());
    }
}

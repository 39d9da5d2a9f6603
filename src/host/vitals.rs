//! How the machine is: what the diagnostics of a failed run say about memory, load, pressure, disks and the kernel.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, join_all};

use super::bounded::bounded;
use super::disks::{self, size};
use super::kernel_log::{self, Record};
use super::mount_table::{self, Mount};

/// One part's limit: a fraction of what the whole of the diagnostics may take.
const LIMIT: Duration = Duration::from_secs(3);
/// The last lines of the kernel that are shown.
const MOST_KERNEL_LINES: usize = 30;
const LONGEST_KERNEL_LINE: usize = 300;
const MOST_FILE_SYSTEMS: usize = 40;
/// File systems that hold nothing, cannot be written, or only show another one (a container's overlay).
const NOT_SHOWN: [&str; 28] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "udf",
    "fuse.lxcfs",
];
/// What matters in the kernel's log whatever its level.
const TROUBLE: [&str; 7] = [
    "oom-",
    "oom_",
    "out of memory",
    "killed process",
    "i/o error",
    "hung task",
    "no space left",
];

/// A headline and what stands beneath it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub title: &'static str,
    pub lines: Vec<String>,
}

/// A machine whose state can be taken.
#[async_trait]
pub trait Vitals: Send + Sync {
    /// Takes everything side by side within a few seconds; a part that fails or hangs says so in its place. `paths`
    /// are those whose file systems are shown whatever they are.
    async fn take(&self, paths: &[PathBuf]) -> Vec<Section>;
}

/// The machine this runs on.
pub struct LocalVitals;

#[async_trait]
impl Vitals for LocalVitals {
    async fn take(&self, paths: &[PathBuf]) -> Vec<Section> {
        let parts: [(&'static str, fn() -> io::Result<Vec<String>>); 4] = [
            ("memory", || {
                Ok(memory(&fs::read_to_string("/proc/meminfo")?))
            }),
            ("load", || {
                Ok(vec![load(&fs::read_to_string("/proc/loadavg")?)])
            }),
            ("pressure", || Ok(pressure(Path::new("/proc/pressure")))),
            ("kernel", || Ok(warnings(&kernel_log::read()?))),
        ];
        let parts = join_all(parts.map(|(title, work)| async move {
            let lines = bounded(LIMIT, "reading it", work).await;
            Section {
                title,
                lines: lines.unwrap_or_else(|error| vec![format!("not known: {error}")]),
            }
        }));
        let (mut sections, lines) = join(parts, file_systems(paths)).await;
        // Disks stand before the kernel's lines, which are many.
        sections.insert(
            3,
            Section {
                title: "file systems",
                lines,
            },
        );
        sections
    }
}

fn memory(meminfo: &str) -> Vec<String> {
    let bytes = |name: &str| {
        let line = meminfo
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(size(kib * 1024))
    };
    let part = |available: &str, total: &str| {
        let none = || "?".to_string();
        let (available, total) = (bytes(available), bytes(total));
        format!(
            "{} of {}",
            available.unwrap_or_else(none),
            total.unwrap_or_else(none)
        )
    };
    let mut lines = vec![format!("{} available", part("MemAvailable", "MemTotal"))];
    lines.push(match bytes("SwapTotal").as_deref() {
        Some("0 B") => "no swap".into(),
        _ => format!("swap: {} free", part("SwapFree", "SwapTotal")),
    });
    lines
}

fn load(loadavg: &str) -> String {
    let averages: Vec<&str> = loadavg.split_whitespace().take(3).collect();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "{} over 1, 5 and 15 minutes, on {processors} processors",
        averages.join(" ")
    )
}

/// Pressure stall information: the share of the time that something, or everything, waited.
fn pressure(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for resource in ["cpu", "memory", "io"] {
        match fs::read_to_string(folder.join(resource)) {
            Ok(text) => lines.extend(text.lines().map(|line| {
                let line = line.split(" total=").next().unwrap_or(line);
                format!("{resource}: {line}")
            })),
            Err(error) => lines.push(format!("{resource}: not known: {error}")),
        }
    }
    lines
}

/// The last lines that are warnings or worse, or speak of trouble.
fn warnings(records: &[Record]) -> Vec<String> {
    let matters = |record: &&Record| {
        let text = record.text.to_lowercase();
        record.level <= 4 || TROUBLE.iter().any(|word| text.contains(word))
    };
    let last: Vec<&Record> = records.iter().filter(matters).collect();
    if last.is_empty() {
        return vec!["no warnings".into()];
    }
    let first = last.len().saturating_sub(MOST_KERNEL_LINES);
    let line = |record: &&Record| {
        let text: String = record.text.chars().take(LONGEST_KERNEL_LINE).collect();
        format!("[{:12.6}] {text}", record.uptime.as_secs_f64())
    };
    last[first..].iter().map(line).collect()
}

async fn file_systems(paths: &[PathBuf]) -> Vec<String> {
    let paths = paths.to_vec();
    let chosen = bounded(LIMIT, "listing the mounts", move || {
        Ok(choose(&mount_table::read()?, &paths))
    });
    let chosen = match chosen.await {
        Ok(chosen) => chosen,
        Err(error) => return vec![format!("not known: {error}")],
    };
    // Each on its own thread: one that hangs must not hide the others.
    let lines = chosen.into_iter().map(|mount| async move {
        let (point, shown) = (
            mount.mount_point.clone(),
            mount.mount_point.display().to_string(),
        );
        match bounded(LIMIT, "statvfs", move || {
            disks::statvfs(&point.clone(), point)
        })
        .await
        {
            Ok(space) => format!("{space} ({}, {})", mount.kind, mount.source),
            Err(error) => format!("{shown}: not known: {error}"),
        }
    });
    join_all(lines).await
}

/// Those of the paths first, then every real one, each file system once.
fn choose(mounts: &[Mount], paths: &[PathBuf]) -> Vec<Mount> {
    let of_paths = paths.iter().filter_map(|path| {
        let existing = path
            .ancestors()
            .find_map(|ancestor| ancestor.canonicalize().ok())?;
        mount_table::holding(mounts, &existing)
    });
    let real = mounts
        .iter()
        .filter(|mount| !NOT_SHOWN.contains(&mount.kind.as_str()));
    let mut seen = HashSet::new();
    of_paths
        .chain(real)
        .filter(|mount| seen.insert(mount.device.clone()))
        .take(MOST_FILE_SYSTEMS)
        .cloned()
        .collect()
}

#[cfg(test)]
#[path = "vitals_tests.rs"]
mod tests;

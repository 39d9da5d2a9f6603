//! What makes a machine this one and no other: what cloud-init and systemd have kept of it, and its logs.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use super::bounded::bounded;
use super::durable;
use super::systemd;

/// Not for people: the part of forgetting that is for the shutdown.
pub const FORGET_VERB: &str = "forget-instance";

/// What is stopped at the shutdown.
const UNIT: &str = "guestbake-forget-instance.service";
const LIMIT: Duration = Duration::from_secs(120);
/// The power is cut by force a little later.
const STOP_LIMIT: &str = "--property=TimeoutStopSec=10";

#[async_trait]
pub trait Instance: Send + Sync {
    /// Makes the next boot the first one of a new instance, for cloud-init and for systemd.
    async fn forget(&self) -> io::Result<()>;
    /// Empties the machine's logs but for these files; how many bytes that were.
    async fn clear_logs(&self, kept: Vec<PathBuf>) -> io::Result<u64>;
}

pub struct ThisInstance;

#[async_trait]
impl Instance for ThisInstance {
    /// cloud-init may be running us, and goes on writing when we are through; systemd writes at the shutdown. So what
    /// decides about the next boot is forgotten now, for a host that cuts the power at the marker, and all the rest when
    /// these have been stopped.
    async fn forget(&self) -> io::Result<()> {
        bounded(LIMIT, "forgetting the instance", || {
            if !systemd::is_running() {
                return forget_everything(Path::new("/"));
            }
            forget_at_shutdown()?;
            forget_what_decides(Path::new("/"))
        })
        .await
    }

    async fn clear_logs(&self, kept: Vec<PathBuf>) -> io::Result<u64> {
        bounded(LIMIT, "clearing the logs", move || {
            if systemd::is_running() {
                // It lets go of its files and logs to memory. Without that their blocks are free after the shutdown.
                let _ = systemd::run("journalctl", &["--relinquish-var"]);
            }
            clear(Path::new("/var/log"), &kept)
        })
        .await
    }
}

/// A unit whose end is this: it is stopped after all that it stands before.
fn forget_at_shutdown() -> io::Result<()> {
    // A run before this one in the same boot has seen to it.
    if systemd::run("systemctl", &["is-active", "--quiet", UNIT]).is_ok() {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let program = program.to_str().ok_or(io::ErrorKind::InvalidData)?;
    let at_its_end = format!("--property=ExecStop={program} {FORGET_VERB}");
    let before = "--property=Before=shutdown.target cloud-init-main.service cloud-init-local.service \
                  cloud-init-network.service cloud-init.service cloud-config.service cloud-final.service \
                  systemd-random-seed.service";
    systemd::run(
        "systemd-run",
        &[
            "--quiet",
            "--unit",
            UNIT,
            "--property=Type=oneshot",
            "--property=RemainAfterExit=yes",
            "--property=DefaultDependencies=no",
            "--property=Conflicts=shutdown.target",
            "--property=RequiresMountsFor=/var/lib /var/log",
            STOP_LIMIT,
            before,
            &at_its_end,
            program,
            "--version",
        ],
    )
}

/// For the shutdown.
pub fn forget_this_instance() -> io::Result<()> {
    forget_everything(Path::new("/"))
}

/// Without these cloud-init takes the next boot for a first one, whatever the instance is called then, and the machine
/// gets an id of its own.
fn forget_what_decides(root: &Path) -> io::Result<()> {
    let cloud = root.join("var/lib/cloud");
    for instance in entries(&cloud.join("instances"))? {
        remove(&instance.join("sem"))?;
    }
    remove(&cloud.join("sem"))?;
    remove(&cloud.join("data/instance-id"))?;
    forget_machine_id(root)
}

/// As `cloud-init clean --logs --machine-id` has it, and systemd's advice on images:
/// <https://systemd.io/BUILDING_IMAGES/>
fn forget_everything(root: &Path) -> io::Result<()> {
    for path in entries(&root.join("var/lib/cloud"))? {
        // Where an image brings the data of its own instance along.
        if path.file_name().is_some_and(|name| name != "seed") {
            remove(&path)?;
        }
    }
    for path in [
        "var/log/cloud-init.log",
        "var/log/cloud-init-output.log",
        "var/lib/systemd/random-seed",
        "var/lib/systemd/credential.secret",
    ] {
        remove(&root.join(path))?;
    }
    forget_machine_id(root)
}

/// Empty, not `uninitialized` as cloud-init writes: that would have systemd enable services that the build disabled.
fn forget_machine_id(root: &Path) -> io::Result<()> {
    let of_dbus = root.join("var/lib/dbus/machine-id");
    if fs::symlink_metadata(&of_dbus).is_ok_and(|found| found.is_file()) {
        remove(&of_dbus)?;
    }
    let path = root.join("etc/machine-id");
    match path.exists() {
        true => durable::replace(&path, b""),
        false => Ok(()),
    }
}

/// Logs are emptied and keep owner and permissions, which who writes them may need; what was rotated away goes.
fn clear(folder: &Path, kept: &[PathBuf]) -> io::Result<u64> {
    let is_journal = folder.ends_with("log/journal");
    let mut bytes = 0;
    for path in entries(folder)? {
        if is_own(&path) || kept.contains(&path) {
            continue;
        }
        bytes += match is_journal {
            true => size_of(&path).and_then(|bytes| remove(&path).map(|()| bytes)),
            false => clear_one(&path, kept),
        }
        .or_else(unless_gone)?;
    }
    Ok(bytes)
}

fn clear_one(path: &Path, kept: &[PathBuf]) -> io::Result<u64> {
    let found = fs::symlink_metadata(path)?;
    if found.is_dir() {
        return clear(path, kept);
    }
    if !found.is_file() {
        return Ok(0);
    }
    match is_rotated(path) {
        true => remove(path)?,
        false => File::options().write(true).open(path)?.set_len(0)?,
    }
    Ok(found.blocks() * 512)
}

/// Whoever writes logs also rotates them, meanwhile.
fn unless_gone(error: io::Error) -> io::Result<u64> {
    match error.kind() {
        io::ErrorKind::NotFound => Ok(0),
        _ => Err(error),
    }
}

/// How this image came about.
fn is_own(path: &Path) -> bool {
    path.starts_with("/var/log/guestbake") || path == Path::new("/var/log/guestbake-bootstrap.log")
}

fn is_rotated(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        ["gz", "xz", "bz2", "zst", "old"].contains(&extension)
            || extension.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn size_of(path: &Path) -> io::Result<u64> {
    let found = fs::symlink_metadata(path)?;
    let inside = match found.is_dir() {
        true => entries(path)?,
        false => Vec::new(),
    };
    let sizes = inside.iter().map(|path| size_of(path).or_else(unless_gone));
    Ok(found.blocks() * 512 + sizes.sum::<io::Result<u64>>()?)
}

/// None where there is no such folder.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(named(folder, &error)),
    }
}

/// That it is not there is what is wanted.
fn remove(path: &Path) -> io::Result<()> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let removed = match is_folder {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(named(path, &error)),
        _ => Ok(()),
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use tempfile::TempDir;

    fn root_with(files: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, [b'x'; 5000]).unwrap();
        }
        root
    }

    fn left(root: &Path) -> Vec<String> {
        let mut left = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for path in entries(&folder).unwrap() {
                match fs::symlink_metadata(&path).unwrap().is_dir() {
                    true => folders.push(path),
                    false => left.push(path.strip_prefix(root).unwrap().display().to_string()),
                }
            }
        }
        left.sort();
        left
    }

    const CLOUD: [&str; 6] = [
        "var/lib/cloud/instances/i-1/sem/config_scripts_user",
        "var/lib/cloud/instances/i-1/boot-finished",
        "var/lib/cloud/sem/config_scripts_per_once.once",
        "var/lib/cloud/data/instance-id",
        "var/lib/cloud/data/status.json",
        "etc/machine-id",
    ];

    #[test]
    fn cloud_init_can_go_on_after_what_decides_is_forgotten() {
        let root = root_with(&CLOUD);
        let link = root.path().join("var/lib/cloud/instance");
        symlink("instances/i-1", &link).unwrap();
        forget_what_decides(root.path()).unwrap();
        let rest = [
            "etc/machine-id",
            "var/lib/cloud/data/status.json",
            "var/lib/cloud/instance",
            "var/lib/cloud/instances/i-1/boot-finished",
        ];
        assert_eq!(left(root.path()), rest);
        assert_eq!(fs::read(root.path().join("etc/machine-id")).unwrap(), b"");
        // What cloud-init writes last goes through this link.
        assert!(link.join("boot-finished").exists());
    }

    #[test]
    fn everything_is_forgotten_but_a_seed_of_the_image() {
        let root = root_with(&CLOUD);
        for more in [
            "var/lib/cloud/seed/nocloud/meta-data",
            "var/lib/cloud/scripts/per-boot/guestbake",
            "var/lib/systemd/random-seed",
            "var/lib/dbus/machine-id",
            "var/log/cloud-init.log",
            "var/log/other.log",
        ] {
            let path = root.path().join(more);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        symlink("instances/i-1", root.path().join("var/lib/cloud/instance")).unwrap();
        forget_everything(root.path()).unwrap();
        let rest = [
            "etc/machine-id",
            "var/lib/cloud/seed/nocloud/meta-data",
            "var/log/other.log",
        ];
        assert_eq!(left(root.path()), rest);
        // Without any of it there is nothing to do.
        forget_everything(tempfile::tempdir().unwrap().path()).unwrap();
    }

    #[test]
    fn logs_are_emptied_rotated_ones_removed_and_the_runs_own_kept() {
        let root = root_with(&[
            "log/syslog",
            "log/syslog.1",
            "log/app/app.log.2.gz",
            "log/app/app.log",
            "log/journal/0123/system.journal",
            "log/provision.log",
        ]);
        let log = root.path().join("log");
        let bytes = clear(&log, &[log.join("provision.log")]).unwrap();
        assert!(bytes >= 5 * 5000, "{bytes}");
        let rest = ["log/app/app.log", "log/provision.log", "log/syslog"];
        assert_eq!(left(root.path()), rest);
        assert_eq!(fs::read(log.join("app/app.log")).unwrap(), b"");
        assert_eq!(fs::read(log.join("provision.log")).unwrap().len(), 5000);
        // It is there that the journal goes on at the next boot.
        assert!(log.join("journal").is_dir());
    }

    #[test]
    fn a_log_that_is_rotated_away_meanwhile_is_no_error() {
        const NAMES: [&str; 2] = ["log/syslog", "log/journal/of-a-user.journal"];
        let root = root_with(&NAMES);
        let log = root.path().join("log");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    for path in NAMES.map(|name| root.path().join(name)) {
                        fs::write(&path, "x").unwrap();
                        let _ = fs::remove_file(path);
                    }
                }
            });
            let cleared = (0..2000).try_for_each(|_| clear(&log, &[]).map(|_| ()));
            is_over.store(true, Relaxed);
            cleared.unwrap();
        });
    }
}

//! A folder of the host's in the guest, by virtiofs or 9p, found by its tag. It is mounted without a mount point, as the
//! bundle is, by a thread that does all that is done with it: a host that does not answer holds up nobody else.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::thread::UnshareFlags;

/// What is not written yet, at most; the rest is left out.
const KEPT: usize = 4096;

/// What can be a share.
struct Kind {
    /// Virtio's number for such a device (virtio 1.2, 5).
    number: &'static str,
    file_system: &'static str,
    options: &'static [(&'static str, &'static str)],
}

const KINDS: [Kind; 2] = [
    Kind {
        number: "0x001a",
        file_system: "virtiofs",
        options: &[],
    },
    Kind {
        number: "0x0009",
        file_system: "9p",
        options: &[("trans", "virtio"), ("version", "9p2000.L")],
    },
];

enum Order {
    Append(&'static str, String),
    Replace(&'static str, Vec<u8>),
    /// Write everything out, unmount, and say so.
    End(mpsc::Sender<()>),
}

pub struct Share {
    orders: SyncSender<Order>,
}

impl Share {
    /// None if this machine has none of either kind. That one has this tag is only found out by the thread. Files that are
    /// appended to begin anew with a fresh one.
    pub fn tagged(tag: &'static str, fresh: bool) -> Option<Self> {
        let kinds: Vec<_> = kinds_here();
        if kinds.is_empty() {
            return None;
        }
        let (orders, received) = mpsc::sync_channel(KEPT);
        let work = move || {
            if own_descriptors().is_err() {
                return;
            }
            let mounted = kinds.into_iter().find_map(|kind| mount(kind, tag).ok());
            if let Some(root) = mounted {
                serve(root, &received, fresh);
            }
        };
        let started = thread::Builder::new().name("share".into()).spawn(work);
        started.ok().map(|_| Share { orders })
    }

    /// Adds a line to a file.
    pub fn append(&self, name: &'static str, line: String) {
        let _ = self.orders.try_send(Order::Append(name, line));
    }

    pub fn replace(&self, name: &'static str, content: Vec<u8>) {
        let _ = self.orders.try_send(Order::Replace(name, content));
    }

    /// Waits for all of it, at most until `end`; the share is unmounted then, as a mounted one can keep a host from
    /// making a snapshot.
    pub fn end(&self, end: Instant) {
        let (done, when_done) = mpsc::channel();
        if self.orders.try_send(Order::End(done)).is_ok() {
            let left = end.saturating_duration_since(Instant::now());
            let _ = when_done.recv_timeout(left);
        }
    }
}

/// Gives this thread descriptors of its own, and none to begin with: a program that this process starts closes all that
/// it inherits, and closing a file of a host that does not answer would hang it, and with it whoever started it.
fn own_descriptors() -> io::Result<()> {
    // SAFETY: no descriptor is handed to this thread or by it.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FILES) }?;
    let copies = fs::read_dir("/proc/thread-self/fd")?.flatten();
    let copies: Vec<i32> = copies
        .filter_map(|copy| copy.file_name().to_str()?.parse().ok())
        .collect();
    for copy in copies {
        // SAFETY: nothing in this thread owns it.
        unsafe { rustix::io::close(copy) };
    }
    Ok(())
}

fn kinds_here() -> Vec<&'static Kind> {
    let devices = fs::read_dir("/sys/bus/virtio/devices")
        .into_iter()
        .flatten();
    let numbers: Vec<String> = devices
        .flatten()
        .filter_map(|device| fs::read_to_string(device.path().join("device")).ok())
        .collect();
    let is_here = |kind: &&Kind| numbers.iter().any(|number| number.trim() == kind.number);
    KINDS.iter().filter(is_here).collect()
}

fn mount(kind: &Kind, tag: &str) -> io::Result<OwnedFd> {
    let context = rustix::mount::fsopen(kind.file_system, FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&context, "source", tag)?;
    for (name, value) in kind.options {
        rustix::mount::fsconfig_set_string(&context, *name, *value)?;
    }
    rustix::mount::fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(rustix::mount::fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        attributes,
    )?)
}

/// Until the end is ordered, or nobody is left to order anything.
fn serve(root: OwnedFd, orders: &Receiver<Order>, fresh: bool) {
    let appending = match fresh {
        true => OFlags::APPEND | OFlags::TRUNC,
        false => OFlags::APPEND,
    };
    let mut open: VecDeque<(&str, File)> = VecDeque::new();
    while let Ok(order) = orders.recv() {
        // A full or broken share has no one to complain to.
        let _ = match order {
            Order::Append(name, line) => append(&root, &mut open, name, &line, appending),
            Order::Replace(name, content) => replace(&root, name, &content),
            Order::End(done) => {
                for (_, file) in &open {
                    let _ = file.sync_all();
                }
                drop(open);
                drop(root);
                let _ = done.send(());
                return;
            }
        };
    }
}

fn append<'n>(
    root: &OwnedFd,
    open: &mut VecDeque<(&'n str, File)>,
    name: &'n str,
    line: &str,
    appending: OFlags,
) -> io::Result<()> {
    let at = match open.iter().position(|(known, _)| *known == name) {
        Some(at) => at,
        None => {
            open.push_back((name, create(root, name, appending)?));
            open.len() - 1
        }
    };
    open[at].1.write_all(format!("{line}\n").as_bytes())
}

fn replace(root: &OwnedFd, name: &str, content: &[u8]) -> io::Result<()> {
    let beside = format!(".{name}.new");
    let mut file = create(root, &beside, OFlags::TRUNC)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(rustix::fs::renameat(root, &beside, root, name)?)
}

fn create(root: &OwnedFd, name: &str, how: OFlags) -> io::Result<File> {
    let flags = how | OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root.as_fd(), name, flags, Mode::from_raw_mode(0o644))?;
    Ok(File::from(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(folder: &std::path::Path, line: &str, fresh: bool) -> String {
        let (orders, received) = mpsc::sync_channel(KEPT);
        let share = Share { orders };
        share.append("log", line.to_owned());
        drop(share);
        let root = File::open(folder).unwrap().into();
        serve(root, &received, fresh);
        fs::read_to_string(folder.join("log")).unwrap()
    }

    #[test]
    fn who_takes_over_a_run_goes_on_with_its_files() {
        let folder = tempfile::tempdir().unwrap();
        served(folder.path(), "of a run before", true);
        assert_eq!(served(folder.path(), "one", true), "one\n");
        assert_eq!(served(folder.path(), "two", false), "one\ntwo\n");
    }
}

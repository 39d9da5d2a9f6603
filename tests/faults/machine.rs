//! Disks that are full, archives that would fill them, and a file system that blocks.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::io::ioctl_fionbio;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;

use crate::causes::archive_plan;
use crate::support::engine::{EngineOptions, PrivateEngine};
use crate::support::image::{Form, ImageArchive, Packing, layer};
use crate::support::provision::{Ended, Provision};

/// linux/fuse.h
const FUSE_INIT: u32 = 26;

fn loading(engine: &PrivateEngine, name: &str, archive: Vec<u8>) -> Ended {
    Provision::on(engine, &archive_plan(name))
        .file("img.tar", archive)
        .run()
}

fn engine_with(data_root_size: u64, data_root_inodes: Option<u64>) -> PrivateEngine {
    PrivateEngine::start_with(EngineOptions {
        data_root_size: Some(data_root_size),
        data_root_inodes,
        ..EngineOptions::default()
    })
}

pub fn full_before() -> Ended {
    let engine = engine_with(32 << 20, None);
    // Until there is no room: what the write says about that is expected.
    let _ = fs::write(engine.data_root().join("filler"), vec![1; 32 << 20]);
    let image = ImageArchive::new("reasons/full:latest", vec![layer(&[("file", &[7; 1000])])]);
    loading(&engine, "full", image.bytes())
}

/// An archive of a few hundred kilobytes whose layer is a bomb.
pub fn full_while_loading() -> Ended {
    let engine = engine_with(32 << 20, None);
    let image = ImageArchive {
        form: Form::Both,
        layer_packing: Packing::Gzip,
        ..ImageArchive::new(
            "reasons/bomb:latest",
            vec![layer(&[("zeros", &vec![0; 100 << 20])])],
        )
    };
    let archive = image.bytes();
    assert!(
        archive.len() < 1 << 20,
        "{} bytes are no bomb",
        archive.len()
    );
    loading(&engine, "bomb", archive)
}

pub fn out_of_inodes() -> Ended {
    let engine = engine_with(512 << 20, Some(2000));
    let names: Vec<String> = (0..3000).map(|n| format!("file{n}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
    let image = ImageArchive::new("reasons/inodes:latest", vec![layer(&files)]);
    loading(&engine, "inodes", image.bytes())
}

pub fn tar_bomb() -> Ended {
    let names: Vec<String> = (0..100_100).map(|n| format!("{n}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
    Provision::new(&archive_plan("entries"))
        .file("img.tar", layer(&files))
        .run()
}

/// A file system whose server never says a word: whatever is asked of it blocks.
pub struct BlockedFileSystem {
    folder: TempDir,
    /// Closed, whoever still waits for an answer is let go.
    server: Arc<File>,
    /// Somebody waits for an answer that does not come.
    asked: Arc<AtomicBool>,
}

impl BlockedFileSystem {
    pub fn mount() -> Self {
        let folder = TempDir::with_prefix("guestbake-blocked-").unwrap();
        let fuse = Path::new("/dev/fuse");
        let server = File::options()
            .read(true)
            .write(true)
            .open(fuse)
            .expect("/dev/fuse");
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            server.as_raw_fd()
        );
        let options = std::ffi::CString::new(options).unwrap();
        mount(
            "guestbake-test",
            folder.path(),
            "fuse",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .expect("a FUSE mount");
        BlockedFileSystem {
            folder,
            server: Arc::new(server),
            asked: Arc::default(),
        }
    }

    /// As a disk that does not answer: who asks it for something cannot even be killed, as the server has taken the
    /// question. Only this thread sees it, and what it starts: the diagnostics of other rows would hang, too.
    pub fn mount_unkillable() -> Self {
        // SAFETY: the folders' table is no file descriptor, and this thread's alone from now on.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.unwrap();
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )
        .unwrap();
        let blocked = Self::mount();
        ioctl_fionbio(&blocked.server, true).unwrap();
        let (server, asked) = (Arc::downgrade(&blocked.server), blocked.asked.clone());
        thread::spawn(move || {
            // As large as the kernel wants it.
            let mut question = vec![0; 1 << 20];
            while let Some(server) = server.upgrade() {
                let length = (&*server).read(&mut question).unwrap_or_default();
                let word = |at: usize| u32::from_le_bytes(question[at..at + 4].try_into().unwrap());
                if length >= 16 && word(4) == FUSE_INIT {
                    let answer = answer_to_init(&question[8..16]);
                    (&*server).write_all(&answer).unwrap();
                } else if length > 0 {
                    asked.store(true, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        blocked
    }

    pub fn wait_until_asked(&self) {
        while !self.asked.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// `struct fuse_out_header`, then `struct fuse_init_out` (linux/fuse.h).
fn answer_to_init(id: &[u8]) -> Vec<u8> {
    let (major, minor, largest_write): (u32, u32, u32) = (7, 31, 4096);
    let mut answer = 80_u32.to_le_bytes().to_vec();
    answer.extend([0; 4]);
    answer.extend(id);
    answer.extend(major.to_le_bytes());
    answer.extend(minor.to_le_bytes());
    // Read-ahead, flags, background requests: none.
    answer.extend([0; 12]);
    answer.extend(largest_write.to_le_bytes());
    answer.resize(80, 0);
    answer
}

impl Drop for BlockedFileSystem {
    fn drop(&mut self) {
        let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
    }
}

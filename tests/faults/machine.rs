//! Disks that are full, archives that would fill them, and a file system that blocks.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

use crate::causes::archive_plan;
use crate::support::engine::{EngineOptions, PrivateEngine};
use crate::support::image::{Form, ImageArchive, Packing, layer};
use crate::support::provision::{Ended, Provision};

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
    _server: File,
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
            _server: server,
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for BlockedFileSystem {
    fn drop(&mut self) {
        let _ = unmount(self.folder.path(), UnmountFlags::DETACH);
    }
}

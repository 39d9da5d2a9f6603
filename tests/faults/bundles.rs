//! Bundles that are no good.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, symlink};

use crate::causes::archive_plan;
use crate::machine::BlockedFileSystem;
use crate::support::provision::{Ended, Provision, idle};

pub fn on_a_blocked_file_system() -> Ended {
    let blocked = BlockedFileSystem::mount();
    Provision::new("")
        .bundled_in(Some(blocked.path().join("bundle")))
        .run()
}

/// Whoever looks at it hangs in the kernel, and the worker with him.
pub fn on_a_disk_that_does_not_answer() -> Ended {
    let blocked = BlockedFileSystem::mount_unkillable();
    Provision::new("")
        .bundled_in(Some(blocked.path().join("bundle")))
        .run()
}

/// The descriptors of a volume of 1000 sectors, and not many more.
pub fn truncated_iso() -> Ended {
    let provision = Provision::new("");
    let path = provision.bundle().join("bundle.iso");
    let iso = File::create(&path).unwrap();
    let mut descriptor = [0; 2048];
    descriptor[..7].copy_from_slice(b"\x01CD001\x01");
    descriptor[40..72].copy_from_slice(format!("{:32}", "STACKBUNDLE").as_bytes());
    descriptor[80..84].copy_from_slice(&1000_u32.to_le_bytes());
    descriptor[84..88].copy_from_slice(&1000_u32.to_be_bytes());
    descriptor[128..130].copy_from_slice(&2048_u16.to_le_bytes());
    descriptor[130..132].copy_from_slice(&2048_u16.to_be_bytes());
    iso.write_all_at(&descriptor, 16 * 2048).unwrap();
    iso.write_all_at(b"\xffCD001\x01", 17 * 2048).unwrap();
    iso.set_len(20 * 2048).unwrap();
    provision.bundled_in(Some(path)).run()
}

pub fn with_a_link(name: &str, target: &str) -> Ended {
    let provision = Provision::new(&idle("unused")).without(name);
    symlink(target, provision.bundle().join(name)).unwrap();
    provision.run()
}

pub fn with_a_linked_archive() -> Ended {
    let provision = Provision::new(&archive_plan("linked"));
    symlink("/etc/passwd", provision.bundle().join("img.tar")).unwrap();
    provision.run()
}

pub fn planned(plan: String) -> Ended {
    Provision::new("").file("guestbake.toml", plan).run()
}

/// A gigabyte of nothing: no block on the disk, all of it in memory if it were read.
pub fn with_an_enormous_env_file() -> Ended {
    let provision = Provision::new(&(idle("unused") + "env_file = ['build.env']\n"));
    let file = fs::File::create(provision.bundle().join("build.env")).unwrap();
    file.set_len(1 << 30).unwrap();
    provision.run()
}

//! With the kernel's ext4 where it is about loop devices and detached mounts: not every kernel has ISO 9660.

use super::*;
use rustix::fs::{Mode, OFlags, openat};
use std::process::Command;

fn ext4_image(folder: &Path, content: &str) -> PathBuf {
    let root = folder.join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("build-arch.env"), content).unwrap();
    let image = folder.join("bundle.img");
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .args([&root, &image])
        .arg("4m")
        .status();
    assert!(made.unwrap().success());
    image
}

fn read_beneath(root: &OwnedFd, name: &str) -> String {
    let file = openat(root, name, OFlags::RDONLY, Mode::empty()).unwrap();
    io::read_to_string(File::from(file)).unwrap()
}

#[test]
fn an_image_file_is_mounted_read_only_without_a_mount_point() {
    let folder = tempfile::tempdir().unwrap();
    let image = ext4_image(folder.path(), "content");
    let mounted = mount(&image, "ext4").unwrap();
    assert_eq!(read_beneath(&mounted.root, "build-arch.env"), "content");

    let written = openat(
        &mounted.root,
        "new",
        OFlags::CREATE | OFlags::WRONLY,
        Mode::RWXU,
    );
    assert_eq!(written.unwrap_err(), Errno::ROFS);
    let flags = rustix::fs::fstatvfs(&mounted.root).unwrap().f_flag;
    assert!(
        flags
            .contains(rustix::fs::StatVfsMountFlags::NOSUID | rustix::fs::StatVfsMountFlags::NODEV)
    );
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!table.contains(image.to_str().unwrap()));
}

#[test]
fn the_end_of_one_mount_takes_nothing_from_another() {
    let folder = tempfile::tempdir().unwrap();
    let image = ext4_image(folder.path(), "content");
    let device = LoopDevice::attach(&image).unwrap();
    let first = mount_device(&device.path, "ext4").unwrap();
    let second = mount_device(&device.path, "ext4").unwrap();
    drop(first);
    assert_eq!(read_beneath(&second.root, "build-arch.env"), "content");
}

#[test]
fn a_file_system_the_kernel_lacks_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let image = ext4_image(folder.path(), "content");
    let device = LoopDevice::attach(&image).unwrap();
    let error = mount_device(&device.path, "no-such-file-system").unwrap_err();
    assert!(matches!(error, MountError::Unsupported), "{error}");
}

#[tokio::test]
async fn what_is_no_iso_or_not_all_of_one_is_told_before_mounting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.iso");
    std::fs::write(&path, [0; 100_000]).unwrap();
    let error = Kernel::default().mount_iso9660(&path).await.unwrap_err();
    assert!(matches!(error, MountError::NotIso9660), "{error}");

    std::fs::write(&path, iso9660::tests::image("STACKBUNDLE", None, 1000)).unwrap();
    let error = Kernel::default().mount_iso9660(&path).await.unwrap_err();
    assert!(
        matches!(
            error,
            MountError::Truncated {
                expected: 2_048_000,
                ..
            }
        ),
        "{error}"
    );

    let error = Kernel::default()
        .mount_iso9660(&folder.path().join("none"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[tokio::test]
async fn an_attached_volume_is_found_among_the_block_devices() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bundle.iso");
    std::fs::write(&path, iso9660::tests::image("GUESTBAKETEST", None, 20)).unwrap();
    let device = LoopDevice::attach(&path).unwrap();
    let found = Kernel::default().block_devices().await.unwrap();
    let ours = found.iter().find(|found| found.path == device.path);
    assert!(
        matches!(&ours.unwrap().content, Content::Iso9660(volume) if volume.has_label("guestbaketest")),
        "{found:?}"
    );
}

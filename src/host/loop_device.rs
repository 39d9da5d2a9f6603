//! Loop devices: an image file becomes a block device, read-only, gone when its last user lets go.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::ioctl::{self, IntegerSetter, Ioctl, IoctlOutput, NoArg, Opcode, Setter};

// linux/loop.h
const LOOP_SET_FD: Opcode = 0x4C00;
const LOOP_CLR_FD: Opcode = 0x4C01;
const LOOP_SET_STATUS64: Opcode = 0x4C04;
const LOOP_CTL_GET_FREE: Opcode = 0x4C82;
const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// Another program may take the free device between asking for it and using it.
const ATTEMPTS: usize = 16;

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct LoopInfo64 {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// A loop device that is detached when this is dropped and nothing has it mounted any more.
pub struct LoopDevice {
    pub path: PathBuf,
    _open: File,
}

impl LoopDevice {
    /// Attaches an image file, read-only.
    pub fn attach(image: &Path) -> io::Result<LoopDevice> {
        let backing = File::open(image)?;
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/loop-control")
            .map_err(|error| match error.kind() {
                // With udev or kmod's static nodes, opening the node loads the module.
                io::ErrorKind::NotFound => {
                    let message = "no /dev/loop-control: the kernel's module `loop` is not loaded";
                    io::Error::new(io::ErrorKind::NotFound, message)
                }
                _ => named("/dev/loop-control", &error),
            })?;
        for _ in 0..ATTEMPTS {
            // SAFETY: LOOP_CTL_GET_FREE takes no argument and returns the device's number.
            let number = unsafe { ioctl::ioctl(&control, GetFree) }?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device =
                File::open(&path).map_err(|error| named(&path.to_string_lossy(), &error))?;
            match bind(&device, &backing) {
                Ok(()) => {
                    return Ok(LoopDevice {
                        path,
                        _open: device,
                    });
                }
                Err(rustix::io::Errno::BUSY) => continue,
                Err(error) => return Err(named(&path.to_string_lossy(), &error.into())),
            }
        }
        Err(io::Error::other(
            "every free loop device was taken by another program first",
        ))
    }
}

/// LOOP_SET_FD with LOOP_SET_STATUS64 rather than LOOP_CONFIGURE, which kernels before 5.8 lack.
/// The device is read-only because the image is open for reading only.
fn bind(device: &File, backing: &File) -> rustix::io::Result<()> {
    let descriptor = backing.as_raw_fd() as usize;
    // SAFETY: LOOP_SET_FD takes a file descriptor as an integer; `backing` is open during the call.
    unsafe { ioctl::ioctl(device, IntegerSetter::<LOOP_SET_FD>::new_usize(descriptor)) }?;
    let info = LoopInfo64 {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        sizelimit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    };
    // SAFETY: LOOP_SET_STATUS64 reads a `struct loop_info64`, which LoopInfo64 mirrors.
    let status = unsafe { ioctl::ioctl(device, Setter::<LOOP_SET_STATUS64, _>::new(info)) };
    if status.is_err() {
        // SAFETY: LOOP_CLR_FD takes no argument. Without autoclear the device would stay bound for ever.
        let _ = unsafe { ioctl::ioctl(device, NoArg::<LOOP_CLR_FD>::new()) };
    }
    status
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

struct GetFree;

// SAFETY: the call neither reads nor writes user memory; its result is the return value.
unsafe impl Ioctl for GetFree {
    type Output = u32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        LOOP_CTL_GET_FREE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(
        returned: IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<u32> {
        Ok(returned as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn backing_file(device: &Path) -> Option<String> {
        let name = device.file_name().unwrap().to_str().unwrap();
        std::fs::read_to_string(format!("/sys/class/block/{name}/loop/backing_file")).ok()
    }

    #[test]
    fn an_image_is_readable_through_its_device_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        File::create(&image).unwrap().write_all(&[7; 4096]).unwrap();

        let device = LoopDevice::attach(&image).unwrap();
        let mut content = Vec::new();
        File::open(&device.path)
            .unwrap()
            .read_to_end(&mut content)
            .unwrap();
        assert_eq!(content, [7; 4096]);
        let denied = OpenOptions::new()
            .write(true)
            .open(&device.path)
            .and_then(|mut file| {
                file.write_all(&[1; 512])?;
                file.sync_all()
            });
        assert!(denied.is_err(), "the device takes writes");

        let path = device.path.clone();
        drop(device);
        // Where udev runs it may have the device open for a moment more.
        let attached =
            || backing_file(&path).is_some_and(|file| file.trim() == image.to_str().unwrap());
        while attached() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    #[test]
    fn two_images_get_two_devices() {
        let folder = tempfile::tempdir().unwrap();
        let images = [folder.path().join("a"), folder.path().join("b")];
        for image in &images {
            std::fs::write(image, [0; 4096]).unwrap();
        }
        let first = LoopDevice::attach(&images[0]).unwrap();
        let second = LoopDevice::attach(&images[1]).unwrap();
        assert_ne!(first.path, second.path);
    }
}

//! The files of a bundle. No name and no symbolic link leads out of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Component, Path};
use std::sync::Arc;

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

/// The most that is read into memory at once: far above any text, far below an image.
pub const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The root folder of a bundle. Clones share it, so a stage can take one into a thread; a mounted bundle is unmounted
/// when the last clone and the last open file are gone.
#[derive(Clone, Debug)]
pub struct Files {
    root: Arc<OwnedFd>,
}

impl Files {
    pub fn new(root: OwnedFd) -> Files {
        Files {
            root: Arc::new(root),
        }
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// Name the file; [`io::ErrorKind::NotFound`] and the others of `openat2(2)` keep their kind.
    pub fn open(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let name = name.as_ref();
        let named = |kind: io::ErrorKind, what: &dyn std::fmt::Display| {
            io::Error::new(kind, format!("{}: {what}", name.display()))
        };
        // O_NONBLOCK: a FIFO in a folder must not hang the agent before it is refused.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = match openat2(&*self.root, name, flags, Mode::empty(), beneath) {
            Err(Errno::NOSYS) => self.open_step_by_step(name, flags),
            other => other,
        };
        let file = match opened {
            Ok(file) => file,
            Err(Errno::XDEV) => {
                return Err(named(
                    io::ErrorKind::PermissionDenied,
                    &"leads out of the bundle (an absolute name, `..` or a symbolic link)",
                ));
            }
            Err(error) => {
                let error = io::Error::from(error);
                return Err(named(error.kind(), &error));
            }
        };
        match FileType::from_raw_mode(fstat(&file)?.st_mode) {
            FileType::RegularFile => Ok(file.into()),
            FileType::Directory => Err(named(
                io::ErrorKind::IsADirectory,
                &"is a directory, not a file",
            )),
            _ => Err(named(io::ErrorKind::InvalidInput, &"is not a regular file")),
        }
    }

    /// Linux before 5.6 has no `openat2`; there symbolic links are refused altogether.
    fn open_step_by_step(&self, name: &Path, last: OFlags) -> rustix::io::Result<OwnedFd> {
        let names: Vec<_> = name
            .components()
            .filter(|component| *component != Component::CurDir)
            .map(|component| match component {
                Component::Normal(name) => Ok(name),
                _ => Err(Errno::XDEV),
            })
            .collect::<Result<_, _>>()?;
        let Some((file, folders)) = names.split_last() else {
            return openat(&*self.root, ".", last, Mode::empty());
        };
        let mut folder: Option<OwnedFd> = None;
        for name in folders {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            folder = Some(openat(
                folder.as_ref().unwrap_or(&self.root),
                *name,
                flags,
                Mode::empty(),
            )?);
        }
        openat(
            folder.as_ref().unwrap_or(&self.root),
            *file,
            last | OFlags::NOFOLLOW,
            Mode::empty(),
        )
    }

    /// The whole content of a file of at most [`MOST_BYTES`].
    pub fn read(&self, name: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let name = name.as_ref();
        let named =
            |kind, what: String| io::Error::new(kind, format!("{}: {what}", name.display()));
        let mut content = Vec::new();
        self.open(name)?
            .take(MOST_BYTES + 1)
            .read_to_end(&mut content)
            .map_err(|error| named(error.kind(), error.to_string()))?;
        if content.len() as u64 > MOST_BYTES {
            let what = format!("is longer than the {} MiB read at once", MOST_BYTES >> 20);
            return Err(named(io::ErrorKind::FileTooLarge, what));
        }
        Ok(content)
    }

    /// The same as text, which must be UTF-8.
    pub fn read_text(&self, name: impl AsRef<Path>) -> io::Result<String> {
        let name = name.as_ref();
        String::from_utf8(self.read(name)?).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..at]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            let message = format!("{}:{line}: is not UTF-8 text", name.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    /// Whether there is such a file. An error other than its absence counts as presence: opening it will tell.
    pub fn exists(&self, name: impl AsRef<Path>) -> bool {
        !matches!(self.open(name), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// The names in the root folder, sorted.
    pub fn names(&self) -> io::Result<Vec<String>> {
        self.names_in(Path::new("."))
    }

    /// The names in a folder, sorted.
    pub fn names_in(&self, folder: &Path) -> io::Result<Vec<String>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let folder = match openat2(&*self.root, folder, flags, Mode::empty(), beneath) {
            Err(Errno::NOSYS) => self.open_step_by_step(folder, flags),
            other => other,
        }?;
        let mut names = Vec::new();
        for entry in Dir::new(folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn folder() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("bundle");
        fs::create_dir_all(root.join("images")).unwrap();
        fs::write(folder.path().join("outside"), "secret").unwrap();
        fs::write(root.join("plan"), "text").unwrap();
        fs::write(root.join("images/img.tgz"), "image").unwrap();
        let files = Files::new(File::open(&root).unwrap().into());
        (folder, files)
    }

    #[test]
    fn files_and_those_in_folders_are_read() {
        let (_folder, files) = folder();
        assert_eq!(files.read_text("plan").unwrap(), "text");
        assert_eq!(files.read("./images/img.tgz").unwrap(), b"image");
        assert!(files.exists("plan") && !files.exists("plan.toml"));
        assert_eq!(files.names().unwrap(), ["images", "plan"]);
    }

    #[test]
    fn no_way_leads_out() {
        let (folder, files) = folder();
        let root = folder.path().join("bundle");
        symlink("../outside", root.join("up")).unwrap();
        symlink(folder.path().join("outside"), root.join("absolute")).unwrap();
        symlink("..", root.join("parent")).unwrap();
        for name in [
            "../outside",
            "up",
            "absolute",
            "parent/outside",
            "/etc/passwd",
        ] {
            let error = files.open(name).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("{name}: leads out of the bundle")),
                "{error}"
            );
            assert!(
                files
                    .open_step_by_step(Path::new(name), OFlags::RDONLY)
                    .is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn links_inside_are_followed() {
        let (folder, files) = folder();
        symlink("images/img.tgz", folder.path().join("bundle/latest")).unwrap();
        assert_eq!(files.read("latest").unwrap(), b"image");
    }

    #[test]
    fn old_kernels_find_the_same_files() {
        let (_folder, files) = folder();
        let open = |name: &str| files.open_step_by_step(Path::new(name), OFlags::RDONLY);
        let text = io::read_to_string(File::from(open("images/img.tgz").unwrap())).unwrap();
        assert_eq!(text, "image");
        assert_eq!(open("none").unwrap_err(), Errno::NOENT);
        assert_eq!(open("..").unwrap_err(), Errno::XDEV);
    }

    #[test]
    fn what_is_no_file_or_no_text_is_refused_by_name() {
        let (folder, files) = folder();
        let root = folder.path().join("bundle");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe"),
            FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .unwrap();
        fs::write(root.join("latin1"), b"a\nb\xe4").unwrap();
        File::create(root.join("huge"))
            .unwrap()
            .set_len(MOST_BYTES + 1)
            .unwrap();
        let message = |result: io::Result<_>| result.map(|_: String| ()).unwrap_err().to_string();
        assert_eq!(
            message(files.read_text("images")),
            "images: is a directory, not a file"
        );
        assert_eq!(
            message(files.read_text("pipe")),
            "pipe: is not a regular file"
        );
        assert_eq!(
            message(files.read_text("latin1")),
            "latin1:2: is not UTF-8 text"
        );
        assert_eq!(
            message(files.read_text("huge")),
            "huge: is longer than the 16 MiB read at once"
        );
    }
}

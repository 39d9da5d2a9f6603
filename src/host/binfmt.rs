//! `binfmt_misc`: which foreign programs the kernel hands to an interpreter, and what that is.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::bounded::bounded;

const FOLDER: &str = "/proc/sys/fs/binfmt_misc";
/// An emulator that starts says its version at once, in an emulated guest after seconds.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// A registered handler (kernel documentation, `admin-guide/binfmt-misc.rst`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handler {
    pub name: String,
    pub interpreter: PathBuf,
    /// `F`: the interpreter was opened when it was registered, so it need not be in the container.
    pub is_fixed: bool,
    pub offset: usize,
    /// What a program it is for has there, bit by bit where the mask says so.
    pub magic: Vec<u8>,
    /// Empty: every bit counts.
    pub mask: Vec<u8>,
}

#[async_trait]
pub trait Handlers: Send + Sync {
    /// Those that are enabled; None where `binfmt_misc` is not mounted.
    fn registered(&self) -> Option<Vec<Handler>>;
    /// The first line of what the interpreter says when it is asked for its version.
    async fn version(&self, interpreter: &Path) -> io::Result<String>;
}

/// Those of the kernel this runs on.
pub struct KernelHandlers;

#[async_trait]
impl Handlers for KernelHandlers {
    fn registered(&self) -> Option<Vec<Handler>> {
        let folder = Path::new(FOLDER);
        // Where systemd mounts it when it is first looked at, this is that look.
        folder.join("register").exists().then(|| read(folder))
    }

    async fn version(&self, interpreter: &Path) -> io::Result<String> {
        let interpreter = interpreter.to_owned();
        let what = format!("{} --version", interpreter.display());
        bounded(VERSION_LIMIT * 2, &what, move || version(&interpreter)).await
    }
}

fn read(folder: &Path) -> Vec<Handler> {
    let mut handlers = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "register" || name == "status" {
            continue;
        }
        // One may be gone by now.
        if let Ok(text) = fs::read_to_string(entry.path()) {
            handlers.extend(parse(&name, &text));
        }
    }
    // The kernel asks the last one first; it does not say which that is.
    handlers.sort_by(|a, b| a.name.cmp(&b.name));
    handlers
}

/// None of one that is disabled, or goes by the name's extension.
fn parse(name: &str, text: &str) -> Option<Handler> {
    let mut lines = text.lines();
    if lines.next()? != "enabled" {
        return None;
    }
    let mut handler = Handler {
        name: name.to_owned(),
        ..Handler::default()
    };
    for line in lines {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "interpreter" => handler.interpreter = value.into(),
            "flags:" => handler.is_fixed = value.contains('F'),
            "offset" => handler.offset = value.parse().ok()?,
            "magic" => handler.magic = bytes(value)?,
            "mask" => handler.mask = bytes(value)?,
            _ => {}
        }
    }
    (!handler.magic.is_empty()).then_some(handler)
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "ended in here, after a limit")]
fn version(interpreter: &Path) -> io::Result<String> {
    // Under the name of a handler that keeps argv[0] it would take the option for a program.
    let program = interpreter.canonicalize()?;
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let end = Instant::now() + VERSION_LIMIT;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other("does not say its version"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    // A few lines: they fit into the pipe.
    let mut said = Vec::new();
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    output.take(4096).read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said);
    let first = said.lines().next().map(str::trim).unwrap_or_default();
    match first.is_empty() {
        true => Err(io::Error::other("does not say its version")),
        false => Ok(first.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// As Debian 12's kernel shows what its qemu-user-static 7.2 registers.
    const AARCH64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn a_handler_is_read_as_the_kernel_shows_it() {
        let handler = parse("qemu-aarch64", AARCH64).unwrap();
        assert_eq!(handler.name, "qemu-aarch64");
        assert_eq!(
            handler.interpreter,
            Path::new("/usr/libexec/qemu-binfmt/aarch64-binfmt-P")
        );
        assert!(handler.is_fixed);
        assert_eq!((handler.magic.len(), handler.mask.len()), (20, 20));
        assert_eq!(handler.magic[18..], [0xb7, 0]);
    }

    #[test]
    fn what_is_disabled_or_goes_by_extension_is_none() {
        assert_eq!(parse("x", &AARCH64.replace("enabled", "disabled")), None);
        let by_extension = "enabled\ninterpreter /usr/bin/python3\nflags: \nextension .pyc\n";
        assert_eq!(parse("python", by_extension), None);
        assert_eq!(parse("rubbish", "enabled\noffset x\nmagic 7f\n"), None);
        assert_eq!(parse("rubbish", "enabled\nmagic 7\u{e9}\n"), None);
    }

    #[test]
    fn the_folder_is_read_without_its_two_other_files() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("register", ""),
            ("status", "enabled\n"),
            ("qemu-aarch64", AARCH64),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let names: Vec<String> = read(folder.path())
            .into_iter()
            .map(|handler| handler.name)
            .collect();
        assert_eq!(names, ["qemu-aarch64"]);
    }

    #[test]
    fn an_interpreter_is_asked_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("qemu");
        fs::write(
            &program,
            "#!/bin/sh\necho \"${0##*/} version 7.2 ($1)\"\necho more\n",
        )
        .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let handler = folder.path().join("aarch64-binfmt-P");
        std::os::unix::fs::symlink(&program, &handler).unwrap();
        assert_eq!(version(&handler).unwrap(), "qemu version 7.2 (--version)");
        assert!(version(Path::new("/nowhere/qemu")).is_err());
    }
}

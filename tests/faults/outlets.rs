//! Consoles, standard output, log and report that take nothing: it must not matter for the marker on the others.

use std::fs::File;
use std::io::Write;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::io::ioctl_fionbio;

use crate::machine::BlockedFileSystem;
use crate::support::provision::{Ended, Provision};

pub fn consoles_that_take_nothing() -> Ended {
    let provision = Provision::new("");
    let fifo = provision.bundle().with_file_name("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let fifo = fifo.to_str().unwrap();
    let others = [
        "--console",
        fifo,
        "--console",
        "/dev/full",
        "--console",
        "/dev/no-such-console",
    ];
    provision.args(others).run()
}

/// A pipe that is full before the first line, and stays so.
pub fn standard_output_that_nobody_reads() -> Ended {
    let (_reader, writer) = rustix::pipe::pipe().unwrap();
    let mut writer = File::from(writer);
    ioctl_fionbio(&writer, true).unwrap();
    while writer.write(&[b'.'; 4096]).is_ok() {}
    ioctl_fionbio(&writer, false).unwrap();
    Provision::new("").with_stdout(writer).run()
}

pub fn nowhere_to_write() -> Ended {
    let provision = Provision::new("");
    provision
        .args(["--report", "/proc/no/report.json"])
        .args(["--state-dir", "/proc/no", "--record", "/proc/no"])
        .run()
}

/// Every path but the console's.
pub fn blocked_file_system() -> Ended {
    let blocked = BlockedFileSystem::mount();
    let path = |name: &str| blocked.path().join(name).into_os_string();
    Provision::new("")
        .args(["--report".into(), path("report.json")])
        .args([
            "--state-dir".into(),
            path("state"),
            "--record".into(),
            path("record"),
        ])
        .args(["--console".into(), path("console")])
        .run()
}

/// A program that is stopped while it writes leaves half a line; the marker stands alone behind it.
pub fn half_a_line() -> Ended {
    let provision = Provision::new("");
    let half = "[  1.0] another program's half li";
    std::fs::write(provision.console_file(), half).unwrap();
    provision.run()
}

//! The kernel's own log, as `/dev/kmsg` keeps it.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// More than the ring buffer of any cloud kernel holds; a bound in case it fills faster than it is read.
const MOST_RECORDS: usize = 50_000;
/// `CONSOLE_EXT_LOG_MAX` of the kernel's printk: no record is longer.
const LONGEST_RECORD: usize = 8192;

/// One message of the kernel (or one that a program wrote into its log).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// 0 (emergency) to 7 (debug), as syslog numbers them; 4 is a warning.
    pub level: u8,
    /// Since the machine started.
    pub uptime: Duration,
    pub text: String,
}

/// Keeps the kernel's messages off the consoles as long as it lives, so that none comes into the middle of a line.
pub struct Silence(Option<String>);

const CONSOLE_LEVEL: &str = "/proc/sys/kernel/printk";

impl Silence {
    /// proc(5): level 1 lets only emergencies through. Without the right to change it, nothing changes.
    #[expect(
        clippy::disallowed_methods,
        reason = "a write to /proc is whole or not done"
    )]
    pub fn begin() -> Self {
        let before = std::fs::read_to_string(CONSOLE_LEVEL).ok();
        let changed = std::fs::write(CONSOLE_LEVEL, "1").is_ok();
        Silence(before.filter(|_| changed))
    }
}

impl Drop for Silence {
    #[expect(
        clippy::disallowed_methods,
        reason = "a write to /proc is whole or not done"
    )]
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = std::fs::write(CONSOLE_LEVEL, before);
        }
    }
}

/// Everything the ring buffer holds now, oldest first. Does not wait for more.
pub fn read() -> io::Result<Vec<Record>> {
    read_from(Path::new("/dev/kmsg"))
}

fn read_from(device: &Path) -> io::Result<Vec<Record>> {
    let mut device = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(device)?;
    let mut records = Vec::new();
    let mut record = [0; LONGEST_RECORD];
    while records.len() < MOST_RECORDS {
        // Each read yields one record.
        match device.read(&mut record) {
            Ok(0) => break,
            Ok(length) => records.extend(parse(&String::from_utf8_lossy(&record[..length]))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The oldest records were overwritten meanwhile; the next read goes on behind the gap.
            Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

/// `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS…;TEXT` (Documentation/ABI/testing/dev-kmsg); further lines name the device.
fn parse(record: &str) -> Option<Record> {
    let (prefix, text) = record.split_once(';')?;
    let mut fields = prefix.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let microseconds = fields.nth(1)?.parse().ok()?;
    Some(Record {
        // The bits above are the facility.
        level: (priority & 7) as u8,
        uptime: Duration::from_micros(microseconds),
        text: text.lines().next().unwrap_or_default().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_taken_apart() {
        let record =
            "12,2337,5140900,-;e1000: link is down\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:03.0\n";
        assert_eq!(
            parse(record),
            Some(Record {
                level: 4,
                uptime: Duration::from_micros(5_140_900),
                text: "e1000: link is down".into(),
            })
        );
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn the_log_of_this_machine_is_read_without_waiting() {
        match read() {
            Ok(records) => {
                assert!(!records.is_empty())
            }
            Err(error) => eprintln!("skipped: this machine's kernel log cannot be read: {error}"),
        }
    }
}

//! systemd's journal, by its own protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): messages with fields. A journal that does
//! not take them holds up nobody.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::Duration;

pub const SOCKET: &str = "/run/systemd/journal/socket";
/// For what must not be lost: so often it is tried again, with so long between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(10);

/// As syslog(3) numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    Error = 3,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

pub struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    pub fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(Journal { socket })
    }

    /// Fields without a value are left out.
    pub fn send(&self, priority: Priority, message: &str, fields: &[(&str, Option<&str>)]) {
        let mut datagram = Vec::new();
        let number = (priority as u8).to_string();
        field(&mut datagram, "PRIORITY", &number);
        field(&mut datagram, "SYSLOG_IDENTIFIER", "guestbake");
        field(&mut datagram, "MESSAGE", message);
        for (name, value) in fields {
            if let Some(value) = value {
                field(&mut datagram, name, value);
            }
        }
        let tries = if priority == Priority::Error {
            TRIES
        } else {
            1
        };
        for _ in 0..tries {
            match self.socket.send(&datagram) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
                _ => return,
            }
        }
    }
}

fn field(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend(name.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend((value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend(value.as_bytes());
    datagram.push(b'\n');
}

/// Whether what is printed goes to the journal already (systemd.exec(5), `JOURNAL_STREAM`).
pub fn is_standard_output() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let about = std::fs::metadata("/proc/self/fd/1");
    about.is_ok_and(|about| stream == format!("{}:{}", about.dev(), about.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_as_the_protocol_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let fields = [("A", Some("one")), ("B", None), ("C", Some("two\nlines"))];
        let journal = Journal::at(&path).unwrap();
        journal.send(Priority::Notice, "hello", &fields);
        let mut datagram = [0; 1000];
        let length = journald.recv(&mut datagram).unwrap();
        let expected = b"PRIORITY=5\nSYSLOG_IDENTIFIER=guestbake\nMESSAGE=hello\nA=one\nC\n\x09\0\0\0\0\0\0\0two\nlines\n";
        assert_eq!(
            datagram[..length].escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
    }

    #[test]
    fn a_journal_that_takes_nothing_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(&path).unwrap();
        for _ in 0..1000 {
            journal.send(Priority::Info, "unheard", &[]);
        }
        journal.send(Priority::Error, "unheard, too", &[]);
    }
}

//! The markers in the bytes of a serial line, found as `strings -a serial.log | grep -Fqx MARKER` finds them.
//!
//! `strings` cuts the bytes at everything that is not printable ASCII or a tab, so a carriage return, an escape
//! character or a zero ends a line like a line feed does. A marker behind half a line of another program is none.

/// What ends a watch. The texts are those of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    Done,
    Failed,
    Ready,
}

impl Marker {
    pub const ALL: [Marker; 3] = [Marker::Done, Marker::Failed, Marker::Ready];

    pub fn text(self) -> &'static str {
        match self {
            Marker::Done => "STACK_CLOUD_INIT_DONE",
            Marker::Failed => "STACK_CLOUD_INIT_FAILED",
            Marker::Ready => "STACK_SERVICES_READY",
        }
    }

    fn from_run(run: &[u8]) -> Option<Marker> {
        Marker::ALL
            .into_iter()
            .find(|marker| marker.text().as_bytes() == run)
    }
}

/// Longer than any marker: a run beyond it is not kept.
const LONGEST: usize = 64;

/// The run of printable characters that the bytes so far end in.
#[derive(Default)]
pub struct Markers {
    run: Vec<u8>,
}

impl Markers {
    /// The first marker that these bytes complete. It counts once its run has ended: it may still grow.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<Marker> {
        let mut found = None;
        for &byte in bytes {
            if byte == b'\t' || (b' '..=b'~').contains(&byte) {
                if self.run.len() < LONGEST {
                    self.run.push(byte);
                }
            } else {
                found = found.or(Marker::from_run(&self.run));
                self.run.clear();
            }
        }
        found
    }

    /// At the end of everything the last run has ended too.
    pub fn finish(&mut self) -> Option<Marker> {
        Marker::from_run(&std::mem::take(&mut self.run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn first(bytes: &[u8]) -> Option<Marker> {
        let mut markers = Markers::default();
        let fed = markers.feed(bytes);
        fed.or(markers.finish())
    }

    const SAMPLES: [&[u8]; 16] = [
        b"STACK_CLOUD_INIT_DONE\n",
        b"STACK_CLOUD_INIT_DONE",
        b"\r\nSTACK_CLOUD_INIT_DONE\r\n",
        b"[  12.3] systemd[1]: Start\nSTACK_CLOUD_INIT_DONE\r\n[ 13.0] more\n",
        b"Starting dock\rSTACK_CLOUD_INIT_DONE\n",
        b"Starting dockSTACK_CLOUD_INIT_DONE\n",
        b"STACK_CLOUD_INIT_DONE \n",
        b" STACK_CLOUD_INIT_DONE\n",
        b"\tSTACK_CLOUD_INIT_DONE\n",
        b"\x1bSTACK_CLOUD_INIT_DONE\n",
        b"\x1b[0mSTACK_CLOUD_INIT_DONE\n",
        b"\0\0STACK_CLOUD_INIT_DONE\0",
        b"STACK_CLOUD_INIT_DONE\x1b[0m\n",
        b"\xc3\xa4STACK_CLOUD_INIT_DONE\xe2\x80\xa6\n",
        b"STACK_PROVISION: STACK_CLOUD_INIT_DONE\n",
        b"STACK_CLOUD_INIT_DONE_NOT\n",
    ];

    #[test]
    fn it_finds_what_strings_and_grep_find() {
        for bytes in SAMPLES {
            let command = "strings -a | grep -Fqx STACK_CLOUD_INIT_DONE";
            let mut shell = Command::new("sh")
                .args(["-c", command])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            shell.stdin.take().unwrap().write_all(bytes).unwrap();
            let found = match shell.wait().unwrap().code() {
                Some(0) => Some(Marker::Done),
                Some(1) if Command::new("strings").arg("--version").output().is_ok() => None,
                _ => {
                    eprintln!("skipped: strings (binutils) is not installed");
                    return;
                }
            };
            assert_eq!(first(bytes), found, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn each_marker_is_known() {
        for marker in Marker::ALL {
            assert_eq!(
                first(format!("boot\n{}\n", marker.text()).as_bytes()),
                Some(marker)
            );
        }
        assert_eq!(first(b"nothing\n"), None);
        assert_eq!(first(&[b'x'; 200]), None);
    }

    #[test]
    fn pieces_of_any_size_make_no_difference() {
        let bytes = b"half a line\r\nSTACK_CLOUD_INIT_FAILED\r\nSTACK_CLOUD_INIT_DONE\r\n";
        let mut markers = Markers::default();
        let found: Vec<Marker> = bytes
            .iter()
            .filter_map(|byte| markers.feed(&[*byte]))
            .collect();
        assert_eq!(found, [Marker::Failed, Marker::Done]);
    }

    #[test]
    fn a_marker_without_an_end_may_still_grow() {
        let mut markers = Markers::default();
        assert_eq!(markers.feed(b"\nSTACK_CLOUD_INIT_DONE"), None);
        assert_eq!(markers.feed(b"_SOON\n"), None);
        assert_eq!(markers.feed(b"\nSTACK_SERVICES_READY"), None);
        assert_eq!(markers.finish(), Some(Marker::Ready));
    }
}

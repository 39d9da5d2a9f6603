//! What the guest sends over a virtio-serial port, as `audience::wire` describes it: from the file or the socket that
//! QEMU makes of it (`-chardev file,…` or `-chardev socket,…,server=on,wait=off`).

use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::follow::{Change, Follow};
use crate::audience::wire::Message;

const CHUNK: usize = 64 * 1024;
/// Longer than any report; a line without an end must not fill the memory.
const LONGEST: usize = 64 * 1024 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub enum News {
    Line(String),
    /// The whole report, as JSON.
    Report(String),
}

pub struct Channel {
    path: PathBuf,
    file: Follow,
    socket: Option<UnixStream>,
    unfinished: Vec<u8>,
    /// A run has begun to send.
    has_begun: bool,
    has_ended: bool,
}

impl Channel {
    /// What was last written to a file before `not_before` belongs to an earlier VM.
    pub fn new(path: &Path, not_before: Option<SystemTime>) -> Channel {
        Channel {
            path: path.to_owned(),
            file: Follow::new(path, not_before),
            socket: None,
            unfinished: Vec::new(),
            has_begun: false,
            has_ended: false,
        }
    }

    /// Whether more is to come from a run that is at its end.
    pub fn is_open(&self) -> bool {
        self.has_begun && !self.has_ended
    }

    /// What is new; nothing if there is none.
    ///
    /// # Errors
    /// Name the file. That it does not exist (any more) is none, nor that nobody listens at a socket.
    pub fn next(&mut self) -> io::Result<Vec<News>> {
        let mut news = Vec::new();
        if self.socket.is_none() && self.is_socket() {
            self.socket = connected(&self.path);
        }
        if self.socket.is_some() {
            self.read_socket(&mut news);
        } else if !self.is_socket() {
            self.read_file(&mut news)?;
        }
        Ok(news)
    }

    fn is_socket(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|about| about.file_type().is_socket())
    }

    fn read_file(&mut self, news: &mut Vec<News>) -> io::Result<()> {
        loop {
            match self.file.next()? {
                Change::None => return Ok(()),
                Change::Restarted => {
                    self.unfinished.clear();
                    (self.has_begun, self.has_ended) = (false, false);
                }
                Change::Bytes(bytes) => self.feed(&bytes, news),
            }
        }
    }

    fn read_socket(&mut self, news: &mut Vec<News>) {
        let mut bytes = vec![0; CHUNK];
        while let Some(socket) = &mut self.socket {
            match socket.read(&mut bytes) {
                Ok(length @ 1..) => self.feed(&bytes[..length], news),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // QEMU has gone, or lets another one in.
                Ok(0) | Err(_) => {
                    self.socket = None;
                    self.unfinished.clear();
                }
            }
        }
    }

    fn feed(&mut self, bytes: &[u8], news: &mut Vec<News>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.unfinished.extend(piece);
            if piece.ends_with(b"\n") || self.unfinished.len() > LONGEST {
                let line = std::mem::take(&mut self.unfinished);
                self.message(&line, news);
            }
        }
    }

    fn message(&mut self, line: &[u8], news: &mut Vec<News>) {
        // The end of a line whose beginning went to nobody, say.
        let Ok(message) = serde_json::from_slice::<Message>(line) else {
            return;
        };
        self.has_begun |= message.guestbake.is_some() || message.log.is_some();
        news.extend(message.log.map(News::Line));
        let report = message.report.map(|report| report.get().to_owned());
        news.extend(report.map(News::Report));
        self.has_ended |= message.end.is_some();
    }
}

fn connected(path: &Path) -> Option<UnixStream> {
    let socket = UnixStream::connect(path).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    const RUN: &str = "rest of a line\"}\n{\"guestbake\":\"0.1.0\",\"protocol\":1}\n{\"log\":\"one\"}\n\
                       {\"report\":{\"version\":2}}\n{\"something\":\"new\"}\n{\"end\":\"STACK_CLOUD_INIT_DONE\"}\n";

    fn expected() -> Vec<News> {
        vec![
            News::Line("one".into()),
            News::Report("{\"version\":2}".into()),
        ]
    }

    #[test]
    fn a_file_brings_messages_in_whatever_pieces_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("channel");
        let mut channel = Channel::new(&path, None);
        assert_eq!(channel.next().unwrap(), []);
        let mut file = fs::File::create(&path).unwrap();
        let mut news = Vec::new();
        for piece in RUN.as_bytes().chunks(7) {
            assert!(!channel.has_ended);
            file.write_all(piece).unwrap();
            news.extend(channel.next().unwrap());
        }
        assert_eq!(news, expected());
        assert!(!channel.is_open());
    }

    #[test]
    fn a_socket_brings_them_once_somebody_listens_and_again_after_a_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("channel");
        drop(UnixListener::bind(&path).unwrap());
        let mut channel = Channel::new(&path, None);
        assert_eq!(channel.next().unwrap(), []);
        fs::remove_file(&path).unwrap();
        let qemu = UnixListener::bind(&path).unwrap();
        assert_eq!(channel.next().unwrap(), []);
        let (mut guest, _) = qemu.accept().unwrap();
        guest.write_all(b"{\"log\":\"half a li").unwrap();
        assert_eq!(channel.next().unwrap(), []);
        drop(guest);
        assert_eq!(channel.next().unwrap(), []);
        assert_eq!(channel.next().unwrap(), []);
        let (mut guest, _) = qemu.accept().unwrap();
        guest.write_all(RUN.as_bytes()).unwrap();
        assert_eq!(channel.next().unwrap(), expected());
    }
}

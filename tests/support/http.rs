//! Just enough HTTP over a Unix socket to talk to an engine without a runtime, also to one that hangs.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// An answer read to its end.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// One request, bounded by `timeout` for each read and write. HTTP/1.0, so the answer is not chunked.
pub fn request(
    socket: &Path,
    method: &str,
    path: &str,
    body: &[u8],
    timeout: Duration,
) -> io::Result<Answer> {
    send(socket, method, path, "application/x-tar", body, timeout)
}

/// The same with a JSON body.
pub fn json(
    socket: &Path,
    method: &str,
    path: &str,
    body: &str,
    timeout: Duration,
) -> io::Result<Answer> {
    send(
        socket,
        method,
        path,
        "application/json",
        body.as_bytes(),
        timeout,
    )
}

fn send(
    socket: &Path,
    method: &str,
    path: &str,
    content_type: &str,
    body: &[u8],
    timeout: Duration,
) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: engine\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    // An engine that has seen enough closes the connection; what it says is worth more than that.
    let sent = stream.write_all(body);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    if answer.is_empty() {
        sent?;
        read?;
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other(format!("no HTTP answer: {answer}")))?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| io::Error::other(format!("no HTTP status: {head}")))?;
    Ok(Answer {
        status,
        body: body.to_owned(),
    })
}

//! Servers in the test's own process, for probes from the machine's network: they answer as the test says, when it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

/// Below the ports that the kernel gives to outgoing connections.
static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on, never given twice.
pub fn free_port() -> u16 {
    let first = 10_000 + (std::process::id() % 200) as u16 * 100;
    loop {
        let port = first + NEXT_PORT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// One HTTP request: its first line, its headers in lower case.
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: Vec<String>,
}

/// An HTTP server; `answer` gives status, further headers and body.
pub fn http(answer: impl Fn(&Request) -> (u16, String, String) + Send + 'static) -> u16 {
    let port = free_port();
    http_at(port, answer);
    port
}

/// The same, at a port chosen before.
pub fn http_at(port: u16, answer: impl Fn(&Request) -> (u16, String, String) + Send + 'static) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Some(request) = read(&stream) {
                let (status, headers, body) = answer(&request);
                let length = body.len();
                let mut stream = stream;
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} As-Asked\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
                );
            }
        }
    });
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ').map(str::to_owned);
    Some(Request {
        method: words.next()?,
        path: words.next()?,
        headers: lines
            .take_while(|line| !line.is_empty())
            .map(|line| line.to_lowercase())
            .collect(),
    })
}

/// A server that accepts and reads, and never says a word.
pub fn silent() -> u16 {
    let port = free_port();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut nothing = [0; 512];
                while matches!(stream.read(&mut nothing), Ok(1..)) {}
            });
        }
    });
    port
}

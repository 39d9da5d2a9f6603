//! Servers in the test's own process, for probes from the machine's network: they answer as the test says, when it says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
pub fn http(answer: impl Answer) -> u16 {
    let port = free_port();
    http_at(port, answer);
    port
}

/// The same, at a port chosen before.
pub fn http_at(port: u16, answer: impl Answer) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &answer);
        }
    });
}

/// On `[::1]` only.
pub fn http_on_ipv6(answer: impl Answer) -> u16 {
    let port = free_port();
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).expect("the port");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &answer);
        }
    });
    port
}

pub fn http_at_socket(socket: &Path, answer: impl Answer) {
    let listener = UnixListener::bind(socket).expect("the socket");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream, &answer);
        }
    });
}

/// With the certificate and the key of this name in `tests/tls`.
pub fn https(identity: &str, answer: impl Answer) -> u16 {
    let file = |extension| format!("{TLS}/{identity}.{extension}");
    let certificate = CertificateDer::from_pem_file(file("pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(file("key")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a key that belongs to its certificate");
    let config = Arc::new(config);
    let port = free_port();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(config.clone()).expect("a session");
            serve(rustls::StreamOwned::new(session, stream), &answer);
        }
    });
    port
}

pub const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");

pub trait Answer: Fn(&Request) -> (u16, String, String) + Send + 'static {}

impl<A: Fn(&Request) -> (u16, String, String) + Send + 'static> Answer for A {}

fn serve(stream: impl Read + Write, answer: &impl Answer) {
    let mut stream = BufReader::new(stream);
    if let Some(request) = read(&mut stream) {
        let (status, headers, body) = answer(&request);
        let length = body.len();
        let stream = stream.get_mut();
        let _ = write!(
            stream,
            "HTTP/1.1 {status} As-Asked\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let _ = stream.flush();
    }
}

fn read(stream: impl BufRead) -> Option<Request> {
    let mut lines = stream.lines().map_while(Result::ok);
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

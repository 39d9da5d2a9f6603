//! Probing from the guest's own network: TCP and HTTP, and the same at Unix sockets.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::redirect::Policy;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::private_ca;
use crate::plan::HttpProbe;

/// As much of an answer's body as a probe looks at.
const MAX_BODY: usize = 1 << 20;
/// By then a proxy has found out whether somebody listens behind it.
const PROXY_LIMIT: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub struct HttpAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One attempt each; the time limit is the caller's. An error is the reason in a few words.
#[async_trait]
pub trait Network: Send + Sync {
    /// `published`: the engine may stand between.
    async fn tcp(&self, host: &str, port: u16, published: bool) -> Result<(), String>;
    async fn unix(&self, socket: &Path) -> Result<(), String>;
    async fn http(&self, probe: &HttpProbe) -> Result<HttpAnswer, String>;
}

pub struct GuestNetwork;

#[async_trait]
impl Network for GuestNetwork {
    async fn tcp(&self, host: &str, port: u16, published: bool) -> Result<(), String> {
        let addresses = resolve(host, port)
            .await
            .map_err(|error| plain_io(&error))?;
        connect(&addresses, published).await.map(drop)
    }

    async fn unix(&self, socket: &Path) -> Result<(), String> {
        let connected = UnixStream::connect(socket).await;
        connected.map(drop).map_err(|error| plain_io(&error))
    }

    /// Most attempts come before anything listens: then what follows would cost a hundred times as much as connecting.
    async fn http(&self, probe: &HttpProbe) -> Result<HttpAnswer, String> {
        let url = Url::parse(&probe.address.url).map_err(|error| error.to_string())?;
        if let Some(socket) = &probe.address.socket {
            let stream = UnixStream::connect(socket).await;
            return asked(stream.map_err(|error| plain_io(&error))?, &url, probe).await;
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let addresses = resolve(url.host_str().unwrap_or_default(), port)
            .await
            .map_err(|error| plain_io(&error))?;
        let stream = connect(&addresses, false).await?;
        match url.scheme() {
            "https" => {
                // It may be one that serves one connection after the other.
                drop(stream);
                asked_by_tls(url, addresses, probe).await
            }
            _ => asked(stream, &url, probe).await,
        }
    }
}

/// Good when one of them accepts.
async fn connect(addresses: &[SocketAddr], published: bool) -> Result<TcpStream, String> {
    let mut last = "no address".to_owned();
    for address in addresses {
        match connect_to(address).await {
            Ok(stream) if !published => return Ok(stream),
            Ok(stream) => match still_open(&stream).await {
                Ok(()) => return Ok(stream),
                Err(why) => last = why,
            },
            Err(error) => last = plain_io(&error),
        }
    }
    Err(last)
}

/// A port of the guest's own that nobody listens at refuses before `connect` returns. Most attempts end so, and the rest
/// of what tokio's own does for one would cost more than the attempt.
async fn connect_to(address: &SocketAddr) -> io::Result<TcpStream> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    match net::connect(&socket, address) {
        Ok(()) | Err(Errno::INPROGRESS) => net::sockopt::socket_error(&socket)??,
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from_std(socket.into())?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

/// At a published port Docker's proxy, and rootless Podman's, accept whoever comes, and close when they find that nothing
/// listens in the container.
async fn still_open(stream: &TcpStream) -> Result<(), String> {
    match timeout(PROXY_LIMIT, stream.peek(&mut [0])).await {
        Ok(Ok(0)) => Err("closed at once: nothing listens in the container".to_owned()),
        Ok(Err(error)) => Err(plain_io(&error)),
        // It speaks first, or waits to be spoken to.
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// Addresses, `localhost` and `/etc/hosts` need no resolver. Only other names go to the C library's, which in a static
/// binary knows DNS but may not get along with what the guest adds to it.
async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    let hosts = || std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let known = match literal.parse() {
        Ok(address) => vec![address],
        Err(_) if host == "localhost" => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        Err(_) => in_hosts(&hosts(), host),
    };
    match known.is_empty() {
        true => Ok(lookup_host((host, port)).await?.collect()),
        false => Ok(known
            .into_iter()
            .map(|address| SocketAddr::new(address, port))
            .collect()),
    }
}

/// hosts(5): an address, then names; `#` begins a comment.
fn in_hosts(hosts: &str, name: &str) -> Vec<IpAddr> {
    let entries = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(address)
    });
    entries.collect()
}

/// Plain HTTP. One connection for one attempt: that one was good before says nothing about now.
async fn asked<S>(stream: S, url: &Url, probe: &HttpProbe) -> Result<HttpAnswer, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let request = request(url, probe).map_err(|error| error.to_string())?;
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| innermost(&error))?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let response = sender.send_request(request).await;
    let response = response.map_err(|error| innermost(&error))?;
    let (head, mut rest) = response.into_parts();
    let mut answer = HttpAnswer::of(head.status, &head.headers);
    while answer.body.len() < MAX_BODY
        && let Some(frame) = rest.frame().await
    {
        let frame = frame.map_err(|error| answer.broken_off(&error))?;
        answer.add(frame.data_ref().map_or(&[][..], |data| data));
    }
    Ok(answer)
}

fn request(url: &Url, probe: &HttpProbe) -> hyper::http::Result<Request<Empty<Bytes>>> {
    let host = url.host_str().unwrap_or_default();
    let host = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut request = Request::builder()
        .method(probe.method.as_str())
        .uri(target)
        .header(header::HOST, host)
        .header(header::ACCEPT, "*/*");
    if !url.username().is_empty() || url.password().is_some() {
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy();
        let password = decoded(url.password().unwrap_or_default());
        let pair = format!("{}:{password}", decoded(url.username()));
        request = request.header(
            header::AUTHORIZATION,
            format!("Basic {}", BASE64_STANDARD.encode(pair)),
        );
    }
    // Those of the plan stand in place of these.
    if let Some(headers) = request.headers_mut() {
        for (name, value) in &probe.headers {
            headers.insert(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
    }
    request.body(Empty::new())
}

/// HTTP over TLS.
async fn asked_by_tls(
    url: Url,
    addresses: Vec<SocketAddr>,
    probe: &HttpProbe,
) -> Result<HttpAnswer, String> {
    let mut client = reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .resolve_to_addrs(url.host_str().unwrap_or_default(), &addresses)
        // Loading the guest's certificates takes time, and fails where there are none: only for those who need them.
        .danger_accept_invalid_certs(probe.insecure);
    if let Some(ca) = &probe.ca {
        client = client.tls_backend_preconfigured(private_ca::trusting_only(&ca.certificates)?);
    }
    let client = client.build().map_err(|error| innermost(&error))?;
    let method = probe
        .method
        .parse()
        .map_err(|_| format!("method {}", probe.method))?;
    let mut request = client.request(method, url);
    for (name, value) in &probe.headers {
        request = request.header(name, value);
    }
    let mut response = request.send().await.map_err(|error| innermost(&error))?;
    let mut answer = HttpAnswer::of(response.status(), response.headers());
    while answer.body.len() < MAX_BODY
        && let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| answer.broken_off(&error))?
    {
        answer.add(&chunk);
    }
    Ok(answer)
}

impl HttpAnswer {
    fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        HttpAnswer {
            status: status.as_u16(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            body: Vec::new(),
        }
    }

    fn add(&mut self, chunk: &[u8]) {
        let room = MAX_BODY - self.body.len();
        self.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }

    fn broken_off(&self, error: &(dyn Error + 'static)) -> String {
        format!("status {}, then {}", self.status, innermost(error))
    }
}

/// The part of a chain of errors that names the cause: `Connection refused`, not `error sending request`.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<std::io::Error>() {
        Some(io) => plain_io(io),
        None => cause.to_string(),
    }
}

/// The system's words without Rust's `(os error N)`; others, such as those of TLS, as they are.
fn plain_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    if error.raw_os_error().is_none() {
        return text;
    }
    text.split(" (os error")
        .next()
        .unwrap_or(&text)
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::HttpAddress;

    #[test]
    fn the_hosts_file_is_read_as_hosts_5_says() {
        let hosts = "127.0.0.1 localhost\n10.0.0.5\tdb.internal db # the database\n# 10.0.0.6 db\nfd00::5 DB\n";
        let found = in_hosts(hosts, "db");
        assert_eq!(
            found,
            [
                "10.0.0.5".parse::<IpAddr>().unwrap(),
                "fd00::5".parse().unwrap()
            ]
        );
        assert!(in_hosts(hosts, "data").is_empty());
    }

    #[test]
    fn a_request_says_what_the_address_and_the_plan_say() {
        let mut probe = HttpProbe {
            address: HttpAddress {
                url: "http://me:p%40ss@[::1]:8080/health?deep=1#top".into(),
                socket: None,
            },
            method: "HEAD".into(),
            headers: vec![("accept".into(), "text/plain".into())],
            status: vec![],
            body: None,
            insecure: false,
            ca: None,
        };
        let url = |probe: &HttpProbe| Url::parse(&probe.address.url).expect("a URL");
        let asks = request(&url(&probe), &probe).expect("a request");
        assert_eq!(
            (asks.method().as_str(), asks.uri().to_string().as_str()),
            ("HEAD", "/health?deep=1")
        );
        let said = |name: &str| asks.headers().get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(said("host"), ["[::1]:8080"]);
        assert_eq!(said("accept"), ["text/plain"]);
        // me:p@ss
        assert_eq!(said("authorization"), ["Basic bWU6cEBzcw=="]);

        probe.address.url = "http://localhost".into();
        let asks = request(&url(&probe), &probe).expect("a request");
        assert_eq!(
            (asks.uri().to_string().as_str(), &asks.headers()["host"]),
            ("/", &HeaderValue::from_static("localhost"))
        );
        assert!(asks.headers().get("authorization").is_none());
    }

    #[tokio::test]
    async fn addresses_need_no_resolver() {
        assert_eq!(
            resolve("[::1]", 80).await.unwrap(),
            ["[::1]:80".parse().unwrap()]
        );
        assert_eq!(resolve("localhost", 1).await.unwrap().len(), 2);
    }
}

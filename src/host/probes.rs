//! Probing from the guest's own network: TCP and HTTP.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use reqwest::redirect::Policy;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::plan::HttpProbe;

/// As much of an answer's body as a probe looks at.
const MAX_BODY: usize = 1 << 20;

#[derive(Clone, Debug)]
pub struct HttpAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One attempt each; the time limit is the caller's. An error is the reason in a few words.
#[async_trait]
pub trait Network: Send + Sync {
    async fn tcp(&self, host: &str, port: u16) -> Result<(), String>;
    async fn http(&self, probe: &HttpProbe) -> Result<HttpAnswer, String>;
}

#[derive(Default)]
pub struct GuestNetwork {
    resolver: OnceCell<TokioResolver>,
}

#[async_trait]
impl Network for GuestNetwork {
    async fn tcp(&self, host: &str, port: u16) -> Result<(), String> {
        let addresses = self.resolve(host).await.map_err(|e| format!("{e:#}"))?;
        let mut last = format!("{host} has no address");
        for address in addresses {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(_) => return Ok(()),
                Err(error) => last = plain_io(&error),
            }
        }
        Err(last)
    }

    async fn http(&self, probe: &HttpProbe) -> Result<HttpAnswer, String> {
        let client = client(probe).map_err(|error| innermost(&error))?;
        let method = probe
            .method
            .parse()
            .map_err(|_| format!("method {}", probe.method))?;
        let mut request = client.request(method, &probe.url);
        for (name, value) in &probe.headers {
            request = request.header(name, value);
        }
        let mut response = request.send().await.map_err(|error| innermost(&error))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        let mut body = Vec::new();
        while body.len() < MAX_BODY {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Err(format!("status {status}, then {}", innermost(&error))),
            }
        }
        body.truncate(MAX_BODY);
        Ok(HttpAnswer {
            status,
            headers,
            body,
        })
    }
}

impl GuestNetwork {
    /// A static binary must not call the C library's resolver, which loads shared objects of the guest's.
    async fn resolve(&self, host: &str) -> anyhow::Result<Vec<IpAddr>> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse() {
            return Ok(vec![address]);
        }
        if host == "localhost" {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let resolver = self
            .resolver
            .get_or_try_init(async || anyhow::Ok(TokioResolver::builder_tokio()?.build()?))
            .await
            .context("/etc/resolv.conf")?;
        let found = resolver
            .lookup_ip(host)
            .await
            .with_context(|| format!("cannot resolve {host}"))?;
        Ok(found.iter().collect())
    }
}

/// A client for one attempt: a connection that was good before says nothing about now.
fn client(probe: &HttpProbe) -> reqwest::Result<reqwest::Client> {
    // Loading the guest's certificates takes time, and fails where there are none: only for those who need them.
    let verify = probe.url.starts_with("https:") && !probe.insecure;
    reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .danger_accept_invalid_certs(!verify)
        .build()
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

/// Without Rust's `(os error N)`.
fn plain_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error")
        .next()
        .unwrap_or(&text)
        .to_lowercase()
}

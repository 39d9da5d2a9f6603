//! Sockets, URLs and lines for `/etc/hosts`.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::plan::model::{HttpAddress, SOCKET_HOST};

/// `HOST:PORT`, with an IPv6 address in brackets.
pub fn socket(text: &str) -> Result<(String, u16), String> {
    parse_socket(text).map_or_else(
        || {
            super::expected(
                "an address such as \"127.0.0.1:5432\", \"db:5432\" or \"[::1]:5432\"",
                text,
            )
        },
        Ok,
    )
}

fn parse_socket(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port != 0)?;
    let host = match host.strip_prefix('[') {
        Some(address) => {
            let address = address.strip_suffix(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            address.to_owned()
        }
        None => super::hostname(host).ok()?,
    };
    Some((host, port))
}

/// `unix:///PATH`, or `unix:/PATH` as nginx has it.
pub fn unix_socket(text: &str) -> Result<PathBuf, String> {
    let path = unix_path(text).and_then(socket_path);
    path.map_or_else(
        || super::expected("a socket such as \"unix:///run/app.sock\"", text),
        Ok,
    )
}

fn unix_path(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("unix:")?;
    Some(rest.strip_prefix("//").unwrap_or(rest))
}

/// An absolute path, as long as the kernel lets a socket's be (`sun_path` of unix(7) without its final zero).
fn socket_path(path: &str) -> Option<PathBuf> {
    const MOST: usize = 107;
    let is_file = path.starts_with('/') && !path.ends_with('/');
    (is_file && path.len() <= MOST && !path.contains(":/")).then(|| path.into())
}

/// What an HTTP probe can ask: a URL, or a path behind a Unix socket as `unix:///run/app.sock:/path`,
/// `http+unix://%2Frun%2Fapp.sock/path` (requests) or `http://unix:/run/app.sock:/path` (nginx).
pub fn http_address(text: &str) -> Result<HttpAddress, String> {
    parse_http(text).map_or_else(
        || {
            super::expected(
                "a URL such as \"http://127.0.0.1:8080/health\" or \"unix:///run/app.sock:/health\"",
                text,
            )
        },
        Ok,
    )
}

fn parse_http(text: &str) -> Option<HttpAddress> {
    let through = |socket: &str, path: &str| {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let url = format!("{SOCKET_HOST}{slash}{path}");
        reqwest::Url::parse(&url).ok()?;
        Some(HttpAddress {
            url,
            socket: Some(socket_path(socket)?),
        })
    };
    if let Some(rest) = text.strip_prefix("http+unix://") {
        let (socket, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let socket = percent_encoding::percent_decode_str(socket);
        return through(&socket.decode_utf8().ok()?, path);
    }
    let nginx = text.strip_prefix("http://").unwrap_or(text);
    if let Some(rest) = unix_path(nginx) {
        let (socket, path) = match rest.split_once(":/") {
            Some(found) => found,
            None => (rest.trim_end_matches(':'), ""),
        };
        return through(socket, path);
    }
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    let url = reqwest::Url::parse(text).ok().filter(|_| is_http)?;
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    has_host.then(|| HttpAddress {
        url: text.to_owned(),
        socket: None,
    })
}

/// `HOST:IP` or `HOST=IP` as the engine takes it, `HOST:IP`.
pub fn extra_host(text: &str) -> Result<String, String> {
    let separator = if text.contains('=') { '=' } else { ':' };
    let parsed = text.split_once(separator).and_then(|(host, address)| {
        let host = super::hostname(host).ok()?;
        let bare = address
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(address);
        let is_address = bare == "host-gateway" || bare.parse::<IpAddr>().is_ok();
        is_address.then(|| format!("{host}:{bare}"))
    });
    parsed.map_or_else(
        || super::expected("a host such as \"db:10.0.0.1\" or \"db=::1\"", text),
        Ok,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets() {
        assert_eq!(
            socket("127.0.0.1:5432").unwrap(),
            ("127.0.0.1".to_owned(), 5432)
        );
        assert_eq!(socket("[::1]:80").unwrap(), ("::1".to_owned(), 80));
        assert_eq!(socket("db:1").unwrap(), ("db".to_owned(), 1));
        for text in [
            "",
            "db",
            "db:",
            "db:0",
            "db:65536",
            "::1:80",
            "[::1:80",
            ":80",
            "a b:80",
            "db:+1",
            "http://a:1",
        ] {
            assert!(socket(text).is_err(), "{text}");
        }
        assert_eq!(
            socket("db").unwrap_err(),
            "expected an address such as \"127.0.0.1:5432\", \"db:5432\" or \"[::1]:5432\", found \"db\""
        );
    }

    #[test]
    fn urls() {
        for text in [
            "http://127.0.0.1:8102/health?db=1",
            "https://[::1]/",
            "http://localhost",
        ] {
            let address = http_address(text).unwrap();
            assert_eq!((address.url.as_str(), address.socket), (text, None));
        }
        for text in [
            "",
            "127.0.0.1:80",
            "ftp://a/",
            "http://",
            "http://a:99999/",
            "http:/a",
            "http://::1/",
            "http://[::1%eth0]/",
        ] {
            assert!(http_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn urls_behind_sockets() {
        for (text, shown) in [
            (
                "unix:///run/a.sock:/v1/x?y=1",
                "unix:///run/a.sock:/v1/x?y=1",
            ),
            ("unix:///run/a.sock", "unix:///run/a.sock:/"),
            ("unix:/run/a.sock:", "unix:///run/a.sock:/"),
            ("http://unix:/run/a.sock:/x:/y", "unix:///run/a.sock:/x:/y"),
            ("http+unix://%2Frun%2Fa.sock/x", "unix:///run/a.sock:/x"),
            ("http+unix://%2frun%2fa.sock?x", "unix:///run/a.sock:/?x"),
        ] {
            let address = http_address(text).unwrap();
            assert_eq!(address.socket, Some("/run/a.sock".into()), "{text}");
            assert_eq!(address.to_string(), shown);
            assert_eq!(http_address(shown).unwrap().socket, address.socket);
        }
        for text in [
            "unix://",
            "unix://run/a.sock:/x",
            "unix:///run/:/x",
            "unix:a",
            "http+unix:///run/a.sock/x",
            "https+unix://%2Frun%2Fa.sock/x",
            "http+unix://%2Frun%ff/x",
        ] {
            assert!(http_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sockets_of_the_file_system() {
        for text in ["unix:///run/a.sock", "unix:/run/a.sock"] {
            assert_eq!(unix_socket(text).unwrap(), PathBuf::from("/run/a.sock"));
        }
        let too_long = format!("unix:///{}", "a".repeat(107));
        for text in [
            "unix://",
            "unix://a",
            "unix:///run/",
            "unix:///run/a:/b",
            &too_long,
        ] {
            assert!(unix_socket(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrong_url_does_not_print_its_password() {
        let error = http_address("ftp://user:hunter2@host/").unwrap_err();
        assert!(error.ends_with("found \"ftp://user:***@host/\""), "{error}");
    }

    #[test]
    fn extra_hosts() {
        assert_eq!(extra_host("db:10.0.0.1").unwrap(), "db:10.0.0.1");
        assert_eq!(extra_host("db=[::1]").unwrap(), "db:::1");
        assert_eq!(extra_host("db:::1").unwrap(), "db:::1");
        assert_eq!(extra_host("up:host-gateway").unwrap(), "up:host-gateway");
        for text in ["", "db", "db:", "db:x", "=1.2.3.4"] {
            assert!(extra_host(text).is_err(), "{text}");
        }
    }
}

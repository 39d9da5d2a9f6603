//! Sockets, URLs and lines for `/etc/hosts`.

use std::net::IpAddr;

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

/// A URL that an HTTP probe can ask.
pub fn http_url(text: &str) -> Result<String, String> {
    const EXPECTED: &str = "a URL such as \"http://127.0.0.1:8080/health\"";
    let is_http = text.starts_with("http://") || text.starts_with("https://");
    match reqwest::Url::parse(text) {
        Ok(url) if is_http && url.host_str().is_some_and(|host| !host.is_empty()) => {
            Ok(text.to_owned())
        }
        _ => super::expected(EXPECTED, text),
    }
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
            assert!(http_url(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:80",
            "ftp://a/",
            "http://",
            "http://a:99999/",
            "http:/a",
            "unix:///x",
        ] {
            assert!(http_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wrong_url_does_not_print_its_password() {
        assert_eq!(
            http_url("ftp://user:hunter2@host/").unwrap_err(),
            "expected a URL such as \"http://127.0.0.1:8080/health\", found \"ftp://user:***@host/\""
        );
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

//! Compose's short port syntax, `[[IP:]PUBLISHED:]TARGET[/PROTOCOL]` with ranges, becomes one [`Port`] for each port.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::plan::model::Port;

const EXPECTED: &str =
    "a port such as \"8080:80\", \"127.0.0.1:8080:80/udp\" or \"8000-8002:9000-9002\"";

/// All ports that one entry means.
pub fn ports(text: &str) -> Result<Vec<Port>, String> {
    let Some(parsed) = parse(text) else {
        return super::expected(EXPECTED, text);
    };
    let Parsed {
        host_ip,
        published,
        targets,
        protocol,
    } = parsed;
    let port = |published, target| Port {
        host_ip: host_ip.clone(),
        published,
        target,
        protocol: protocol.clone(),
    };
    Ok(match published {
        None => targets.map(|target| port(None, target)).collect(),
        Some(published) if published.len() != targets.len() => {
            return Err(one_of_many(published.len(), targets.len()));
        }
        Some(published) => {
            let ports = published.zip(targets);
            ports
                .map(|(published, target)| port(Some(published), target))
                .collect()
        }
    })
}

/// One port of the long syntax.
pub fn port(text: &str) -> Result<u16, String> {
    parse_port(text).map_or_else(|| super::expected("a port from 1 to 65535", text), Ok)
}

/// The guest's port in the long syntax; None leaves it to the engine.
pub fn published(text: &str) -> Result<Option<u16>, String> {
    match range(text) {
        Some(ports) if ports.len() > 1 => Err(one_of_many(ports.len(), 1)),
        _ if is_any(text) => Ok(None),
        _ => port(text).map(Some),
    }
}

/// Docker has the engine pick one of the range.
fn one_of_many(published: usize, targets: usize) -> String {
    format!(
        "publishes {published} ports for {targets}: which of them, the engine would choose, and another each time; \
         expected as many of the guest as of the container"
    )
}

pub fn protocol(text: &str) -> Result<String, String> {
    let protocol = text.to_ascii_lowercase();
    match ["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        true => Ok(protocol),
        false => super::expected("one of `tcp`, `udp`, `sctp`", text),
    }
}

/// The address of the guest on which a port is published.
pub fn host_ip(text: &str) -> Result<String, String> {
    parse_ip(text).map_or_else(|| super::expected("an IP address", text), Ok)
}

struct Parsed {
    host_ip: Option<String>,
    published: Option<RangeInclusive<u16>>,
    targets: RangeInclusive<u16>,
    protocol: String,
}

fn parse(text: &str) -> Option<Parsed> {
    let (addresses, word) = text.split_once('/').unwrap_or((text, "tcp"));
    let (before, target) = match addresses.rsplit_once(':') {
        Some((before, target)) => (Some(before), target),
        None => (None, addresses),
    };
    let (ip, published) = match before.map(|before| before.rsplit_once(':').unwrap_or(("", before)))
    {
        Some((ip, published)) => (ip, Some(published)),
        None => ("", None),
    };
    Some(Parsed {
        // As a variable that is empty leaves it: `${ADDRESS:-}:80:80`.
        host_ip: match ip {
            "" => None,
            ip => Some(parse_ip(ip)?),
        },
        published: match published {
            Some(published) if !is_any(published) => Some(range(published)?),
            _ => None,
        },
        targets: range(target)?,
        protocol: protocol(word).ok()?,
    })
}

fn is_any(published: &str) -> bool {
    published.is_empty() || published == "0"
}

fn parse_ip(text: &str) -> Option<String> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|ip| ip.to_string())
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (parse_port(first)?, parse_port(last)?);
    (first <= last).then_some(first..=last)
}

fn parse_port(text: &str) -> Option<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn short(text: &str) -> Vec<String> {
        let show = |port: Port| {
            let published = port
                .published
                .map_or("any".to_owned(), |port| port.to_string());
            let ip = port.host_ip.unwrap_or_default();
            format!("{ip} {published} {}/{}", port.target, port.protocol)
        };
        ports(text).unwrap().into_iter().map(show).collect()
    }

    #[test]
    fn every_short_form() {
        assert_eq!(short("80"), [" any 80/tcp"]);
        assert_eq!(short("8080:80"), [" 8080 80/tcp"]);
        assert_eq!(short("127.0.0.1:8080:80/udp"), ["127.0.0.1 8080 80/udp"]);
        assert_eq!(short("127.0.0.1::80"), ["127.0.0.1 any 80/tcp"]);
        assert_eq!(short("[::1]:80:81"), ["::1 80 81/tcp"]);
        assert_eq!(short(":443:443"), [" 443 443/tcp"]);
        for any in [":80", "0:80", "::80", ":0:80", "80/TCP"] {
            assert_eq!(short(any), [" any 80/tcp"], "{any}");
        }
        assert_eq!(
            short("8000-8002:9000-9002"),
            [" 8000 9000/tcp", " 8001 9001/tcp", " 8002 9002/tcp"]
        );
    }

    #[test]
    fn wrong_forms() {
        for text in [
            "",
            "0",
            "65536",
            "a:80",
            "80:",
            "80/icmp",
            "9-8",
            "localhost:1:2",
            "+80",
            "80:0",
        ] {
            assert_eq!(
                ports(text).unwrap_err(),
                format!("expected {EXPECTED}, found {text:?}")
            );
        }
    }

    #[test]
    fn a_range_for_one_port_says_why_it_is_refused() {
        let why = "publishes 11 ports for 1: which of them, the engine would choose, and another each time; \
                   expected as many of the guest as of the container";
        assert_eq!(ports("8000-8010:80").unwrap_err(), why);
        assert_eq!(published("8000-8010").unwrap_err(), why);
    }

    #[test]
    fn the_widest_range_is_bounded() {
        assert_eq!(ports("1-65535:1-65535").unwrap().len(), 65535);
    }
}

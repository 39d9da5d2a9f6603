//! Compose's short port syntax, `[[IP:]PUBLISHED:]TARGET[/PROTOCOL]` with ranges, becomes one [`Port`] for each port.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::plan::model::Port;

const EXPECTED: &str =
    "a port such as \"8080:80\", \"127.0.0.1:8080:80/udp\" or \"8000-8002:9000-9002\"";

/// All ports that one entry means.
pub fn ports(text: &str) -> Result<Vec<Port>, String> {
    parse(text).map_or_else(|| super::expected(EXPECTED, text), Ok)
}

/// One port of the long syntax.
pub fn port(text: &str) -> Result<u16, String> {
    parse_port(text).map_or_else(|| super::expected("a port from 1 to 65535", text), Ok)
}

/// The address of the guest on which a port is published.
pub fn host_ip(text: &str) -> Result<String, String> {
    parse_ip(text).map_or_else(|| super::expected("an IP address", text), Ok)
}

fn parse(text: &str) -> Option<Vec<Port>> {
    let (addresses, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !["tcp", "udp", "sctp"].contains(&protocol) {
        return None;
    }
    let (before, target) = match addresses.rsplit_once(':') {
        Some((before, target)) => (Some(before), target),
        None => (None, addresses),
    };
    let targets = range(target)?;
    let (host_ip, published) = match before {
        None => (None, None),
        // `IP::TARGET` leaves the published port to the engine.
        Some(before) => match before.rsplit_once(':') {
            Some((ip, "")) => (Some(parse_ip(ip)?), None),
            Some((ip, published)) => (Some(parse_ip(ip)?), Some(range(published)?)),
            None => (None, Some(range(before)?)),
        },
    };
    // Docker also lets the engine pick one of a range for a single port; a plan that is to be the same each time does not.
    if published
        .as_ref()
        .is_some_and(|published| published.len() != targets.len())
    {
        return None;
    }
    let published_of = |index: usize| {
        published
            .clone()
            .and_then(|mut published| published.nth(index))
    };
    let one = |(index, target)| Port {
        host_ip: host_ip.clone(),
        published: published_of(index),
        target,
        protocol: protocol.to_owned(),
    };
    Some(targets.enumerate().map(one).collect())
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
            "1-2:80",
            "80/icmp",
            "9-8",
            "localhost:1:2",
            "+80",
            ":80",
        ] {
            assert_eq!(
                ports(text).unwrap_err(),
                format!("expected {EXPECTED}, found {text:?}")
            );
        }
    }

    #[test]
    fn the_widest_range_is_bounded() {
        assert_eq!(ports("1-65535:1-65535").unwrap().len(), 65535);
    }
}

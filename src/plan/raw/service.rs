//! One entry of `wait.services` or `smoke.checks`: a name, a probe, and how patient to be with it.

use std::time::Duration;

use regex::Regex;

use crate::plan::error::{At, Place};
use crate::plan::model::{HttpProbe, Probe, Stable};
use crate::plan::reader::{Value, quoted};
use crate::plan::syntax;
use crate::plan::table::Table;

/// The keys of which a service has exactly one.
const PROBE_KEYS: [&str; 7] = ["tcp", "http", "exec", "log", "healthy", "completed", "up"];

/// Which further keys belong to which probes.
const KEYS_OF_PROBES: [(&str, &[&str]); 10] = [
    ("method", &["http"]),
    ("headers", &["http"]),
    ("status", &["http"]),
    ("body", &["http"]),
    ("insecure", &["http"]),
    ("ca_file", &["http"]),
    ("user", &["exec"]),
    ("fatal_exit_codes", &["exec"]),
    // The others are told by an event, once.
    ("stable", &["tcp", "http", "exec"]),
    ("timeout", &["tcp", "http", "exec"]),
];

pub struct RawService {
    pub place: Place,
    pub name: Option<At<String>>,
    pub container: Option<At<String>>,
    /// Also true of one that was wrong.
    pub has_container: bool,
    /// None where it was wrong, which has been said then.
    pub probe: Option<At<Probe>>,
    /// Of an `http` probe; its content is not read yet.
    pub ca_file: Option<At<String>>,
    pub stable: Stable,
    pub restarts: u32,
    pub restarts_place: Option<Place>,
    pub timeout: Option<Duration>,
}

impl RawService {
    /// One that no plan names: what is waited for of a Compose service.
    pub fn implied(service: &At<String>, probe: Probe) -> RawService {
        RawService {
            place: service.place.clone(),
            name: Some(service.clone()),
            container: Some(service.clone()),
            has_container: true,
            probe: Some(At {
                value: probe,
                place: service.place.clone(),
            }),
            ca_file: None,
            stable: Stable::default(),
            restarts: 0,
            restarts_place: None,
            timeout: None,
        }
    }

    pub fn read(table: &Table<'_>) -> RawService {
        let name = table.require("name", |v| v.parsed(syntax::display_name));
        let container = table.read_key("container", Value::string);
        let probe = probe(table);
        let stable = table.value("stable", stable);
        let restarts = table.value("restarts", |v| {
            v.integer("a number of restarts, 0 or more", 0..=1_000_000)
        });
        RawService {
            place: table.place.clone(),
            name,
            container,
            has_container: table.has("container"),
            probe,
            ca_file: table.read_key("ca_file", |v| v.parsed(syntax::bundle_path)),
            stable: stable.unwrap_or_default(),
            restarts: restarts.unwrap_or(0),
            restarts_place: table.place_of("restarts"),
            timeout: super::limit(table, "timeout"),
        }
    }
}

fn probe(table: &Table<'_>) -> Option<At<Probe>> {
    // All are asked for, so that each is known and checked, also where there are too many of them.
    let probes = [
        table.read_key("tcp", |v| v.parsed(tcp)),
        http(table),
        exec(table),
        table.read_key("log", |v| Some(Probe::Log(v.parsed(pattern)?))),
        table.read_key("healthy", |v| only_true(v, Probe::Healthy)),
        table.read_key("completed", |v| only_true(v, Probe::Completed)),
        table.read_key("up", |v| only_true(v, Probe::Up)),
    ];
    let given: Vec<&str> = PROBE_KEYS
        .into_iter()
        .filter(|key| table.has(key))
        .collect();
    match given[..] {
        [] => table.fail(format!(
            "no probe; expected one of `{}`",
            PROBE_KEYS.join("`, `")
        )),
        [probe] => foreign_keys(table, probe),
        _ => table.fail(format!(
            "`{}` exclude each other: a service has one probe",
            given.join("` and `")
        )),
    }
    probes
        .into_iter()
        .flatten()
        .next()
        .filter(|_| given.len() == 1)
}

fn foreign_keys(table: &Table<'_>, probe: &str) {
    for (key, probes) in KEYS_OF_PROBES {
        if let Some(value) = table.get(key).filter(|_| !probes.contains(&probe)) {
            let probes = probes.join("`, `");
            value.fail(format!(
                "belongs to a probe of `{probes}`; this one is `{probe}`"
            ));
        }
    }
}

fn tcp(text: &str) -> Result<Probe, String> {
    if text.starts_with("unix:") {
        return Ok(Probe::Unix(syntax::unix_socket(text)?));
    }
    let (host, port) = syntax::socket(text)?;
    Ok(Probe::Tcp {
        host,
        port,
        published: false,
    })
}

fn http(table: &Table<'_>) -> Option<At<Probe>> {
    let method = table.read_key("method", |v| v.parsed(method));
    let headers = table.value("headers", headers).unwrap_or_default();
    let status = table.value("status", statuses).unwrap_or_default();
    let body = table.read_key("body", |v| v.parsed(pattern));
    let insecure = table.value("insecure", Value::boolean).unwrap_or_default();
    let address = table.read_key("http", |v| v.parsed(syntax::http_address))?;
    let is_https = address.value.url.starts_with("https://");
    if let Some(value) = table.get("ca_file").filter(|_| insecure || !is_https) {
        value.fail(match is_https {
            true => "excluded by `insecure = true`: no certificate is verified",
            false => "belongs to a URL that begins with `https://`",
        });
    }
    let method = method.map_or_else(|| "GET".to_owned(), |method| method.value);
    if let Some(value) = table.get("body").filter(|_| method == "HEAD") {
        value.fail("an answer to `HEAD` has no body to match");
    }
    let probe = HttpProbe {
        address: address.value,
        method,
        headers,
        status,
        body: body.map(|body| body.value),
        insecure,
        ca: None,
    };
    Some(At {
        value: Probe::Http(probe),
        place: address.place,
    })
}

fn stable(value: &Value<'_>) -> Option<Stable> {
    match value.as_str() {
        Some(_) => value.parsed(syntax::limit).map(Stable::For),
        None => {
            let expected = "a number of good answers, at least 1, or a duration such as \"3s\"";
            value.integer(expected, 1..=1000).map(Stable::Answers)
        }
    }
}

fn method(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(format!(
            "expected a method such as \"GET\" or \"POST\", found {}",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

fn headers(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    let mut headers = Vec::new();
    for (name, value) in value.entries()? {
        let is_token = !name.value.is_empty()
            && name
                .value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        match value.scalar() {
            Some(_) if !is_token => {
                value.fail("the name of a header has letters, digits, `-`, `_` and `.` only")
            }
            // A line break would start another header.
            Some(text) if text.chars().any(char::is_control) => {
                value.fail("a control character in a header")
            }
            Some(text) => headers.push((name.value, text)),
            None => {}
        }
    }
    Some(headers)
}

fn statuses(value: &Value<'_>) -> Option<Vec<u16>> {
    let status = |v: &Value<'_>| v.integer("a status code from 100 to 599", 100..=599);
    Some(value.one_or_many()?.iter().filter_map(status).collect())
}

fn exec(table: &Table<'_>) -> Option<At<Probe>> {
    let user = table.value("user", user);
    let fatal = |v: &Value<'_>| v.integer("an exit status from 1 to 255", 1..=255);
    let fatal = |v: &Value<'_>| Some(v.one_or_many()?.iter().filter_map(fatal).collect());
    let fatal_exit_codes = table.value("fatal_exit_codes", fatal).unwrap_or_default();
    table.read_key("exec", |v| {
        let command = command(v)?;
        if command.is_empty() {
            return v.unexpected("a command");
        }
        Some(Probe::Exec {
            command,
            user,
            fatal_exit_codes,
        })
    })
}

/// A list of words, or a string that is split into them.
pub fn command(value: &Value<'_>) -> Option<Vec<String>> {
    match value.as_str() {
        Some(_) => value.parsed(syntax::words),
        None if value.is_array() => value.strings(),
        None => value.unexpected("a command, as a list of words or as a string"),
    }
}

/// A name or a number, `user[:group]`.
pub fn user(value: &Value<'_>) -> Option<String> {
    if let Some(id) = value
        .as_integer()
        .filter(|id| (0..=i64::from(u32::MAX)).contains(id))
    {
        return Some(id.to_string());
    }
    match value.as_str() {
        Some(text) if !text.is_empty() && !text.chars().any(char::is_whitespace) => value.string(),
        _ => value.unexpected("a user such as \"postgres\", \"1000:1000\" or 1000"),
    }
}

fn only_true(value: &Value<'_>, probe: Probe) -> Option<Probe> {
    match value.boolean()? {
        true => Some(probe),
        false => value.unexpected("`true`"),
    }
}

fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| {
        // The library draws the pattern with a caret under it, over several lines; the last says what is wrong.
        let message = error.to_string();
        let message = message.lines().last().unwrap_or_default();
        format!(
            "not a regular expression: {}",
            message.trim_start_matches("error: ")
        )
    })
}

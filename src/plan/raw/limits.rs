//! `ulimits` and `mem_limit`.

use super::mounts;
use crate::plan::error::suggestion;
use crate::plan::model::Ulimit;
use crate::plan::reader::Value;

/// Docker refuses less, with a message that names no container.
pub fn mem_limit(value: &Value<'_>) -> Option<u64> {
    const LEAST: u64 = 6 << 20;
    let bytes = mounts::bytes(value)?;
    if bytes < LEAST {
        return value.unexpected("at least \"6m\"");
    }
    Some(bytes)
}

/// A number for both limits, or a table with `soft` and `hard`; -1 is no limit.
pub fn ulimits(value: &Value<'_>) -> Option<Vec<Ulimit>> {
    // go-units, `ulimit.go`.
    const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let number = |v: &Value<'_>| v.integer::<i64>("a limit, or -1 for none", -1..=i64::MAX);
    let mut ulimits = Vec::new();
    for (name, value) in value.entries()? {
        if !NAMES.contains(&name.value.as_str()) {
            value.fail(format!(
                "unknown limit; {}",
                suggestion(&name.value, &NAMES)
            ));
        }
        let (soft, hard) = if value.is_table() {
            let limits = value.table(|t| (t.require("soft", number), t.require("hard", number)));
            let Some((Some(soft), Some(hard))) = limits else {
                continue;
            };
            (soft.value, hard.value)
        } else {
            let Some(limit) = number(&value) else {
                continue;
            };
            (limit, limit)
        };
        if hard != -1 && (soft == -1 || soft > hard) {
            value.fail(format!(
                "the soft limit {soft} is above the hard limit {hard}"
            ));
        }
        let name = name.value;
        ulimits.push(Ulimit { name, soft, hard });
    }
    Some(ulimits)
}

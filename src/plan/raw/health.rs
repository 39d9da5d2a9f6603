//! `healthcheck`, with Compose's keys, in the words of the engine.

use std::time::Duration;

use super::container::duration;
use crate::plan::model::Healthcheck;
use crate::plan::reader::Value;
use crate::plan::table::Table;

pub fn healthcheck(t: &Table<'_>) -> Option<Healthcheck> {
    let disable = t.value("disable", Value::boolean).unwrap_or_default();
    let healthcheck = Healthcheck {
        test: t.value("test", health_test).unwrap_or_default(),
        interval: t.value("interval", health_duration),
        timeout: t.value("timeout", health_duration),
        retries: t.value("retries", |v| {
            v.integer("a number of retries, at least 1", 1..=i64::from(i32::MAX))
        }),
        start_period: t.value("start_period", health_duration),
        start_interval: t.value("start_interval", health_duration),
    };
    if !disable {
        return Some(healthcheck);
    }
    for key in [
        "test",
        "interval",
        "timeout",
        "retries",
        "start_period",
        "start_interval",
    ] {
        if let Some(value) = t.get(key) {
            value.fail("makes no sense with `disable = true`");
        }
    }
    Some(Healthcheck {
        test: vec!["NONE".to_owned()],
        ..healthcheck
    })
}

fn health_test(value: &Value<'_>) -> Option<Vec<String>> {
    if value.as_str().is_some() {
        return Some(vec!["CMD-SHELL".to_owned(), value.string()?]);
    }
    let words = value.strings()?;
    match (words.first().map(String::as_str), words.len()) {
        (Some("NONE"), 1) | (Some("CMD-SHELL" | "CMD"), 2..) => Some(words),
        _ => value
            .unexpected("a string, or a list [\"CMD\", …], [\"CMD-SHELL\", \"…\"] or [\"NONE\"]"),
    }
}

/// The engine refuses what is above zero and below a millisecond.
fn health_duration(value: &Value<'_>) -> Option<Duration> {
    let duration = duration(value)?;
    if duration != Duration::ZERO && duration < Duration::from_millis(1) {
        return value.unexpected("at least \"1ms\"");
    }
    Some(duration)
}

//! `"1h30m"` becomes a [`Duration`].

use std::time::Duration;

/// Longer ones are mistakes, and overflow the clocks they are added to.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

const EXPECTED: &str = "a duration such as \"90s\", \"5m\" or \"1h30m\"";

/// A duration, zero included.
pub fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let is_bare = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_bare {
        return Err(format!(
            "{text:?} has no unit: write \"{text}s\" for seconds, \"{text}m\" for minutes"
        ));
    }
    // Months and years, which are no limits but mistakes: `M` most of all.
    const NO_UNITS: [&str; 6] = ["M", "month", "months", "y", "year", "years"];
    let mut units = text.split(|c: char| !c.is_alphabetic());
    if let Some(unit) = units.find(|unit| NO_UNITS.contains(unit)) {
        let found = super::quoted(text);
        let minutes = match unit {
            "M" => "; `m` is for minutes",
            _ => "",
        };
        return Err(format!("expected {EXPECTED}, found {found}{minutes}"));
    }
    let Ok(duration) = humantime::parse_duration(text) else {
        return super::expected(EXPECTED, text);
    };
    if duration > LONGEST {
        return super::expected("a duration of at most a year", text);
    }
    Ok(duration)
}

/// A duration that something may take: never zero.
pub fn limit(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => super::expected("a duration above zero", text),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_add_up() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1500s"), Ok(Duration::from_secs(1500)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_bare_number_is_told_to_take_a_unit() {
        assert_eq!(
            duration("90").unwrap_err(),
            r#""90" has no unit: write "90s" for seconds, "90m" for minutes"#
        );
        // In any unit.
        assert_eq!(duration("0"), Ok(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["", "s", "5 parsecs", "-1s", "5s5"] {
            let error = duration(text).unwrap_err();
            assert_eq!(error, format!("expected {EXPECTED}, found {text:?}"));
        }
        assert_eq!(
            duration("60w").unwrap_err(),
            "expected a duration of at most a year, found \"60w\""
        );
        assert_eq!(
            duration("1h 10M").unwrap_err(),
            format!("expected {EXPECTED}, found \"1h 10M\"; `m` is for minutes")
        );
        assert_eq!(
            duration("1month").unwrap_err(),
            format!("expected {EXPECTED}, found \"1month\"")
        );
        assert_eq!(
            limit("0s").unwrap_err(),
            "expected a duration above zero, found \"0s\""
        );
    }
}

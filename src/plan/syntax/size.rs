//! `"64m"` becomes a number of bytes, with Docker's binary units (go-units, `RAMInBytes`).

pub fn size(text: &str) -> Result<u64, String> {
    parse(text).map_or_else(
        || {
            super::expected(
                "a size such as \"64m\", \"1.5g\" or a number of bytes",
                text,
            )
        },
        Ok,
    )
}

fn parse(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let bytes = match number.parse::<u64>() {
        Ok(number) => number.checked_mul(1 << shift)?,
        Err(_) => (number.parse::<f64>().ok()? * (1u64 << shift) as f64) as u64,
    };
    // The engine's API takes signed numbers; zero means "no limit" there, which is said by leaving the key out.
    (bytes > 0 && i64::try_from(bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_binary() {
        assert_eq!(size("64m"), Ok(64 << 20));
        assert_eq!(size("1.5G"), Ok(3 << 29));
        assert_eq!(size("2 KiB"), Ok(2048));
        assert_eq!(size("123"), Ok(123));
    }

    #[test]
    fn wrong_sizes() {
        for text in [
            "",
            "m",
            "0",
            "-1m",
            "1x",
            "1..5g",
            "99999999999t",
            "9".repeat(400).as_str(),
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(
            size("1x").unwrap_err(),
            "expected a size such as \"64m\", \"1.5g\" or a number of bytes, found \"1x\""
        );
    }
}

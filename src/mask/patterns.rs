//! Secrets that are known by what stands around them: a name that says so, or a URL.

use std::ops::Range;

/// What the name of a secret variable contains, in any case.
const SECRET_WORDS: [&str; 6] = ["password", "passwd", "secret", "token", "key", "credential"];

/// Longer names are none; it keeps the look back from a separator short.
const MAX_NAME: usize = 128;

/// Whether a variable of this name holds a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Where secret values stand, in no order.
pub fn spans(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut skip = 0;
    for (at, separator) in text.bytes().enumerate() {
        if at < skip {
            continue;
        }
        let span = match separator {
            b':' if text[at..].starts_with("://") => password_in_url(text, at + 3),
            b'=' | b':' => named_value(text, at),
            _ => None,
        };
        if let Some(span) = span.filter(|span| !span.is_empty()) {
            skip = span.end;
            spans.push(span);
        }
    }
    spans
}

/// In `user:password@host`, which begins at `start`.
fn password_in_url(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = &text[start..];
    // Passwords that should have been encoded, with an `@`, `?` or `#` in them, are whole in here.
    let end = rest
        .find(|c: char| c.is_whitespace() || "/\"'<>`".contains(c))
        .unwrap_or(rest.len());
    let user_info = &rest[..rest[..end].rfind('@')?];
    let colon = user_info.find(':')?;
    Some(start + colon + 1..start + user_info.len())
}

/// The value after the separator at `at`, if a secret's name is before it.
fn named_value(text: &str, at: usize) -> Option<Range<usize>> {
    let (name, quoted, spaced) = name_before(&text[..at]);
    if !is_secret_name(name) {
        return None;
    }
    let is_assignment = text.as_bytes()[at] == b'=' && !spaced;
    if !is_assignment && !quoted && !says_secret_in_prose(name) {
        return None;
    }
    let rest = &text[at + 1..];
    // `==`, `=>`, `::`, `:=` and the like: the value is behind, or there is none.
    let start = at + 1 + (rest.len() - rest.trim_start_matches([' ', '\t']).len());
    let rest = &text[start..];
    if rest.starts_with([':', '=', '{', '(']) || rest.starts_with("//") {
        return None;
    }
    if quoted
        && ["true", "false", "null"]
            .iter()
            .any(|literal| rest.starts_with(literal))
    {
        return None;
    }
    let head = text[..at].strip_suffix(name).unwrap_or(text);
    let begins_line = head.is_empty() || head.ends_with('\n') || head.ends_with("export ");
    let value = value(rest, is_assignment && begins_line);
    Some(start + value.start..start + value.end)
}

/// The name that ends `before`, whether it is in quotes, and whether space is behind it.
fn name_before(before: &str) -> (&str, bool, bool) {
    let trimmed = before.trim_end_matches([' ', '\t']);
    let spaced = trimmed.len() < before.len();
    let unquoted = trimmed.trim_end_matches(['"', '\'', '\\']);
    let quoted = unquoted.len() < trimmed.len();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-".contains(byte);
    let length = unquoted
        .bytes()
        .rev()
        .take(MAX_NAME)
        .take_while(is_name)
        .count();
    (&unquoted[unquoted.len() - length..], quoted, spaced)
}

/// Whether a name before a colon is meant as one. `password: …` is, and `api_key: …`; a bare `key: …` comes after
/// `primary` as often as not, and `monkey: …` is an animal.
fn says_secret_in_prose(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    if lower.contains("key") {
        let shouted = name.len() > 3 && !name.contains(|c: char| c.is_ascii_lowercase());
        let compound = lower.contains("_key") || lower.contains("-key") || lower.contains(".key");
        let camel = name.contains("Key") && !name.starts_with("Key");
        let known = [
            "apikey",
            "api_key",
            "secretkey",
            "accesskey",
            "privatekey",
            "key_",
            "keys_",
        ];
        if shouted || compound || camel || known.iter().any(|known| lower.contains(known)) {
            return true;
        }
    }
    SECRET_WORDS
        .iter()
        .any(|word| *word != "key" && lower.contains(word))
}

/// Where in `rest` the value is that begins there, without its quotes. `whole_line`: all of it, as `env` prints it.
fn value(rest: &str, whole_line: bool) -> Range<usize> {
    let opening = rest.len() - rest.trim_start_matches('\\').len();
    match rest.as_bytes().get(opening) {
        Some(quote @ (b'"' | b'\'')) => {
            let start = opening + 1;
            start..start + quoted_length(&rest[start..], *quote, opening)
        }
        // A list of values.
        Some(b'[') => opening + 1..rest.find(']').unwrap_or(rest.len()),
        _ if whole_line => 0..rest.find('\n').unwrap_or(rest.len()),
        _ => {
            0..rest
                .find(|c: char| c.is_whitespace() || "\"'&".contains(c))
                .unwrap_or(rest.len())
        }
    }
}

/// Up to the closing quote, which has as many backslashes before it as the opening one: a quote within has more.
fn quoted_length(rest: &str, quote: u8, backslashes: usize) -> usize {
    let mut before = 0;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'\\' => before += 1,
            b'\n' => return at,
            byte if byte == quote && before == backslashes => return at - before,
            // An escaped backslash at the end of the value: `\\"` closes what `"` opened.
            byte if byte == quote && backslashes == 0 && before % 2 == 0 => return at,
            _ => before = 0,
        }
    }
    rest.len()
}

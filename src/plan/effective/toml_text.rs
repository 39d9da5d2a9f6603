//! Values become TOML, secrets masked on the way: there is no other way into the text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::mask::Masker;
use crate::plan::secrets::{MASK, is_secret_name, masked};

/// TOML text under construction.
pub struct TomlText {
    text: String,
    /// What is to be shown nowhere.
    masker: Masker,
}

impl TomlText {
    pub fn new(masker: Masker) -> Self {
        let text = String::new();
        TomlText { text, masker }
    }

    /// `[run]`, `[[migrations]]`.
    pub fn header(&mut self, header: &str) {
        let blank = if self.text.is_empty() { "" } else { "\n" };
        self.line(format_args!("{blank}{header}"));
    }

    /// A key whose value is TOML already.
    pub fn key(&mut self, name: &str, value: impl std::fmt::Display) {
        let value = self.masker.mask_quoted(&value.to_string());
        self.line(format_args!("{} = {value}", key(name)));
    }

    pub fn optional(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.key(name, value);
        }
    }

    pub fn text(&mut self, name: &str, value: &str) {
        self.key(name, text(value));
    }

    pub fn optional_text(&mut self, name: &str, value: Option<&String>) {
        self.optional(name, value.map(|value| text(value)));
    }

    /// Left out when empty.
    pub fn texts(&mut self, name: &str, values: &[String]) {
        if !values.is_empty() {
            self.key(name, texts(values));
        }
    }

    pub fn duration(&mut self, name: &str, value: Duration) {
        self.key(name, duration(value));
    }

    pub fn comment(&mut self, comment: &str) {
        self.line(format_args!("# {comment}"));
    }

    /// A table of its own, since there may be many.
    pub fn variables(&mut self, header: &str, variables: &BTreeMap<String, String>) {
        if variables.is_empty() {
            return;
        }
        self.header(header);
        for (name, value) in variables {
            self.key(name, variable(name, value, is_secret_name));
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a String can be written to");
    }

    pub fn finish(self) -> String {
        self.text
    }
}

pub fn text(value: &str) -> String {
    quote(&masked(value))
}

pub fn texts(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| text(value)).collect();
    format!("[{}]", values.join(", "))
}

pub fn duration(value: Duration) -> String {
    // Its blanks between units are for prose.
    quote(
        &humantime::format_duration(value)
            .to_string()
            .replace(' ', ""),
    )
}

pub fn inline(entries: impl IntoIterator<Item = (String, String)>) -> String {
    let entries: Vec<String> = entries
        .into_iter()
        .map(|(name, value)| format!("{} = {value}", key(&name)))
        .collect();
    format!("{{ {} }}", entries.join(", "))
}

/// The value under a name that may say it is a secret. That a secret is empty is no secret, and worth seeing.
pub fn variable(name: &str, value: &str, is_secret: fn(&str) -> bool) -> String {
    if is_secret(name) && !value.is_empty() {
        quote(MASK)
    } else {
        text(value)
    }
}

pub fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !name.is_empty() && name.chars().all(is_bare) {
        name.to_owned()
    } else {
        quote(name)
    }
}

fn quote(value: &str) -> String {
    let mut quoted = String::from("\"");
    for character in value.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            _ if character.is_control() => {
                write!(quoted, "\\u{:04X}", character as u32).expect("a String can be written to");
            }
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_survives_as_toml() {
        for value in [
            "",
            "a\"b\\c",
            "two\nlines\t\r",
            "\u{7f}\u{85}\u{1}",
            "ä 'x'",
        ] {
            let document = format!("{} = {}", key(value), quote(value));
            let table: toml::Table = document.parse().unwrap();
            assert_eq!(table[value].as_str(), Some(value), "{document}");
        }
    }

    #[test]
    fn durations_read_as_they_are_written() {
        for seconds in [0, 90, 1500, 5400] {
            let value = Duration::from_secs(seconds);
            let written = duration(value);
            assert_eq!(
                crate::plan::syntax::duration(written.trim_matches('"')),
                Ok(value)
            );
        }
        assert_eq!(duration(Duration::from_secs(5400)), "\"1h30m\"");
    }
}

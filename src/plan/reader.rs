//! A document's values become typed ones: what has another type goes to the findings, and reading goes on.

use super::error::{At, Findings, Place};
use super::node::{Item, Node};
use super::table::{Table, entries_of};

/// One value of the document.
#[derive(Clone)]
pub(super) struct Value<'a> {
    pub place: Place,
    pub(super) item: &'a Item,
    pub(super) findings: &'a Findings<'a>,
}

impl<'a> Value<'a> {
    pub fn fail(&self, message: impl std::fmt::Display) {
        self.findings.at(&self.place, message);
    }

    /// Says what would have been right and what stands there.
    pub fn unexpected<T>(&self, expected: &str) -> Option<T> {
        self.fail(format!("expected {expected}, found {}", self.describe()));
        None
    }

    // Without the value: what was meant to be a table of variables or headers may be a secret.
    fn not_a_table<T>(&self) -> Option<T> {
        let found = self.item.type_str();
        self.fail(format!("expected a table, found {found}"));
        None
    }

    fn describe(&self) -> String {
        match self.item {
            Item::Null | Item::Reset | Item::Override(_) => "nothing".to_owned(),
            Item::Text(text) => format!("string {}", quoted(text)),
            Item::Integer(number) => format!("integer {}", shortened(number)),
            Item::Float(number) => format!("float {}", shortened(number)),
            Item::Boolean(value) => format!("boolean {value}"),
            Item::Date => "a date".to_owned(),
            Item::List(_) => "an array".to_owned(),
            Item::Table(_) => "a table".to_owned(),
        }
    }

    pub fn at<T>(&self, value: T) -> At<T> {
        At {
            value,
            place: self.place.clone(),
        }
    }

    pub fn is_table(&self) -> bool {
        matches!(self.item, Item::Table(_))
    }

    pub fn is_array(&self) -> bool {
        matches!(self.item, Item::List(_))
    }

    pub fn is_null(&self) -> bool {
        matches!(self.item, Item::Null)
    }

    pub fn as_str(&self) -> Option<&'a str> {
        match self.item {
            Item::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_integer(&self) -> Option<i64> {
        match self.item {
            Item::Integer(number) => number.parse().ok(),
            _ => None,
        }
    }

    /// A number of the plan itself that is written in decimal digits.
    pub fn is_decimal_of_plan(&self) -> bool {
        let place = self.place.at;
        let is_integer = matches!(self.item, Item::Integer(_));
        is_integer && place.file == 0 && !self.findings.text_at(place).starts_with("0")
    }

    /// In a Compose file a variable may stand for any value, and what it brings is a text.
    fn as_text_of_compose(&self) -> Option<&'a str> {
        self.as_str().filter(|_| self.place.at.file != 0)
    }

    pub fn string(&self) -> Option<String> {
        let text = self.as_str().or_else(|| self.unexpected("a string"))?;
        // The engine's API takes C strings in the end.
        if text.contains('\0') {
            self.fail("contains a NUL character");
            return None;
        }
        Some(text.to_owned())
    }

    pub fn boolean(&self) -> Option<bool> {
        let boolean = match self.item {
            Item::Boolean(value) => Some(*value),
            _ => self.as_text_of_compose().and_then(boolean_word),
        };
        boolean.or_else(|| self.unexpected("`true` or `false`"))
    }

    /// A whole number within bounds.
    pub fn integer<T: TryFrom<i64>>(
        &self,
        expected: &str,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<T> {
        let of_text = || self.as_text_of_compose()?.parse().ok();
        self.as_integer()
            .or_else(of_text)
            .filter(|number| bounds.contains(number))
            .and_then(|number| T::try_from(number).ok())
            .or_else(|| self.unexpected(expected))
    }

    /// A string in a syntax of its own.
    pub fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.parsed_as(&self.string()?, parse)
    }

    /// As `parsed`, for a value that has been made a text: a number where a string is usual.
    pub fn parsed_as<T>(
        &self,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(text) {
            Ok(value) => Some(value),
            Err(message) => {
                self.fail(message);
                None
            }
        }
    }

    /// One word of a fixed set.
    pub fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let found = self
            .as_str()
            .and_then(|text| words.iter().find(|(name, _)| *name == text));
        found
            .map(|(_, value)| *value)
            .or_else(|| self.unexpected(&super::error::one_of(&names)))
    }

    /// A scalar as text, the way Compose passes it to a container. Never printed: it may be a secret.
    pub fn scalar(&self) -> Option<String> {
        match self.item {
            Item::Text(_) => return self.string(),
            Item::Boolean(value) => return Some(value.to_string()),
            Item::Float(number) | Item::Integer(number) => return Some(number.clone()),
            _ => {}
        }
        let found = self.item.type_str();
        self.fail(format!(
            "expected a string, a number or a boolean, found {found}"
        ));
        None
    }

    pub fn list(&self) -> Option<Vec<Value<'a>>> {
        let Item::List(items) = self.item else {
            return self.unexpected("a list");
        };
        let child = |(index, node): (usize, &'a Node)| Value {
            place: Place {
                key: format!("{}[{index}]", self.place.key),
                at: node.at,
            },
            item: &node.item,
            findings: self.findings,
        };
        Some(items.iter().enumerate().map(child).collect())
    }

    pub fn strings(&self) -> Option<Vec<String>> {
        Some(self.list()?.iter().filter_map(Value::string).collect())
    }

    /// A single value, or a list of such.
    pub fn one_or_many(&self) -> Option<Vec<Value<'a>>> {
        if self.is_array() {
            self.list()
        } else {
            Some(vec![self.clone()])
        }
    }

    /// A table with keys of the user's choice, in the order of the file. Each comes with the place of its name.
    pub fn entries(&self) -> Option<Vec<(At<String>, Value<'a>)>> {
        let Item::Table(table) = self.item else {
            return self.not_a_table();
        };
        Some(entries_of(table, &self.place, self.findings))
    }

    /// A table with fixed keys: `read` asks for those it knows, the others are errors.
    pub fn table<R>(&self, read: impl FnOnce(&Table<'a>) -> R) -> Option<R> {
        let table = match self.item {
            Item::Table(entries) => entries.as_slice(),
            Item::Null => &[],
            _ => return self.not_a_table(),
        };
        Some(Table::read(table, self.place.clone(), self.findings, read))
    }
}

fn boolean_word(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" => Some(true),
        "false" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

/// A key under its parents, quoted where TOML would want it.
pub(super) fn joined(parent: &str, key: &str) -> String {
    let is_bare = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let key = shortened(key);
    let key = if !key.is_empty() && key.chars().all(is_bare) {
        key
    } else {
        format!("{key:?}")
    };
    if parent.is_empty() {
        key
    } else {
        format!("{parent}.{key}")
    }
}

/// Enough of a text to recognise it, on one line and with the passwords of its URLs masked.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(&super::secrets::mask_url_passwords(text)))
}

// Also keeps the paths of keys short: every value below repeats them.
fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

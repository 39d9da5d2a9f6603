//! The bytes of an env file become variables, by the rules of Compose (compose-go, `dotenv`): quotes, escapes, comments
//! behind a value, `export`, and variables inside of values. Docker's own `--env-file`, which has none of these, is
//! [`crate::plan::env_file`], and what `format: raw` means.

use super::interpolate::{self, Seen};
use super::variables::Variables;
use crate::plan::env_file::EnvFileError;
use crate::plan::error::Findings;

/// What an env file says.
#[derive(Default)]
pub struct Read {
    /// In the order of the file.
    pub variables: Vec<(String, String)>,
    /// What is to be said of lines that refer to what is not there.
    pub notes: Vec<(usize, String)>,
    /// Names that it refers to, and their values.
    pub values: Vec<(String, String)>,
}

impl Read {
    /// Has the findings know what must not be shown, and what was not set.
    pub fn report(&self, file: &str, findings: &Findings<'_>) {
        for (name, value) in self.values.iter().chain(&self.variables) {
            findings.variable(name, value);
        }
        for (line, note) in &self.notes {
            findings.note_in_file(file, *line, note);
        }
    }
}

/// `outside` is what the variables may refer to beside those before them, and wins.
pub fn parse(bytes: &[u8], outside: &Variables) -> Result<Read, Vec<EnvFileError>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = bytes[..error.valid_up_to()].iter();
            let line = line.filter(|byte| **byte == b'\n').count() + 1;
            let message = "not UTF-8".to_owned();
            return Err(vec![EnvFileError { line, message }]);
        }
    };
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let mut parser = Parser {
        rest: &text,
        line: 1,
        known: outside.clone(),
        outside,
        read: Read::default(),
    };
    let mut errors = Vec::new();
    while parser.seek_statement() {
        let line = parser.line;
        match parser.statement() {
            Ok(Some((name, value))) => {
                parser.known.set(&name, &value);
                parser.read.variables.push((name, value));
            }
            Ok(None) => {}
            Err(message) => {
                errors.push(EnvFileError { line, message });
                parser.skip_line();
            }
        }
    }
    if errors.is_empty() {
        Ok(parser.read)
    } else {
        Err(errors)
    }
}

struct Parser<'a> {
    rest: &'a str,
    /// Counted from 1.
    line: usize,
    known: Variables,
    outside: &'a Variables,
    read: Read,
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() && character != '\n'
}

impl<'a> Parser<'a> {
    /// Over blank lines and comments; false at the end.
    fn seek_statement(&mut self) -> bool {
        loop {
            let trimmed = self.rest.trim_start();
            self.line += newlines(&self.rest[..self.rest.len() - trimmed.len()]);
            self.rest = trimmed;
            if !self.rest.starts_with('#') {
                return !self.rest.is_empty();
            }
            self.skip_line();
        }
    }

    fn skip_line(&mut self) {
        match self.rest.split_once('\n') {
            Some((_, rest)) => {
                self.rest = rest;
                self.line += 1;
            }
            None => self.rest = "",
        }
    }

    fn statement(&mut self) -> Result<Option<(String, String)>, String> {
        let exported = self.rest.strip_prefix("export");
        if let Some(rest) = exported.filter(|rest| rest.starts_with(is_blank)) {
            self.rest = rest.trim_start_matches(is_blank);
        }
        let is_name = |c: char| c.is_alphanumeric() || "_.-[]".contains(c) || is_blank(c);
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        let name = name.trim_end();
        if name.contains(is_blank) {
            return Err("a variable name contains white space".to_owned());
        }
        if name.is_empty() {
            return Err("no variable name".to_owned());
        }
        match rest.chars().next() {
            None | Some('\n') => {
                self.rest = rest;
                let inherited = self.outside.get(name);
                return Ok(inherited.map(|value| (name.to_owned(), value.to_owned())));
            }
            Some('=' | ':') => {}
            Some(other) => return Err(format!("unexpected {other:?} in a variable name")),
        }
        self.rest = rest[1..].trim_start_matches(is_blank);
        let value = self.value(name)?;
        if value.contains('\0') {
            return Err("a NUL character".to_owned());
        }
        Ok(Some((name.to_owned(), value)))
    }

    fn value(&mut self, name: &str) -> Result<String, String> {
        let quote = self.rest.chars().next().filter(|c| *c == '"' || *c == '\'');
        let Some(quote) = quote else {
            let line = self.rest.split('\n').next().unwrap_or_default();
            self.rest = &self.rest[line.len()..];
            let value = line.split(" #").next().unwrap_or_default().trim_end();
            return self.interpolated(name, value);
        };
        let mut value = String::new();
        let mut escaped = false;
        for (index, character) in self.rest.char_indices().skip(1) {
            match character {
                _ if character == quote && !escaped => {
                    let lines = newlines(&self.rest[..index]);
                    self.rest = &self.rest[index + 1..];
                    let value = match quote {
                        '"' => self.interpolated(name, &unescaped(&value)),
                        _ => Ok(value),
                    };
                    self.line += lines;
                    return value;
                }
                '\\' if !escaped => {
                    escaped = true;
                    continue;
                }
                // Only the quote itself is escaped here; what else a backslash means is seen to later.
                _ if escaped && character != quote => value.push('\\'),
                _ => {}
            }
            escaped = false;
            value.push(character);
        }
        Err(format!("a `{quote}` is never closed"))
    }

    fn interpolated(&mut self, name: &str, value: &str) -> Result<String, String> {
        let mut seen = Seen::default();
        let replaced = interpolate::string(value, &self.known, &mut seen);
        let notes = seen.unset.iter();
        let notes = notes.map(|variable| (self.line, interpolate::not_set(variable, name)));
        self.read.notes.extend(notes);
        self.read.values.extend(seen.values);
        replaced
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The escapes of a shell, as far as Compose knows them.
fn unescaped(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(backslash) = rest.find('\\') {
        result.push_str(&rest[..backslash]);
        rest = &rest[backslash + 1..];
        let Some(character) = rest.chars().next() else {
            result.push('\\');
            break;
        };
        rest = &rest[character.len_utf8()..];
        match character {
            'a' => result.push('\u{7}'),
            'b' => result.push('\u{8}'),
            'f' => result.push('\u{c}'),
            'n' => result.push('\n'),
            'r' => result.push('\r'),
            't' => result.push('\t'),
            'v' => result.push('\u{b}'),
            '"' | '\\' => result.push(character),
            // A dollar that begins no variable.
            '$' => result.push_str("$$"),
            other => result.extend(['\\', other]),
        }
    }
    result + rest
}

//! `${VARIABLE}` in the strings of a Compose file, by Compose's rules (compose-go, `template`).

use std::borrow::Cow;

use super::paths::nobodys_home;
use super::variables::Variables;
use crate::plan::error::{Findings, Place};
use crate::plan::node::{Item, Node};
use crate::plan::secrets::{is_secret_name, secret_assignment};

/// Defaults inside of defaults.
const DEEPEST: usize = 32;
/// What one string may grow to; a variable can be named many times.
const LONGEST: usize = 1 << 20;

/// What strings refer to.
#[derive(Default)]
pub struct Seen {
    /// What is not there; Compose takes it as empty, and warns.
    pub unset: Vec<String>,
    /// Names and what was put in their place.
    pub values: Vec<(String, String)>,
}

/// Replaces the variables in every string of the tree; keys are left as they are.
pub fn tree(node: &mut Node, key: &str, variables: &Variables, findings: &Findings<'_>) {
    match &mut node.item {
        Item::Text(text) if text.contains('$') => {
            let mut seen = Seen::default();
            let fail = |message: String| {
                let key = key.to_owned();
                findings.at(&Place { key, at: node.at }, message);
            };
            let mut variables = Cow::Borrowed(variables);
            if is_home_mounted(key, text) {
                fail(nobodys_home("$HOME"));
                // Said once.
                variables.to_mut().fix("HOME", "/");
            }
            let replaced = string(text, &variables, &mut seen);
            for (name, value) in &seen.values {
                findings.variable(name, value);
            }
            match replaced {
                Ok(new) => *text = new,
                Err(message) => fail(message),
            }
            let name = match secret_assignment(text) {
                Some((name, _)) => name,
                None => key.rsplit('.').next().unwrap_or(key),
            };
            for variable in seen.unset {
                findings.note(node.at, not_set(&variable, name));
            }
        }
        Item::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                tree(item, &format!("{key}[{index}]"), variables, findings);
            }
        }
        Item::Table(entries) => {
            for entry in entries {
                let key = crate::plan::reader::joined(key, &entry.name);
                tree(&mut entry.value, &key, variables, findings);
            }
        }
        Item::Override(inner) => tree(inner, key, variables, findings),
        _ => {}
    }
}

/// The source of a mount is in `$HOME`; `services.NAME.volumes[…]` is what it stands under.
fn is_home_mounted(key: &str, text: &str) -> bool {
    let home = text.strip_prefix("${HOME").or(text.strip_prefix("$HOME"));
    let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_source = key.ends_with(']') || key.ends_with(".source") || key.ends_with(".device");
    is_source && key.contains("volumes") && home.is_some_and(|rest| !rest.starts_with(goes_on))
}

/// That a variable is not set which the value of `name` refers to. In a password, what looks like one may be a part of it.
pub fn not_set(variable: &str, name: &str) -> String {
    match is_secret_name(name) && !is_secret_name(variable) {
        true => format!("a variable in {name} is not set, taken as empty; `$$` is a dollar"),
        false => format!("${variable} is not set, taken as empty"),
    }
}

/// One string. Its error never shows a value: it may be a secret.
pub fn string(text: &str, variables: &Variables, seen: &mut Seen) -> Result<String, String> {
    expand(text, variables, seen, 0)
}

fn expand(
    text: &str,
    variables: &Variables,
    seen: &mut Seen,
    depth: usize,
) -> Result<String, String> {
    if depth > DEEPEST {
        return Err(format!("defaults nested deeper than {DEEPEST}"));
    }
    let mut result = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        result.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some(braced) = rest.strip_prefix('{') {
            let end = closing(braced).ok_or("a `${` is never closed")?;
            result += &braced_value(&braced[..end], variables, seen, depth)?;
            rest = &braced[end + 1..];
        } else {
            let (name, after) = rest.split_at(name_length(rest));
            match name {
                // Such as a shell's `$1`, or the end of a pattern.
                "" => result.push('$'),
                name => result += &value(name, variables, seen),
            }
            rest = after;
        }
        if result.len() > LONGEST {
            return Err(format!("its variables make it longer than {LONGEST} bytes"));
        }
    }
    Ok(result + rest)
}

fn name_length(text: &str) -> usize {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    if starts_well {
        end.unwrap_or(text.len())
    } else {
        0
    }
}

/// Where the brace is closed that was opened before the text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0;
    let mut previous = ' ';
    for (index, character) in text.char_indices() {
        match character {
            '{' if previous == '$' => open += 1,
            '}' if open == 0 => return Some(index),
            '}' => open -= 1,
            _ => {}
        }
        previous = character;
    }
    None
}

fn value(name: &str, variables: &Variables, seen: &mut Seen) -> String {
    let value = variables.get(name);
    if value.is_none() {
        seen.unset.push(name.to_owned());
    }
    let value = value.unwrap_or_default().to_owned();
    seen.values.push((name.to_owned(), value.clone()));
    value
}

fn braced_value(
    text: &str,
    variables: &Variables,
    seen: &mut Seen,
    depth: usize,
) -> Result<String, String> {
    let length = name_length(text);
    let (name, rest) = text.split_at(length);
    let (operator, word) = ["", ":-", ":?", ":+", "-", "?", "+"]
        .into_iter()
        .rev()
        .find_map(|operator| {
            let word = rest.strip_prefix(operator)?;
            (!operator.is_empty() || word.is_empty()).then_some((operator, word))
        })
        .filter(|_| length > 0)
        .ok_or("not a variable: expected `${NAME}`, `${NAME:-default}`, `${NAME:?error}` or `${NAME:+word}`")?;
    let given = variables.get(name);
    let filled = given.filter(|value| !operator.starts_with(':') || !value.is_empty());
    let word = |seen: &mut Seen| expand(word, variables, seen, depth + 1);
    let value = match operator {
        "" => return Ok(value(name, variables, seen)),
        ":+" | "+" => {
            return match filled {
                Some(_) => word(seen),
                None => Ok(String::new()),
            };
        }
        _ if filled.is_some() => filled.unwrap_or_default().to_owned(),
        ":-" | "-" => word(seen)?,
        _ => {
            let why = word(seen)?;
            let why = match why.as_str() {
                "" => String::new(),
                why => format!(": {why}"),
            };
            return Err(format!("the variable {name} must be set{why}"));
        }
    };
    seen.values.push((name.to_owned(), value.clone()));
    Ok(value)
}

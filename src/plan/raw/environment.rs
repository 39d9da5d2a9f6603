//! `environment`, `labels`, `env_file` and `secrets`, in the forms Compose gives them.

use std::rc::Rc;

use crate::plan::compose::Variables;
use crate::plan::error::At;
use crate::plan::reader::Value;
use crate::plan::syntax;
use crate::plan::table::Table;

/// A file of variables in the bundle.
pub struct EnvFile {
    pub path: String,
    pub required: bool,
    pub syntax: EnvSyntax,
}

/// Whose rules an env file is written by.
pub enum EnvSyntax {
    /// `docker run --env-file`: all literal.
    Docker,
    /// Compose's, with the variables it may refer to; None: those of the agent's environment.
    Compose(Option<Rc<Variables>>),
}

/// A table, or a list of `NAME=value`. Without a value it is `None`. Values are never printed.
pub fn variables(value: &Value<'_>) -> Option<Vec<(At<String>, Option<String>)>> {
    let mut variables = Vec::new();
    if value.is_array() {
        for item in value.list()? {
            let Some(text) = item.string() else { continue };
            let (name, content) = match text.split_once('=') {
                Some((name, content)) => (name, Some(content.to_owned())),
                None => (text.as_str(), None),
            };
            match syntax::variable_name(name) {
                Ok(name) => variables.push((item.at(name), content)),
                Err(_) => {
                    item.fail("expected \"NAME=value\" or \"NAME\", the name without white space")
                }
            }
        }
    } else if value.is_table() {
        for (name, content) in value.entries()? {
            let content = match content.is_null() {
                true => None,
                false => match content.scalar() {
                    Some(content) => Some(content),
                    None => continue,
                },
            };
            match syntax::variable_name(&name.value) {
                Ok(_) => variables.push((name, content)),
                Err(message) => value.fail(message),
            }
        }
    } else {
        // Not `unexpected`, which would print what may be a secret.
        value.fail("expected a table, or a list of \"NAME=value\"");
    }
    Some(variables)
}

/// A label without a value is an empty one.
pub fn labels(value: &Value<'_>) -> Option<Vec<(String, String)>> {
    let labels = variables(value)?.into_iter();
    Some(
        labels
            .map(|(name, value)| (name.value, value.unwrap_or_default()))
            .collect(),
    )
}

pub fn env_files(value: &Value<'_>) -> Option<Vec<At<EnvFile>>> {
    let one = |item: &Value<'_>| {
        if !item.is_table() {
            let path = item.parsed(syntax::bundle_path)?;
            return Some(item.at(EnvFile {
                path,
                required: true,
                syntax: EnvSyntax::Docker,
            }));
        }
        item.table(|table: &Table<'_>| {
            let required = table.value("required", Value::boolean).unwrap_or(true);
            let is_composes =
                table.value("format", |v| v.word(&[("raw", false), ("compose", true)]));
            let path = table.require("path", |v| v.parsed(syntax::bundle_path))?;
            Some(At {
                value: EnvFile {
                    path: path.value,
                    required,
                    syntax: match is_composes {
                        Some(true) => EnvSyntax::Compose(None),
                        _ => EnvSyntax::Docker,
                    },
                },
                place: path.place,
            })
        })?
    };
    Some(value.one_or_many()?.iter().filter_map(one).collect())
}

/// Names and how many random bytes each gets.
pub fn secrets(value: &Value<'_>) -> Option<Vec<(At<String>, usize)>> {
    let mut secrets = Vec::new();
    for (name, value) in value.entries()? {
        let bytes = value.integer("a number of bytes from 1 to 1024", 1..=1024);
        if let Err(message) = syntax::variable_name(&name.value) {
            value.fail(message);
        }
        secrets.extend(bytes.map(|bytes| (name, bytes)));
    }
    Some(secrets)
}

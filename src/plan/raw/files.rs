//! `[[files]]`: what stands in the guest before the containers are made.

use crate::plan::error::{At, Place};
use crate::plan::reader::Value;
use crate::plan::syntax;
use crate::plan::table::Table;

pub struct RawFile {
    pub path: Option<String>,
    pub content: Option<At<RawContent>>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Its content must never be shown.
    pub secret: bool,
}

pub enum RawContent {
    /// Relative to the bundle.
    Bundle(String),
    Text(String),
    Folder,
}

pub fn files(value: &Value<'_>) -> Option<Vec<RawFile>> {
    let files = value.list()?;
    Some(files.iter().filter_map(|v| v.table(file)).collect())
}

fn file(t: &Table<'_>) -> RawFile {
    let source = t.read_key("source", |v| {
        v.parsed(syntax::bundle_path).map(RawContent::Bundle)
    });
    let text = t.read_key("content", |v| v.string().map(RawContent::Text));
    let folder = t.read_key("folder", |v| match v.boolean()? {
        true => Some(RawContent::Folder),
        false => v.unexpected("`true`"),
    });
    let given = ["source", "content", "folder"].map(|key| t.has(key));
    if given.iter().filter(|given| **given).count() != 1 {
        t.fail("expected exactly one of `source` (in the bundle), `content` and `folder = true`");
    }
    let id = |v: &Value<'_>| v.integer("a number of a user or group", 0..=i64::from(u32::MAX));
    RawFile {
        path: t
            .require("path", |v| v.parsed(syntax::absolute_path))
            .map(|path| path.value),
        content: source.or(text).or(folder),
        mode: t.value("mode", mode),
        uid: t.value("uid", id),
        gid: t.value("gid", id),
        secret: t.value("secret", Value::boolean).unwrap_or_default(),
    }
}

/// A number, or octal digits as a string.
pub fn mode(value: &Value<'_>) -> Option<u32> {
    // `644` would be 0o1204.
    if value.is_decimal_of_plan() {
        return value.unexpected("a mode such as 0o644, in octal digits");
    }
    let of_text = value
        .as_str()
        .and_then(|text| i64::from_str_radix(text.trim_start_matches("0o"), 8).ok());
    let number = of_text.or_else(|| value.as_integer());
    match number.filter(|mode| (0..=0o7777).contains(mode)) {
        Some(mode) => Some(mode as u32),
        None => value.unexpected("a mode such as 0o644"),
    }
}

impl RawFile {
    pub fn at(path: String, content: RawContent, place: Place) -> RawFile {
        RawFile {
            path: Some(path),
            content: Some(At {
                value: content,
                place,
            }),
            mode: None,
            uid: None,
            gid: None,
            secret: false,
        }
    }
}

//! Bytes become a TOML document whose values know where they stand, or errors; whatever the bytes are, within bounds
//! of time and stack.

use toml::de::{DeTable, DeValue};
use toml_parser::lexer::TokenKind;

use super::BundleFiles;
use super::error::{Findings, Place, PlanErrors};
use super::node::{Entry, Item, Node, Spot};

/// A plan is a page or two.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// What a file of the bundle says that a plan or a Compose file names, or why it cannot be had.
pub(super) fn bytes_of(files: &dyn BundleFiles, name: &str) -> Result<Vec<u8>, String> {
    match files.read(name) {
        Ok(bytes) if bytes.len() > MOST_BYTES => Err(format!(
            "`{name}` has {} bytes; at most {MOST_BYTES}",
            bytes.len()
        )),
        Ok(bytes) => Ok(bytes),
        Err(_) if !files.exists(name) => Err(format!("no file `{name}` in the bundle")),
        Err(error) => Err(format!("cannot read `{name}`: {error}")),
    }
}

/// Parts of one dotted key. The parser bounds how deep arrays and inline tables nest, but not this, and a document is
/// dropped recursively.
const MOST_KEY_PARTS: usize = 16;

/// The text of the plan, if it is text at all and not too much of it.
pub(super) fn text<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, PlanErrors> {
    let whole_file = |message: String, line| {
        let findings = Findings::new(file, "");
        findings.in_file(file, line, message);
        findings.finish().unwrap_err()
    };
    if bytes.len() > MOST_BYTES {
        let message = format!(
            "{} bytes are too many for a plan; at most {MOST_BYTES}",
            bytes.len()
        );
        return Err(whole_file(message, None));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        let line = bytes[..offset]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        let message = format!("not UTF-8: byte 0x{:02x} at offset {offset}", bytes[offset]);
        whole_file(message, Some(line))
    })
}

/// The document; what is no TOML goes to the findings, and then there is none.
pub(super) fn parse(text: &str, findings: &Findings<'_>) -> Option<Node> {
    let at = |offset| Place {
        key: String::new(),
        at: Spot { file: 0, offset },
    };
    if let Some(offset) = overlong_key(text) {
        findings.at(
            &at(offset),
            format!("a key of more than {MOST_KEY_PARTS} parts"),
        );
        return None;
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut places: Vec<(usize, &str)> = errors
        .iter()
        .map(|error| {
            let offset = error.span().map_or(text.len(), |span| span.start);
            (offset.min(text.len()), error.message().trim())
        })
        .collect();
    places.sort_by_key(|(offset, _)| *offset);
    // One mistake makes several errors in its line, each the consequence of the one before.
    let mut last = None;
    for (offset, message) in places {
        let is_new_line = |last: usize| text.as_bytes()[last..offset].contains(&b'\n');
        if last.is_none_or(is_new_line) {
            findings.at(&at(offset), format!("not TOML: {message}"));
        }
        last = Some(offset);
    }
    errors
        .is_empty()
        .then(|| table(document.get_ref(), document.span().start))
}

fn table(table: &DeTable<'_>, offset: usize) -> Node {
    let at = |offset| Spot { file: 0, offset };
    let entry = |(name, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| Entry {
        name: AsRef::<str>::as_ref(name.get_ref()).to_owned(),
        at: at(name.span().start),
        value: node(value),
    };
    let mut entries: Vec<Entry> = table.iter().map(entry).collect();
    entries.sort_by_key(|entry| entry.at);
    Node {
        item: Item::Table(entries),
        at: at(offset),
    }
}

// As deep as the parser lets arrays, tables and keys nest.
fn node(value: &toml::Spanned<DeValue<'_>>) -> Node {
    let offset = value.span().start;
    let item = match value.get_ref() {
        DeValue::String(text) => Item::Text(text.clone().into_owned()),
        DeValue::Integer(number) => {
            let decimal = i128::from_str_radix(number.as_str(), number.radix());
            Item::Integer(decimal.map_or_else(|_| number.to_string(), |n| n.to_string()))
        }
        DeValue::Float(number) => Item::Float(number.as_str().to_owned()),
        DeValue::Boolean(value) => Item::Boolean(*value),
        DeValue::Datetime(_) => Item::Date,
        DeValue::Array(items) => Item::List(items.iter().map(node).collect()),
        DeValue::Table(entries) => return table(entries, offset),
    };
    Node {
        item,
        at: Spot { file: 0, offset },
    }
}

/// Where the dotted key with too many parts stands, if there is one.
fn overlong_key(text: &str) -> Option<usize> {
    let mut dots = 0;
    for token in toml_parser::Source::new(text).lex() {
        match token.kind() {
            TokenKind::Dot => dots += 1,
            TokenKind::Equals
            | TokenKind::Comma
            | TokenKind::LeftSquareBracket
            | TokenKind::RightSquareBracket
            | TokenKind::LeftCurlyBracket
            | TokenKind::RightCurlyBracket
            | TokenKind::Newline => dots = 0,
            _ => {}
        }
        if dots >= MOST_KEY_PARTS {
            return Some(token.span().start());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(source: &str) -> String {
        let findings = Findings::new("p.toml", source);
        assert!(parse(source, &findings).is_none());
        findings.finish().unwrap_err().to_string()
    }

    #[test]
    fn a_syntax_error_has_line_and_column() {
        assert_eq!(
            errors("[run]\ntimeout = \n"),
            "p.toml:2:11: not TOML: string values must be quoted, expected literal string"
        );
    }

    #[test]
    fn every_syntax_error_is_reported() {
        assert_eq!(errors("a = \nb = 1\nc = \n").lines().count(), 2);
    }

    #[test]
    fn a_line_has_one_syntax_error() {
        assert_eq!(
            errors("a = [\nb = 1\n]\nc = 2021-13-45\n"),
            "p.toml:2:1: not TOML: string values must be quoted, expected literal string\n\
             p.toml:4:5: not TOML: invalid date, expected month between 01 and 12"
        );
    }

    #[test]
    fn a_key_given_twice_is_an_error() {
        assert_eq!(
            errors("a = 1\na = 2\n"),
            "p.toml:2:1: not TOML: duplicate key"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_located() {
        assert_eq!(
            text("p.toml", b"a = 1\nb = \"\xff\"")
                .unwrap_err()
                .to_string(),
            "p.toml:2: not UTF-8: byte 0xff at offset 11"
        );
    }

    #[test]
    fn a_plan_has_a_size_limit() {
        assert_eq!(
            text("p.toml", &vec![b'#'; MOST_BYTES + 1])
                .unwrap_err()
                .to_string(),
            "p.toml: 1048577 bytes are too many for a plan; at most 1048576"
        );
    }

    // Each of these would nest as deep as the file is long; dropping such a document overflows the stack.
    #[test]
    fn nesting_is_bounded() {
        let deep = |unit: &str, before: &str, after: &str| {
            format!(
                "{before}{}{after}",
                unit.repeat((MOST_BYTES - 64) / unit.len())
            )
        };
        assert_eq!(
            errors(&deep("a.", "", "a = 1")),
            "p.toml:1:32: not TOML: a key of more than 16 parts".replace("not TOML: ", "")
        );
        for source in [
            deep("a.", "[", "a]"),
            deep("\"\".", "x = { ", "a = 1 }"),
            deep("[", "a = ", ""),
            deep("{a=", "a = ", ""),
            deep("[[", "", ""),
            deep("a = \"\n", "", ""),
            deep("[a]\n", "", ""),
            deep("[[a.b]]\n", "", ""),
        ] {
            let findings = Findings::new("p.toml", &source);
            let _ = parse(&source, &findings);
            let _ = findings.finish();
        }
    }
}

//! The text of a Compose file becomes a tree: anchors and merge keys followed, scalars typed as Compose types them.
//!
//! The typing is that of the library Compose reads YAML with (yaml.v3, `resolve.go`): YAML 1.2, so `yes` and `22:22` are
//! strings, but a leading `0` still makes an octal number. Whatever the bytes are, within bounds of memory and stack.

use std::collections::{BTreeSet, HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::plan::error::{Findings, Place};
use crate::plan::node::{Entry, Item, Node, Spot};

/// Far deeper than any Compose file; the tree is walked and dropped recursively.
const DEEPEST: usize = 64;
/// What aliases may make of a file, in values and bytes of text together: they multiply ("billion laughs").
const MOST_UNFOLDED: usize = 4 << 20;

/// The documents of a file, each with the merge keys resolved. What is no YAML goes to the findings.
pub fn documents(text: &str, file: usize, findings: &Findings<'_>) -> Option<Vec<Node>> {
    let mut builder = Builder {
        file,
        offsets: offsets(text),
        anchors: HashMap::new(),
        unfolded: 0,
    };
    let mut documents = Vec::new();
    match builder.documents(text, &mut documents) {
        Ok(()) => Some(documents),
        Err((at, message)) => {
            let key = String::new();
            findings.at(&Place { key, at }, message);
            None
        }
    }
}

/// The parser counts characters; where each begins, unless a character is a byte everywhere.
fn offsets(text: &str) -> Option<Vec<usize>> {
    (!text.is_ascii()).then(|| text.char_indices().map(|(offset, _)| offset).collect())
}

type Wrong = (Spot, String);

struct Builder {
    file: usize,
    offsets: Option<Vec<usize>>,
    /// What stands under an anchor, and how much that is.
    anchors: HashMap<usize, (Node, usize)>,
    unfolded: usize,
}

/// A list or table that is being read.
struct Open {
    node: Node,
    anchor: usize,
    tag: Option<Tag>,
    /// The unfolded size before it.
    before: usize,
    /// Of a table, the key that waits for its value.
    key: Option<(String, Spot)>,
    names: BTreeSet<String>,
    merged: Vec<Node>,
}

impl Builder {
    fn spot(&self, marker: &Marker) -> Spot {
        let index = marker.index();
        let offset = match &self.offsets {
            Some(offsets) => offsets.get(index).or(offsets.last()).copied().unwrap_or(0),
            None => index,
        };
        Spot {
            file: self.file,
            offset,
        }
    }

    fn documents(&mut self, text: &str, documents: &mut Vec<Node>) -> Result<(), Wrong> {
        let mut open: Vec<Open> = Vec::new();
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| {
                let message = format!("not YAML: {}", error.info());
                (self.spot(error.marker()), message)
            })?;
            let at = self.spot(&span.start);
            let finished = match event {
                Event::SequenceStart(anchor, tag) => {
                    let tag = tag.map(|tag| tag.into_owned());
                    self.open(&mut open, Item::List(Vec::new()), at, anchor, tag)?;
                    continue;
                }
                Event::MappingStart(anchor, tag) => {
                    let tag = tag.map(|tag| tag.into_owned());
                    self.open(&mut open, Item::Table(Vec::new()), at, anchor, tag)?;
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(closed) = open.pop() else { continue };
                    self.close(closed)?
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.grow(1 + text.len(), at)?;
                    let item = scalar(&text, style, tag.as_deref());
                    let node = tagged(Node { item, at }, tag.as_deref())?;
                    if anchor > 0 {
                        self.anchors.insert(anchor, (node.clone(), 1 + text.len()));
                    }
                    node
                }
                Event::Alias(anchor) => {
                    let Some(size) = self.anchors.get(&anchor).map(|(_, size)| *size) else {
                        let message = "an alias inside of what it stands for".to_owned();
                        return Err((at, message));
                    };
                    // Before it is copied.
                    self.grow(size, at)?;
                    self.anchors[&anchor].0.clone()
                }
                _ => continue,
            };
            match open.last_mut() {
                Some(parent) => parent.take(finished)?,
                None => documents.push(finished),
            }
        }
        Ok(())
    }

    fn grow(&mut self, by: usize, at: Spot) -> Result<(), Wrong> {
        self.unfolded += by;
        if self.unfolded > MOST_UNFOLDED {
            let message = format!("its aliases unfold to more than {MOST_UNFOLDED} bytes");
            return Err((at, message));
        }
        Ok(())
    }

    fn open(
        &mut self,
        open: &mut Vec<Open>,
        item: Item,
        at: Spot,
        anchor: usize,
        tag: Option<Tag>,
    ) -> Result<(), Wrong> {
        if open.len() >= DEEPEST {
            return Err((at, format!("nested deeper than {DEEPEST}")));
        }
        let before = self.unfolded;
        self.grow(1, at)?;
        open.push(Open {
            node: Node { item, at },
            anchor,
            tag,
            before,
            key: None,
            names: BTreeSet::new(),
            merged: Vec::new(),
        });
        Ok(())
    }

    fn close(&mut self, mut closed: Open) -> Result<Node, Wrong> {
        for node in std::mem::take(&mut closed.merged) {
            closed.merge(node)?;
        }
        let node = tagged(closed.node, closed.tag.as_ref())?;
        if closed.anchor > 0 {
            let size = self.unfolded - closed.before;
            self.grow(size, node.at)?;
            self.anchors.insert(closed.anchor, (node.clone(), size));
        }
        Ok(node)
    }
}

impl Open {
    fn take(&mut self, node: Node) -> Result<(), Wrong> {
        let entries = match &mut self.node.item {
            Item::List(items) => {
                items.push(node);
                return Ok(());
            }
            Item::Table(entries) => entries,
            _ => return Ok(()),
        };
        let Some((name, at)) = self.key.take() else {
            let name = match node.item {
                Item::Text(text) | Item::Integer(text) | Item::Float(text) => text,
                Item::Boolean(value) => value.to_string(),
                _ => return Err((node.at, "a key that is no word".to_owned())),
            };
            self.key = Some((name, node.at));
            return Ok(());
        };
        if name == "<<" {
            self.merged.push(node);
        } else if !self.names.insert(name.clone()) {
            return Err((at, format!("the key {} is there twice", quoted(&name))));
        } else {
            let value = node;
            entries.push(Entry { name, at, value });
        }
        Ok(())
    }

    /// `<<`: what the table does not say itself; of several, the first counts.
    fn merge(&mut self, node: Node) -> Result<(), Wrong> {
        match node.item {
            Item::Table(from) => {
                let Item::Table(entries) = &mut self.node.item else {
                    return Ok(());
                };
                for entry in from {
                    if self.names.insert(entry.name.clone()) {
                        entries.push(entry);
                    }
                }
                Ok(())
            }
            Item::List(nodes) => nodes.into_iter().try_for_each(|node| self.merge(node)),
            _ => Err((
                node.at,
                "`<<` takes a table, or a list of tables".to_owned(),
            )),
        }
    }
}

fn quoted(text: &str) -> String {
    crate::plan::reader::quoted(text)
}

fn tagged(node: Node, tag: Option<&Tag>) -> Result<Node, Wrong> {
    let at = node.at;
    let item = match tag {
        None => return Ok(node),
        Some(tag) if tag.handle == "!" => match tag.suffix.as_str() {
            "reset" => Item::Reset,
            "override" => Item::Override(Box::new(node)),
            // `!` alone says that it is a string.
            "" => return Ok(node),
            other => {
                let message = format!("unknown tag {}", quoted(&format!("!{other}")));
                return Err((at, message));
            }
        },
        Some(tag) if tag.is_yaml_core_schema() => match tag.suffix.as_str() {
            "str" | "int" | "float" | "bool" | "null" | "map" | "seq" | "merge" => {
                return Ok(node);
            }
            other => return Err((at, format!("unknown tag {}", quoted(&format!("!!{other}"))))),
        },
        Some(tag) => return Err((at, format!("unknown tag {}", quoted(&tag.to_string())))),
    };
    Ok(Node { item, at })
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Item {
    let says_string = tag.is_some_and(|tag| {
        (tag.is_yaml_core_schema() && tag.suffix == "str")
            || (tag.handle == "!" && tag.suffix.is_empty())
    });
    if style != ScalarStyle::Plain || says_string {
        return Item::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Item::Null,
        "true" | "True" | "TRUE" => Item::Boolean(true),
        "false" | "False" | "FALSE" => Item::Boolean(false),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
            number(text).unwrap_or_else(|| Item::Text(text.to_owned()))
        }
        _ => Item::Text(text.to_owned()),
    }
}

fn number(text: &str) -> Option<Item> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(number) = integer(&plain) {
        return Some(Item::Integer(number.to_string()));
    }
    let digits = plain.trim_start_matches(['+', '-']);
    let is_float = plain.len() - digits.len() <= 1
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.contains(|c: char| c.is_ascii_digit())
        && digits
            .chars()
            .all(|c| c.is_ascii_digit() || ".eE+-".contains(c));
    // What is out of bounds is a text: `9e12345` may be part of a hash.
    let value = plain.parse().ok().filter(|value: &f64| value.is_finite());
    let value = value.filter(|_| is_float)?;
    Some(Item::Float(shortest(value)))
}

/// As Go's `strconv.ParseInt` with base 0 takes it.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let number = if negative { -number } else { number };
    (number >= i128::from(i64::MIN)).then_some(number)
}

/// As Go prints a float: what Compose hands to a container for `1.10` is `1.1`.
fn shortest(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{value}")
}

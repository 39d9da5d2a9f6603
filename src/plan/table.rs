//! Tables become typed values: what nobody asked for in a table with fixed keys goes to the findings.

use std::cell::RefCell;

use super::error::{At, Findings, Place, suggestion};
use super::node::{Entry, Item};
use super::reader::{Value, joined};

/// A table with fixed keys, of which it remembers those asked for.
pub(super) struct Table<'a> {
    pub place: Place,
    items: &'a [Entry],
    known: RefCell<Vec<&'static str>>,
    findings: &'a Findings<'a>,
}

impl<'a> Table<'a> {
    pub fn read<R>(
        items: &'a [Entry],
        place: Place,
        findings: &'a Findings<'a>,
        read: impl FnOnce(&Table<'a>) -> R,
    ) -> R {
        let table = Table {
            place,
            items,
            known: RefCell::default(),
            findings,
        };
        let result = read(&table);
        let known = table.known.into_inner();
        for (name, value) in entries_of(items, &table.place, findings) {
            // Compose leaves such keys to whoever writes the file.
            let is_extension = name.place.at.file != 0 && name.value.starts_with("x-");
            if !is_extension && !known.contains(&name.value.as_str()) {
                let place = Place {
                    key: value.place.key,
                    ..name.place
                };
                findings.at(
                    &place,
                    format!("unknown key; {}", suggestion(&name.value, &known)),
                );
            }
        }
        result
    }

    pub fn fail(&self, message: impl std::fmt::Display) {
        self.findings.at(&self.place, message);
    }

    pub fn has(&self, key: &str) -> bool {
        self.present(key).is_some()
    }

    /// Where a key that is there stands.
    pub fn place_of(&self, key: &str) -> Option<Place> {
        Some(Place {
            key: joined(&self.place.key, key),
            at: self.present(key)?.at,
        })
    }

    /// In YAML, a key without a value is as good as none.
    fn present(&self, key: &str) -> Option<&'a Entry> {
        let entry = self.items.iter().find(|entry| entry.name == key)?;
        (!matches!(entry.value.item, Item::Null)).then_some(entry)
    }

    /// The keys that were asked for so far.
    pub fn asked(&self) -> Vec<&'static str> {
        self.known.borrow().clone()
    }

    pub fn get(&self, key: &'static str) -> Option<Value<'a>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        let node = &self.present(key)?.value;
        Some(Value {
            place: Place {
                key: joined(&self.place.key, key),
                at: node.at,
            },
            item: &node.item,
            findings: self.findings,
        })
    }

    /// The key's value, if it is there and right.
    pub fn read_key<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Option<At<T>> {
        let value = self.get(key)?;
        read(&value).map(|read| value.at(read))
    }

    /// A key that is known, and what it asks for is not done; `usual` is what is done anyway.
    pub fn refuse(&self, key: &'static str, usual: impl Fn(&Value<'a>) -> bool, why: &str) {
        if let Some(value) = self.get(key).filter(|value| !usual(value)) {
            value.fail(format!("not supported: {why}"));
        }
    }

    /// As `read_key`, without the place.
    pub fn value<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Option<T> {
        read(&self.get(key)?)
    }

    /// As `read_key`; that the key is missing is an error too.
    pub fn require<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Option<At<T>> {
        if !self.has(key) {
            self.fail(format!("missing key `{key}`"));
        }
        self.read_key(key, read)
    }
}

pub(super) fn entries_of<'a>(
    table: &'a [Entry],
    parent: &Place,
    findings: &'a Findings<'a>,
) -> Vec<(At<String>, Value<'a>)> {
    let entry = |entry: &'a Entry| {
        let key = joined(&parent.key, &entry.name);
        let name = At {
            value: entry.name.clone(),
            place: Place {
                key: key.clone(),
                at: entry.at,
            },
        };
        let place = Place {
            key,
            at: entry.value.at,
        };
        let item = &entry.value.item;
        (
            name,
            Value {
                place,
                item,
                findings,
            },
        )
    };
    table.iter().map(entry).collect()
}

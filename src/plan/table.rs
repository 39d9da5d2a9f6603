//! TOML tables become typed values: what nobody asked for in a table with fixed keys goes to the findings.

use std::cell::RefCell;

use toml::de::DeTable;

use super::error::{At, Findings, Place, suggestion};
use super::reader::{Value, joined};

/// A table with fixed keys, of which it remembers those asked for.
pub(super) struct Table<'a> {
    pub place: Place,
    items: &'a DeTable<'a>,
    known: RefCell<Vec<&'static str>>,
    findings: &'a Findings<'a>,
}

impl<'a> Table<'a> {
    pub fn read<R>(
        items: &'a DeTable<'a>,
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
            if !known.contains(&name.value.as_str()) {
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
        self.items.contains_key(key)
    }

    /// Where a key that is there stands.
    pub fn place_of(&self, key: &str) -> Option<Place> {
        let (name, _) = self.items.get_key_value(key)?;
        Some(Place {
            key: joined(&self.place.key, key),
            offset: name.span().start,
        })
    }

    pub fn get(&self, key: &'static str) -> Option<Value<'a>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        let item = self.items.get(key)?;
        Some(Value {
            place: Place {
                key: joined(&self.place.key, key),
                offset: item.span().start,
            },
            item: item.get_ref(),
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
    table: &'a DeTable<'a>,
    parent: &Place,
    findings: &'a Findings<'a>,
) -> Vec<(At<String>, Value<'a>)> {
    let mut entries: Vec<_> = table
        .iter()
        .map(|(name, item)| {
            let key = joined(&parent.key, name.get_ref());
            let name = At {
                value: name.get_ref().to_string(),
                place: Place {
                    key: key.clone(),
                    offset: name.span().start,
                },
            };
            let place = Place {
                key,
                offset: item.span().start,
            };
            let item = item.get_ref();
            (
                name,
                Value {
                    place,
                    item,
                    findings,
                },
            )
        })
        .collect();
    entries.sort_by_key(|(name, _)| name.place.offset);
    entries
}

//! A document's values as a tree, whatever language it was written in, each with where it stands.

/// Where something stands: which of the plan's files, and the offset of its first byte there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    /// 0 is the plan itself; the others are Compose files, in the order they were read.
    pub file: usize,
    pub offset: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub item: Item,
    pub at: Spot,
}

#[derive(Clone, Debug)]
pub(super) enum Item {
    /// YAML's: a key that is there and says nothing.
    Null,
    Text(String),
    Boolean(bool),
    /// In decimal.
    Integer(String),
    Float(String),
    Date,
    List(Vec<Node>),
    /// In the order of the file; no name is there twice.
    Table(Vec<Entry>),
    /// `!reset` of a Compose file: takes the key away from the file it overrides.
    Reset,
    /// `!override` of a Compose file: takes the place of what it overrides, unmerged.
    Override(Box<Node>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: String,
    /// Of the name.
    pub at: Spot,
    pub value: Node,
}

impl Item {
    pub fn type_str(&self) -> &'static str {
        match self {
            Item::Null | Item::Reset => "nothing",
            Item::Text(_) => "string",
            Item::Boolean(_) => "boolean",
            Item::Integer(_) => "integer",
            Item::Float(_) => "float",
            Item::Date => "datetime",
            Item::List(_) => "array",
            Item::Table(_) => "table",
            Item::Override(node) => node.item.type_str(),
        }
    }

    pub fn entries(&self) -> &[Entry] {
        match self {
            Item::Table(entries) => entries,
            _ => &[],
        }
    }
}

impl Node {
    pub fn text(text: impl Into<String>, at: Spot) -> Node {
        Node {
            item: Item::Text(text.into()),
            at,
        }
    }

    /// The same value, wherever it stands and in whatever order its keys are.
    pub fn says_as(&self, other: &Node) -> bool {
        match (&self.item, &other.item) {
            (Item::Null, Item::Null) | (Item::Date, Item::Date) | (Item::Reset, Item::Reset) => {
                true
            }
            (Item::Boolean(a), Item::Boolean(b)) => a == b,
            (Item::Text(a), Item::Text(b))
            | (Item::Integer(a), Item::Integer(b))
            | (Item::Float(a), Item::Float(b)) => a == b,
            (Item::Override(a), Item::Override(b)) => a.says_as(b),
            (Item::List(a), Item::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.says_as(b))
            }
            (Item::Table(a), Item::Table(b)) => {
                let is_in = |entry: &Entry| {
                    (other.get(&entry.name)).is_some_and(|b| entry.value.says_as(b))
                };
                a.len() == b.len() && a.iter().all(is_in)
            }
            _ => false,
        }
    }

    pub fn get(&self, name: &str) -> Option<&Node> {
        let entry = self
            .item
            .entries()
            .iter()
            .find(|entry| entry.name == name)?;
        Some(&entry.value)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        match &mut self.item {
            Item::Table(entries) => entries
                .iter_mut()
                .find(|entry| entry.name == name)
                .map(|entry| &mut entry.value),
            _ => None,
        }
    }

    /// Takes a key out of a table.
    pub fn take(&mut self, name: &str) -> Option<Entry> {
        let Item::Table(entries) = &mut self.item else {
            return None;
        };
        let index = entries.iter().position(|entry| entry.name == name)?;
        Some(entries.remove(index))
    }
}

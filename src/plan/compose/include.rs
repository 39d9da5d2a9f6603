//! `include`: projects with variables and a folder of their own, whose parts become those of this one.

use super::load::{LONGEST_CHAIN, Loader};
use super::paths::Folder;
use super::variables::Variables;
use crate::plan::error::{At, Place, suggestion};
use crate::plan::node::{Entry, Item, Node};
use crate::plan::reader::joined;

impl Loader<'_> {
    /// The projects that `include` names, each with variables and a folder of its own.
    pub fn included(
        &self,
        include: Option<Entry>,
        folder: &Folder,
        variables: &Variables,
        chain: &[String],
    ) -> Vec<Node> {
        let Some(include) = include else {
            return Vec::new();
        };
        let Item::List(items) = &include.value.item else {
            self.fail(
                include.value.at,
                "include",
                format!("expected a list, found a {}", include.value.item.type_str()),
            );
            return Vec::new();
        };
        let one = |(index, item): (usize, &Node)| {
            let key = format!("include[{index}]");
            self.include(item, &key, folder, variables, chain)
        };
        items.iter().enumerate().filter_map(one).collect()
    }

    fn include(
        &self,
        item: &Node,
        key: &str,
        folder: &Folder,
        variables: &Variables,
        chain: &[String],
    ) -> Option<Node> {
        for entry in item.item.entries() {
            if !["path", "project_directory", "env_file"].contains(&entry.name.as_str()) {
                let known = ["path", "project_directory", "env_file"];
                let message = format!("unknown key; {}", suggestion(&entry.name, &known));
                self.fail(entry.at, &joined(key, &entry.name), message);
            }
        }
        let paths = match &item.item {
            Item::Text(_) => self.paths(item, key, folder)?,
            _ => match item.get("path") {
                Some(path) => self.paths(path, &format!("{key}.path"), folder)?,
                None => {
                    self.fail(
                        item.at,
                        key,
                        "expected a file, or a table with `path`".into(),
                    );
                    return None;
                }
            },
        };
        let first = paths.first()?;
        if chain.len() > LONGEST_CHAIN || chain.contains(&first.value) {
            let message = format!("`{}` includes itself", first.value);
            self.fail(item.at, key, message);
            return None;
        }
        let mut inner = Folder::of(&first.value, self.guest);
        if let Some(directory) = item.get("project_directory") {
            let directory = self.paths(directory, key, folder)?;
            inner.relative = directory.first()?.value.clone();
        }
        let env_files = match item.get("env_file") {
            Some(files) => self.paths(files, &format!("{key}.env_file"), folder)?,
            None => self.sources.usual_env_file(&inner),
        };
        let mut own = variables.for_included();
        self.sources.read_env_files(&env_files, &mut own);
        let mut chain = chain.to_vec();
        chain.push(first.value.clone());
        self.project(&paths, &inner, &own, &chain)
    }

    /// A path of the bundle, or a list of them.
    fn paths(&self, node: &Node, key: &str, folder: &Folder) -> Option<Vec<At<String>>> {
        let items = match &node.item {
            Item::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut paths = Vec::new();
        for item in items {
            let Item::Text(text) = &item.item else {
                let found = item.item.type_str();
                self.fail(item.at, key, format!("expected a path, found a {found}"));
                return None;
            };
            let place = Place {
                key: key.to_owned(),
                at: item.at,
            };
            match folder.in_bundle(text) {
                Ok(value) => paths.push(At { value, place }),
                Err(message) => {
                    self.findings.at(&place, message);
                    return None;
                }
            }
        }
        Some(paths)
    }

    /// What an included project brings; what both have must be the same.
    pub fn import(&self, whole: &mut Node, project: Node) {
        let Item::Table(parts) = project.item else {
            return;
        };
        for part in parts {
            if part.name == "name" {
                continue;
            }
            if whole.get(&part.name).is_none() {
                if let Item::Table(entries) = &mut whole.item {
                    entries.push(part);
                }
                continue;
            }
            let Some(Node {
                item: Item::Table(known),
                ..
            }) = whole.get_mut(&part.name)
            else {
                continue;
            };
            let Item::Table(entries) = part.value.item else {
                continue;
            };
            for entry in entries {
                if let Some(other) = known.iter().find(|other| other.name == entry.name) {
                    if !other.value.says_as(&entry.value) {
                        let key = joined(&part.name, &entry.name);
                        let other = self.findings.named(other.at);
                        self.fail(
                            entry.at,
                            &key,
                            format!("is in {other} too, and not the same"),
                        );
                    }
                } else {
                    known.push(entry);
                }
            }
        }
    }
}

//! Files become one tree: each read, its variables replaced, its short forms made long, what it includes and extends
//! joined to it, and the files that override it merged over it.

use std::cell::Cell;

use super::canonical::Canonical;
use super::dotenv;
use super::interpolate;
use super::keys;
use super::merge;
use super::paths::Folder;
use super::variables::Variables;
use super::yaml;
use crate::plan::BundleFiles;
use crate::plan::document::MOST_BYTES;
use crate::plan::error::{At, Findings, Place, suggestion};
use crate::plan::node::{Entry, Item, Node, Spot};
use crate::plan::reader::{joined, quoted};

/// Files that one project reads, each as often as it is named.
const MOST_FILES: usize = 100;
/// Services of one file; each may extend each.
const MOST_SERVICES: usize = 200;
/// Files that include files, services that extend services.
const LONGEST_CHAIN: usize = 16;

pub struct Loader<'a> {
    pub findings: &'a Findings<'a>,
    pub files: &'a dyn BundleFiles,
    /// Where the bundle's files are copied to.
    pub guest: &'a str,
    read: Cell<usize>,
}

impl<'a> Loader<'a> {
    pub fn new(findings: &'a Findings<'a>, files: &'a dyn BundleFiles, guest: &'a str) -> Self {
        Loader {
            findings,
            files,
            guest,
            read: Cell::new(0),
        }
    }

    /// All files of a project over each other, and what they include.
    pub fn project(
        &self,
        files: &[At<String>],
        folder: &Folder,
        variables: &Variables,
        chain: &[String],
    ) -> Option<Node> {
        let mut whole: Option<Node> = None;
        let mut included = Vec::new();
        for file in files {
            for mut document in self.documents(file, folder, variables)? {
                let include = document.take("include");
                included.extend(self.included(include, folder, variables, chain));
                self.extend_all(&mut document, folder, &file.value, variables);
                whole = Some(match whole {
                    None => document,
                    Some(base) => merge::merged(base, document, &mut Vec::new(), self.findings),
                });
            }
        }
        let mut whole = whole?;
        merge::settle(&mut whole);
        for project in included {
            self.import(&mut whole, project);
        }
        Some(whole)
    }

    /// The documents of one file, each with its keys checked, without variables and short forms.
    fn documents(
        &self,
        file: &At<String>,
        folder: &Folder,
        variables: &Variables,
    ) -> Option<Vec<Node>> {
        let fail = |message: String| self.findings.at(&file.place, message);
        self.read.set(self.read.get() + 1);
        if self.read.get() > MOST_FILES {
            fail(format!("more than {MOST_FILES} Compose files"));
            return None;
        }
        let name = &file.value;
        let bytes = match self.files.read(name) {
            Ok(bytes) if bytes.len() > MOST_BYTES => {
                fail(format!(
                    "`{name}` has {} bytes; at most {MOST_BYTES}",
                    bytes.len()
                ));
                return None;
            }
            Ok(bytes) => bytes,
            Err(_) if !self.files.exists(name) => {
                fail(format!("no file `{name}` in the bundle"));
                return None;
            }
            Err(error) => {
                fail(format!("cannot read `{name}`: {error}"));
                return None;
            }
        };
        let Ok(text) = std::str::from_utf8(&bytes) else {
            self.findings.in_file(name, None, "not UTF-8");
            return None;
        };
        let number = self.findings.add_file(name, text);
        let mut documents = yaml::documents(text, number, self.findings)?;
        documents.retain(|document| !matches!(document.item, Item::Null));
        if documents.is_empty() {
            self.findings.in_file(name, None, "an empty Compose file");
            return None;
        }
        for document in &mut documents {
            self.check_top(document);
            interpolate::tree(document, "", variables, self.findings);
            let findings = self.findings;
            Canonical { folder, findings }.file(document);
        }
        Some(documents)
    }

    fn fail(&self, at: Spot, key: &str, message: String) {
        let key = key.to_owned();
        self.findings.at(&Place { key, at }, message);
    }

    fn check_top(&self, document: &mut Node) {
        let Item::Table(entries) = &mut document.item else {
            let message = format!("expected a table, found a {}", document.item.type_str());
            self.fail(document.at, "", message);
            document.item = Item::Table(Vec::new());
            return;
        };
        entries.retain(|entry| {
            let standing = keys::standing(keys::TOP, &entry.name);
            match standing {
                Some(keys::Standing::Supported(_)) => return true,
                Some(keys::Standing::Ignored(_)) => {}
                Some(keys::Standing::Refused(why)) => {
                    self.fail(entry.at, &entry.name, format!("not supported: {why}"));
                }
                None if entry.name.starts_with("x-") => {}
                None => {
                    let known = keys::names(keys::TOP);
                    let key = joined("", &entry.name);
                    let message = format!("unknown key; {}", suggestion(&entry.name, &known));
                    self.fail(entry.at, &key, message);
                }
            }
            false
        });
        if let Some(services) = document.get_mut("services")
            && let Item::Table(entries) = &mut services.item
            && entries.len() > MOST_SERVICES
        {
            let message = format!("{} services; at most {MOST_SERVICES}", entries.len());
            entries.truncate(MOST_SERVICES);
            let at = services.at;
            self.fail(at, "services", message);
        }
    }

    fn extend_all(&self, document: &mut Node, folder: &Folder, file: &str, variables: &Variables) {
        let Some(services) = document.get("services").cloned() else {
            return;
        };
        let has_any = services.item.entries().iter();
        if !has_any
            .clone()
            .any(|entry| entry.value.get("extends").is_some())
        {
            return;
        }
        let extended = has_any.map(|entry| {
            let chain = vec![(file.to_owned(), entry.name.clone())];
            let key = joined("services", &entry.name);
            let value = entry.value.clone();
            let value = self.extended(value, &services, folder, &key, variables, chain);
            Entry {
                value,
                ..entry.clone()
            }
        });
        let extended = Item::Table(extended.collect());
        if let Some(services) = document.get_mut("services") {
            services.item = extended;
        }
    }

    /// The service over the one it extends, which may extend another.
    fn extended(
        &self,
        mut service: Node,
        services: &Node,
        folder: &Folder,
        key: &str,
        variables: &Variables,
        mut chain: Vec<(String, String)>,
    ) -> Node {
        let Some(extends) = service.take("extends") else {
            return service;
        };
        let key = format!("{key}.extends");
        let fail = |message: String| self.fail(extends.at, &key, message);
        let text = |name: &str| match extends.value.get(name).map(|node| &node.item) {
            Some(Item::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let Some(name) = text("service") else {
            fail("expected the name of a service, or a table with `service` and `file`".to_owned());
            return service;
        };
        let here = chain.last().map(|(file, _)| file.clone());
        let (services, folder, file) = match text("file") {
            None => (services.clone(), folder.clone(), here.unwrap_or_default()),
            Some(path) => {
                let path = match folder.in_bundle(&path) {
                    Ok(path) => path,
                    Err(message) => {
                        fail(message);
                        return service;
                    }
                };
                let folder = Folder::of(&path, self.guest);
                let place = Place {
                    key: key.clone(),
                    at: extends.at,
                };
                let value = path.clone();
                let documents = self.documents(&At { value, place }, &folder, variables);
                let services = documents.into_iter().flatten();
                let Some(mut services) = services.filter_map(|mut d| d.take("services")).next()
                else {
                    fail(format!("`{path}` has no services"));
                    return service;
                };
                services.value.at = extends.at;
                (services.value, folder, path)
            }
        };
        let Some(base) = services.get(&name).cloned() else {
            let known = keys_of(&services);
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let what = crate::plan::reader::quoted(&name);
            fail(format!("no service {what}; {}", suggestion(&name, &known)));
            return service;
        };
        let link = (file, name);
        if chain.contains(&link) || chain.len() > LONGEST_CHAIN {
            let names: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).collect();
            fail(format!(
                "extends itself: {} -> {}",
                names.join(" -> "),
                link.1
            ));
            return service;
        }
        let key = joined("services", &link.1);
        chain.push(link);
        let base = self.extended(base, &services, &folder, &key, variables, chain);
        let mut path = vec!["services".to_owned(), "extended".to_owned()];
        merge::merged(base, service, &mut path, self.findings)
    }

    /// The projects that `include` names, each with variables and a folder of its own.
    fn included(
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
            None => self.usual_env_file(&inner),
        };
        let mut own = variables.for_included();
        self.read_env_files(&env_files, &mut own);
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

    /// `.env` beside the Compose file, if there is one.
    pub fn usual_env_file(&self, folder: &Folder) -> Vec<At<String>> {
        let usual = folder.in_bundle(".env").ok();
        let usual = usual.filter(|path| self.files.exists(path));
        let place = Place::default();
        usual.map(|value| At { value, place }).into_iter().collect()
    }

    pub fn read_env_files(&self, paths: &[At<String>], variables: &mut Variables) {
        for path in paths {
            let name = &path.value;
            match self.files.read(name) {
                Ok(bytes) if bytes.len() <= MOST_BYTES => match dotenv::parse(&bytes, variables) {
                    Ok(read) => {
                        read.report(name, self.findings);
                        for (name, value) in &read.variables {
                            variables.set(name, value);
                        }
                    }
                    Err(errors) => errors
                        .into_iter()
                        .for_each(|e| self.findings.in_file(name, Some(e.line), e.message)),
                },
                Ok(bytes) => {
                    let message = format!("{} bytes; at most {MOST_BYTES}", bytes.len());
                    self.findings.in_file(name, None, message);
                }
                Err(error) => {
                    let message = format!("cannot read {}: {error}", quoted(name));
                    self.findings.at(&path.place, message);
                }
            }
        }
    }

    /// What an included project brings; what both have is a conflict.
    fn import(&self, whole: &mut Node, project: Node) {
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
                    // The network or volume of both, without a word about it, is the same.
                    let is_same = matches!(
                        (&other.value.item, &entry.value.item),
                        (Item::Null, Item::Null)
                    );
                    if !is_same {
                        let key = joined(&part.name, &entry.name);
                        let other = self.findings.named(other.at);
                        self.fail(entry.at, &key, format!("is in {other} too"));
                    }
                } else {
                    known.push(entry);
                }
            }
        }
    }
}

fn keys_of(table: &Node) -> Vec<String> {
    let entries = table.item.entries().iter();
    entries.map(|entry| entry.name.clone()).collect()
}

//! Files become one tree: each read, its variables replaced, its short forms made long, what it includes and extends
//! joined to it, and the files that override it merged over it.

use std::cell::Cell;

use super::canonical::{Canonical, is_text};
use super::interpolate;
use super::keys;
use super::merge;
use super::paths::Folder;
use super::sources::Sources;
use super::variables::Variables;
use crate::plan::BundleFiles;
use crate::plan::error::{At, Findings, Place, suggestion};
use crate::plan::node::{Item, Node, Spot};
use crate::plan::reader::joined;

/// Files that one project reads, each as often as it is named.
const MOST_FILES: usize = 100;
/// Services of one file; each may extend each.
const MOST_SERVICES: usize = 200;
/// Files that include files, services that extend services.
pub const LONGEST_CHAIN: usize = 16;

pub struct Loader<'a> {
    pub findings: &'a Findings<'a>,
    pub sources: Sources<'a>,
    /// Where the bundle's files are copied to.
    pub guest: &'a str,
    read: Cell<usize>,
}

impl<'a> Loader<'a> {
    pub fn new(findings: &'a Findings<'a>, files: &'a dyn BundleFiles, guest: &'a str) -> Self {
        Loader {
            findings,
            sources: Sources::new(findings, files),
            guest,
            read: Cell::new(0),
        }
    }

    /// What the files call the project, if they do; the last one counts.
    pub fn name(&self, files: &[At<String>], variables: &Variables) -> Option<Node> {
        let documents = files
            .iter()
            .filter_map(|file| self.sources.documents(file))
            .flatten();
        let name = |document: Node| {
            let mut name = document.get("name")?.clone();
            interpolate::tree(&mut name, "name", variables, self.findings);
            Some(name).filter(|name| !matches!(name.item, Item::Null) && !is_text(name, ""))
        };
        documents.filter_map(name).last()
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
        for file in files {
            for mut document in self.documents(file, folder, variables)? {
                let include = document.take("include");
                self.extend_all(&mut document, folder, &file.value, variables);
                for project in self.included(include, folder, variables, chain) {
                    self.import(&mut document, project);
                }
                whole = Some(match whole {
                    None => document,
                    Some(base) => merge::merged(base, document, &mut Vec::new(), self.findings),
                });
            }
        }
        let mut whole = whole?;
        merge::settle(&mut whole);
        Some(whole)
    }

    /// The documents of one file, each with its keys checked, without variables and short forms.
    pub fn documents(
        &self,
        file: &At<String>,
        folder: &Folder,
        variables: &Variables,
    ) -> Option<Vec<Node>> {
        self.read.set(self.read.get() + 1);
        if self.read.get() > MOST_FILES {
            let message = format!("more than {MOST_FILES} Compose files");
            self.findings.at(&file.place, message);
            return None;
        }
        let mut documents = self.sources.documents(file)?;
        for document in &mut documents {
            self.check_top(document);
            interpolate::tree(document, "", variables, self.findings);
            let findings = self.findings;
            Canonical { folder, findings }.file(document);
        }
        Some(documents)
    }

    pub fn fail(&self, at: Spot, key: &str, message: String) {
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
}

//! The files that a project reads: each Compose file read and taken apart once, however often it is named.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::dotenv;
use super::paths::Folder;
use super::variables::Variables;
use super::yaml;
use crate::plan::BundleFiles;
use crate::plan::document::{self, MOST_BYTES};
use crate::plan::error::{At, Findings, Place};
use crate::plan::node::{Item, Node};
use crate::plan::reader::quoted;

pub struct Sources<'a> {
    pub findings: &'a Findings<'a>,
    pub files: &'a dyn BundleFiles,
    parsed: RefCell<BTreeMap<String, Vec<Node>>>,
}

impl<'a> Sources<'a> {
    pub fn new(findings: &'a Findings<'a>, files: &'a dyn BundleFiles) -> Self {
        Sources {
            findings,
            files,
            parsed: RefCell::default(),
        }
    }

    /// The documents of a file as they are written.
    pub fn documents(&self, file: &At<String>) -> Option<Vec<Node>> {
        let name = &file.value;
        if let Some(documents) = self.parsed.borrow().get(name) {
            return Some(documents.clone());
        }
        let read = document::bytes_of(self.files, name);
        let fail = |message| self.findings.at(&file.place, message);
        let bytes = read.map_err(fail).ok()?;
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
        let mut parsed = self.parsed.borrow_mut();
        parsed.insert(name.clone(), documents.clone());
        Some(documents)
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
}

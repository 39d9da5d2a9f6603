//! `extends`: a service over the one that it extends, of the same file or of another.

use super::load::{LONGEST_CHAIN, Loader};
use super::merge;
use super::paths::Folder;
use super::variables::Variables;
use crate::plan::error::{At, Place, suggestion};
use crate::plan::node::{Entry, Item, Node};
use crate::plan::reader::joined;

impl Loader<'_> {
    pub fn extend_all(
        &self,
        document: &mut Node,
        folder: &Folder,
        file: &str,
        variables: &Variables,
    ) {
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
        for entry in extends.value.item.entries() {
            let known = ["service", "file"];
            if !known.contains(&entry.name.as_str()) {
                let message = format!("unknown key; {}", suggestion(&entry.name, &known));
                self.fail(entry.at, &joined(&key, &entry.name), message);
            }
        }
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
}

fn keys_of(table: &Node) -> Vec<String> {
    let entries = table.item.entries().iter();
    entries.map(|entry| entry.name.clone()).collect()
}

//! The variables that a Compose file or its env file may refer to.

use std::collections::BTreeMap;

use crate::plan::Environment;

#[derive(Clone, Default)]
pub struct Variables {
    /// They win: what comes from outside goes before what a file says.
    outside: BTreeMap<String, String>,
    of_files: BTreeMap<String, String>,
}

impl Variables {
    pub fn of(environment: &Environment) -> Self {
        Variables {
            outside: environment.0.clone(),
            of_files: BTreeMap::new(),
        }
    }

    /// For an included project: what its own files say counts less than all that is known here.
    pub fn for_included(&self) -> Self {
        let mut outside = self.of_files.clone();
        outside.extend(self.outside.clone());
        Variables {
            outside,
            of_files: BTreeMap::new(),
        }
    }

    /// For env files of a container: what its `environment` says counts less than all that is known here, and more than
    /// what the files say.
    pub fn for_env_files<'v>(&self, own: impl Iterator<Item = (&'v str, &'v str)>) -> Self {
        let mut known = self.for_included();
        for (name, value) in own {
            let known = known.outside.entry(name.to_owned());
            known.or_insert_with(|| value.to_owned());
        }
        known
    }

    /// Whatever else says so.
    pub fn fix(&mut self, name: &str, value: &str) {
        self.outside.insert(name.to_owned(), value.to_owned());
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.outside.get(name).or_else(|| self.of_files.get(name));
        value.map(String::as_str)
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.of_files.insert(name.to_owned(), value.to_owned());
    }
}

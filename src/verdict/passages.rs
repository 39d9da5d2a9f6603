//! The passages of result and marker to the consoles, which the guardian shares with its worker.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::host::console::Passage;

/// Those of each console. One that has none is told all the same, but who is killed right after that has not noted it.
#[derive(Default)]
pub struct Passages(Vec<(PathBuf, Arc<Passage>)>);

/// As another process knows them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Inherited(Vec<(PathBuf, RawFd)>);

impl Passages {
    pub fn to(consoles: &[PathBuf]) -> Self {
        let open = |path: &PathBuf| Some((path.clone(), Arc::new(Passage::new().ok()?)));
        Passages(consoles.iter().filter_map(open).collect())
    }

    pub fn inherited(passages: &Inherited) -> Self {
        let open = |(path, number): &(PathBuf, RawFd)| {
            Some((path.clone(), Arc::new(Passage::inherited(*number).ok()?)))
        };
        Passages(passages.0.iter().filter_map(open).collect())
    }

    /// For processes started from now on.
    pub fn share(&self) -> Inherited {
        let shared = |(path, passage): &(PathBuf, Arc<Passage>)| {
            passage.share().ok()?;
            Some((path.clone(), passage.number()))
        };
        Inherited(self.0.iter().filter_map(shared).collect())
    }

    pub fn of(&self, console: &Path) -> Option<Arc<Passage>> {
        let found = self.0.iter().find(|(path, _)| path == console)?;
        Some(found.1.clone())
    }
}

//! Migrations: a command in a container that is still running then, or a container of their own.

use std::collections::{BTreeMap, BTreeSet};

use super::Resolver;
use crate::plan::error::Place;
use crate::plan::model::*;
use crate::plan::raw::RawMigration;

impl Resolver<'_> {
    pub(super) fn migrations(
        &self,
        raw: &[RawMigration],
        completed: &BTreeSet<&str>,
        taken: &mut BTreeMap<String, Place>,
    ) -> Vec<Migration> {
        let mut names = BTreeSet::new();
        for name in raw.iter().filter_map(|migration| migration.name.as_ref()) {
            if !names.insert(&name.value) {
                self.findings.at(
                    &name.place,
                    format!("a second migration of the name `{}`", name.value),
                );
            }
        }
        let migration = |raw: &RawMigration| self.migration(raw, completed, taken);
        raw.iter().filter_map(migration).collect()
    }

    fn migration(
        &self,
        raw: &RawMigration,
        completed: &BTreeSet<&str>,
        taken: &mut BTreeMap<String, Place>,
    ) -> Option<Migration> {
        let target = match (raw.has_container, raw.has_image) {
            (true, false) => self.exec(raw, completed),
            (false, true) => {
                let name = raw.name.as_ref().map_or("", |name| &name.value);
                let own = self.extra_container(&raw.own, &default_name(name), taken);
                self.one_shot_ends(raw);
                Some(MigrationTarget::OneShot(Box::new(own)))
            }
            (true, true) => {
                let message = "`container` and `image` exclude each other: a migration is a command in a running \
                               container or a container of its own";
                self.findings.at(&raw.place, message);
                None
            }
            (false, false) => {
                let message = "neither `container` (a command in a running one) nor `image` (a container of its own)";
                self.findings.at(&raw.place, message);
                None
            }
        };
        Some(Migration {
            name: raw.name.as_ref()?.value.clone(),
            target: target?,
            timeout: raw.timeout.unwrap_or(DEFAULT_MIGRATION_TIMEOUT),
        })
    }

    fn exec(&self, raw: &RawMigration, completed: &BTreeSet<&str>) -> Option<MigrationTarget> {
        for place in &raw.own_only {
            self.findings.at(
                place,
                "needs `image`: a command in a running container cannot have it",
            );
        }
        match &raw.own.command {
            Some(command) if command.value.is_empty() => self
                .findings
                .at(&command.place, "expected a command, found none"),
            Some(_) => {}
            // A wrong one has been reported.
            None if raw.has_command => {}
            None => self.findings.at(&raw.place, "missing key `command`"),
        }
        let container = raw.container.as_ref()?;
        let known = self.known(&container.value, &container.place)?;
        if completed.contains(known.name.as_str()) {
            let message = format!(
                "`{}` has ended by then: a service waits for it to be completed",
                known.name
            );
            self.findings.at(&container.place, message);
        }
        Some(MigrationTarget::Exec {
            container: known.name.clone(),
            command: raw.own.command.as_ref()?.value.clone(),
            working_dir: raw.own.working_dir.clone(),
            user: raw.own.user.clone(),
            environment: self.environment(&raw.own),
        })
    }

    /// Its exit status is the migration's: one that is started again has none.
    fn one_shot_ends(&self, raw: &RawMigration) {
        if let Some(restart) = raw
            .own
            .restart
            .as_ref()
            .filter(|restart| restart.value != Restart::No)
        {
            self.findings
                .at(&restart.place, "a migration runs once; expected \"no\"");
        }
    }
}

/// A migration may be called anything, a container may not.
fn default_name(migration: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "_.-".contains(c) {
            c
        } else {
            '-'
        }
    };
    let name: String = migration.chars().map(safe).collect();
    format!("migration-{name}")
}

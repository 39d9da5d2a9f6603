//! One plan, two forms: as it is written, and as it holds where instructions are emulated. Which one a run follows is
//! known only once the guest and its images have been looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::emulation::Overlay;
use super::model::{Container, MigrationTarget, Plan};
use crate::event::Events;
use crate::guest::Emulation;

/// Whose instructions are emulated.
pub enum Emulated<'a> {
    Nothing,
    /// The guest itself.
    Everything,
    /// The containers of these images, by a handler of `binfmt_misc`.
    Images(&'a BTreeSet<String>),
}

/// Both forms of a plan, each whole and validated.
#[derive(Debug)]
pub struct Plans {
    pub native: Plan,
    pub emulated: Plan,
    overlaid: Vec<String>,
    /// The plan has an `[emulation]`.
    pub is_stated: bool,
}

impl Plans {
    pub(super) fn new(native: Plan, mut emulated: Plan, overlay: Overlay) -> Self {
        emulated.slowness = overlay.factor;
        Plans {
            native,
            emulated,
            overlaid: overlay.keys,
            is_stated: overlay.is_stated,
        }
    }

    /// The plan to follow. Budgets are the stack's, so one emulated container stretches them; what the overlay says of a
    /// container is for this container only.
    pub fn settled(&self, emulated: &Emulated<'_>) -> Plan {
        let images = match emulated {
            Emulated::Nothing => return self.native.clone(),
            Emulated::Everything => return self.emulated.clone(),
            Emulated::Images(images) => images,
        };
        let is_native = |container: &Container| !images.contains(&container.image);
        let mut plan = self.emulated.clone();
        for container in &mut plan.containers {
            let own = (self.native.containers.iter()).find(|own| own.name == container.name);
            if let Some(own) = own.filter(|own| is_native(own)) {
                *container = own.clone();
            }
        }
        for (migration, own) in plan.migrations.iter_mut().zip(&self.native.migrations) {
            let runs_natively = match &own.target {
                MigrationTarget::OneShot(container) => is_native(container),
                MigrationTarget::Exec { container, .. } => {
                    let containers = &self.native.containers;
                    containers
                        .iter()
                        .any(|own| own.name == *container && is_native(own))
                }
            };
            if runs_natively {
                *migration = own.clone();
            }
        }
        let own = self.native.smoke.as_ref();
        let own_container = own.and_then(|smoke| smoke.container.as_ref());
        if own_container.is_some_and(is_native) {
            plan.smoke.clone_from(&self.native.smoke);
        }
        plan
    }

    /// The plan for this guest, and a word about what is different there.
    pub fn for_guest(&self, emulation: &Emulation, events: &Events) -> Plan {
        match emulation.is_emulated() {
            false => self.native.clone(),
            true => self.told(&Emulated::Everything, events),
        }
    }

    /// The plan to follow, its differences said.
    pub fn told(&self, emulated: &Emulated<'_>, events: &Events) -> Plan {
        let plan = self.settled(emulated);
        for line in self.differences(&plan) {
            events.line(line);
        }
        super::announce(&plan, events);
        plan
    }

    /// What is different in this form of the plan, both numbers of every limit.
    pub fn differences(&self, plan: &Plan) -> Vec<String> {
        let native: BTreeMap<String, Duration> = limits(&self.native).into_iter().collect();
        let both = |(name, here): (String, Duration)| {
            let native = *native.get(&name).filter(|native| **native != here)?;
            Some(format!("{name} {} → {}", shown(native), shown(here)))
        };
        let stretched: Vec<String> = limits(plan).into_iter().filter_map(both).collect();
        let mut lines = Vec::new();
        if plan.slowness == self.native.slowness {
            return lines;
        }
        if !stretched.is_empty() {
            lines.push(format!("limits under emulation: {}", stretched.join(", ")));
        }
        if !self.is_stated {
            let hint =
                "the plan has no [emulation], so the limits that it sets itself stay as they are";
            lines.push(hint.to_owned());
        }
        if !self.overlaid.is_empty() {
            lines.push(format!("set by [emulation]: {}", self.overlaid.join(", ")));
        }
        lines
    }
}

fn shown(limit: Duration) -> String {
    crate::wait::seconds(limit)
}

/// Every limit that may be stretched, by the name it is spoken of.
fn limits(plan: &Plan) -> Vec<(String, Duration)> {
    let fixed = [
        ("run", plan.run.timeout),
        ("engine", plan.engine.timeout),
        ("images", plan.images.timeout),
        ("wait", plan.wait.timeout),
        ("heartbeat", plan.wait.heartbeat),
        ("finish", plan.finish.timeout),
    ];
    let mut limits: Vec<_> = fixed.map(|(name, limit)| (name.to_owned(), limit)).into();
    let migrations = plan.migrations.iter();
    limits.extend(
        migrations.map(|migration| (format!("migration {}", migration.name), migration.timeout)),
    );
    limits.extend(
        plan.smoke
            .iter()
            .map(|smoke| ("smoke test".to_owned(), smoke.timeout)),
    );
    let containers = plan.containers.iter();
    for container in containers {
        let name = &container.name;
        limits.push((format!("stop of {name}"), container.stop_grace_period));
        let Some(check) = &container.healthcheck else {
            continue;
        };
        let times = [
            ("interval", check.interval),
            ("timeout", check.timeout),
            ("start period", check.start_period),
            ("start interval", check.start_interval),
        ];
        let times = times
            .into_iter()
            .filter_map(|(what, time)| Some((format!("health check {what} of {name}"), time?)));
        limits.extend(times);
    }
    limits
}

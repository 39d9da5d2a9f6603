//! The smoke test: what it stops, its own container and its checks.

use std::collections::BTreeMap;

use super::{Known, Resolver, shown};
use crate::plan::error::{At, Place};
use crate::plan::model::{DEFAULT_SMOKE_TIMEOUT, Smoke, SmokeWhen};
use crate::plan::raw::RawSmoke;

impl Resolver<'_> {
    pub(super) fn smoke(&self, raw: &RawSmoke, taken: &mut BTreeMap<String, Place>) -> Smoke {
        if raw.checks.is_empty() {
            let message = "no checks; a smoke test needs at least one `[[smoke.checks]]`";
            self.findings.at(&raw.place, message);
        }
        let own = raw.container.as_ref().map(|raw| Known::new("smoke", raw));
        let checks = self.services(&raw.checks, "check", own);
        let container = raw.container.as_ref();
        Smoke {
            when: raw.when.unwrap_or(SmokeWhen::UnlessTcg),
            timeout: raw.timeout.unwrap_or(DEFAULT_SMOKE_TIMEOUT),
            stop: self.stopped(raw),
            container: container.map(|container| self.extra_container(container, "smoke", taken)),
            checks,
        }
    }

    fn stopped(&self, raw: &RawSmoke) -> Vec<String> {
        let mut stopped = Vec::new();
        for key in &raw.stop {
            let Some(known) = self.known(&key.value, &key.place) else {
                continue;
            };
            let of_this = |check: &At<String>| check.value == key.value;
            let named = raw
                .checks
                .iter()
                .filter_map(|check| check.container.as_ref());
            for check in named.filter(|check| of_this(check)) {
                let message = format!("`{}` is stopped before the smoke test", shown(&key.value));
                self.findings.at(&check.place, message);
            }
            stopped.push(known.name.clone());
        }
        if raw.container.is_none()
            && let Some(first) = raw.stop.first()
        {
            let message = "makes room for `[smoke.container]`, and there is none";
            self.findings.at(&first.place, message);
        }
        stopped
    }
}

//! Services and checks: the containers they name exist, and can do what is waited for.

use std::collections::BTreeSet;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Known, Resolver};
use crate::plan::error::At;
use crate::plan::model::{CaFile, Probe, Service};
use crate::plan::raw::RawService;

/// What the smoke test's own container is called where a check names it.
const SMOKE: &str = "smoke";

impl Resolver<'_> {
    /// `own` is the smoke test's container, which its checks belong to unless they name another.
    pub(super) fn services(
        &self,
        raw: &[RawService],
        what: &str,
        own: Option<Known>,
    ) -> Vec<Service> {
        let mut names = BTreeSet::new();
        for name in raw.iter().filter_map(|service| service.name.as_ref()) {
            if !names.insert(&name.value) {
                self.findings.at(
                    &name.place,
                    format!("a second {what} of the name `{}`", name.value),
                );
            }
        }
        raw.iter()
            .filter_map(|service| self.service(service, own.as_ref()))
            .collect()
    }

    fn service(&self, raw: &RawService, own: Option<&Known>) -> Option<Service> {
        let container = match &raw.container {
            Some(At { value, .. })
                if own.is_some_and(|own| value == SMOKE || *value == own.name) =>
            {
                own
            }
            Some(At { value, place }) => {
                let known = self.containers.get(value);
                if known.is_none() {
                    self.no_such_container(value, place, own.map(|_| SMOKE));
                }
                known
            }
            None => own,
        };
        if !raw.has_container && container.is_none() {
            self.needs_container(raw);
        }
        let ca = raw.ca_file.as_ref().and_then(|file| self.ca(file));
        let probe = raw.probe.as_ref()?;
        if let Some(container) = container {
            self.can_happen(probe, container);
        }
        let mut probe = probe.value.clone();
        match &mut probe {
            Probe::Http(http) => http.ca = ca,
            Probe::Tcp {
                port, published, ..
            } => {
                let mut containers = self.containers.values().chain(own);
                *published = containers.any(|container| container.published.contains(port));
            }
            _ => {}
        }
        Some(Service {
            name: raw.name.as_ref()?.value.clone(),
            container: container.map(|container| container.name.clone()),
            probe,
            stable: raw.stable,
            restarts: raw.restarts,
            attempt_timeout: raw.timeout,
        })
    }

    fn ca(&self, file: &At<String>) -> Option<CaFile> {
        let At { value: name, place } = file;
        if !self.files.exists(name) {
            let message = format!("no file `{name}` in the bundle");
            self.findings.at(place, message);
            return None;
        }
        let pem = match self.files.read(name) {
            Ok(pem) => pem,
            Err(error) => {
                let message = format!("cannot read `{name}`: {error}");
                self.findings.at(place, message);
                return None;
            }
        };
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match found {
            Ok(found) if !found.is_empty() => Some(CaFile {
                name: name.clone(),
                certificates: found.iter().map(|der| der.to_vec()).collect(),
            }),
            _ => {
                let message =
                    "expected certificates in PEM, `-----BEGIN CERTIFICATE-----` and so on";
                self.findings.in_file(name, None, message);
                None
            }
        }
    }

    fn needs_container(&self, raw: &RawService) {
        let kind = match raw.probe.as_ref().map(|probe| &probe.value) {
            Some(Probe::Exec { .. }) => "exec",
            Some(Probe::Log(_)) => "log",
            Some(Probe::Healthy) => "healthy",
            Some(Probe::Completed) => "completed",
            Some(Probe::Up) => "up",
            _ if raw.restarts_place.is_some() => "restarts",
            _ => return,
        };
        self.findings.at(
            &raw.place,
            format!("missing key `container`: `{kind}` is about one"),
        );
    }

    fn can_happen(&self, probe: &At<Probe>, container: &Known) {
        let name = &container.name;
        match &probe.value {
            Probe::Healthy if container.never_healthy => {
                self.findings.at(
                    &probe.place,
                    format!("`{name}` has its health check disabled"),
                );
            }
            Probe::Completed if container.never_ends => {
                let message = format!("`{name}` never completes: its `restart` starts it again");
                self.findings.at(&probe.place, message);
            }
            _ => {}
        }
    }

    /// The engine's names of the containers that the wait ends with having ended.
    pub(super) fn completed_containers(&self, raw: &[RawService]) -> BTreeSet<&str> {
        let completed = |service: &&RawService| {
            service
                .probe
                .as_ref()
                .is_some_and(|probe| matches!(probe.value, Probe::Completed))
        };
        let container =
            |service: &RawService| self.containers.get(&service.container.as_ref()?.value);
        raw.iter()
            .filter(completed)
            .filter_map(container)
            .map(|container| container.name.as_str())
            .collect()
    }
}

//! Who hears of a run beside the consoles and the files: systemd, the journal, the host beyond the serial line. Each is
//! there or not, and none is ever waited for but a moment at the end.

mod host_share;
mod journal;
mod manager;
pub mod wire;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::event::{Event, Verdict};
use crate::host::journal::{self as system_journal, Journal};
use crate::host::notify::Notifier;
use crate::host::port::Port;
use crate::host::share::Share;
use crate::report::Report;

/// Where a host's virtio-serial port of the name `org.guestbake.0` is.
pub const PORT: &str = "/dev/virtio-ports/org.guestbake.0";
/// The tag of a folder that the host shares.
pub const SHARE: &str = "hostfs";
/// For what listens, but slowly.
const LIMIT: Duration = Duration::from_secs(3);

trait Listener: Send {
    /// Once the report has it.
    fn event(&mut self, _event: &Event, _report: &Report) {}

    /// A line of the provision log.
    fn line(&mut self, _text: &str) {}

    /// The report as it is saved.
    fn report(&mut self, _json: &[u8]) {}

    /// All is said but the marker.
    fn before_marker(&mut self, _verdict: Verdict) {}

    /// The marker is out; what is not through by `end` is left.
    fn after_marker(&mut self, _end: Instant) {}
}

/// All of them.
pub struct Audience(RefCell<Vec<Box<dyn Listener>>>);

impl Audience {
    /// Whoever is here, for a run that begins or for the rest of one. The channel is for a port of the host's, if it is not
    /// at its usual place.
    pub fn here(channel: Option<&Path>, begins: bool) -> Self {
        let mut all: Vec<Box<dyn Listener>> = Vec::new();
        if let Some(notifier) = Notifier::of_this_service() {
            all.push(Box::new(manager::Manager::new(notifier)));
        }
        if let Ok(journal) = Journal::at(Path::new(system_journal::SOCKET)) {
            let prints = system_journal::is_standard_output();
            all.push(Box::new(journal::Fields::new(journal, prints)));
        }
        let usual = Some(PathBuf::from(PORT)).filter(|path| path.exists());
        if let Some(path) = channel.map(Path::to_owned).or(usual) {
            all.push(Box::new(wire::Wire::to(Port::open(&path))));
        }
        if let Some(share) = Share::tagged(SHARE, begins) {
            all.push(Box::new(host_share::Files(share)));
        }
        Audience(RefCell::new(all))
    }

    pub fn event(&self, event: &Event, report: &Report) {
        self.each(|listener| listener.event(event, report));
    }

    pub fn line(&self, text: &str) {
        self.each(|listener| listener.line(text));
    }

    pub fn report(&self, report: &Report) {
        if self.0.borrow().is_empty() {
            return;
        }
        let json = serde_json::to_vec(report).unwrap_or_default();
        self.each(|listener| listener.report(&json));
    }

    pub fn before_marker(&self, verdict: Verdict) {
        self.each(|listener| listener.before_marker(verdict));
    }

    pub fn after_marker(&self) {
        let end = Instant::now() + LIMIT;
        self.each(|listener| listener.after_marker(end));
    }

    fn each(&self, mut tell: impl FnMut(&mut dyn Listener)) {
        let mut all = self.0.borrow_mut();
        all.iter_mut().for_each(|listener| tell(&mut **listener));
    }
}

//! The folder that the host shares: the provision log, line by line, and the report.

use std::time::{Duration, Instant};

use super::Listener;
use crate::event::Verdict;
use crate::host::share::Share;

const LOG: &str = "provision.log";
const REPORT: &str = "report.json";
/// The marker does not wait longer.
const LIMIT: Duration = Duration::from_secs(2);

pub struct Files(pub Share);

impl Listener for Files {
    fn line(&mut self, text: &str) {
        self.0.append(LOG, text.to_owned());
    }

    fn report(&mut self, json: &[u8]) {
        self.0.replace(REPORT, json.to_vec());
    }

    /// Before it, because a host may make a snapshot as soon as it sees the marker.
    fn before_marker(&mut self, verdict: Verdict) {
        self.0.append(LOG, verdict.marker().to_owned());
        self.0.end(Instant::now() + LIMIT);
    }
}

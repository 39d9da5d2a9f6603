//! What goes over a port to the host: one JSON object a line, each with one key.
//!
//! | message | meaning |
//! |---|---|
//! | `{"guestbake":"0.1.0","protocol":1}` | a run begins |
//! | `{"log":"TEXT"}` | a line of the provision log |
//! | `{"report":{…}}` | the report as it is now; a newer one replaces it |
//! | `{"end":"MARKER"}` | nothing follows |
//!
//! A host that comes late has missed the oldest lines, one that goes and comes again may see the end of a line first.
//! What is no message is to be left out, and so is one of an unknown key.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Listener;
use crate::event::Verdict;
use crate::host::port::Port;

pub const PROTOCOL: u32 = 1;

/// As the host reads them.
#[derive(Deserialize)]
pub struct Message<'m> {
    #[serde(default)]
    pub guestbake: Option<String>,
    #[serde(default)]
    pub log: Option<String>,
    #[serde(default, borrow)]
    pub report: Option<&'m RawValue>,
    #[serde(default)]
    pub end: Option<String>,
}

#[derive(Serialize)]
struct Hello {
    guestbake: &'static str,
    protocol: u32,
}

pub struct Wire(Port);

impl Wire {
    pub fn to(port: Port) -> Self {
        let hello = Hello {
            guestbake: env!("CARGO_PKG_VERSION"),
            protocol: PROTOCOL,
        };
        port.send(serde_json::to_string(&hello).unwrap_or_default());
        Wire(port)
    }
}

impl Listener for Wire {
    fn line(&mut self, text: &str) {
        self.0.send(serde_json::json!({ "log": text }).to_string());
    }

    fn report(&mut self, json: &[u8]) {
        let json = String::from_utf8_lossy(json);
        self.0.send_latest(format!("{{\"report\":{json}}}"));
    }

    fn before_marker(&mut self, verdict: Verdict) {
        let end = serde_json::json!({ "end": verdict.marker() });
        self.0.send(end.to_string());
    }

    fn after_marker(&mut self, end: Instant) {
        self.0.flush(end);
    }
}

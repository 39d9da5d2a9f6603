//! Images for another architecture than the guest's, which a handler of `binfmt_misc` emulates.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Events;
use crate::guest::foreign::Runs;
use crate::host::binfmt::{Handler, Handlers};

/// Says of each architecture who emulates it: a version that does not fit what is in the images, or the guest's own
/// tools, breaks programs in ways that look like their own mistakes. Returns the images concerned.
pub async fn emulated(
    architectures: &BTreeMap<String, String>,
    runs: &Runs,
    host: &dyn Handlers,
    events: &Events,
) -> BTreeSet<String> {
    let mut by_handler: BTreeMap<&str, (&Handler, &str, Vec<&str>)> = BTreeMap::new();
    for (image, architecture) in architectures {
        if let Ok(Some(handler)) = runs.by(architecture) {
            let entry = by_handler.entry(&handler.name);
            let (.., images) = entry.or_insert_with(|| (handler, architecture, Vec::new()));
            images.push(image);
        }
    }
    for (handler, architecture, images) in by_handler.values() {
        let version = host.version(&handler.interpreter).await;
        let version = version.unwrap_or_else(|error| format!("version unknown: {error}"));
        let fixed = match handler.is_fixed {
            true => "",
            false => "; registered without the flag F, so the containers must have it themselves",
        };
        events.line(format!(
            "emulated: {} for {architecture} on {}, by the handler {} with {} ({version}){fixed}",
            images.join(", "),
            runs.guest,
            handler.name,
            handler.interpreter.display(),
        ));
    }
    by_handler
        .into_values()
        .flat_map(|(.., images)| images)
        .map(str::to_owned)
        .collect()
}

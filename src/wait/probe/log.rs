use std::time::Duration;

use futures_util::StreamExt;
use regex::Regex;
use tokio::time::sleep;

use super::Answer;
use crate::containers::Observer;
use crate::host::engine::{ContainerFacts, Engine, Output};
use crate::lines::LineSplitter;

/// The stream ends with the container; a restarted one is read from its beginning.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// Follows the container's output until a line matches.
pub async fn until_matched(
    engine: &dyn Engine,
    observer: &Observer,
    container: &str,
    pattern: &Regex,
) -> Answer {
    loop {
        // Of one that was not started the stream ends at once, and asking again and again would find its line late.
        let started = |facts: &ContainerFacts| facts.status != "created";
        observer.until(container, started).await;
        let mut output = engine.output(container, Output::Follow);
        let mut lines = LineSplitter::default();
        while let Some(Ok(bytes)) = output.next().await {
            if lines.push(&bytes).iter().any(|line| pattern.is_match(line)) {
                return Answer::Good;
            }
        }
        if lines.finish().iter().any(|line| pattern.is_match(line)) {
            return Answer::Good;
        }
        sleep(REOPEN_PAUSE).await;
    }
}

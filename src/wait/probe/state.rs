use std::time::Duration;

use tokio::time::timeout;

use super::Answer;
use crate::containers::Observer;
use crate::host::engine::ContainerFacts;

/// Without a health check, what has run this long has not failed at once. A later end is for the observer's rules.
const SHORT_WHILE: Duration = Duration::from_secs(2);

/// Docker's own health check says so.
pub async fn until_healthy(observer: &Observer, container: &str) -> Answer {
    observer.until(container, |facts| facts.is_healthy()).await;
    Answer::Good
}

/// It has done its work and ended with 0; another end is for the observer's rules to judge.
pub async fn until_completed(observer: &Observer, container: &str) -> Answer {
    observer
        .until(container, |facts| facts.has_succeeded())
        .await;
    Answer::Good
}

/// As `docker compose up --wait` has it, and a container that has done its work is up too.
pub async fn until_up(observer: &Observer, container: &str) -> Answer {
    let is_up = |facts: &ContainerFacts| facts.is_healthy() || facts.has_finished();
    let runs = |facts: &ContainerFacts| facts.running && facts.health.is_none();
    loop {
        observer
            .until(container, |facts| is_up(facts) || runs(facts))
            .await;
        // The time runs from where it was seen to run; it ends sooner with what is better known.
        let better = observer.until(container, |facts| is_up(facts) || !runs(facts));
        match timeout(SHORT_WHILE, better).await {
            Err(_) => return Answer::Good,
            Ok(()) if observer.facts(container).as_ref().is_some_and(is_up) => return Answer::Good,
            Ok(()) => {}
        }
    }
}

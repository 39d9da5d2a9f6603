use super::Answer;
use crate::containers::Observer;

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

//! System calls that can hang (a dead disk, a lost network mount) get a thread of their own and a limit.

use std::io;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// Runs `work` on its own thread and waits for it no longer than `limit`.
///
/// Not `spawn_blocking`: a runtime waits for its blocking tasks when it is dropped, so one hung call would keep the
/// agent from ending. A thread left behind here ends with the process.
///
/// # Errors
/// Those of `work`, and [`io::ErrorKind::TimedOut`], whose message is made with `what` ("reading /dev/sr0").
pub async fn bounded<T: Send + 'static>(
    limit: Duration,
    what: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("bounded".into())
        .spawn(move || {
            let _ = sender.send(work());
        })?;
    match tokio::time::timeout(limit, receiver).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(io::Error::other(format!("{what} panicked"))),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{what} did not return within {limit:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn gives_back_what_the_work_returned() {
        let answer = bounded(Duration::from_secs(60), "adding", || Ok(2 + 3)).await;
        assert_eq!(answer.unwrap(), 5);
    }

    #[tokio::test]
    async fn leaves_hung_work_behind_and_says_what_it_was() {
        let (release, hang) = mpsc::channel::<()>();
        let error = bounded(Duration::from_millis(10), "reading /dev/sr0", move || {
            let _ = hang.recv();
            Ok(())
        })
        .await
        .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("reading /dev/sr0"), "{error}");
        drop(release);
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let error = bounded(Duration::from_secs(60), "dividing", || -> io::Result<()> {
            panic!("on purpose")
        })
        .await
        .unwrap_err();
        assert!(error.to_string().contains("dividing panicked"), "{error}");
    }
}

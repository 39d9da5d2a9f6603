//! systemd, for what only it can do here: start the engine's service.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::bounded::bounded;

/// They only hand a job over, so they are quick or they hang.
const LIMIT: Duration = Duration::from_secs(10);

#[async_trait]
pub trait Units: Send + Sync {
    /// Asks systemd to start a unit, and does not wait for it.
    async fn start(&self, unit: &str) -> io::Result<()>;
}

pub struct Systemd;

#[async_trait]
impl Units for Systemd {
    async fn start(&self, unit: &str) -> io::Result<()> {
        if !is_running() {
            return Err(io::Error::other("systemd does not run here"));
        }
        let unit = unit.to_owned();
        // It ends itself before the limit.
        bounded(LIMIT * 2, "systemctl", move || {
            run("systemctl", &["start", "--no-block", &unit])
        })
        .await
    }
}

/// sd_booted(3).
pub fn is_running() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Runs one of systemd's programs, which only hand a job over.
#[expect(clippy::disallowed_methods, reason = "ended in here, after a limit")]
pub fn run(program: &str, arguments: &[&str]) -> io::Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let end = Instant::now() + LIMIT;
    loop {
        match child.try_wait()? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => {
                return Err(io::Error::other(format!(
                    "{program} {}: {status}",
                    arguments.join(" ")
                )));
            }
            None if Instant::now() >= end => {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::other(format!(
                    "{program} {} hangs",
                    arguments.join(" ")
                )));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

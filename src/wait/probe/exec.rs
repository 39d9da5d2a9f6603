use std::time::Duration;

use super::Answer;
use crate::host::engine::{Command, Engine};
use crate::lines::{LineSplitter, Tail};

pub fn command(argv: &[String], user: &Option<String>) -> Command {
    Command {
        argv: argv.to_vec(),
        user: user.clone(),
        ..Default::default()
    }
}

/// Good when the command exits with 0.
pub async fn attempt(
    engine: &dyn Engine,
    container: &str,
    command: &Command,
    fatal_exit_codes: &[i64],
    limit: Duration,
) -> Answer {
    let mut lines = LineSplitter::default();
    let mut last = Tail::new(1, 1024);
    let mut output = |bytes: &[u8]| {
        lines
            .push(bytes)
            .into_iter()
            .for_each(|line| last.push(line))
    };
    let result = engine.exec(container, command, limit, &mut output).await;
    lines.finish().into_iter().for_each(|line| last.push(line));
    let words = last
        .lines()
        .next()
        .map(|line| format!(": {line}"))
        .unwrap_or_default();
    match result {
        Ok(Some(0)) => Answer::Good,
        Ok(Some(code)) if fatal_exit_codes.contains(&code) => {
            Answer::Never(format!("exit code {code}{words}"))
        }
        Ok(Some(code)) => Answer::NotYet(format!("exit code {code}{words}")),
        Ok(None) => Answer::Silence(format!("no end within {}", crate::wait::seconds(limit))),
        Err(error) => Answer::NotYet(error.to_string()),
    }
}

//! The report as a table: what took longest comes first, as in `systemd-analyze blame`.

use super::rows::{Row, circumstances, headline, rows, span};
use super::{Report, State};

pub fn table(report: &Report) -> String {
    let mut rows = rows(report);
    rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let mut lines = vec![headline(report), circumstances(report)];
    if let Some(message) = report
        .result
        .as_ref()
        .and_then(|result| result.message.as_ref())
    {
        lines.push(format!("cause: {message}"));
    }
    lines.push(String::new());
    let width = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let (kinds, names) = (
        width(|row| row.kind.name().len()),
        width(|row| row.name.chars().count()).min(40),
    );
    let head = format!(
        "{:>8}  {:>9}    {:kinds$}  {:names$}  NOTE",
        "TIME", "FROM", "WHAT", "NAME"
    );
    lines.push(head);
    lines.extend(rows.iter().map(|row| {
        let mark = match row.state {
            State::Failed => '!',
            State::Running => '…',
            State::Done => ' ',
        };
        let line = format!(
            "{:>8}  {:>9}  {mark} {:kinds$}  {:names$}  {}",
            span(row.seconds),
            format!("+{}", span(row.started_s)),
            row.kind.name(),
            row.name,
            row.note,
        );
        line.trim_end().to_owned()
    }));
    // What came from containers must not steer the terminal.
    lines.iter().map(|line| plain(line) + "\n").collect()
}

fn plain(line: &str) -> String {
    line.replace(char::is_control, "")
}

//! A board becomes a few lines that fit on a terminal.

use std::time::Duration;

use super::board::{Board, Image, Migration, Service, State};
use super::text::{Line, Style};
use crate::failure::Stage;
use crate::host::disks::size;

/// So often the wheel turns.
pub const TURN: Duration = Duration::from_millis(150);
/// Names longer than this are cut, so that there is room for what is said about them.
const LONGEST_NAME: usize = 28;
const LONGEST_BAR: usize = 30;
/// A shorter bar shows nothing.
const SHORTEST_BAR: usize = 8;

/// The signs there are on the terminal.
pub struct Signs {
    pub done: char,
    pub failed: char,
    pub ahead: char,
    pub more: char,
    pub rule: char,
    pub full: char,
    pub empty: char,
    pub wheel: &'static [char],
}

impl Signs {
    pub const UNICODE: Signs = Signs {
        done: '✔',
        failed: '✘',
        ahead: '·',
        more: '…',
        rule: '─',
        full: '━',
        empty: '┄',
        wheel: &['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'],
    };
    pub const ASCII: Signs = Signs {
        done: '*',
        failed: 'x',
        ahead: '.',
        more: '~',
        rule: '-',
        full: '#',
        empty: '.',
        wheel: &['|', '/', '-', '\\'],
    };
}

/// The room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub columns: usize,
    pub rows: usize,
}

/// One thing of a stage: an image, a service, a migration.
struct Item {
    name: String,
    done: bool,
    line: Line,
}

/// No more lines than `room.rows`, none longer than `room.columns`.
pub fn picture(board: &Board, now: Duration, room: Room, signs: &Signs) -> Vec<Line> {
    let drawing = Drawing {
        board,
        now,
        columns: room.columns,
        signs,
    };
    let mut head = vec![drawing.title()];
    head.extend(drawing.done());
    head.extend(drawing.stage());
    let tail: Vec<_> = [drawing.diagnostics(), drawing.ahead()]
        .into_iter()
        .flatten()
        .collect();
    let items = drawing.items();
    let left = room.rows.saturating_sub(head.len() + tail.len());
    let mut lines = head;
    lines.extend(drawing.fitted(items, left));
    lines.extend(tail);
    lines.truncate(room.rows);
    lines
        .into_iter()
        .map(|line| line.cut(room.columns, signs.more))
        .collect()
}

struct Drawing<'a> {
    board: &'a Board,
    now: Duration,
    columns: usize,
    signs: &'a Signs,
}

impl Drawing<'_> {
    fn title(&self) -> Line {
        let rule = |columns| std::iter::repeat_n(self.signs.rule, columns).collect::<String>();
        let text = format!(" {}, {} ", self.board.title, rough(self.now));
        let rest = self.columns.saturating_sub(text.chars().count() + 2);
        Line::of(Style::Faint, rule(2))
            .and(Style::Plain, text)
            .and(Style::Faint, rule(rest))
    }

    /// The stages that are over, in as many lines as that takes.
    fn done(&self) -> Vec<Line> {
        let done = self.board.stages.iter().filter_map(|(stage, state)| {
            let State::Done { seconds } = state else {
                return None;
            };
            // What took no time is not worth one.
            Some(match *seconds < 0.5 {
                true => stage.to_string(),
                false => format!("{stage} {}", exact(*seconds)),
            })
        });
        let mut lines: Vec<String> = Vec::new();
        for stage in done {
            // The sign before it, and a comma behind.
            let room = self.columns.saturating_sub(4);
            match lines.last_mut() {
                Some(line) if line.chars().count() + 2 + stage.chars().count() <= room => {
                    *line += &format!(", {stage}");
                }
                Some(line) => {
                    line.push(',');
                    lines.push(stage);
                }
                None => lines.push(stage),
            }
        }
        let line = |(number, text)| match number {
            0 => self
                .sign(1, Style::Good, self.signs.done)
                .and(Style::Plain, text),
            _ => Line::of(Style::Plain, format!("   {text}")),
        };
        lines.into_iter().enumerate().map(line).collect()
    }

    fn stage(&self) -> Option<Line> {
        let (stage, state) = self.board.current()?;
        let (line, told) = match state {
            State::Failed { seconds } => {
                // At the end it stands right below, and whole.
                let cause = self.board.cause.as_ref();
                let cause = cause.filter(|_| self.board.outcome.is_none());
                let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
                let line = self.sign(1, Style::Bad, self.signs.failed);
                (line, format!(" after {}{cause}", exact(seconds)))
            }
            State::Going { since } => {
                let line = self.sign(1, Style::Busy, self.wheel());
                let since = self.now.saturating_sub(since);
                (
                    line,
                    self.told(stage)
                        .unwrap_or_else(|| format!(" {}", rough(since))),
                )
            }
            State::Ahead | State::Done { .. } => return None,
        };
        let word = match state {
            State::Failed { .. } => Style::Bad,
            _ => Style::Busy,
        };
        let line = line.and(word, stage.to_string());
        Some(line.and(Style::Plain, told))
    }

    /// How far a stage of several things is.
    fn told(&self, stage: Stage) -> Option<String> {
        let board = self.board;
        match stage {
            Stage::Wait | Stage::Smoke => {
                let budget = board.budget?;
                let ready = board
                    .services
                    .iter()
                    .filter(|service| service.ready.is_some());
                Some(format!(
                    ": {} of {} ready, {} of {}",
                    ready.count(),
                    board.services.len(),
                    rough(self.now.saturating_sub(budget.since)),
                    rough(Duration::from_secs_f64(budget.seconds.max(0.0))),
                ))
            }
            _ => None,
        }
    }

    /// What is to come.
    fn ahead(&self) -> Option<Line> {
        let ahead = self.board.stages.iter();
        let ahead = ahead.filter(|(_, state)| *state == State::Ahead);
        let names: Vec<_> = ahead.map(|(stage, _)| stage.to_string()).collect();
        let over = self.board.cause.is_some() || names.is_empty();
        (!over).then(|| {
            self.sign(1, Style::Faint, self.signs.ahead)
                .and(Style::Faint, format!("then {}", names.join(", ")))
        })
    }

    fn diagnostics(&self) -> Option<Line> {
        let since = self.board.diagnosing?;
        Some(
            self.sign(1, Style::Busy, self.wheel())
                .and(Style::Busy, "diagnostics")
                .and(
                    Style::Plain,
                    format!(" {}", rough(self.now.saturating_sub(since))),
                ),
        )
    }

    fn items(&self) -> Vec<Item> {
        let board = self.board;
        let Some((stage, state)) = board.current() else {
            return Vec::new();
        };
        let names = match stage {
            Stage::Images => widest(board.images.iter().map(|image| &image.archive)),
            Stage::Wait | Stage::Smoke => widest(board.services.iter().map(|one| &one.name)),
            Stage::Migrations => widest(board.migrations.iter().map(|one| &one.name)),
            _ => 0,
        };
        let over = matches!(state, State::Failed { .. });
        match stage {
            Stage::Images => board
                .images
                .iter()
                .map(|one| self.image(one, names, over))
                .collect(),
            Stage::Wait | Stage::Smoke => board
                .services
                .iter()
                .map(|one| self.service(one, names, over))
                .collect(),
            Stage::Migrations => board
                .migrations
                .iter()
                .map(|one| self.migration(one, names))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn service(&self, service: &Service, names: usize, over: bool) -> Item {
        let signs = self.signs;
        let (style, sign) = match service.ready {
            Some(_) => (Style::Good, signs.done),
            None if service.guilty => (Style::Bad, signs.failed),
            None if over => (Style::Faint, signs.ahead),
            None => (Style::Busy, signs.more),
        };
        let line = self.named(style, sign, &service.name, names);
        let line = match service.ready {
            Some(seconds) => line.and(Style::Plain, format!("{:>8}", exact(seconds))),
            None => line.and(Style::Plain, format!("  {}", service.error)),
        };
        Item {
            name: service.name.clone(),
            done: service.ready.is_some(),
            line,
        }
    }

    fn image(&self, image: &Image, names: usize, over: bool) -> Item {
        let signs = self.signs;
        let style = match image.took {
            Some(_) => Style::Good,
            None if over => Style::Bad,
            None => Style::Busy,
        };
        let sign = match style {
            Style::Good => signs.done,
            Style::Bad => signs.failed,
            _ => signs.more,
        };
        let line = self.named(style, sign, &image.archive, names);
        let line = match image.took {
            Some(_) if !image.loaded => line.and(Style::Plain, "  here already"),
            Some(seconds) => {
                let rate = size((image.total as f64 / seconds.max(0.001)) as u64);
                let text = format!("{:>8}  {} at {rate}/s", exact(seconds), size(image.total));
                line.and(Style::Plain, text)
            }
            None => self.loading(line, image),
        };
        Item {
            name: image.archive.clone(),
            done: image.took.is_some(),
            line,
        }
    }

    /// A bar as long as there is room for it, then figures.
    fn loading(&self, line: Line, image: &Image) -> Line {
        let figures = match (image.done, image.rate()) {
            (done, _) if done >= image.total => {
                format!("all {} sent, being unpacked", size(image.total))
            }
            (done, rate) => {
                let left = match rate > 0.0 {
                    true => {
                        let seconds = (image.total - done) as f64 / rate;
                        let left = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
                        format!("{}/s, {} left", size(rate as u64), rough(left))
                    }
                    false => "nothing taken lately".to_owned(),
                };
                format!("{} of {}, {left}", size(done), size(image.total))
            }
        };
        // Room for the longest figures, so that the bar does not change its length with them.
        let room = self.columns.saturating_sub(line.columns() + 4 + 46);
        let bar = room.min(LONGEST_BAR);
        if bar < SHORTEST_BAR {
            return line.and(Style::Plain, format!("  {figures}"));
        }
        let share = image.done as f64 / image.total.max(1) as f64;
        let full = ((bar as f64 * share) as usize).min(bar);
        let of = |sign, count| std::iter::repeat_n(sign, count).collect::<String>();
        line.and(Style::Plain, "  ")
            .and(Style::Busy, of(self.signs.full, full))
            .and(Style::Faint, of(self.signs.empty, bar - full))
            .and(Style::Plain, format!("  {figures}"))
    }

    fn migration(&self, migration: &Migration, names: usize) -> Item {
        let signs = self.signs;
        let (style, sign, time) = match migration.state {
            State::Done { seconds } => (Style::Good, signs.done, exact(seconds)),
            State::Failed { seconds } => (Style::Bad, signs.failed, exact(seconds)),
            State::Going { since } => {
                let took = self.now.saturating_sub(since);
                (Style::Busy, signs.more, rough(took))
            }
            State::Ahead => (Style::Faint, signs.ahead, String::new()),
        };
        let line = self.named(style, sign, &migration.name, names);
        let done = style == Style::Good;
        let said = match done {
            true => "",
            false => &migration.said,
        };
        Item {
            name: migration.name.clone(),
            done,
            line: line
                .and(Style::Plain, format!("{time:>8}"))
                .and(Style::Faint, format!("  {said}")),
        }
    }

    /// As many as there is room for: first those that are done share a line, then the rest are counted.
    fn fitted(&self, items: Vec<Item>, rows: usize) -> Vec<Line> {
        if items.len() <= rows {
            return items.into_iter().map(|item| item.line).collect();
        }
        let (done, pending): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| item.done);
        let mut lines = Vec::new();
        if !done.is_empty() {
            let names: Vec<_> = done.iter().map(|item| item.name.as_str()).collect();
            lines.push(
                self.sign(3, Style::Good, self.signs.done)
                    .and(Style::Plain, names.join(", ")),
            );
        }
        let room = rows.saturating_sub(lines.len());
        let shown = match pending.len() <= room {
            true => room,
            false => room.saturating_sub(1),
        };
        let more = pending.len().saturating_sub(shown);
        lines.extend(pending.into_iter().take(shown).map(|item| item.line));
        if more > 0 {
            let text = format!("and {more} more");
            lines.push(
                self.sign(3, Style::Faint, self.signs.more)
                    .and(Style::Faint, text),
            );
        }
        lines.truncate(rows);
        lines
    }

    fn named(&self, style: Style, sign: char, name: &str, names: usize) -> Line {
        let name = Line::of(Style::Plain, name).cut(names, self.signs.more);
        let padded = format!("{:<names$}", name.painted(false));
        self.sign(3, style, sign).and(Style::Plain, padded)
    }

    fn sign(&self, indent: usize, style: Style, sign: char) -> Line {
        Line::of(Style::Plain, " ".repeat(indent))
            .and(style, sign)
            .and(Style::Plain, " ")
    }

    fn wheel(&self) -> char {
        let turns = self.now.as_millis() / TURN.as_millis();
        self.signs.wheel[turns as usize % self.signs.wheel.len()]
    }
}

fn widest<'a>(names: impl Iterator<Item = &'a String>) -> usize {
    let widest = names.map(|name| name.chars().count()).max();
    widest.unwrap_or(0).min(LONGEST_NAME)
}

/// Of what goes on: `8s`, `1m 32s`, `2h 05m`.
pub fn rough(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Of what is over: `8.2s`, `1m 32s`.
fn exact(seconds: f64) -> String {
    match seconds < 59.95 {
        true => format!("{seconds:.1}s"),
        false => rough(Duration::from_secs_f64(seconds.round())),
    }
}

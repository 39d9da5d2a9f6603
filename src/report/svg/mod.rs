//! The report as a time line: one SVG that needs nothing else, without script, fonts or links. As `systemd-analyze plot`
//! does it, but with a column for names, so that none of them is in a bar's way.

mod canvas;
mod scale;

use canvas::{Anchor, Canvas, Text, cut, cut_inside, text_width, wrapped};
use scale::Scale;

use super::rows::{Kind, Row, circumstances, headline, rows, span};
use super::{Report, State};
use crate::event::Verdict;

const WIDTH: f64 = 1200.0;
const MARGIN: f64 = 24.0;
/// How wide the column of names is at least and at most; behind it time begins.
const NAMES: (f64, f64) = (110.0, 300.0);
const PLOT_RIGHT: f64 = WIDTH - MARGIN;
const ROW: f64 = 22.0;
const BAR: f64 = 14.0;
/// What took no time to speak of is still seen.
const THINNEST: f64 = 2.0;
/// Between a bar and what is written beside it.
const GAP: f64 = 6.0;
/// Lines of the cause that are shown.
const CAUSE_LINES: usize = 4;

const GROUPS: [(&str, &[Kind]); 6] = [
    ("Stages", &[Kind::Stage, Kind::Diagnostics]),
    ("Images", &[Kind::Image]),
    ("Services", &[Kind::Service]),
    ("Migrations", &[Kind::Migration]),
    ("Smoke test", &[Kind::Check]),
    ("Finish", &[Kind::Finish]),
];

pub fn time_line(report: &Report) -> String {
    let rows = rows(report);
    let end = rows.iter().map(Row::end).fold(report.elapsed_s, f64::max);
    let names = rows.iter().map(|row| text_width(&row.name, Text::Usual));
    let names = names.fold(0.0, f64::max).clamp(NAMES.0, NAMES.1);
    let left = MARGIN + names + 2.0 * GAP;
    let mut drawing = Drawing {
        canvas: Canvas::new(WIDTH),
        scale: Scale::new(end, left, PLOT_RIGHT),
        left,
        y: MARGIN,
        failed_at: report.failed_at(),
    };
    drawing.head(report);
    let top = drawing.y;
    let groups: Vec<_> = GROUPS
        .iter()
        .map(|(title, kinds)| (*title, of_kinds(&rows, kinds)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    let height: f64 = groups
        .iter()
        .map(|(_, rows)| Drawing::group_height(rows.len()))
        .sum();
    drawing.axis(top + height);
    drawing.stage_bands(&of_kinds(&rows, &[Kind::Stage]), top + height);
    for (title, rows) in groups {
        drawing.group(title, &rows);
    }
    drawing.failure(top);
    drawing.legend(&rows);
    drawing.canvas.finish(drawing.y + MARGIN)
}

fn of_kinds<'r>(rows: &'r [Row], kinds: &[Kind]) -> Vec<&'r Row> {
    let mut rows: Vec<_> = rows
        .iter()
        .filter(|row| kinds.contains(&row.kind))
        .collect();
    // Those that never became ready come last, as they stand at the end of the time.
    rows.sort_by(|a, b| {
        let key = |row: &Row| match row.kind {
            Kind::Service | Kind::Check => (row.state != State::Done, row.end()),
            _ => (false, row.started_s),
        };
        let ((a_unready, a), (b_unready, b)) = (key(a), key(b));
        a_unready.cmp(&b_unready).then(a.total_cmp(&b))
    });
    rows
}

fn is_waited_for(row: &Row) -> bool {
    matches!(row.kind, Kind::Service | Kind::Check)
}

struct Drawing {
    canvas: Canvas,
    scale: Scale,
    /// Where time begins.
    left: f64,
    /// Down to here it is drawn.
    y: f64,
    failed_at: Option<f64>,
}

impl Drawing {
    fn group_height(rows: usize) -> f64 {
        30.0 + rows as f64 * ROW
    }

    fn head(&mut self, report: &Report) {
        let class = match report.result.as_ref().map(|result| result.verdict) {
            Some(Verdict::Failed) => "bad",
            Some(_) => "good",
            None => "open",
        };
        self.y += 14.0;
        let title = format!("guestbake: {}", headline(report));
        self.canvas.text(
            MARGIN,
            self.y,
            &format!("title {class}"),
            Anchor::Start,
            &title,
        );
        self.y += 20.0;
        let facts = circumstances(report);
        self.canvas
            .text(MARGIN, self.y, "quiet", Anchor::Start, &facts);
        let result = report.result.as_ref();
        self.y += 4.0;
        if let Some(message) = result.and_then(|result| result.message.as_ref()) {
            let reason = result.and_then(|result| result.reason);
            let reason = reason
                .map(|reason| format!("{reason}: "))
                .unwrap_or_default();
            let cause = format!("{reason}{message}");
            for line in wrapped(&cause, WIDTH - 2.0 * MARGIN, Text::Usual, CAUSE_LINES) {
                self.y += 18.0;
                self.canvas
                    .text(MARGIN, self.y, "bad", Anchor::Start, &line);
            }
        }
        // Room for the axis.
        self.y += 44.0;
    }

    fn axis(&mut self, bottom: f64) {
        for (seconds, label) in self.scale.ticks() {
            let x = self.scale.x(seconds);
            self.canvas.line(x, self.y - 4.0, x, bottom, "grid");
            self.canvas
                .text(x, self.y - 10.0, "quiet", Anchor::Middle, &label);
        }
    }

    /// Every second stage as a faint band through everything, so that the rest is seen in its stage.
    fn stage_bands(&mut self, stages: &[&Row], bottom: f64) {
        for stage in stages.iter().skip(1).step_by(2) {
            let (x, width) = (
                self.scale.x(stage.started_s),
                self.scale.length(stage.seconds),
            );
            self.canvas
                .rect(x, self.y, width, bottom - self.y, "band", None);
        }
    }

    fn group(&mut self, title: &str, rows: &[&Row]) {
        let seconds = rows.iter().map(|row| row.seconds).fold(0.0, f64::max);
        self.y += 20.0;
        self.canvas
            .text(MARGIN, self.y, "group", Anchor::Start, title);
        let most = match (rows.len(), rows.first().map(|row| row.kind)) {
            (0 | 1, _) | (_, Some(Kind::Stage)) => String::new(),
            (count, _) => format!("{count}, up to {}", span(seconds)),
        };
        let x = MARGIN + text_width(title, Text::Group) + 10.0;
        self.canvas.text(x, self.y, "quiet", Anchor::Start, &most);
        self.y += 8.0;
        for row in rows {
            self.row(row);
        }
        self.y += 2.0;
    }

    fn row(&mut self, row: &Row) {
        let base = self.y + BAR;
        let name = cut_inside(&row.name, self.left - MARGIN - 2.0 * GAP, Text::Usual);
        let class = if row.state == State::Failed {
            "bad"
        } else {
            ""
        };
        self.canvas.text(MARGIN, base, class, Anchor::Start, &name);

        let (x, width) = (self.scale.x(row.started_s), self.scale.length(row.seconds));
        // The thinnest bar at the very end must not stand out of the picture.
        let width = width.max(THINNEST);
        let x = x.min(PLOT_RIGHT - width);
        let top = self.y + 3.0;
        let kind = row.kind.name();
        let class = match row.state {
            State::Done => kind.to_owned(),
            State::Running => format!("{kind} open-end"),
            State::Failed if is_waited_for(row) => "unready".to_owned(),
            State::Failed => "failed".to_owned(),
        };
        let told = format!(
            "{kind} {}: {} from {}, {}",
            row.name,
            span(row.seconds),
            span(row.started_s),
            row.note
        );
        let told = told.trim_end_matches(", ");
        self.canvas.rect(x, top, width, BAR, &class, Some(told));
        if row.state == State::Done && is_waited_for(row) {
            let mark = THINNEST + 1.0;
            self.canvas
                .rect(x + width - mark, top, mark, BAR, "ready", None);
        }
        self.beside(row, x, width, base);
        self.y += ROW;
    }

    /// Time and note: behind the bar, before it, or on it, wherever there is room.
    fn beside(&mut self, row: &Row, x: f64, width: f64, base: f64) {
        let note = match row.note.is_empty() {
            true => span(row.seconds),
            false => format!("{} · {}", span(row.seconds), row.note),
        };
        let (behind, before) = (PLOT_RIGHT - x - width - GAP, x - self.left - GAP);
        let needed = text_width(&note, Text::Note);
        let fits = |room: f64| needed <= room;
        let (at, anchor, room, on_bar) = if fits(behind) {
            (x + width + GAP, Anchor::Start, behind, false)
        } else if fits(before) {
            (x - GAP, Anchor::End, before, false)
        } else if width >= behind.max(before) {
            (x + GAP, Anchor::Start, width - 2.0 * GAP, true)
        } else if behind >= before {
            (x + width + GAP, Anchor::Start, behind, false)
        } else {
            (x - GAP, Anchor::End, before, false)
        };
        let is_dark = !is_waited_for(row);
        let class = match (on_bar, is_dark) {
            (true, true) => "note on on-dark",
            (true, false) => "note on",
            (false, _) if row.state == State::Failed => "note bad",
            (false, _) => "note",
        };
        let note = cut(&note, room, Text::Note);
        self.canvas.text(at, base - 0.5, class, anchor, &note);
    }

    fn failure(&mut self, top: f64) {
        let Some(failed_at) = self.failed_at else {
            return;
        };
        let x = self.scale.x(failed_at);
        self.canvas.line(x, top - 4.0, x, self.y, "failure");
        let words = format!("failed at {}", span(failed_at));
        let room = PLOT_RIGHT - x - GAP;
        let (at, anchor) = match text_width(&words, Text::Usual) <= room {
            true => (x + GAP, Anchor::Start),
            false => (x - GAP, Anchor::End),
        };
        self.canvas.text(at, top - 25.0, "bad", anchor, &words);
    }

    fn legend(&mut self, rows: &[Row]) {
        let any = |waited_for: bool, state: State| {
            let mut rows = rows.iter();
            rows.any(|row| is_waited_for(row) == waited_for && row.state == state)
        };
        let entries: Vec<_> = [
            (any(true, State::Done), "service", "waited for"),
            (any(true, State::Done), "ready", "ready"),
            (any(true, State::Failed), "unready", "never ready"),
            (any(false, State::Failed), "failed", "failed or cut off"),
        ]
        .into_iter()
        .filter(|(shown, ..)| *shown)
        .collect();
        if entries.is_empty() {
            return;
        }
        self.y += 24.0;
        let mut x = MARGIN;
        for (_, class, words) in entries {
            self.canvas.rect(x, self.y - 9.0, 12.0, 10.0, class, None);
            self.canvas
                .text(x + 18.0, self.y, "quiet", Anchor::Start, words);
            x += 18.0 + text_width(words, Text::Note) + 20.0;
        }
    }
}

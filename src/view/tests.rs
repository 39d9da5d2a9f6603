use std::time::Duration;

use super::screen::Screen;
use super::*;
use crate::event::Awaited;
use crate::failure::Stage;
use crate::pipeline::STAGES;

const WIDE: Room = Room {
    columns: 80,
    rows: 24,
};

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn waiting(names: &[&str]) -> Event {
    let awaited = |name: &&str| Awaited {
        name: (*name).to_owned(),
        container: Some((*name).to_owned()),
    };
    Event::Waiting {
        services: names.iter().map(awaited).collect(),
        budget_s: 1500.0,
        waited_s: 0.0,
    }
}

fn ready(name: &str, ready_s: f64) -> Event {
    Event::Service {
        name: name.to_owned(),
        ready_s,
        attempts: 1,
    }
}

fn not_ready(name: &str, error: &str) -> Event {
    Event::NotReady {
        name: name.to_owned(),
        error: error.to_owned(),
        attempts: 1,
    }
}

/// A run that waits for these services since the tenth second.
fn board(names: &[&str]) -> Board {
    let mut board = Board::new("guestbake run", &STAGES);
    for stage in STAGES.into_iter().take_while(|stage| *stage != Stage::Wait) {
        board.take(&Event::StageStarted { stage }, seconds(0.0));
        let long = matches!(stage, Stage::Bundle | Stage::Images);
        let took = if long { 4.21 } else { 0.01 };
        board.take(
            &Event::StageDone {
                stage,
                seconds: took,
            },
            seconds(took),
        );
    }
    let stage = Stage::Wait;
    board.take(&Event::StageStarted { stage }, seconds(10.0));
    board.take(&waiting(names), seconds(10.0));
    board
}

fn shown(board: &Board, now: f64, room: Room) -> String {
    let lines = picture(board, seconds(now), room, &Signs::UNICODE);
    assert!(lines.len() <= room.rows, "{} lines", lines.len());
    assert!(lines.iter().all(|line| line.columns() <= room.columns));
    let lines: Vec<_> = lines.iter().map(|line| line.painted(false)).collect();
    lines.join("\n") + "\n"
}

#[test]
fn a_wait_shows_each_service_and_why_it_is_not_ready() {
    let mut board = board(&["valkey", "postgres-queries"]);
    board.take(&ready("valkey", 5.6), seconds(15.6));
    board.take(
        &not_ready("postgres-queries", "exit code 2: no response"),
        seconds(16.0),
    );
    assert_eq!(
        shown(&board, 102.0, WIDE),
        "\
── guestbake run, 1m 42s ───────────────────────────────────────────────────────
 ✔ bundle 4.2s, plan, guest, engine, images 4.2s, containers
 ⠋ wait: 1 of 2 ready, 1m 32s of 25m 00s
   ✔ valkey              5.6s
   … postgres-queries  exit code 2: no response
 · then migrations, smoke, stop, finish
"
    );
}

#[test]
fn a_failure_shows_who_is_to_blame_and_that_diagnostics_are_collected() {
    let mut board = board(&["up", "slow", "dies"]);
    board.take(&ready("up", 0.1), seconds(10.1));
    board.take(&not_ready("slow", "connection refused"), seconds(11.0));
    let stage = Stage::Wait;
    let failed = Event::StageFailed {
        stage,
        seconds: 3.0,
    };
    board.take(&failed, seconds(13.0));
    let cause = Event::Cause {
        message: "container dies exited with code 7".to_owned(),
        container: Some("dies".to_owned()),
    };
    board.take(&cause, seconds(13.0));
    board.take(&Event::DiagnosticsStarted, seconds(13.0));
    assert_eq!(
        shown(&board, 15.0, WIDE),
        "\
── guestbake run, 15s ──────────────────────────────────────────────────────────
 ✔ bundle 4.2s, plan, guest, engine, images 4.2s, containers
 ✘ wait after 3.0s: container dies exited with code 7
   ✔ up      0.1s
   · slow  connection refused
   ✘ dies  not probed yet
 ⠋ diagnostics 2s
"
    );
}

#[test]
fn an_image_has_a_bar_a_rate_and_the_time_that_is_left() {
    let mut board = Board::new("guestbake run", &[Stage::Images]);
    let stage = Stage::Images;
    board.take(&Event::StageStarted { stage }, seconds(0.0));
    let loading = |done, seconds| Event::ImageLoading {
        archive: "app.tar.zst".to_owned(),
        done,
        total: 160 << 20,
        seconds,
    };
    board.take(&loading(0, 0.0), seconds(1.0));
    assert!(shown(&board, 1.0, WIDE).contains("0 B of 160.0 MiB, nothing taken lately"));
    board.take(&loading(20 << 20, 10.0), seconds(11.0));
    let text = shown(&board, 11.0, WIDE);
    assert!(
        text.contains("━┄┄┄┄┄┄┄┄┄┄┄┄┄  20.0 MiB of 160.0 MiB, 2.0 MiB/s, 1m 10s left"),
        "{text}"
    );
    // Without room for a bar there are the figures.
    let narrow = Room {
        columns: 60,
        rows: 24,
    };
    assert!(shown(&board, 11.0, narrow).contains("app.tar.zst  20.0 MiB of 160.0 MiB"));
    board.take(&loading(160 << 20, 80.0), seconds(81.0));
    assert!(shown(&board, 81.0, WIDE).contains("all 160.0 MiB sent, being unpacked"));
}

#[test]
fn a_rate_is_that_of_the_last_seconds() {
    let mut board = Board::new("guestbake run", &[Stage::Images]);
    for second in 0..60 {
        board.take(
            &Event::ImageLoading {
                archive: "a".to_owned(),
                done: if second < 30 { 1000 * second } else { 30_000 },
                total: 100_000,
                seconds: second as f64,
            },
            seconds(second as f64),
        );
    }
    assert_eq!(
        board.images[0].rate(),
        0.0,
        "nothing came for half a minute"
    );
}

#[test]
fn a_migration_shows_the_last_line_it_printed() {
    let mut board = Board::new("guestbake run", &[Stage::Migrations]);
    let stage = Stage::Migrations;
    board.take(&Event::StageStarted { stage }, seconds(0.0));
    let name = || "schema".to_owned();
    board.take(&Event::MigrationStarted { name: name() }, seconds(1.0));
    let detail = |text: &str| Event::Detail {
        text: text.to_owned(),
    };
    board.take(&detail("schema | 1 of 104 | done"), seconds(2.0));
    board.take(&detail("another | line"), seconds(2.0));
    assert!(shown(&board, 4.0, WIDE).contains("… schema      3s  1 of 104 | done\n"));
}

#[test]
fn what_does_not_fit_is_said_to_be_missing() {
    let names: Vec<_> = (0..30).map(|n| format!("service-{n:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut board = board(&names);
    for name in &names[..10] {
        board.take(&ready(name, 1.0), seconds(11.0));
    }
    let room = Room {
        columns: 40,
        rows: 10,
    };
    assert_eq!(
        shown(&board, 12.0, room),
        "\
── guestbake run, 12s ──────────────────
 ✔ bundle 4.2s, plan, guest, engine,
   images 4.2s, containers
 ⠋ wait: 10 of 30 ready, 2s of 25m 00s
   ✔ service-00, service-01, service-02…
   … service-10  not probed yet
   … service-11  not probed yet
   … service-12  not probed yet
   … and 17 more
 · then migrations, smoke, stop, finish
"
    );
}

#[test]
fn no_room_is_too_small() {
    let board = board(&["one", "two", "three"]);
    for rows in 0..12 {
        for columns in 0..50 {
            shown(&board, 100.0, Room { columns, rows });
        }
    }
}

#[test]
fn only_what_changes_is_drawn_again() {
    let manner = Manner::Live {
        colours: false,
        unicode: true,
    };
    let mut screen = Screen::of_size(manner, || WIDE);
    let mut board = board(&["one", "two"]);
    screen.picture(&board, seconds(10.0));
    assert_eq!(screen.take_out().matches("one").count(), 1);
    screen.picture(&board, seconds(10.0));
    assert_eq!(screen.take_out(), "", "nothing has changed");
    board.take(&not_ready("two", "not yet"), seconds(10.0));
    screen.picture(&board, seconds(10.0));
    let out = screen.take_out();
    assert!(out.contains("two") && !out.contains("one"), "{out:?}");
}

#[test]
fn lines_stand_above_the_picture() {
    let manner = Manner::Live {
        colours: false,
        unicode: true,
    };
    let mut screen = Screen::of_size(manner, || WIDE);
    let board = board(&["one"]);
    screen.picture(&board, seconds(10.0));
    screen.take_out();
    screen.entry(Entry::Line("a line".to_owned()));
    screen.picture(&board, seconds(10.0));
    let out = screen.take_out();
    // Five lines up, everything below is gone, then the line, then the picture anew.
    assert!(out.starts_with("\r\x1b[5A\x1b[Ja line\r\n"), "{out:?}");
    assert!(out.ends_with("then migrations, smoke, stop, finish\x1b[?7h\r\n"));
}

#[test]
fn a_terminal_that_became_narrower_is_painted_anew() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COLUMNS: AtomicUsize = AtomicUsize::new(80);
    let manner = Manner::Live {
        colours: false,
        unicode: true,
    };
    let mut screen = Screen::of_size(manner, || Room {
        columns: COLUMNS.load(Ordering::Relaxed),
        rows: 12,
    });
    let board = board(&["one"]);
    for n in 0..20 {
        screen.entry(Entry::Line(format!("line {n}")));
    }
    screen.picture(&board, seconds(10.0));
    screen.take_out();
    COLUMNS.store(40, Ordering::Relaxed);
    screen.picture(&board, seconds(10.0));
    let out = screen.take_out();
    let scrolled = format!("\x1b[12;1H{}\x1b[H", "\n".repeat(12));
    // Twelve rows: six lines, five of the picture, and the cursor's.
    let lines: String = (14..20).map(|n| format!("line {n}\r\n")).collect();
    assert!(out.starts_with(&(scrolled + &lines)), "{out:?}");
    assert!(out.contains("── guestbake run, 10s ───"));
}

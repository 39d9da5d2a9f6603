//! The terminal: lines that scroll, and below them a picture that is drawn over the one before.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::stdout;
use rustix::termios::{tcgetpgrp, tcgetwinsize};

use super::Entry;
use super::board::Board;
use super::choice::Manner;
use super::picture::{Room, picture};

/// Of a terminal that does not know its size: a serial line.
const USUAL: Room = Room {
    columns: 80,
    rows: 24,
};
/// On less there is no picture.
const SMALLEST: Room = Room {
    columns: 20,
    rows: 5,
};

/// As many lines as the largest terminal shows.
const MOST_RECENT: usize = 200;

pub struct Screen {
    manner: Manner,
    size: fn() -> Room,
    /// To be written.
    out: String,
    /// The lines of the picture that stands there, and the columns of each.
    drawn: Vec<(String, usize)>,
    room: Room,
    /// The last lines, for a terminal that has to be painted anew.
    recent: VecDeque<String>,
    gone: bool,
}

impl Screen {
    pub fn new(manner: Manner) -> Self {
        Self::of_size(manner, size)
    }

    pub(super) fn of_size(manner: Manner, size: fn() -> Room) -> Self {
        Screen {
            manner,
            size,
            out: String::new(),
            drawn: Vec::new(),
            room: size(),
            recent: VecDeque::new(),
            gone: false,
        }
    }

    /// Something that stays.
    pub fn entry(&mut self, entry: Entry) {
        let Manner::Live { colours, .. } = self.manner else {
            if let Entry::Line(text) = entry {
                let _ = writeln!(self.out, "{text}");
            }
            return;
        };
        self.fit();
        self.erase();
        match entry {
            Entry::Line(text) => {
                self.out += &text;
                if self.recent.len() == MOST_RECENT {
                    self.recent.pop_front();
                }
                self.recent.push_back(text);
            }
            Entry::Picture(board, at) => {
                let mut room = self.room;
                // Whoever wants to see it all can scroll back.
                room.rows = usize::MAX;
                let lines = picture(&board, at, room, self.manner.signs());
                let lines: Vec<_> = lines.iter().map(|line| line.painted(colours)).collect();
                self.out += &lines.join("\r\n");
            }
        }
        self.out += "\r\n";
    }

    /// Draws what has changed.
    pub fn picture(&mut self, board: &Board, now: Duration) {
        let Manner::Live { colours, .. } = self.manner else {
            return;
        };
        if !in_foreground() {
            // What stands there is the shell's business now.
            self.drawn.clear();
            return;
        }
        self.fit();
        let mut room = self.room;
        if room.columns < SMALLEST.columns || room.rows < SMALLEST.rows {
            return self.erase();
        }
        // Lines want to be seen too.
        room.rows = (room.rows * 2 / 3).max(SMALLEST.rows - 1);
        let lines = picture(board, now, room, self.manner.signs());
        let lines: Vec<_> = lines
            .into_iter()
            .map(|line| (line.painted(colours), line.columns()))
            .collect();
        if lines == self.drawn {
            return;
        }
        let before = std::mem::take(&mut self.drawn);
        if !before.is_empty() {
            let _ = write!(self.out, "\r\x1b[{}A", before.len());
        }
        for (place, line) in lines.iter().enumerate() {
            if before.get(place) != Some(line) {
                // Not wrapped, should a character be wider than was thought.
                let _ = write!(self.out, "\x1b[?7l\x1b[2K{}\x1b[?7h", line.0);
            }
            self.out += "\r\n";
        }
        if before.len() > lines.len() {
            self.out += "\x1b[J";
        }
        self.drawn = lines;
    }

    /// Sees whether the terminal has another size.
    fn fit(&mut self) {
        let room = (self.size)();
        let before = std::mem::replace(&mut self.room, room);
        if room == before {
            return;
        }
        match self
            .drawn
            .iter()
            .any(|(_, columns)| *columns > room.columns)
        {
            true => self.paint_anew(),
            false => self.erase(),
        }
    }

    /// A terminal that has become narrower has wrapped the picture, and may have done so a while before it told us: where
    /// it stands now nobody knows. What is on the screen is scrolled away, and the last lines are written again.
    fn paint_anew(&mut self) {
        let Room { columns, rows } = self.room;
        let _ = write!(self.out, "\x1b[{rows};1H{}\x1b[H", "\n".repeat(rows));
        let mut left = rows.saturating_sub(self.drawn.len() + 1);
        let height = |line: &String| line.chars().count().div_ceil(columns).max(1);
        let fits = |line: &&String| {
            let fits = height(line) <= left;
            left = left.saturating_sub(height(line));
            fits
        };
        let lines: Vec<_> = self.recent.iter().rev().take_while(fits).collect();
        for line in lines.into_iter().rev() {
            let _ = write!(self.out, "{line}\r\n");
        }
        self.drawn.clear();
    }

    /// Takes the picture away.
    fn erase(&mut self) {
        if !self.drawn.is_empty() {
            let _ = write!(self.out, "\r\x1b[{}A\x1b[J", self.drawn.len());
        }
        self.drawn.clear();
    }

    pub fn write(&mut self) {
        let out = std::mem::take(&mut self.out);
        let mut bytes = out.as_bytes();
        while !bytes.is_empty() && !self.gone {
            match rustix::io::write(stdout(), bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                // Somebody else has made it so.
                Err(Errno::AGAIN) => {
                    let stdout = stdout();
                    let _ = poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None);
                }
                // Whoever read it is gone.
                Err(_) => self.gone = true,
            }
        }
    }

    #[cfg(test)]
    pub(super) fn take_out(&mut self) -> String {
        std::mem::take(&mut self.out)
    }
}

fn size() -> Room {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Room {
            columns: size.ws_col.into(),
            rows: size.ws_row.into(),
        },
        _ => USUAL,
    }
}

/// A terminal that is not the one that controls us has no foreground to tell.
fn in_foreground() -> bool {
    match tcgetpgrp(stdout()) {
        Ok(group) => group == rustix::process::getpgrp(),
        Err(_) => true,
    }
}

//! Bytes of a container's output, cut anywhere, into masked lines fit for a console and a log.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::mask::{self, Masker};

/// A longer line is cut into pieces of about this many bytes.
pub const MAX_LINE: usize = 16 * 1024;
/// So much of what follows is looked at before a line is cut, and so no secret shorter than this is cut with it.
const LOOK_AHEAD: usize = 4 * 1024;
/// Between the beginning of a secret's name and the secret.
const NAME_DISTANCE: usize = 512;

/// Text without escape sequences and control characters, tabs excepted.
pub fn clean(text: &str) -> String {
    let mut escape = Escape::None;
    let bytes = text.bytes().filter(|byte| escape.passes(*byte)).collect();
    without_controls(&String::from_utf8(bytes).expect("only ASCII was taken away"))
}

/// Splits a stream into lines: lossy UTF-8, without escape sequences and control characters, secrets masked. A lone
/// `\r`, with which progress bars begin again, ends a line as well.
///
/// The same bytes make the same lines however they are split into chunks. A line over [`MAX_LINE`] is cut where no
/// secret is; if one reaches further than can be looked ahead, the rest of the line is dropped.
#[derive(Debug)]
pub struct LineSplitter {
    masker: Arc<Masker>,
    line: Vec<u8>,
    escape: Escape,
    after_return: bool,
    /// A secret without an end in sight was masked; what follows in this line may belong to it.
    dropping: bool,
    /// Part of this line has been handed out.
    continued: bool,
}

impl LineSplitter {
    pub fn new(masker: Arc<Masker>) -> Self {
        LineSplitter {
            masker,
            line: Vec::new(),
            escape: Escape::None,
            after_return: false,
            dropping: false,
            continued: false,
        }
    }

    /// The lines that these bytes complete.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in chunk {
            self.byte(*byte, &mut lines);
        }
        lines
    }

    /// The last line, if it has no end.
    pub fn finish(mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.end_line())
    }

    fn byte(&mut self, byte: u8, lines: &mut Vec<String>) {
        match byte {
            // Ends an escape sequence that was cut short too: one must not swallow the lines after it.
            b'\n' => {
                self.escape = Escape::None;
                let ended = std::mem::take(&mut self.after_return);
                let is_rest = self.line.is_empty() && self.continued;
                if !ended && !is_rest {
                    lines.push(self.end_line());
                }
                (self.dropping, self.continued) = (false, false);
            }
            b'\r' => {
                self.escape = Escape::None;
                if !self.line.is_empty() || self.continued {
                    if !self.line.is_empty() {
                        lines.push(self.end_line());
                    }
                    (self.dropping, self.continued) = (false, false);
                    self.after_return = true;
                }
            }
            byte if !self.escape.passes(byte) => {}
            byte => {
                self.after_return = false;
                if !self.dropping {
                    self.line.push(byte);
                    if self.line.len() >= MAX_LINE + LOOK_AHEAD {
                        self.cut(lines);
                    }
                }
            }
        }
    }

    fn end_line(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        let line = without_controls(&String::from_utf8_lossy(&line));
        self.masker.mask(&line).into_owned()
    }

    /// Hands out the first part of a line that is too long.
    fn cut(&mut self, lines: &mut Vec<String>) {
        let bytes = std::mem::take(&mut self.line);
        let (whole, rest) = bytes.split_at(bytes.len() - incomplete_character(&bytes));
        let text = without_controls(&String::from_utf8_lossy(whole));
        let spans = self.masker.spans(&text);
        let mut cut = (0..=MAX_LINE.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        for secret in &spans {
            // A little behind the cut is too near: the name that tells the secret would be on the other side.
            if secret.end > cut && secret.start < cut + NAME_DISTANCE {
                cut = secret.end;
            }
        }
        self.dropping = spans.last().is_some_and(|secret| secret.end == text.len());
        if self.dropping {
            cut = text.len();
        }
        // By what is secret in the whole text: a URL's password, say, shows only by the host that follows it.
        let before: Vec<_> = spans
            .into_iter()
            .filter(|secret| secret.end <= cut)
            .collect();
        lines.push(mask::replace(&text[..cut], &before).into_owned());
        self.continued = true;
        if !self.dropping {
            self.line.extend_from_slice(&text.as_bytes()[cut..]);
            self.line.extend_from_slice(rest);
        }
    }
}

/// The bytes at the end that may become a character with those that follow.
fn incomplete_character(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    (0..tail.len())
        .map(|start| &tail[start..])
        .find(|end| {
            std::str::from_utf8(end)
                .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .map_or(0, <[u8]>::len)
}

fn without_controls(text: &str) -> String {
    text.chars()
        .filter(|character| *character == '\t' || !character.is_control())
        .collect()
}

/// Where in an escape sequence (ECMA-48) a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    /// After `ESC`.
    Begun,
    /// After `ESC` and an intermediate byte: the final one is to come.
    Intermediate,
    /// After `ESC [`: ends with a byte from `@` to `~`.
    Control,
    /// A title, a link and the like: ends with `BEL` or `ESC \`.
    Text,
    TextEnding,
}

impl Escape {
    /// Takes the next byte; whether it is no part of an escape sequence.
    fn passes(&mut self, byte: u8) -> bool {
        let (next, passes) = match (*self, byte) {
            (Escape::Text, 0x1b) => (Escape::TextEnding, false),
            (Escape::TextEnding, b'\\') | (Escape::Text, 0x07) => (Escape::None, false),
            (Escape::Text, _) => (Escape::Text, false),
            (_, 0x1b) => (Escape::Begun, false),
            (Escape::Begun | Escape::TextEnding, b'[') => (Escape::Control, false),
            (Escape::Begun | Escape::TextEnding, b']' | b'P' | b'X' | b'^' | b'_') => {
                (Escape::Text, false)
            }
            (Escape::Begun | Escape::TextEnding | Escape::Intermediate, 0x20..=0x2f) => {
                (Escape::Intermediate, false)
            }
            (Escape::Begun | Escape::TextEnding | Escape::Intermediate, 0x30..=0x7e) => {
                (Escape::None, false)
            }
            (Escape::Control, 0x20..=0x3f) => (Escape::Control, false),
            (Escape::Control, 0x40..=0x7e) => (Escape::None, false),
            // Not what the standard allows: text again.
            (_, byte) => (Escape::None, byte == b'\t' || !byte.is_ascii_control()),
        };
        *self = next;
        passes
    }
}

/// The last lines of an output, bounded in number and in bytes.
#[derive(Clone, Debug)]
pub struct Tail {
    lines: VecDeque<String>,
    max_lines: usize,
    max_bytes: usize,
    bytes: usize,
    omitted: u64,
}

impl Tail {
    pub fn new(max_lines: usize, max_bytes: usize) -> Self {
        Tail {
            lines: VecDeque::new(),
            max_lines,
            max_bytes,
            bytes: 0,
            omitted: 0,
        }
    }

    /// Adds a line and forgets the oldest for it if need be, but never the newest for being long.
    pub fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > self.max_lines
            || (self.bytes > self.max_bytes && self.lines.len() > 1)
        {
            let oldest = self.lines.pop_front().expect("more than none");
            self.bytes -= oldest.len();
            self.omitted += 1;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many lines came before the first one kept.
    pub fn omitted(&self) -> u64 {
        self.omitted
    }
}

#[cfg(test)]
mod tests;

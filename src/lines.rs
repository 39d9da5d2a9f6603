//! Output in pieces of any size becomes lines of text that can be shown: no control characters, no escape codes.

use std::collections::VecDeque;

/// A line that does not end is cut here, at its last space: a word, which may be a secret, is never taken apart.
const LONGEST_LINE: usize = 256 * 1024;

/// Puts lines together. A carriage return ends a line as a line feed does, so progress bars become lines.
#[derive(Default)]
pub struct LineSplitter {
    pending: Vec<u8>,
    after_return: bool,
}

impl LineSplitter {
    /// The lines that these bytes complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                // The second half of `\r\n`.
                b'\n' if after_return => {}
                b'\n' | b'\r' => lines.push(self.take()),
                _ => {
                    self.pending.push(byte);
                    if self.pending.len() >= LONGEST_LINE {
                        lines.push(self.take_words());
                    }
                }
            }
        }
        lines
    }

    /// What is left when the output ends in the middle of a line.
    pub fn finish(&mut self) -> Option<String> {
        (!self.pending.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        printable(&std::mem::take(&mut self.pending))
    }

    fn take_words(&mut self) -> String {
        match self.pending.iter().rposition(u8::is_ascii_whitespace) {
            Some(space) if space > 0 => {
                let rest = self.pending.split_off(space);
                let line = self.take();
                self.pending = rest;
                line
            }
            _ => {
                let length = self.pending.len();
                self.pending.clear();
                format!("({length} bytes without a space are left out here)")
            }
        }
    }
}

/// Text without what a terminal would act on.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_escape(&mut chars),
            '\t' => shown.push('\t'),
            c if c.is_control() => {}
            c => shown.push(c),
        }
    }
    shown
}

/// ECMA-48: `ESC [ parameters final`, `ESC ] text BEL`, and two-character sequences.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            while chars
                .next()
                .is_some_and(|c| !('\x40'..='\x7e').contains(&c))
            {}
        }
        Some(']') => while chars.next().is_some_and(|c| c != '\x07' && c != '\x1b') {},
        _ => {}
    }
}

/// The last lines, within a number of bytes.
pub struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
    most_lines: usize,
    most_bytes: usize,
}

impl Tail {
    pub fn new(most_lines: usize, most_bytes: usize) -> Self {
        Tail {
            lines: VecDeque::new(),
            bytes: 0,
            most_lines,
            most_bytes,
        }
    }

    pub fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > self.most_lines
            || (self.bytes > self.most_bytes && self.lines.len() > 1)
        {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines: Vec<_> = pieces
            .iter()
            .flat_map(|piece| splitter.push(piece))
            .collect();
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn every_kind_of_line_end_ends_a_line() {
        assert_eq!(
            split(&[b"a\nb\r\nc\r", b"\nd\re"]),
            ["a", "b", "c", "d", "e"]
        );
    }

    #[test]
    fn escape_codes_and_control_characters_are_gone() {
        assert_eq!(
            split(&[b"\x1b[1;31mred\x1b[0m\x07 \x1b]0;title\x07and\tplain\x00\n"]),
            ["red and\tplain"]
        );
    }

    #[test]
    fn a_line_without_end_is_cut_between_words() {
        let line = "word ".repeat(LONGEST_LINE / 5 + 2);
        let lines = split(&[line.as_bytes()]);
        assert_eq!(lines.len(), 2);
        assert!(
            lines
                .iter()
                .all(|line| line.split_whitespace().all(|word| word == "word"))
        );
    }

    #[test]
    fn a_tail_keeps_the_last_lines_within_its_bytes() {
        let mut tail = Tail::new(3, 10);
        for line in ["one", "two", "three", "four"] {
            tail.push(line.to_owned());
        }
        assert_eq!(tail.lines().collect::<Vec<_>>(), ["three", "four"]);
    }

    proptest! {
        #[test]
        fn where_the_output_is_cut_makes_no_difference(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let cut = cut.min(bytes.len());
            prop_assert_eq!(split(&[&bytes[..cut], &bytes[cut..]]), split(&[&bytes]));
        }
    }
}

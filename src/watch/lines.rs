//! Lines for people from the bytes of a serial line: without carriage returns, escape sequences and control characters.

use super::markers::Marker;

const PREFIX: &str = "STACK_PROVISION: ";
const RESULT: &str = "STACK_PROVISION_RESULT: ";
/// A program that never ends its line must not fill the memory.
const LONGEST: usize = 64 * 1024;
const ESCAPE: char = '\u{1b}';

/// Cuts bytes into cleaned lines. A carriage return ends a line too: what follows would overwrite it.
#[derive(Default)]
pub struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    /// The lines that these bytes complete; empty ones are left out.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' {
                lines.extend(self.finish());
                continue;
            }
            self.unfinished.push(byte);
            if self.unfinished.len() >= LONGEST {
                lines.extend(self.finish());
            }
        }
        lines
    }

    /// What stands behind the last line's end.
    pub fn finish(&mut self) -> Option<String> {
        let line = cleaned(&String::from_utf8_lossy(&std::mem::take(
            &mut self.unfinished,
        )));
        (!line.is_empty()).then_some(line)
    }
}

/// What of a serial line is a report of the agent: without its prefix, and without the half line of another program
/// that may stand before it.
pub fn report(line: &str) -> Option<&str> {
    if let Some((_, report)) = line.split_once(PREFIX) {
        return Some(report);
    }
    if let Some(start) = line.find(RESULT) {
        return Some(&line[start..]);
    }
    Marker::ALL
        .iter()
        .any(|marker| marker.text() == line)
        .then_some(line)
}

fn cleaned(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(ESCAPE) {
        clean.push_str(&rest[..start]);
        rest = behind_sequence(&rest[start + 1..]);
    }
    clean.push_str(rest);
    clean.retain(|character| character == '\t' || !character.is_control());
    clean.truncate(clean.trim_end().len());
    clean
}

/// What follows an escape sequence (ECMA-48), given what follows its escape character.
fn behind_sequence(text: &str) -> &str {
    let introducer = text.chars().next();
    match introducer {
        None => "",
        // CSI: parameters and intermediates, then one final character. Cut short, only what belongs to it goes.
        Some('[') => {
            let body = text[1..].trim_start_matches(|character| matches!(character, ' '..='?'));
            body.strip_prefix(|character| matches!(character, '@'..='~'))
                .unwrap_or(body)
        }
        // OSC, DCS and their like: up to BEL or ESC \. Without an end the text is kept: it may be what matters.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let bell = text.find('\u{7}').map(|at| (at, 1));
            let terminator = text.find("\u{1b}\\").map(|at| (at, 2));
            match bell.into_iter().chain(terminator).min() {
                Some((at, length)) => &text[at + length..],
                None => &text[1..],
            }
        }
        // Two or three characters: ESC ( B, ESC 7.
        Some(_) => {
            let body = text.trim_start_matches(|character| matches!(character, ' '..='/'));
            body.strip_prefix(|character| matches!(character, '0'..='~'))
                .unwrap_or(body)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut all = lines.feed(bytes);
        all.extend(lines.finish());
        all
    }

    #[test]
    fn escape_sequences_and_control_characters_are_taken_out() {
        assert_eq!(
            lines(b"\x1b[0;32m  OK  \x1b[0m] Started\r\n"),
            ["  OK  ] Started"]
        );
        assert_eq!(
            lines(b"\x1b]0;title\x07text\x1b]8;;x\x1b\\more"),
            ["textmore"]
        );
        assert_eq!(lines(b"\x1b(B\x1b7a\x1b[?25l\x1b[2J\0\x08b\x07\n"), ["ab"]);
        assert_eq!(lines(b"a\tb \n"), ["a\tb"]);
    }

    #[test]
    fn sequences_cut_short_hide_nothing() {
        assert_eq!(lines(b"a\x1b"), ["a"]);
        assert_eq!(lines(b"a\x1b[31"), ["a"]);
        assert_eq!(lines(b"a\x1b]0;no end"), ["a0;no end"]);
        assert_eq!(lines("a\x1b[\u{e4}b".as_bytes()), ["a\u{e4}b"]);
    }

    #[test]
    fn lines_end_at_line_feeds_and_carriage_returns_and_empty_ones_are_left_out() {
        assert_eq!(lines(b"10%\r20%\r\n\r\n\nlast"), ["10%", "20%", "last"]);
    }

    #[test]
    fn text_that_is_not_ascii_stays_and_rubbish_is_replaced() {
        assert_eq!(lines("still waiting, …\n".as_bytes()), ["still waiting, …"]);
        assert_eq!(lines(b"\xff\xfeabc\n"), ["\u{fffd}\u{fffd}abc"]);
    }

    #[test]
    fn a_character_in_two_pieces_is_whole() {
        let text = "…\n".as_bytes();
        let mut lines = Lines::default();
        let pieces: Vec<String> = text.iter().flat_map(|byte| lines.feed(&[*byte])).collect();
        assert_eq!(pieces, ["…"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let found = lines(&vec![b'x'; LONGEST + 10]);
        assert_eq!(
            found.iter().map(String::len).collect::<Vec<_>>(),
            [LONGEST, 10]
        );
    }

    #[test]
    fn only_the_agents_reports_are_reports() {
        assert_eq!(
            report("STACK_PROVISION: postgres ready (8.2s)"),
            Some("postgres ready (8.2s)")
        );
        assert_eq!(report("[ 12.0] cloud-inSTACK_PROVISION: a"), Some("a"));
        let result = "STACK_PROVISION_RESULT: {\"verdict\":\"done\"}";
        assert_eq!(report(result), Some(result));
        assert_eq!(report(&format!("STACK_PROVISION: {result}")), Some(result));
        assert_eq!(
            report("STACK_CLOUD_INIT_DONE"),
            Some("STACK_CLOUD_INIT_DONE")
        );
        assert_eq!(report("x STACK_CLOUD_INIT_DONE"), None);
        assert_eq!(report("[  OK  ] Started docker.service"), None);
    }
}

//! Lines with styles, cut to the columns of a terminal.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    Good,
    Bad,
    Busy,
    Faint,
}

impl Style {
    /// ECMA-48, "select graphic rendition": colours that every terminal has, in the shades its user has chosen.
    fn code(self) -> Option<&'static str> {
        match self {
            Style::Plain => None,
            Style::Good => Some("32"),
            Style::Bad => Some("31"),
            Style::Busy => Some("36"),
            Style::Faint => Some("2"),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(Vec<(Style, String)>);

impl Line {
    pub fn of(style: Style, text: impl Into<String>) -> Self {
        Line::default().and(style, text)
    }

    pub fn and(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// Characters, each taken for one column. Where that is wrong a line is cut too early or, as the terminal does not wrap
    /// it, at the edge.
    pub fn columns(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// No longer than so many columns; `more` stands for what is missing.
    pub fn cut(self, columns: usize, more: char) -> Line {
        if self.columns() <= columns {
            return self;
        }
        let mut left = columns.saturating_sub(1);
        let mut shown = Line::default();
        for (style, text) in self.0 {
            let part: String = text.chars().take(left).collect();
            left -= part.chars().count();
            shown = shown.and(style, part);
        }
        match columns {
            0 => shown,
            _ => shown.and(Style::Faint, more),
        }
    }

    pub fn painted(&self, colours: bool) -> String {
        let paint = |(style, text): &(Style, String)| match style.code() {
            Some(code) if colours && !text.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.clone(),
        };
        self.0.iter().map(paint).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_and_says_so() {
        let line = || Line::of(Style::Good, "good").and(Style::Bad, "bad");
        assert_eq!(line().cut(7, '…').painted(false), "goodbad");
        assert_eq!(line().cut(6, '…').painted(false), "goodb…");
        assert_eq!(line().cut(3, '…').painted(false), "go…");
        assert_eq!(line().cut(0, '…').painted(false), "");
    }

    #[test]
    fn colours_end_with_their_text() {
        let line = Line::of(Style::Good, "a").and(Style::Plain, "b");
        assert_eq!(line.painted(true), "\x1b[32ma\x1b[0mb");
    }
}

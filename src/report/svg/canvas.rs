//! The few shapes a time line is made of, as SVG, and how much room words take.

use std::fmt::Write;

/// Colours that the colour-blind can tell apart, and generic fonts: whatever shows it has some.
const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#24292f}
.title{font-size:18px;font-weight:600}.group{font-size:13px;font-weight:600}
.note{font-size:11px;fill:#57606a;paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-opacity:.8}\
.on{stroke:none;fill:#24292f}.quiet{font-size:11px;fill:#6e7781}
.good{fill:#1a7f4b}.bad{fill:#b3261e}.open{fill:#2f5f9e}.on-dark{fill:#fff}
.grid{stroke:#d8dee4}.band{fill:#5b7a9d;fill-opacity:.06}
.failure{stroke:#b3261e;stroke-width:1.5;stroke-dasharray:5 3}
.stage{fill:#4c78a8}.image{fill:#8264ad}.migration{fill:#2b7f8c}.diagnostics{fill:#8b949e}
.service,.check{fill:#f3d27a}.ready{fill:#1f9d5b}.failed{fill:#cf3b32}.unready{fill:#efb5ae}.open-end{fill-opacity:.6}";

#[derive(Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// Sizes of text, for the room it takes.
#[derive(Clone, Copy)]
pub enum Text {
    Usual,
    Note,
    Group,
}

pub struct Canvas {
    width: f64,
    body: String,
}

impl Canvas {
    pub fn new(width: f64) -> Self {
        Canvas {
            width,
            body: String::new(),
        }
    }

    pub fn text(&mut self, x: f64, y: f64, class: &str, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let text = escaped(text);
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\"{anchor}>{text}</text>"
        ));
    }

    /// `told` is shown where the mouse rests on it.
    pub fn rect(
        &mut self,
        x: f64,
        y: f64,
        width: f64,
        height: f64,
        class: &str,
        told: Option<&str>,
    ) {
        let told = told.map(|told| format!("<title>{}</title>", escaped(told)));
        let told = told.unwrap_or_default();
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" class=\"{class}\">{told}</rect>"
        ));
    }

    pub fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, class: &str) {
        self.push(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        ));
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "{element}");
    }

    pub fn finish(self, height: f64) -> String {
        let Canvas { width, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\">\n<style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
        )
    }
}

/// What XML keeps for itself is written out, and what it does not know at all is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\t' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            character if character.is_control() => {}
            character => escaped.push(character),
        }
    }
    escaped
}

/// Rather too wide than too narrow: fonts differ.
pub fn text_width(text: &str, size: Text) -> f64 {
    let em = match size {
        Text::Usual => 12.0,
        Text::Note => 11.0,
        Text::Group => 14.0,
    };
    text.chars().map(|character| em * ems(character)).sum()
}

fn ems(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | 'I' => 0.36,
        'f' | 't' | 'r' | ' ' | '(' | ')' | '[' | ']' | '-' | '/' | '"' => 0.43,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.98,
        'A'..='Z' => 0.74,
        // East Asian scripts and emoji.
        '\u{1100}'.. if !('\u{2000}'..='\u{2e7f}').contains(&character) => 1.05,
        _ => 0.63,
    }
}

/// As much of a text as there is room for.
pub fn cut(text: &str, room: f64, size: Text) -> String {
    if text_width(text, size) <= room {
        return text.to_owned();
    }
    let mut left = room - text_width("…", size);
    let mut kept = String::new();
    for character in text.chars() {
        left -= text_width(character.encode_utf8(&mut [0; 4]), size);
        if left < 0.0 {
            break;
        }
        kept.push(character);
    }
    match kept.is_empty() {
        true => kept,
        false => kept.trim_end().to_owned() + "…",
    }
}

/// A name as far as there is room for it; what tells names apart may stand at either end.
pub fn cut_inside(name: &str, room: f64, size: Text) -> String {
    if text_width(name, size) <= room {
        return name.to_owned();
    }
    let half = (room - text_width("…", size)) / 2.0;
    let mut end = name.len();
    while let Some(character) = name[..end].chars().next_back() {
        let start = end - character.len_utf8();
        if text_width(&name[start..], size) > half {
            break;
        }
        end = start;
    }
    cut(name, room - text_width(&name[end..], size), size) + &name[end..]
}

/// A text in lines, cut at words, and at the last line's end.
pub fn wrapped(text: &str, room: f64, size: Text, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let count = lines.len();
        match lines.last_mut() {
            Some(line) if is_full(line, word, room, size) && count < most => {
                lines.push(word.to_owned());
            }
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| cut(line, room, size)).collect()
}

fn is_full(line: &str, word: &str, room: f64, size: Text) -> bool {
    text_width(line, size) + text_width(" ", size) + text_width(word, size) > room
}

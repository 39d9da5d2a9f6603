//! Findings become one list of errors: every wrong place of a plan at once, in the order of its lines.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;

use super::node::Spot;
use super::secrets::is_secret_name;
use crate::mask::Masker;

/// Errors kept of one plan; a file that is no plan at all would otherwise drown the consoles.
pub(super) const MOST_ERRORS: usize = 200;

/// One thing that is wrong: where, under which key, what was found and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// The file's display name; empty for what does not come from a file.
    pub file: String,
    /// Counted from 1.
    pub line: Option<usize>,
    /// Counted from 1, in characters.
    pub column: Option<usize>,
    /// Such as `containers.deps.image`; empty where no key is meant.
    pub key: String,
    pub message: String,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            for position in [self.line, self.column].into_iter().flatten() {
                write!(f, ":{position}")?;
            }
            f.write_str(": ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// All errors of a plan and of the env files it names, one a line when printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanErrors {
    errors: Vec<PlanError>,
    omitted: usize,
}

impl PlanErrors {
    pub fn iter(&self) -> impl Iterator<Item = &PlanError> {
        self.errors.iter()
    }
}

impl fmt::Display for PlanErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let newline = if index > 0 { "\n" } else { "" };
            write!(f, "{newline}{error}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n… and {} more errors", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for PlanErrors {}

/// Where something stands in the plan's text, or in that of a Compose file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The path of keys that leads to it.
    pub key: String,
    pub at: Spot,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub value: T,
    pub place: Place,
}

/// Collects what is wrong while reading goes on.
pub(super) struct Findings<'a> {
    file: &'a str,
    text: &'a str,
    /// The Compose files' names and texts.
    others: RefCell<Vec<(String, String)>>,
    errors: RefCell<Vec<PlanError>>,
    omitted: Cell<usize>,
    notes: RefCell<Vec<String>>,
    secrets: RefCell<BTreeSet<String>>,
}

impl<'a> Findings<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Self {
        Findings {
            file,
            text,
            others: RefCell::default(),
            errors: RefCell::default(),
            omitted: Cell::new(0),
            notes: RefCell::default(),
            secrets: RefCell::default(),
        }
    }

    /// A further file in which something may stand, and its number.
    pub fn add_file(&self, name: &str, text: &str) -> usize {
        let mut others = self.others.borrow_mut();
        others.push((name.to_owned(), text.to_owned()));
        others.len()
    }

    pub fn file_name(&self, file: usize) -> String {
        match file.checked_sub(1) {
            None => self.file.to_owned(),
            Some(index) => self.others.borrow()[index].0.clone(),
        }
    }

    /// The plan's own text from there on.
    pub fn text_at(&self, at: Spot) -> &str {
        match at.file {
            0 => self.text.get(at.offset..).unwrap_or_default(),
            _ => "",
        }
    }

    /// Something in the plan itself, or in a Compose file.
    pub fn at(&self, place: &Place, message: impl fmt::Display) {
        // The position is looked for only while there is room, so that a huge broken file costs no more than a small one.
        if self.is_full() {
            return self.omitted.set(self.omitted.get() + 1);
        }
        let (line, column) = self.line_and_column(place.at);
        self.add(PlanError {
            file: self.file_name(place.at.file),
            line: Some(line),
            column: Some(column),
            key: place.key.clone(),
            message: message.to_string(),
        });
    }

    fn line_and_column(&self, at: Spot) -> (usize, usize) {
        match at.file.checked_sub(1) {
            None => line_and_column(self.text, at.offset),
            Some(index) => line_and_column(&self.others.borrow()[index].1, at.offset),
        }
    }

    /// `FILE:LINE`, to point at one place in a message about another.
    pub fn named(&self, at: Spot) -> String {
        let (line, _) = self.line_and_column(at);
        format!("{}:{line}", self.file_name(at.file))
    }

    /// What is no error and still worth a line.
    pub fn note(&self, at: Spot, message: impl fmt::Display) {
        self.add_note(format!("{}: {message}", self.named(at)));
    }

    /// The same of a line of another file.
    pub fn note_in_file(&self, file: &str, line: usize, message: impl fmt::Display) {
        self.add_note(format!("{file}:{line}: {message}"));
    }

    fn add_note(&self, note: String) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() < MOST_ERRORS && !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// A variable that was read. If its name says that it is a secret, it is shown in no error, wherever it came to stand.
    pub fn variable(&self, name: &str, value: &str) {
        if is_secret_name(name) && !value.is_empty() {
            self.secrets.borrow_mut().insert(value.to_owned());
        }
    }

    pub fn secrets(&self) -> BTreeSet<String> {
        self.secrets.borrow().clone()
    }

    pub fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// Something about a file as a whole, or in a line of another one.
    pub fn in_file(&self, file: &str, line: Option<usize>, message: impl fmt::Display) {
        self.add(PlanError {
            file: file.to_owned(),
            line,
            column: None,
            key: String::new(),
            message: message.to_string(),
        });
    }

    /// Something in a variable of the agent's own environment.
    pub fn in_variable(&self, name: &str, message: impl fmt::Display) {
        self.add(PlanError {
            file: String::new(),
            line: None,
            column: None,
            key: name.to_owned(),
            message: message.to_string(),
        });
    }

    fn is_full(&self) -> bool {
        self.errors.borrow().len() >= MOST_ERRORS
    }

    fn add(&self, error: PlanError) {
        if self.is_full() {
            self.omitted.set(self.omitted.get() + 1);
        // Two containers that name the same env file find the same error in it.
        } else if !self.errors.borrow().contains(&error) {
            self.errors.borrow_mut().push(error);
        }
    }

    /// What was found, or that nothing was.
    pub fn finish(self) -> Result<(), PlanErrors> {
        let mut errors = self.errors.into_inner();
        if errors.is_empty() {
            return Ok(());
        }
        let masker = Masker::default();
        // A word that names a key is no secret here.
        masker.publish(errors.iter().map(|error| error.key.clone()));
        masker.add(self.secrets.into_inner());
        for error in &mut errors {
            error.message = masker.mask_quoted(&error.message);
        }
        errors.sort_by(|a, b| {
            let rank = |error: &PlanError| {
                (
                    error.file != self.file,
                    error.file.clone(),
                    error.line,
                    error.column,
                )
            };
            rank(a).cmp(&rank(b))
        });
        Err(PlanErrors {
            errors,
            omitted: self.omitted.get(),
        })
    }
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

/// The known word that a mistyped one most likely meant.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A wrong key can be as long as the file.
    if word.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The word that was meant, or what there is to choose from.
pub(super) fn suggestion(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("expected {}", one_of(known)),
    }
}

/// `a`, `a or b`, `one of a, b, c`.
pub(super) fn one_of(words: &[&str]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [only] => format!("`{only}`"),
        [first, second] => format!("`{first}` or `{second}`"),
        _ => format!("one of `{}`", words.join("`, `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_columns_in_characters() {
        assert_eq!(line_and_column("a\nxäö=1", 7), (2, 4));
        assert_eq!(line_and_column("", 9), (1, 1));
        // An offset inside a character must not panic.
        assert_eq!(line_and_column("ä", 1), (1, 1));
    }

    #[test]
    fn sorts_by_file_and_line_and_drops_repetitions() {
        let findings = Findings::new("plan", "a\nb\n");
        findings.in_file("build.env", Some(1), "bad");
        findings.in_file("build.env", Some(1), "bad");
        let place = |offset| Place {
            key: "k".into(),
            at: Spot { file: 0, offset },
        };
        findings.at(&place(2), "second");
        findings.at(&place(0), "first");
        assert_eq!(
            findings.finish().unwrap_err().to_string(),
            "plan:1:1: k: first\nplan:2:1: k: second\nbuild.env:1: bad"
        );
    }

    #[test]
    fn says_how_many_errors_it_left_out() {
        let findings = Findings::new("plan", "");
        for number in 0..MOST_ERRORS + 3 {
            let key = number.to_string();
            let at = Spot::default();
            findings.at(&Place { key, at }, "bad");
        }
        let errors = findings.finish().unwrap_err();
        assert_eq!(errors.iter().count(), MOST_ERRORS);
        assert!(errors.to_string().ends_with("\n… and 3 more errors"));
    }

    #[test]
    fn suggests_only_what_is_near() {
        let known = ["image", "command"];
        assert_eq!(nearest("imgae", known), Some("image"));
        assert_eq!(nearest("comand", known), Some("command"));
        assert_eq!(nearest("zebra", known), None);
    }
}

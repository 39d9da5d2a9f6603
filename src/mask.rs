//! Masking: no secret leaves the agent, whatever prints it. Known values are masked wherever they stand, unknown ones
//! where a name says what they are.

use std::collections::BTreeSet;
use std::sync::{LazyLock, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use regex::{Captures, Regex};

pub use crate::plan::is_secret_name;

const MASK: &str = "***";
/// Shorter values are words like `a` or `42`, and masking them everywhere would leave nothing to read. Behind their
/// name they are masked all the same.
const SHORTEST: usize = 4;

/// `scheme://user:password@host`.
static URL_PASSWORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"([A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)([^\s/@]+)@").expect("a pattern")
});

/// `NAME=value`, `"NAME":"value"`, `NAME: value`, the value quoted or not.
static NAMED_VALUE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"([A-Za-z0-9_.-]+)("?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s"',;&]+)"#)
        .expect("a pattern")
});

/// A string as TOML, JSON and Rust write it, or a word between backticks.
static QUOTED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#""(?:[^"\\]|\\.)*"|`[^`]*`"#).expect("a pattern"));

/// Knows secrets and takes them out of text.
#[derive(Default)]
pub struct Masker {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    forms: BTreeSet<String>,
    public: BTreeSet<String>,
    keys: BTreeSet<String>,
    /// All forms at once; the time it takes grows with the text alone.
    finder: Option<AhoCorasick>,
}

impl Masker {
    /// Names that the plan itself gives. A password that is part of one (`postgres`) is masked behind a name that says so
    /// and inside URLs alone, or the line `postgres ready` would read `*** ready`.
    pub fn publish(&self, words: impl IntoIterator<Item = String>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.public.extend(words);
    }

    /// Keys that errors about files name. They may be called as secrets are (`services.keycloak.ports`), but behind them
    /// stands what is wrong, and no value.
    pub fn publish_keys(&self, keys: impl IntoIterator<Item = String>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.keys.extend(keys);
    }

    /// From now on these values are masked, in every form in which they may be printed.
    pub fn add(&self, values: impl IntoIterator<Item = String>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.forms.len();
        for value in values {
            if !known.public.iter().any(|word| word.contains(&value)) {
                known.forms.extend(forms(&value));
            }
        }
        if known.forms.len() > before {
            known.finder = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(&known.forms)
                .ok();
        }
    }

    pub fn mask(&self, text: &str) -> String {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let text = known.mask(text);
        let text = URL_PASSWORD.replace_all(&text, "${1}***@");
        let named = |found: &Captures<'_>| match known.is_place(&text, found) {
            true => found[0].to_owned(),
            false => mask_named(found),
        };
        NAMED_VALUE.replace_all(&text, named).into_owned()
    }

    /// Known values alone.
    pub fn mask_known(&self, text: &str) -> String {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.mask(text)
    }

    /// Known values alone, and inside of quotes alone: outside of them stand a language's own words.
    pub fn mask_quoted(&self, text: &str) -> String {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let quoted = |found: &Captures<'_>| known.mask(&found[0]);
        QUOTED.replace_all(text, quoted).into_owned()
    }
}

impl Known {
    /// What stands before the colon says where in a file something is wrong: `keycloak.yaml:3:5: services.keycloak: …`.
    fn is_place(&self, text: &str, found: &Captures<'_>) -> bool {
        const FILES: [&str; 4] = [".toml", ".yaml", ".yml", ".env"];
        let (name, between, value) = (&found[1], &found[2], &found[3]);
        let is_file = FILES.iter().any(|end| name.ends_with(end));
        let is_line = is_file && value.starts_with(|c: char| c.is_ascii_digit());
        let before = &text[..found.get(1).map_or(0, |name| name.end())];
        let is_key = |key: &String| {
            let before = before.strip_suffix(key.as_str());
            before.is_some_and(|before| before.ends_with(": "))
        };
        (is_line && between == ":") || (between == ": " && self.keys.iter().any(is_key))
    }

    fn mask(&self, text: &str) -> String {
        match &self.finder {
            Some(finder) => finder.replace_all(text, &vec![MASK; self.forms.len()]),
            None => text.to_owned(),
        }
    }
}

fn mask_named(found: &Captures<'_>) -> String {
    let (name, between) = (&found[1], &found[2]);
    // Prose has colons too: `primary key: id`, `unexpected token: ;`. A variable's name is not one plain word.
    let is_prose = between.contains(':')
        && !between.contains('"')
        && name.chars().all(|c| c.is_ascii_lowercase());
    let is_password = name.eq_ignore_ascii_case("password") || name.eq_ignore_ascii_case("secret");
    match is_secret_name(name) && (!is_prose || is_password) {
        true => format!("{name}{between}{MASK}"),
        false => found[0].to_owned(),
    }
}

/// The value itself, its lines, and how JSON, URLs and base64 write it.
fn forms(value: &str) -> BTreeSet<String> {
    let json = serde_json::to_string(value).unwrap_or_default();
    let forms = [
        value.to_owned(),
        json.trim_matches('"').to_owned(),
        utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
        STANDARD_NO_PAD.encode(value),
    ];
    let lines = value.lines().map(|line| line.trim().to_owned());
    forms
        .into_iter()
        .chain(lines)
        .filter(|form| form.len() >= SHORTEST)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn masked(secrets: &[&str], text: &str) -> String {
        let masker = Masker::default();
        masker.add(secrets.iter().map(|secret| (*secret).to_owned()));
        masker.mask(text)
    }

    #[test]
    fn known_values_are_masked_wherever_they_stand() {
        assert_eq!(
            masked(&["hunter2", "hunter2-long"], "xhunter2y hunter2-long"),
            "x***y ***"
        );
    }

    #[test]
    fn a_password_that_is_a_name_of_the_plan_leaves_the_name_readable() {
        let masker = Masker::default();
        masker.publish(["postgres".to_owned()]);
        masker.add(["postgres".to_owned()]);
        let text = "postgres ready (8.2s) PGPASSWORD=postgres postgres://postgres:postgres@db/";
        assert_eq!(
            masker.mask(text),
            "postgres ready (8.2s) PGPASSWORD=*** postgres://postgres:***@db/"
        );
    }

    #[test]
    fn other_forms_of_a_value_are_masked() {
        let text = r#"{"v":"a\"b c"} a%22b%20c YSJiIGM="#;
        assert_eq!(masked(&["a\"b c"], text), r#"{"v":"***"} *** ***="#);
    }

    #[test]
    fn each_line_of_a_value_is_masked() {
        assert_eq!(
            masked(&["-----BEGIN\nMIIEpAIB\n"], "got MIIEpAIB"),
            "got ***"
        );
    }

    #[test]
    fn passwords_in_urls_are_masked_without_being_known() {
        assert_eq!(
            masked(&[], "cannot reach postgres://app:s3cret@db:5432/app"),
            "cannot reach postgres://app:***@db:5432/app"
        );
    }

    #[test]
    fn a_name_that_says_so_masks_its_value_however_short() {
        assert_eq!(
            masked(
                &[],
                r#"API_KEY=x1 "token":"abc" POSTGRES_PASSWORD: pw db_password = 'a b' password: pw"#
            ),
            r#"API_KEY=*** "token":*** POSTGRES_PASSWORD: *** db_password = *** password: ***"#
        );
    }

    #[test]
    fn known_values_inside_of_quotes_alone() {
        let masker = Masker::default();
        masker.add(["true".to_owned(), "a\"b c".to_owned()]);
        assert_eq!(
            masker.mask_quoted(r#"external = true, x = ["--with true", "a\"b c"], no file `true`"#),
            r#"external = true, x = ["--with ***", "***"], no file `***`"#
        );
    }

    #[test]
    fn what_is_wrong_with_a_key_is_no_value() {
        let masker = Masker::default();
        masker.publish_keys(["services.keycloak.prots".to_owned(), "x.API_KEY".to_owned()]);
        for text in [
            "plan: keycloak.yaml:1:2: services.keycloak.prots: unknown key",
            "compose.yaml:1:2: x.API_KEY: the variable X must be set",
            "note: token.env:1: $X is not set",
        ] {
            assert_eq!(masker.mask(text), text);
        }
        for text in [
            "API_KEY: value",
            "=x.API_KEY: value",
            "compose.yaml:1: b.API_KEY: value",
        ] {
            assert_eq!(masker.mask(text), text.replace("value", MASK));
        }
    }

    #[test]
    fn prose_stays_readable() {
        for text in [
            "primary key: id is not unique",
            "unexpected token: ;",
            "HOME=/root PATH: /bin",
        ] {
            assert_eq!(masked(&[], text), text);
        }
    }

    proptest! {
        #[test]
        fn a_known_secret_never_comes_through(secret in "[!-~]{4,20}", before in ".{0,20}", after in ".{0,20}") {
            prop_assume!(!MASK.contains(&secret));
            let out = masked(&[&secret], &format!("{before}{secret}{after}"));
            let outside = out.replace(MASK, "");
            prop_assert!(!outside.contains(&secret) || format!("{before}{after}").contains(&secret), "{out}");
        }
    }
}

//! Text on its way out into text without secrets.
//!
//! Three things are replaced by `***`: every occurrence of a secret that is known, whatever stands around it; the value
//! in `NAME=value`, `NAME: value` and `"NAME": "value"` if the name says that it is secret; the password in a URL. All
//! three look at the original text, in time linear in its length, so that none hides something from another.

mod forms;
mod patterns;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{PoisonError, RwLock};

use aho_corasick::AhoCorasick;

pub use patterns::is_secret_name;

/// What stands in place of a secret.
pub const MASK: &str = "***";

/// A shorter value is not masked wherever it occurs, or nothing could be read any more; only where its name is seen.
pub const MIN_SECRET: usize = 4;

/// Knows the secrets. To be shared in an `Arc`; what is added later is masked from then on.
#[derive(Default)]
pub struct Masker {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    public: BTreeSet<String>,
    forms: BTreeSet<String>,
    search: Option<AhoCorasick>,
}

impl Masker {
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        Self::with_public_words([], secrets)
    }

    /// The same, but a secret that is one of the `public` words, say the password `postgres` beside a service of that
    /// name, is masked only beside its name and in URLs: hiding the word everywhere would tell more than showing it.
    pub fn with_public_words(
        public: impl IntoIterator<Item = String>,
        secrets: impl IntoIterator<Item = String>,
    ) -> Self {
        let masker = Masker::default();
        masker.change(|known| {
            known.public.extend(public);
            secrets.into_iter().for_each(|secret| known.add(&secret));
        });
        masker
    }

    /// Masks this value too from now on.
    pub fn add(&self, secret: &str) {
        self.change(|known| known.add(secret));
    }

    /// The text with all that is secret in it replaced.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        replace(text, &self.spans(text))
    }

    /// Where something secret stands, in order, none touching another.
    pub(crate) fn spans(&self, text: &str) -> Vec<Range<usize>> {
        let mut spans = patterns::spans(text);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(search) = &known.search {
            // Overlapping, for one secret may begin within another.
            spans.extend(
                search
                    .find_overlapping_iter(text)
                    .map(|found| found.range()),
            );
        }
        drop(known);
        spans.sort_by_key(|span| (span.start, span.end));
        spans.dedup_by(|next, span| {
            let touching = next.start <= span.end;
            if touching {
                span.end = span.end.max(next.end);
            }
            touching
        });
        spans
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut known);
        // Fails only when there are more secrets than a state machine can have states.
        known.search = (!known.forms.is_empty())
            .then(|| AhoCorasick::new(&known.forms).expect("a few secrets are few states"));
    }
}

/// The text with `spans` of it replaced, which are in order and do not overlap.
pub(crate) fn replace<'a>(text: &'a str, spans: &[Range<usize>]) -> Cow<'a, str> {
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut position = 0;
    for span in spans {
        masked.push_str(&text[position..span.start]);
        masked.push_str(MASK);
        position = span.end;
    }
    masked.push_str(&text[position..]);
    Cow::Owned(masked)
}

impl Known {
    fn add(&mut self, secret: &str) {
        if !self.public.contains(secret) {
            self.forms.extend(forms::of(secret));
        }
    }
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Masker").finish_non_exhaustive()
    }
}

//! Which lines were printed already: the serial log, the provision log and the port carry the same ones.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

#[derive(Clone, Copy)]
pub enum Source {
    Serial = 0,
    Log = 1,
    Channel = 2,
}

/// How often each line has come from each source, by the line's hash: a migration's output may be long.
#[derive(Default)]
pub struct Printed {
    hasher: RandomState,
    seen: HashMap<u64, [u32; 3]>,
}

impl Printed {
    /// Whether this occurrence of a line is to be printed: its second is, if it came twice from the same source; that
    /// the other source has brought it as often already means it was printed.
    pub fn is_new(&mut self, source: Source, line: &str) -> bool {
        let seen = self.seen.entry(self.hasher.hash_one(line)).or_default();
        let printed = *seen.iter().max().expect("three");
        seen[source as usize] += 1;
        seen[source as usize] > printed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_printed_as_often_as_one_source_brings_it() {
        let mut printed = Printed::default();
        assert!(printed.is_new(Source::Serial, "a"));
        assert!(!printed.is_new(Source::Log, "a"));
        assert!(printed.is_new(Source::Log, "a"));
        assert!(!printed.is_new(Source::Serial, "a"));
        assert!(printed.is_new(Source::Serial, "a"));
        assert!(printed.is_new(Source::Log, "b"));
        assert!(!printed.is_new(Source::Serial, "b"));
    }
}

//! Which view fits what standard output is.

use clap::ValueEnum;

use super::picture::Signs;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Live on a terminal, unless NO_COLOR is set or TERM is dumb; otherwise plain
    Auto,
    /// Live on a terminal, whatever the environment says
    Live,
    /// Lines, one below the other
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    Plain,
    Live { colours: bool, unicode: bool },
}

impl Manner {
    /// For standard output as it is.
    pub fn of_stdout(progress: Progress) -> Self {
        use std::io::IsTerminal;
        Self::choose(progress, std::io::stdout().is_terminal(), |name| {
            std::env::var(name).unwrap_or_default()
        })
    }

    fn choose(progress: Progress, terminal: bool, variable: impl Fn(&str) -> String) -> Self {
        // https://no-color.org: when present and not empty.
        let colours = variable("NO_COLOR").is_empty();
        let term = variable("TERM");
        let live = match progress {
            Progress::Auto => colours && !matches!(term.as_str(), "" | "dumb"),
            Progress::Live => true,
            Progress::Plain => false,
        };
        if !terminal || !live {
            return Manner::Plain;
        }
        // locale(7): the first that is set counts. The kernel's own console has few signs.
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].map(variable);
        let locale = locale.iter().find(|value| !value.is_empty());
        let utf8 = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        Manner::Live {
            colours,
            unicode: utf8 && term != "linux",
        }
    }

    pub fn signs(self) -> &'static Signs {
        match self {
            Manner::Live { unicode: true, .. } => &Signs::UNICODE,
            _ => &Signs::ASCII,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Manner = Manner::Live {
        colours: true,
        unicode: false,
    };

    fn chosen(progress: Progress, terminal: bool, variables: &[(&str, &str)]) -> Manner {
        Manner::choose(progress, terminal, |wanted| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map_or(String::new(), |(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_picture_is_for_terminals_that_can_show_one() {
        use Progress::*;
        let xterm = ("TERM", "xterm");
        let no_color = ("NO_COLOR", "1");
        assert_eq!(chosen(Auto, true, &[xterm]), LIVE);
        assert_eq!(chosen(Auto, true, &[xterm, ("NO_COLOR", "")]), LIVE);
        assert_eq!(chosen(Auto, true, &[]), Manner::Plain);
        assert_eq!(chosen(Auto, true, &[("TERM", "dumb")]), Manner::Plain);
        assert_eq!(chosen(Auto, true, &[xterm, no_color]), Manner::Plain);
        assert_eq!(chosen(Auto, false, &[xterm]), Manner::Plain);
        assert_eq!(chosen(Live, false, &[xterm]), Manner::Plain);
        assert_eq!(chosen(Plain, true, &[xterm]), Manner::Plain);
        let asked_for = Manner::Live {
            colours: false,
            unicode: false,
        };
        assert_eq!(chosen(Live, true, &[xterm, no_color]), asked_for);
    }

    #[test]
    fn signs_beyond_ascii_are_for_those_who_say_that_they_have_them() {
        let unicode = |variables: &[(&str, &str)]| match chosen(Progress::Live, true, variables) {
            Manner::Live { unicode, .. } => unicode,
            Manner::Plain => false,
        };
        assert!(unicode(&[("LANG", "C.UTF-8")]));
        assert!(unicode(&[("LANG", "C"), ("LC_ALL", "en_GB.utf8")]));
        assert!(!unicode(&[("LANG", "C.UTF-8"), ("LC_ALL", "C")]));
        assert!(!unicode(&[("LANG", "C.UTF-8"), ("TERM", "linux")]));
        assert!(!unicode(&[]));
    }
}

//! Man pages and the shells' completions, from the definitions that parse the command line.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_complete::aot::{Bash, Fish, Zsh};
use clap_mangen::Man;
use roff::{Roff, roman};

use super::args::{Cli, Shell};
use super::teaching;
use crate::failure::ExitCode;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Of the version; a page without a date is a fault.
const VERSION_DATE: &str = "2026-11-25";

pub fn completions(shell: Shell) -> ExitCode {
    let name = "guestbake";
    let all = Cli::command();
    // Those that are not for people would be offered too.
    let verbs = all.get_subcommands().filter(|verb| !verb.is_hide_set());
    let verbs: Vec<_> = verbs.cloned().collect();
    let mut command = Command::new(name).version(VERSION).subcommands(verbs);
    let mut script = Vec::new();
    match shell {
        Shell::Bash => clap_complete::generate(Bash, &mut command, name, &mut script),
        Shell::Zsh => clap_complete::generate(Zsh, &mut command, name, &mut script),
        Shell::Fish => clap_complete::generate(Fish, &mut command, name, &mut script),
    }
    print(&script)
}

/// The page of a verb, or of the program.
pub fn page(verb: Option<&str>) -> ExitCode {
    let mut command = Cli::command();
    command.build();
    let shown = match verb {
        None => Some(&command),
        Some(verb) => command
            .find_subcommand(verb)
            .filter(|found| !found.is_hide_set()),
    };
    let Some(shown) = shown else {
        let verb = verb.unwrap_or_default();
        eprintln!("guestbake: there is no verb {verb:?}; see guestbake --help");
        return ExitCode::Usage;
    };
    match render(shown.clone(), verb) {
        Ok(page) => print(&page),
        Err(error) => {
            eprintln!("guestbake: {error}");
            ExitCode::Internal
        }
    }
}

fn render(command: Command, verb: Option<&str>) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command)
        .date(VERSION_DATE)
        .source(format!("guestbake {VERSION}"))
        .manual("guestbake");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if verb.is_none() {
        man.render_subcommands_section(&mut page)?;
    }
    for section in teaching::sections(verb) {
        let mut roff = Roff::new();
        roff.control("SH", [section.title.to_uppercase().as_str()]);
        roff.control("nf", []);
        for line in section.text.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.to_writer(&mut page)?;
    }
    Ok(page)
}

/// Whoever closed the other end of a pipe has seen enough.
fn print(text: &[u8]) -> ExitCode {
    let _ = io::stdout().write_all(text);
    ExitCode::Done
}

//! A report as a table, or as a picture.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::DEFAULT_STATE;
use super::status::latest_report;
use crate::failure::ExitCode;
use crate::host::durable;
use crate::report::{self, Report};

#[derive(Args)]
pub struct ReportArgs {
    /// The report to read, `-` for standard input [default: that of the run going on, then the last one's]
    #[arg(value_name = "FILE")]
    report: Option<PathBuf>,
    /// Draw a time line instead of the table: an SVG file, `-` for standard output
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
}

pub fn show(args: &ReportArgs) -> ExitCode {
    let path = args
        .report
        .clone()
        .unwrap_or_else(|| latest_report(DEFAULT_STATE.as_ref()));
    let report = match read(&path) {
        Ok(report) => report,
        Err(why) => {
            eprintln!("guestbake: {}: {why}", path.display());
            return ExitCode::Internal;
        }
    };
    let written = match args.svg.as_deref() {
        None => print(&report::table(&report)),
        Some(out) if is_standard(out) => print(&report::time_line(&report)),
        Some(out) => {
            durable::replace(out, report::time_line(&report).as_bytes()).map_err(|error| {
                let said = format!("{}: {error}", out.display());
                io::Error::new(error.kind(), said)
            })
        }
    };
    match written {
        Ok(()) => ExitCode::Done,
        // Whoever closed the other end of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Done,
        Err(error) => {
            eprintln!("guestbake: {error}");
            ExitCode::Internal
        }
    }
}

fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path) -> Result<Report, String> {
    let mut text = String::new();
    match is_standard(path) {
        true => io::stdin().read_to_string(&mut text).map(|_| ()),
        false => fs::read_to_string(path).map(|read| text = read),
    }
    .map_err(|error| error.to_string())?;
    Report::parse(&text)
}

fn print(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}

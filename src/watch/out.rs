//! What a watch leaves on the host: the provision log, the report, its time line.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::host::durable;
use crate::report::{Report, time_line};

const LOG: &str = "provision.log";
const REPORT: &str = "report.json";
const TIME_LINE: &str = "timeline.svg";

pub struct Out {
    folder: PathBuf,
    log: File,
    report: Option<String>,
    /// What is not whole there, and why.
    lost: BTreeMap<&'static str, io::Error>,
}

impl Out {
    /// # Errors
    /// Name the folder, or the file in it that cannot be written.
    pub fn in_folder(folder: &Path) -> io::Result<Out> {
        let named = |error: io::Error, path: &Path| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        };
        fs::create_dir_all(folder).map_err(|error| named(error, folder))?;
        // Of an earlier VM.
        for name in [REPORT, TIME_LINE] {
            let _ = fs::remove_file(folder.join(name));
        }
        let log = folder.join(LOG);
        Ok(Out {
            folder: folder.to_owned(),
            log: File::create(&log).map_err(|error| named(error, &log))?,
            report: None,
            lost: BTreeMap::new(),
        })
    }

    pub fn line(&mut self, line: &str) {
        if let Err(error) = writeln!(self.log, "{line}") {
            self.lost.entry(LOG).or_insert(error);
        }
    }

    /// Kept at once: the VM may end without another.
    pub fn report(&mut self, json: String) {
        match durable::replace(&self.folder.join(REPORT), json.as_bytes()) {
            Ok(()) => self.lost.remove(REPORT),
            Err(error) => self.lost.insert(REPORT, error),
        };
        self.report = Some(json);
    }

    /// Draws the report; says what is missing and what there is, in a line each.
    pub fn finish(&mut self, shared: Option<&Path>) -> Vec<String> {
        if let (None, Some(json)) = (&self.report, shared.and_then(beside)) {
            self.report(json);
        }
        let drawn = self
            .draw()
            .unwrap_or_else(|why| format!("no time line: {why}"));
        let folder = self.folder.display();
        let lost = self.lost.iter();
        lost.map(|(name, error)| format!("{folder}/{name} lacks something: {error}"))
            .chain([drawn])
            .collect()
    }

    fn draw(&self) -> Result<String, String> {
        let folder = self.folder.display();
        let Some(json) = &self.report else {
            return Err("the guest sent no report".to_owned());
        };
        if self.lost.contains_key(REPORT) {
            return Err("the report could not be kept".to_owned());
        }
        let report = Report::parse(json)?;
        let drawn = durable::replace(&self.folder.join(TIME_LINE), time_line(&report).as_bytes());
        drawn.map_err(|error| format!("{folder}/{TIME_LINE}: {error}"))?;
        Ok(format!("{folder}/{REPORT} and {folder}/{TIME_LINE}"))
    }
}

/// The report that a guest left beside its log in a shared folder.
fn beside(log: &Path) -> Option<String> {
    fs::read_to_string(log.with_file_name(REPORT)).ok()
}

//! The record of a run in `/run/guestbake`: who is at it, and whether its verdict is out.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::event::Verdict;
use crate::host::console::Note;
use crate::host::durable;

/// Held by the processes that answer for the run.
pub struct Lock {
    file: File,
}

impl Lock {
    /// # Errors
    /// `WouldBlock` with the other process's id in the text, if a run is going on.
    pub fn take(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(folder.join("lock"))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut pid = String::new();
            file.read_to_string(&mut pid)?;
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!(
                    "another run is going on (process {}); it was left alone",
                    pid.trim()
                ),
            ));
        }
        let lock = Lock { file };
        lock.sign()?;
        Ok(lock)
    }

    fn sign(&self) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).rewind()?;
        writeln!(&self.file, "{}", std::process::id())
    }

    /// Whether the processes started from now on hold it too, for as long as they run.
    pub fn share(&self, shared: bool) -> io::Result<()> {
        let flags = if shared {
            FdFlags::empty()
        } else {
            FdFlags::CLOEXEC
        };
        Ok(fcntl_setfd(&self.file, flags)?)
    }

    /// Says that the lock, which was shared with this process, is held by it alone now.
    pub fn take_over(folder: &Path) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(folder.join("lock"))?;
        Lock { file }.sign()
    }

    /// Whether a run is going on.
    pub fn is_taken(folder: &Path) -> bool {
        File::open(folder.join("lock"))
            .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared).is_err())
    }
}

/// What a run has come to: decided before the first console hears of it, announced after the last one did.
#[derive(Clone)]
pub struct Record {
    /// While the machine is up.
    folder: PathBuf,
    /// Where a reset does not forget it.
    lasting: Option<PathBuf>,
}

/// What whoever has to finish needs to know: a file of three lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    /// The result line's JSON.
    pub result: String,
    pub power_off: bool,
}

const DECIDED: &str = "decided";
const TOLD: &str = "told";
const BEGUN: &str = "begun";
const ANNOUNCED: &str = "verdict";
const LIMIT: &str = "limit";
/// What happened so far, for those who look on.
pub const TRAIL: &str = "trail";

impl Record {
    pub fn new(folder: &Path, lasting: Option<&Path>) -> Self {
        Record {
            folder: folder.to_owned(),
            lasting: lasting.map(Path::to_owned),
        }
    }

    fn folders(&self) -> impl Iterator<Item = &Path> {
        [&self.folder]
            .into_iter()
            .chain(&self.lasting)
            .map(PathBuf::as_path)
    }

    /// Forgets the run before this one. What cannot be removed is not there, or on a disk that takes no verdict either.
    pub fn begin(&self) {
        for folder in self.folders() {
            for name in [DECIDED, TOLD, ANNOUNCED, TRAIL, LIMIT] {
                let _ = fs::remove_file(folder.join(name));
            }
        }
    }

    /// The decision that stands: one that was made before, or this. A folder that cannot be written must not cost the
    /// marker.
    pub fn decide(&self, ours: Decision) -> Decision {
        let before = fs::read_to_string(self.folder.join(DECIDED));
        if let Some(before) = before.ok().and_then(|text| Decision::parse(&text)) {
            return before;
        }
        for folder in self.folders() {
            let _ = durable::replace(&folder.join(DECIDED), ours.to_string().as_bytes());
        }
        ours
    }

    /// What others look for who want to know whether the marker is still missing.
    pub fn announced(&self, verdict: Verdict) {
        for folder in self.folders() {
            let text = format!("{}\n", verdict.marker());
            let _ = durable::replace(&folder.join(ANNOUNCED), text.as_bytes());
        }
    }

    /// By which second since boot all is said, unless we hang.
    pub fn limit(&self, uptime_s: f64) {
        let _ = durable::replace(
            &self.folder.join(LIMIT),
            format!("{uptime_s:.0}\n").as_bytes(),
        );
    }

    pub fn is_announced(&self) -> bool {
        self.folder.join(ANNOUNCED).exists()
    }

    pub fn told(&self) -> Told {
        let path = self.folder.join(TOLD);
        Told {
            before: fs::read_to_string(&path).unwrap_or_default(),
            file: OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .ok()
                .map(Arc::new),
        }
    }
}

impl Decision {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let marker = lines.next()?;
        Some(Decision {
            verdict: Verdict::ALL
                .into_iter()
                .find(|verdict| verdict.marker() == marker)?,
            result: lines.next()?.to_owned(),
            power_off: lines.next()? == POWER_OFF,
        })
    }
}

const POWER_OFF: &str = "power-off";

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.power_off {
            POWER_OFF
        } else {
            "stays-on"
        };
        writeln!(f, "{}\n{}\n{end}", self.verdict.marker(), self.result)
    }
}

/// Which console has had its result line and its marker, so that whoever takes over in the middle tells none twice.
///
/// A line is noted when it is about to go to a console through a passage, and again when it is out; between the two, what
/// is left in the passage tells. Where there is none, or both who hold it are killed at once, the line comes once more:
/// twice the same is better than never.
#[derive(Clone)]
pub struct Told {
    before: String,
    file: Option<Arc<File>>,
}

impl Told {
    /// Nobody anything.
    pub fn nobody() -> Self {
        Told {
            before: String::new(),
            file: None,
        }
    }

    pub fn has(&self, what: &str, console: &Path) -> bool {
        let entry = Self::entry(what, console);
        self.before.lines().any(|line| line == entry.trim_end())
    }

    pub fn has_begun(&self, what: &str, console: &Path) -> bool {
        self.has(&format!("{BEGUN} {what}"), console)
    }

    pub fn note_begun(&self, what: &str, console: &Path) -> Note {
        self.note(&format!("{BEGUN} {what}"), console)
    }

    pub fn note(&self, what: &str, console: &Path) -> Note {
        let (entry, file) = (Self::entry(what, console), self.file.clone());
        Box::new(move || {
            let _ = file.map(|file| (&*file).write_all(entry.as_bytes()));
        })
    }

    fn entry(what: &str, console: &Path) -> String {
        format!("{what} {}\n", console.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(verdict: Verdict) -> Decision {
        Decision {
            verdict,
            result: "{}".into(),
            power_off: true,
        }
    }

    #[test]
    fn the_first_decision_stands_until_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let lasting = folder.path().join("lasting");
        let record = Record::new(&folder.path().join("state"), Some(&lasting));
        let (done, failed) = (decision(Verdict::Done), decision(Verdict::Failed));
        assert_eq!(record.decide(done.clone()), done);
        assert_eq!(record.decide(failed.clone()), done);
        let kept = fs::read_to_string(lasting.join(DECIDED)).unwrap();
        assert_eq!(kept, "STACK_CLOUD_INIT_DONE\n{}\npower-off\n");
        record.begin();
        assert_eq!(record.decide(failed.clone()), failed);
    }

    #[test]
    fn who_was_told_is_known_to_whoever_comes_after() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::new(folder.path(), None);
        record.told().note("marker", Path::new("/dev/one"))();
        let told = record.told();
        assert!(told.has("marker", Path::new("/dev/one")));
        assert!(
            !told.has("marker", Path::new("/dev/two"))
                && !told.has("result", Path::new("/dev/one"))
        );
    }
}

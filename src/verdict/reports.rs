//! Writes each version of the report; a disk that hangs keeps only a thread.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use crate::host::durable;
use crate::report::Report;
use crate::view::View;

/// Takes reports, and whom to tell once one is written.
pub fn write_reports(paths: Vec<PathBuf>, view: Arc<View>) -> Sender<(Report, Option<Sender<()>>)> {
    let (sender, receiver) = mpsc::channel::<(Report, Option<Sender<()>>)>();
    thread::spawn(move || {
        while let Ok((report, saved)) = receiver.recv() {
            let json = serde_json::to_vec_pretty(&report).unwrap_or_default();
            for path in &paths {
                if let Err(error) = durable::replace(path, &json) {
                    view.line(&format!(
                        "the report {} cannot be written: {error}",
                        path.display()
                    ));
                }
            }
            if let Some(saved) = saved {
                let _ = saved.send(());
            }
        }
    });
    sender
}

//! Files of the bundle that containers mount are copied into the guest: the bundle is gone when the image runs.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bundle::{self, Bundle, Files};
use crate::failure::{Fault, Reason};
use crate::host::bounded::bounded;
use crate::plan::{PlacedContent, PlacedFile, Plan};

/// For all of them; they are read from a slow device, and may be a database's worth.
const LIMIT: Duration = Duration::from_secs(600);
/// Folders inside of folders.
const DEEPEST: usize = 64;

/// Puts the plan's files where its containers look for them.
pub async fn place_files(bundle: &Bundle, plan: &Plan) -> Result<(), Fault> {
    if plan.files.is_empty() {
        return Ok(());
    }
    let files = bundle.files().clone();
    let placed = plan.files.clone();
    let mut left_out = plan.images.archives.clone();
    left_out.extend(bundle::OWN_FILES.map(PathBuf::from));
    let work = move || {
        placed
            .iter()
            .try_for_each(|file| place(&files, file, &left_out))
    };
    let result = bounded(LIMIT, "copying files of the bundle", work).await;
    result.map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::NoSpace,
            _ => Reason::ContainerStartFailed,
        };
        Fault::new(reason, error.to_string())
    })
}

fn place(files: &Files, file: &PlacedFile, left_out: &[PathBuf]) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", file.path.display()))
    };
    let placed = match &file.content {
        PlacedContent::Bundle(name) => copy_tree(files, name, &file.path, left_out),
        PlacedContent::Text(text) => {
            copy_file(&file.path, &mut text.as_bytes(), file.mode.unwrap_or(0o644))
        }
        PlacedContent::Folder => fs::create_dir_all(&file.path),
    };
    placed.and_then(|()| finish(file)).map_err(named)
}

fn finish(file: &PlacedFile) -> io::Result<()> {
    // A change of the owner takes set-user-id and the like away.
    if file.uid.is_some() || file.gid.is_some() {
        chown(&file.path, file.uid, file.gid)?;
    }
    if let Some(mode) = file.mode {
        fs::set_permissions(&file.path, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// A file or folder of the bundle, to another place. What is left out is so only where a folder above it is copied.
pub fn copy_tree(files: &Files, from: &Path, to: &Path, left_out: &[PathBuf]) -> io::Result<()> {
    Tree { files, left_out }.copy(from, to, 0)
}

struct Tree<'a> {
    files: &'a Files,
    /// Relative to the bundle.
    left_out: &'a [PathBuf],
}

impl Tree<'_> {
    fn copy(&self, from: &Path, to: &Path, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(io::Error::other(format!("nested deeper than {DEEPEST}")));
        }
        match self.files.open(from) {
            Ok(mut source) => {
                let mode = source.metadata()?.permissions().mode();
                // An ISO without Rock Ridge, and one that is mounted read-only, take the right to write away.
                copy_file(to, &mut source, mode | 0o200)
            }
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                fs::create_dir_all(to)?;
                for name in self.files.names_in(from)? {
                    let inside = from.join(&name);
                    let known = inside.strip_prefix(".").unwrap_or(&inside);
                    if !self.left_out.iter().any(|left| left == known) {
                        self.copy(&inside, &to.join(&name), depth + 1)?;
                    }
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// In place: a container of an earlier run may have the file mounted.
pub fn copy_file(to: &Path, content: &mut dyn io::Read, mode: u32) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::create(to)?;
    io::copy(content, &mut file)?;
    file.flush()?;
    file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    file.sync_all()
}

//! `SHA256SUMS`: every file named in it is read once and must have the digest written there.

use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;
use std::thread;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{Bundle, Files, corrupt};
use crate::failure::{Fault, Reason};

pub const FILE: &str = "SHA256SUMS";
const CHUNK: usize = 1024 * 1024;

/// How far the verification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub done_bytes: u64,
    pub total_bytes: u64,
}

/// What was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    pub files: usize,
    pub bytes: u64,
}

/// Verifies the bundle's files on a thread of their own. `None`: the bundle has no `SHA256SUMS`.
///
/// `progress` is called after every MiB. When the returned future is dropped, the thread stops at its next chunk.
///
/// # Errors
/// `bundle_corrupt`, with every file that is missing, unreadable or different.
pub async fn verify(
    bundle: &Bundle,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Option<Verified>, Fault> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let files = bundle.files().clone();
    let (outcome_sender, outcome) = tokio::sync::oneshot::channel();
    thread::Builder::new()
        .name("checksums".into())
        .spawn(move || {
            let _ = outcome_sender.send(verify_all(&files, &sender));
        })
        .map_err(|error| Fault::new(Reason::Internal, format!("starting a thread: {error}")))?;
    while let Some(now) = receiver.recv().await {
        progress(now);
    }
    match outcome.await {
        Ok(result) => result.map_err(|problems| corrupt(bundle.location(), &problems)),
        Err(_) => Err(Fault::new(
            Reason::Internal,
            "the verification of SHA256SUMS panicked",
        )),
    }
}

fn verify_all(
    files: &Files,
    progress: &mpsc::UnboundedSender<Progress>,
) -> Result<Option<Verified>, String> {
    if !files.exists(FILE) {
        return Ok(None);
    }
    let entries = parse(&files.read(FILE).map_err(|error| error.to_string())?)?;
    let mut problems = Vec::new();
    let mut opened = Vec::new();
    for entry in &entries {
        match files
            .open(&entry.name)
            .and_then(|file| Ok((file.metadata()?.len(), file)))
        {
            Ok((length, file)) => opened.push((entry, length, file)),
            Err(error) => problems.push(format!("{FILE}:{}: {error}", entry.line)),
        }
    }
    let total_bytes = opened.iter().map(|(_, length, _)| length).sum();
    let mut done_bytes = 0;
    let mut chunk = vec![0; CHUNK];
    let verified = opened.len();
    for (entry, _, mut file) in opened {
        let mut hash = Sha256::new();
        let read = loop {
            match file.read(&mut chunk) {
                Ok(0) => break Ok(()),
                Ok(length) => {
                    hash.update(&chunk[..length]);
                    done_bytes += length as u64;
                    let now = Progress {
                        done_bytes,
                        total_bytes,
                    };
                    if progress.send(now).is_err() {
                        return Err("the verification was abandoned".into());
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        let (name, found) = (entry.name.display(), hex(&hash.finalize()));
        match read {
            Err(error) => problems.push(format!("{name}: {error}")),
            Ok(()) if found != entry.digest => problems.push(format!(
                "{name}: its SHA-256 is {}…, {FILE}:{} says {}…",
                &found[..12],
                entry.line,
                &entry.digest[..12]
            )),
            Ok(()) => {}
        }
    }
    if problems.is_empty() {
        Ok(Some(Verified {
            files: verified,
            bytes: done_bytes,
        }))
    } else {
        Err(problems.join("; "))
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    name: PathBuf,
    /// Lower-case hexadecimal.
    digest: String,
    line: usize,
}

/// Reads the three forms that `sha256sum` writes and reads: `DIGEST  NAME`, `DIGEST *NAME`, and `SHA256 (NAME) = DIGEST`
/// of `--tag`; each with a `\` in front when the name has escapes. A line that names `SHA256SUMS` itself is left out:
/// `sha256sum * > SHA256SUMS` writes one, and it cannot be right.
pub fn parse(content: &[u8]) -> Result<Vec<Entry>, String> {
    let text = str::from_utf8(content).map_err(|_| format!("{FILE}: is not UTF-8 text"))?;
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let expected = || {
            format!(
                "{FILE}:{}: expected 64 hexadecimal digits, two spaces, a name",
                index + 1
            )
        };
        let (digest, name) = digest_and_name(line).ok_or_else(expected)?;
        let name = name.strip_prefix("./").unwrap_or(&name);
        if name != FILE {
            entries.push(Entry {
                name: PathBuf::from(name),
                digest,
                line: index + 1,
            });
        }
    }
    Ok(entries)
}

fn digest_and_name(line: &str) -> Option<(String, String)> {
    let (escaped, line) = match line.strip_prefix('\\') {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (digest, name) = match line.strip_prefix("SHA256 (") {
        Some(rest) => rest
            .rsplit_once(") = ")
            .map(|(name, digest)| (digest, name))?,
        None => {
            let (digest, rest) = line.split_once(' ')?;
            (digest, rest.strip_prefix([' ', '*'])?)
        }
    };
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = if escaped {
        unescaped(name)?
    } else {
        name.to_string()
    };
    (is_digest && !name.is_empty()).then(|| (digest.to_ascii_lowercase(), name))
}

fn unescaped(name: &str) -> Option<String> {
    let mut plain = String::new();
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            other => other,
        });
    }
    Some(plain)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[path = "checksums_tests.rs"]
mod tests;

//! Whether somebody has started this by hand: then the machine is theirs, and stays on.

use std::fs;
use std::io::IsTerminal;
use std::path::Path;

/// A chain of parents longer than this is none.
const MOST_PARENTS: usize = 64;

pub fn is_by_hand() -> bool {
    std::io::stdout().is_terminal()
        || std::io::stdin().is_terminal()
        // Someone is at the other end even where there is no terminal: `ssh guest guestbake run`.
        || std::env::var_os("SSH_CONNECTION").is_some()
        // `ssh guest sudo guestbake run`: sudo drops the variable.
        || under_sshd(Path::new("/proc"), std::process::id())
}

/// Whether an SSH session is among a process's parents.
fn under_sshd(proc: &Path, process: u32) -> bool {
    let mut process = process;
    for _ in 0..MOST_PARENTS {
        let Some((name, parent)) = name_and_parent(proc, process) else {
            return false;
        };
        // OpenSSH 9.8 gave sessions a program of their own.
        if matches!(name.as_str(), "sshd" | "sshd-session" | "dropbear") {
            return true;
        }
        process = parent;
    }
    false
}

fn name_and_parent(proc: &Path, process: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(proc.join(process.to_string()).join("stat")).ok()?;
    // proc_pid_stat(5): the name stands in parentheses and may hold any.
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
    Some((name.to_owned(), parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(names: &[&str]) -> bool {
        let proc = tempfile::tempdir().unwrap();
        for (number, name) in names.iter().enumerate() {
            let folder = proc.path().join((number + 1).to_string());
            fs::create_dir(&folder).unwrap();
            let stat = format!("{} ({name}) S {number} 1 1 0", number + 1);
            fs::write(folder.join("stat"), stat).unwrap();
        }
        under_sshd(proc.path(), names.len() as u32)
    }

    #[test]
    fn a_session_is_found_among_the_parents() {
        assert!(chain(&["systemd", "sshd", "sudo", "guestbake"]));
        assert!(chain(&["systemd", "sshd-session", "a) b (c", "guestbake"]));
        assert!(!chain(&["systemd", "cloud-init", "sh", "guestbake"]));
        assert!(!chain(&["systemd", "not sshd)", "guestbake"]));
    }
}

//! A terminal: a tmux server of its own with one pane, in which a command runs, and which shows what a person would see.

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::provision::until_or;

pub struct Terminal {
    dir: TempDir,
}

impl Terminal {
    /// `variables`: `NAME=value`, besides those of an ordinary session.
    pub fn start(command: &Command, columns: u16, rows: u16, variables: &[&str]) -> Terminal {
        let dir = TempDir::with_prefix("guestbake-tmux-").expect("a temporary directory");
        // What ended can still be looked at, and all rows are the command's.
        let config = "set -g remain-on-exit on\nset -g remain-on-exit-format ''\n\
                      set -g status off\nset -g history-limit 20000\n";
        std::fs::write(dir.path().join("tmux.conf"), config).expect("a configuration");
        let terminal = Terminal { dir };
        let mut unset = vec!["NO_COLOR", "LC_ALL"];
        let mut set = vec!["LANG=C.UTF-8".to_owned()];
        set.extend(variables.iter().map(|variable| (*variable).to_owned()));
        for (name, value) in command.get_envs() {
            let name = name.to_str().unwrap();
            match value {
                Some(value) => set.push(format!("{name}={}", value.to_str().unwrap())),
                None => unset.push(name),
            }
        }
        let mut line = vec!["env".to_owned()];
        line.extend(unset.iter().map(|name| format!("-u {}", quoted(name))));
        line.extend(set.iter().map(|variable| quoted(variable)));
        line.push(quoted(command.get_program().to_str().unwrap()));
        let args = command.get_args().map(|arg| quoted(arg.to_str().unwrap()));
        line.extend(args);
        let size = ["-x", &columns.to_string(), "-y", &rows.to_string()].map(str::to_owned);
        let mut args = vec!["new-session".to_owned(), "-d".to_owned()];
        args.extend(size);
        // An interrupt from the keyboard goes to the shell, too.
        let status = quoted(terminal.dir.path().join("status").to_str().unwrap());
        args.push(format!("trap : INT; {}; echo $? >{status}", line.join(" ")));
        terminal.tmux(args.iter().map(String::as_str));
        terminal
    }

    fn tmux<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new("tmux")
            .args(["-u", "-f"])
            .arg(self.dir.path().join("tmux.conf"))
            .arg("-S")
            .arg(self.socket())
            .args(args)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .output()
            .expect("tmux: apt-get install tmux");
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "tmux: {stderr}");
        String::from_utf8_lossy(&stdout).into_owned()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// What can be seen now.
    pub fn screen(&self) -> String {
        self.tmux(["capture-pane", "-p"])
    }

    /// The same and everything that has scrolled away, lines that were wrapped in one piece.
    pub fn everything(&self) -> String {
        self.tmux(["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// With its colours.
    pub fn in_colour(&self) -> String {
        self.tmux(["capture-pane", "-p", "-e"])
    }

    pub fn keys(&self, keys: &str) {
        self.tmux(["send-keys", keys]);
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// Waits until the screen is as it should be, and gives it back.
    pub fn until(&self, what: &str, right: impl Fn(&str) -> bool) -> String {
        until_or(
            || Some(self.screen()).filter(|screen| right(screen)),
            || format!("waited in vain for {what}; the screen:\n{}", self.screen()),
        )
    }

    /// Waits for the command's end; its exit code.
    pub fn end(&self) -> i32 {
        let status = || std::fs::read_to_string(self.dir.path().join("status")).ok();
        until_or(
            || status()?.trim().parse().ok(),
            || format!("it does not end; the screen:\n{}", self.screen()),
        )
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(self.socket())
            .arg("kill-server")
            .output();
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

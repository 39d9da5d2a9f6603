//! Completions, man pages and help, which are all made from the definitions that parse the command line.
#![cfg(feature = "manual")]

use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_guestbake");
/// All that people use.
const VERBS: [&str; 11] = [
    "run",
    "check",
    "wait",
    "migrate",
    "smoke",
    "diagnose",
    "status",
    "report",
    "watch",
    "completions",
    "man",
];

fn guestbake(args: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(args)
        .output()
        .expect("the program")
}

#[track_caller]
fn said(args: &[&str]) -> String {
    let output = guestbake(args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// What bash offers for a line whose last word is being typed.
fn completed(line: &[&str]) -> Vec<String> {
    let script = r#"
        source <("$1" completions bash); shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _guestbake guestbake "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", script, "bash", PROGRAM])
        .args(line)
        .output()
        .expect("bash");
    assert!(output.stderr.is_empty(), "{output:?}");
    let offered = String::from_utf8(output.stdout).unwrap();
    offered.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_options_and_values() {
    assert_eq!(completed(&["guestbake", "diag"]), ["diagnose"]);
    assert_eq!(completed(&["guestbake", "run", "--hol"]), ["--hold"]);
    assert_eq!(
        completed(&["guestbake", "run", "--from", "mig"]),
        ["migrations"]
    );
    let verbs = completed(&["guestbake", ""]);
    for verb in VERBS {
        assert!(
            verbs.iter().any(|offered| offered == verb),
            "no {verb}: {verbs:?}"
        );
    }
    assert!(
        !verbs.iter().any(|offered| offered.contains("worker")),
        "{verbs:?}"
    );
}

#[test]
fn the_other_shells_take_their_scripts() {
    for (shell, arguments) in [("zsh", ["-n"]), ("fish", ["--no-execute"])] {
        let script = said(&["completions", shell]);
        assert!(script.contains("diagnose"), "{script}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        match Command::new(shell)
            .args(arguments)
            .arg(file.path())
            .output()
        {
            Ok(output) => assert!(output.status.success(), "{shell}: {output:?}"),
            Err(_) => println!("{shell} is not installed: its script is not parsed"),
        }
    }
}

#[test]
fn man_pages_are_without_fault() {
    let mandoc = |page: &str, arguments: &[&str]| {
        use std::io::Write;
        let mut reader = Command::new("mandoc")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("apt-get install mandoc");
        reader
            .stdin
            .take()
            .unwrap()
            .write_all(page.as_bytes())
            .unwrap();
        let output = reader.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Bold and underlined, as typewriters did it.
        let overstruck = regex::Regex::new(".\u{8}").unwrap();
        overstruck.replace_all(&text, "").into_owned()
    };
    for verb in std::iter::once(None).chain(VERBS.map(Some)) {
        let args: Vec<_> = std::iter::once("man").chain(verb).collect();
        let page = said(&args);
        let complaints = mandoc(&page, &["-Tlint", "-Wwarning"]);
        // A break beside a blank line, as clap_mangen writes them: the page looks the same without.
        let mut grave = complaints
            .lines()
            .filter(|line| !line.contains("skipping paragraph macro"));
        assert_eq!(grave.next(), None, "{args:?}");
        let text = mandoc(&page, &["-Tascii", "-Ios=Linux"]);
        assert!(text.contains("NAME") && text.contains("SYNOPSIS"), "{text}");
    }
    let page = mandoc(&said(&["man", "run"]), &["-Tutf8"]);
    assert!(
        page.contains("smoke_failed") && page.contains("guestbake run --hold"),
        "{page}"
    );
    assert_eq!(guestbake(&["man", "no-such-verb"]).status.code(), Some(64));
}

#[test]
fn help_teaches_and_a_slip_is_put_right() {
    for verb in VERBS {
        let long = said(&[verb, "--help"]);
        assert!(long.contains("Examples:\n"), "{long}");
        assert_eq!(long, said(&["help", verb]));
        assert!(said(&[verb, "-h"]).len() < long.len(), "{verb}");
    }
    let run = said(&["run", "--help"]);
    for headline in ["Exit status:", "Files:", "Environment:"] {
        assert!(run.contains(headline), "no {headline}\n{run}");
    }
    let slip = guestbake(&["diagnoze"]);
    assert_eq!(slip.status.code(), Some(64));
    let said = String::from_utf8_lossy(&slip.stderr).into_owned();
    assert!(
        said.contains("similar subcommand exists: 'diagnose'"),
        "{said}"
    );
}

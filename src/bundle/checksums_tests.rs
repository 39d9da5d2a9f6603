use super::*;
use crate::bundle::build_arch;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

fn bundle(root: &Path) -> Bundle {
    Bundle {
        location: root.to_path_buf(),
        build: build_arch::parse("STACK_EMULATOR_BUILD_ARCH=amd64").unwrap(),
        files: Files::new(File::open(root).unwrap().into()),
    }
}

async fn verify_folder(root: &Path) -> Result<Option<Verified>, String> {
    let verified = verify(&bundle(root), &mut |_| {}).await;
    verified.map_err(|fault| {
        assert_eq!(fault.reason, Reason::BundleCorrupt);
        fault.error.to_string()
    })
}

/// Lets coreutils write the file: theirs is the format.
fn sha256sum(root: &Path, arguments: &[&str], names: &[&str]) {
    let output = Command::new("sha256sum")
        .args(arguments)
        .arg("--")
        .args(names)
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success());
    fs::write(root.join(FILE), output.stdout).unwrap();
}

#[tokio::test]
async fn what_coreutils_wrote_is_verified_with_every_option() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["plain", "two words", "back\\slash", "new\nline", "-dash"];
    for name in names {
        fs::write(folder.path().join(name), name).unwrap();
    }
    for arguments in [&[] as &[&str], &["--binary"], &["--tag"]] {
        sha256sum(folder.path(), arguments, &names);
        let verified = verify_folder(folder.path()).await.unwrap().unwrap();
        assert_eq!(verified.files, names.len());
        assert_eq!(
            verified.bytes,
            names.iter().map(|name| name.len() as u64).sum::<u64>()
        );
    }
}

#[tokio::test]
async fn without_the_file_nothing_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(verify_folder(folder.path()).await.unwrap(), None);
}

#[tokio::test]
async fn every_difference_and_every_missing_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["good", "changed", "gone"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    sha256sum(folder.path(), &[], &["good", "changed", "gone"]);
    fs::write(folder.path().join("changed"), "differently").unwrap();
    fs::remove_file(folder.path().join("gone")).unwrap();
    let message = verify_folder(folder.path()).await.unwrap_err();
    assert!(
        message.contains("SHA256SUMS:3: gone: No such file"),
        "{message}"
    );
    let [found, wanted] =
        ["differently", "changed"].map(|text| hex(&Sha256::digest(text))[..12].to_string());
    let expected = format!("changed: its SHA-256 is {found}…, SHA256SUMS:2 says {wanted}…");
    assert!(message.contains(&expected), "{message}");
    assert!(!message.contains("good"), "{message}");
}

#[tokio::test]
async fn a_name_outside_the_bundle_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("{}  ../etc/passwd\n", "0".repeat(64));
    fs::write(folder.path().join(FILE), line).unwrap();
    let message = verify_folder(folder.path()).await.unwrap_err();
    assert!(message.contains("leads out of the bundle"), "{message}");
}

#[tokio::test]
async fn progress_reaches_the_total() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("image"), vec![1; 2 * CHUNK + 5]).unwrap();
    sha256sum(folder.path(), &[], &["image"]);
    let mut seen = Vec::new();
    verify(&bundle(folder.path()), &mut |progress| seen.push(progress))
        .await
        .unwrap();
    let total_bytes = 2 * CHUNK as u64 + 5;
    assert_eq!(
        seen.last(),
        Some(&Progress {
            done_bytes: total_bytes,
            total_bytes
        })
    );
    assert_eq!(seen.len(), 3);
}

#[test]
fn the_thread_stops_when_nobody_waits_any_more() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("image"), "content").unwrap();
    sha256sum(folder.path(), &[], &["image"]);
    let (sender, receiver) = mpsc::unbounded_channel();
    drop(receiver);
    let stopped = verify_all(bundle(folder.path()).files(), &sender);
    assert_eq!(stopped.unwrap_err(), "the verification was abandoned");
}

#[test]
fn lines_that_cannot_be_read_are_told() {
    let digest = "a".repeat(64);
    let expected = "SHA256SUMS:2: expected 64 hexadecimal digits, two spaces, a name";
    for line in [
        "nonsense",
        "abc  file",
        &digest,
        &format!("\\{digest}  a\\x"),
    ] {
        let text = format!("# comment\n{line}\n");
        assert_eq!(parse(text.as_bytes()).unwrap_err(), expected, "{line}");
    }
}

#[test]
fn windows_line_ends_upper_case_and_a_line_about_itself_are_taken() {
    let text = format!("{0}  ./a b\r\n\r\n{0}  SHA256SUMS\r\n", "AB".repeat(32));
    let entries = parse(text.as_bytes()).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].name, PathBuf::from("a b"));
    assert_eq!(entries[0].digest, "ab".repeat(32));
}

//! The bootstrap's own part of a run, in the shells that guests have: what it meets before the program runs, and after that
//! was killed. Scripts in the place of cloud-init's runcmd start it.

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use support::guest::{Guest, GuestBundle};
use support::provision::FAILED;

const SHELLS: [&str; 2] = ["dash", "busybox sh"];
const LIMIT: Duration = Duration::from_secs(120);
/// Nobody asks an engine.
const NO_ENGINE: &str = "unix:///nowhere";

/// What the host sees when this runs in a guest.
fn console(bundle: &GuestBundle, shell: &str, script: &str) -> String {
    let bootstrap = format!("{shell} /usr/local/sbin/guestbake-bootstrap");
    let script = script.replace("BOOTSTRAP", &bootstrap);
    Guest::with(bundle, NO_ENGINE, &script).end(LIMIT)
}

/// Without the program, which an image may have brought.
fn empty_bundle() -> GuestBundle {
    GuestBundle::changed("", |folder| {
        fs::remove_file(folder.join("guestbake")).unwrap();
    })
}

/// One marker, and a result line with this reason.
fn assert_failed(console: &str, reason: &str, shell: &str) {
    let markers = console.lines().filter(|line| *line == FAILED).count();
    assert_eq!(markers, 1, "{shell}: {console}");
    let reason = format!("\"reason\":\"{reason}\"");
    assert!(console.contains(&reason), "{shell}: no {reason}: {console}");
}

#[test]
fn where_run_cannot_be_written_the_bootstrap_says_so_once() {
    let bundle = empty_bundle();
    for shell in SHELLS {
        let script = "mount -o remount,bind,ro /run
            BOOTSTRAP
            EXIT_STATUS=$? BOOTSTRAP last-resort";
        let console = console(&bundle, shell, script);
        assert_failed(&console, "internal", shell);
        assert!(
            console.contains("/run/guestbake-bootstrap.lock"),
            "{shell}: {console}"
        );
    }
}

#[test]
fn a_device_timeout_that_is_no_number_is_30_seconds() {
    let bundle = empty_bundle();
    for shell in SHELLS {
        // A clock that goes fifty times as fast.
        let script = "rm /dev/disk/by-label/STACKBUNDLE
            echo 100.00 1 >/var/lib/uptime
            mount --bind /var/lib/uptime /proc/uptime
            (for n in $(seq 101 500); do echo $n.00 1 1<>/var/lib/uptime; sleep 0.02; done) &
            GUESTBAKE_DEVICE_TIMEOUT=30s BOOTSTRAP";
        let console = console(&bundle, shell, script);
        assert_failed(&console, "bundle_missing", shell);
        let note = "GUESTBAKE_DEVICE_TIMEOUT=30s is no number";
        assert!(console.contains(note), "{shell}: {console}");
    }
}

#[test]
fn checksums_are_verified_with_the_tools_of_the_guest() {
    for (is_right, reason) in [(true, "plan_invalid"), (false, "bundle_corrupt")] {
        let bundle = GuestBundle::changed("nonsense = 1", |folder| {
            let mut sums = Command::new("sha256sum");
            let sums = sums.arg("guestbake").current_dir(folder).output().unwrap();
            let mut sums = String::from_utf8(sums.stdout).unwrap();
            if !is_right {
                sums.replace_range(..64, &"0".repeat(64));
            }
            fs::write(folder.join("SHA256SUMS"), sums).unwrap();
        });
        for tool in ["/usr/bin/sha256sum", "/bin/busybox"] {
            let script = format!(
                "ln -s {tool} /usr/local/sbin/sha256sum
                BOOTSTRAP --bundle {}",
                bundle.folder().display()
            );
            let console = console(&bundle, SHELLS[0], &script);
            assert_failed(&console, reason, tool);
        }
    }
}

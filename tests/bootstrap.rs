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

/// The bootstrap's patience is over soon: minutes with a worker that goes on alone, and those of the last resort.
const SOON: &str = "sed -i 's/-lt 180 /-lt 1 /; s/patience=[0-9]*/patience=1/' /usr/local/sbin/guestbake-bootstrap";

/// What the host sees when this runs in a guest.
fn console(bundle: &GuestBundle, shell: &str, script: &str) -> String {
    let bootstrap = format!("{shell} /usr/local/sbin/guestbake-bootstrap");
    let script = script
        .replace("SOON", SOON)
        .replace("BOOTSTRAP", &bootstrap);
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
fn what_the_guest_lacks_is_said_and_what_can_be_done_without_it_is_done() {
    let bundle = GuestBundle::changed("nonsense = 1", |_| ());
    let lacks = [
        ("mount --bind /dev/null /usr/bin/flock", "internal", "flock"),
        (
            "mount -t tmpfs -o ro none /var/log",
            "plan_invalid",
            "nonsense",
        ),
    ];
    for shell in SHELLS {
        for (lack, reason, word) in lacks {
            let script = format!("{lack}\nBOOTSTRAP --bundle {}", bundle.folder().display());
            let console = console(&bundle, shell, &script);
            assert_failed(&console, reason, shell);
            assert!(console.contains(word), "{shell}: {console}");
        }
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

#[test]
fn a_killed_worker_that_keeps_its_lock_is_not_waited_for_for_ever() {
    let bundle = empty_bundle();
    for shell in SHELLS {
        let script = r#"SOON
cat >/usr/local/bin/guestbake <<'END'
#!/bin/sh
[ "$1" = run ] || exit 0
mkdir -p /run/guestbake
exec 8>/run/guestbake/lock
flock 8
tail -f /dev/null &
echo $! >/run/holder
kill -KILL $$
END
chmod +x /usr/local/bin/guestbake
BOOTSTRAP
echo THE LOCK IS LET GO >/dev/console
kill $(cat /run/holder)"#;
        let console = console(&bundle, shell, script);
        assert_failed(&console, "killed", shell);
        let (before, _) = console.split_once("THE LOCK IS LET GO").expect(&console);
        assert!(before.contains(FAILED), "{shell}: {console}");
    }
}

/// The lock's holder as the kernel leaves it when it does not let go of one of its threads: the first one is gone.
const HELD_UP: &str = "import ctypes, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
ctypes.CDLL(None).pthread_exit(None)";

#[test]
fn the_last_resort_speaks_for_those_that_cannot_and_for_nobody_else() {
    let bundle = empty_bundle();
    for shell in SHELLS {
        let script = r#"SOON
lock=/run/guestbake-bootstrap.lock
hold() {
    (exec 9>$lock; flock 9; exec "$@") &
    holder=$!
    while flock -n $lock true; do sleep 0.1; done
}
hold tail -f /dev/null
EXIT_STATUS=KILL BOOTSTRAP last-resort
echo IT WAS LEFT ALONE >/dev/console
kill $holder
wait $holder
hold python3 -c 'HELD_UP'
until grep -q '^State:.Z' /proc/$holder/status; do sleep 0.1; done
EXIT_STATUS=KILL BOOTSTRAP last-resort appointed
echo IT IS LET GO >/dev/console
kill -KILL $holder"#;
        let console = console(&bundle, shell, &script.replace("HELD_UP", HELD_UP));
        assert_failed(&console, "killed", shell);
        let (alone, rest) = console.split_once("IT WAS LEFT ALONE").expect(&console);
        assert!(!alone.contains(FAILED), "{shell}: {console}");
        let (held_up, _) = rest.split_once("IT IS LET GO").expect(&console);
        assert!(held_up.contains(FAILED), "{shell}: {console}");
    }
}

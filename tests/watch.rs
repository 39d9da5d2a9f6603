//! `watch` against real files that grow and real processes that end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use guestbake::watch::{WatchEnd, WatchOptions, run};

/// A place where one thread prints and another waits for what it printed.
#[derive(Clone, Default)]
struct Screen {
    shared: Arc<(Mutex<String>, Condvar)>,
}

impl Screen {
    fn wait_for(&self, text: &str) {
        let (content, changed) = &*self.shared;
        let content = content.lock().unwrap();
        drop(
            changed
                .wait_while(content, |content| !content.contains(text))
                .unwrap(),
        );
    }

    fn content(&self) -> String {
        self.shared.0.lock().unwrap().clone()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (content, changed) = &*self.shared;
        content
            .lock()
            .unwrap()
            .push_str(str::from_utf8(bytes).unwrap());
        changed.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A folder with a serial log, and a process in the VM's place.
struct Scene {
    folder: tempfile::TempDir,
    vm: Child,
    screen: Screen,
}

impl Scene {
    fn new() -> Scene {
        Scene {
            folder: tempfile::tempdir().unwrap(),
            vm: Command::new("sleep").arg("100000").spawn().unwrap(),
            screen: Screen::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn options(&self) -> WatchOptions {
        WatchOptions {
            serial: self.path("serial.log"),
            pid: Some(self.vm.id() as i32),
            log: None,
            channel: None,
            out: None,
            timeout: None,
        }
    }

    fn start(&self, options: WatchOptions) -> JoinHandle<WatchEnd> {
        let mut screen = self.screen.clone();
        thread::spawn(move || run(&options, &mut screen).unwrap())
    }

    fn lines(&self) -> Vec<String> {
        self.screen.content().lines().map(str::to_string).collect()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.vm.kill();
        let _ = self.vm.wait();
    }
}

#[test]
fn progress_is_shown_as_it_comes_and_done_ends_it_while_the_vm_runs_on() {
    let scene = Scene::new();
    let watch = scene.start(scene.options());
    scene.append(
        "serial.log",
        "\x1b[2J[    0.0] Linux version 6.12\r\nSTACK_PROVISION: images: 10 of 20",
    );
    scene.append("serial.log", " MB\r\n[  OK  ] Started dock");
    scene.screen.wait_for("images: 10 of 20 MB\n");
    scene.append(
        "serial.log",
        "\nSTACK_PROVISION: postgres ready (8.2s)\r\n\x1b[0m\n",
    );
    scene.screen.wait_for("postgres ready");
    scene.append(
        "serial.log",
        "\nSTACK_PROVISION_RESULT: {\"verdict\":\"done\"}\r\n\nSTACK_CLOUD_INIT_DONE\r\n",
    );
    assert_eq!(watch.join().unwrap(), WatchEnd::Done);
    let lines = scene.lines();
    assert_eq!(
        lines[..4],
        [
            "images: 10 of 20 MB",
            "postgres ready (8.2s)",
            "STACK_PROVISION_RESULT: {\"verdict\":\"done\"}",
            "STACK_CLOUD_INIT_DONE",
        ]
    );
    assert!(
        lines[4].starts_with("watch: guest reported DONE after "),
        "{lines:?}"
    );
    assert_eq!(lines.len(), 5);
}

#[test]
fn failure_and_readiness_have_their_own_ends() {
    for (marker, end, code) in [
        ("STACK_CLOUD_INIT_FAILED", WatchEnd::Failed, 1),
        ("STACK_SERVICES_READY", WatchEnd::Ready, 0),
    ] {
        let scene = Scene::new();
        scene.append("serial.log", &format!("boot\n{marker}\n"));
        let found = scene.start(scene.options()).join().unwrap();
        assert_eq!((found, found.exit_code()), (end, code));
    }
}

#[test]
fn the_end_of_the_vm_shows_its_last_words() {
    let mut scene = Scene::new();
    let watch = scene.start(scene.options());
    scene.append("serial.log", "STACK_PROVISION: starting\n");
    scene.screen.wait_for("starting");
    for number in 0..40 {
        scene.append("serial.log", &format!("[   {number}.0] line {number}\r\n"));
    }
    scene.append(
        "serial.log",
        "\x1b[31mKernel panic - not syncing: VFS\x1b[0m",
    );
    scene.vm.kill().unwrap();
    let end = watch.join().unwrap();
    assert_eq!((end, end.exit_code()), (WatchEnd::Gone, 2));
    let lines = scene.lines();
    assert!(
        lines[1].starts_with("watch: the last 30 lines of "),
        "{lines:?}"
    );
    assert_eq!(lines[2], "  [   11.0] line 11");
    assert_eq!(lines[31], "  Kernel panic - not syncing: VFS");
    let last = format!(
        "watch: the VM (pid {}) ended without a marker after ",
        scene.vm.id()
    );
    assert!(lines[32].starts_with(&last), "{lines:?}");
    assert_eq!(lines.len(), 33);
}

#[test]
fn a_marker_written_just_before_the_end_counts_even_without_a_line_end() {
    let mut scene = Scene::new();
    scene.append("serial.log", "boot\nSTACK_CLOUD_INIT_DONE");
    scene.vm.kill().unwrap();
    assert_eq!(scene.start(scene.options()).join().unwrap(), WatchEnd::Done);
}

#[test]
fn a_marker_behind_half_a_line_is_none() {
    let mut scene = Scene::new();
    scene.append("serial.log", "Starting dockSTACK_CLOUD_INIT_DONE\n");
    scene.vm.kill().unwrap();
    assert_eq!(scene.start(scene.options()).join().unwrap(), WatchEnd::Gone);
}

#[test]
fn a_marker_of_an_earlier_vm_is_not_believed() {
    let mut scene = Scene::new();
    scene.append("serial.log", "STACK_CLOUD_INIT_DONE\n");
    let file = File::options()
        .write(true)
        .open(scene.path("serial.log"))
        .unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    file.set_modified(long_ago).unwrap();
    // The VM ends before it touched the file, as QEMU does when its command line is wrong.
    scene.vm.kill().unwrap();
    assert_eq!(scene.start(scene.options()).join().unwrap(), WatchEnd::Gone);
    assert!(
        scene.lines()[0].ends_with("holds nothing of this VM"),
        "{:?}",
        scene.lines()
    );
}

#[test]
fn a_log_cut_back_by_the_next_vm_is_read_from_its_beginning() {
    let scene = Scene::new();
    scene.append("serial.log", "STACK_PROVISION: first of a long log\n");
    let watch = scene.start(scene.options());
    scene.screen.wait_for("first");
    fs::write(scene.path("serial.log"), "STACK_PROVISION: second\n").unwrap();
    scene.screen.wait_for("second");
    scene.append("serial.log", "STACK_CLOUD_INIT_FAILED\n");
    assert_eq!(watch.join().unwrap(), WatchEnd::Failed);
}

#[test]
fn lines_of_the_shared_log_are_not_shown_twice_and_its_markers_do_not_count() {
    let scene = Scene::new();
    let watch = scene.start(WatchOptions {
        log: Some(scene.path("provision.log")),
        ..scene.options()
    });
    scene.append(
        "provision.log",
        "STACK_CLOUD_INIT_DONE\nloading\nonly in the log\n",
    );
    scene.screen.wait_for("only in the log");
    scene.append(
        "serial.log",
        "STACK_PROVISION: loading\nSTACK_PROVISION: only on the line\n",
    );
    scene.screen.wait_for("only on the line");
    scene.append("provision.log", "only on the line\nlast");
    scene.append("serial.log", "STACK_CLOUD_INIT_FAILED\n");
    assert_eq!(watch.join().unwrap(), WatchEnd::Failed);
    let lines = scene.lines();
    let expected = [
        "STACK_CLOUD_INIT_DONE",
        "loading",
        "only in the log",
        "only on the line",
    ];
    assert_eq!(lines[..4], expected);
    assert_eq!(
        lines[4..6].iter().filter(|line| *line == "last").count(),
        1,
        "{lines:?}"
    );
    assert_eq!(lines.len(), 7);
}

#[test]
fn what_comes_over_the_port_is_shown_and_left_on_the_host() {
    let scene = Scene::new();
    let out = scene.path("out");
    let watch = scene.start(WatchOptions {
        channel: Some(scene.path("channel")),
        out: Some(out.clone()),
        ..scene.options()
    });
    let report = r#"{"version":2,"started":"2026-11-21T05:04:59Z","elapsed_s":12.5}"#;
    scene.append(
        "channel",
        "{\"guestbake\":\"0.1.0\",\"protocol\":1}\n{\"log\":\"only over the port\"}\n{\"log\":\"on both\"}\n",
    );
    scene.screen.wait_for("only over the port");
    // The marker is out before the port has brought all.
    scene.append(
        "serial.log",
        "STACK_PROVISION: on both\nSTACK_CLOUD_INIT_DONE\n",
    );
    scene.screen.wait_for("STACK_CLOUD_INIT_DONE");
    scene.append(
        "channel",
        &format!("{{\"report\":{report}}}\n{{\"end\":\"STACK_CLOUD_INIT_DONE\"}}\n"),
    );
    assert_eq!(watch.join().unwrap(), WatchEnd::Done);
    let shown = ["only over the port", "on both", "STACK_CLOUD_INIT_DONE"];
    let lines = scene.lines();
    assert_eq!(lines[..3], shown, "{lines:?}");
    assert!(lines[3].ends_with("out/timeline.svg"), "{lines:?}");
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(read("report.json"), report);
    assert!(read("timeline.svg").starts_with("<svg "));
    assert_eq!(read("provision.log").lines().collect::<Vec<_>>(), shown);
}

#[test]
fn a_host_that_has_no_room_for_log_and_report_still_sees_the_guest_to_its_end() {
    let scene = Scene::new();
    // Neither takes anything.
    fs::create_dir_all(scene.path("out/report.json")).unwrap();
    std::os::unix::fs::symlink("/dev/full", scene.path("out/provision.log")).unwrap();
    let watch = scene.start(WatchOptions {
        channel: Some(scene.path("channel")),
        out: Some(scene.path("out")),
        ..scene.options()
    });
    scene.append(
        "channel",
        "{\"report\":{\"version\":2,\"elapsed_s\":1.0}}\n{\"log\":\"after the report\"}\n",
    );
    scene.screen.wait_for("after the report");
    scene.append("channel", "{\"end\":\"STACK_CLOUD_INIT_DONE\"}\n");
    scene.append("serial.log", "STACK_CLOUD_INIT_DONE\n");
    assert_eq!(watch.join().unwrap(), WatchEnd::Done);
    let said = scene.screen.content();
    for missing in [
        "out/provision.log lacks something: No space left",
        "out/report.json lacks something: ",
        "watch: no time line: the report could not be kept",
    ] {
        assert!(said.contains(missing), "{said}");
    }
}

#[test]
fn a_report_beside_the_shared_log_is_taken_and_none_at_all_is_said() {
    let scene = Scene::new();
    fs::create_dir(scene.path("share")).unwrap();
    scene.append("share/provision.log", "shared\n");
    scene.append("share/report.json", r#"{"version":2,"elapsed_s":1.0}"#);
    scene.append("serial.log", "STACK_CLOUD_INIT_FAILED\n");
    let options = |log: Option<PathBuf>| WatchOptions {
        log,
        out: Some(scene.path("out")),
        ..scene.options()
    };
    let log = Some(scene.path("share/provision.log"));
    assert_eq!(scene.start(options(log)).join().unwrap(), WatchEnd::Failed);
    assert!(scene.path("out/timeline.svg").exists());
    assert_eq!(scene.start(options(None)).join().unwrap(), WatchEnd::Failed);
    scene
        .screen
        .wait_for("no time line: the guest sent no report");
    assert!(!scene.path("out/timeline.svg").exists(), "an earlier run's");
}

#[test]
fn the_limit_ends_it_with_what_was_last_said() {
    let scene = Scene::new();
    scene.append("serial.log", "[  1.0] waiting for the root device\n");
    let end = scene.start(WatchOptions {
        timeout: Some(Duration::from_millis(300)),
        ..scene.options()
    });
    let end = end.join().unwrap();
    assert_eq!((end, end.exit_code()), (WatchEnd::TimedOut, 3));
    let lines = scene.lines();
    assert_eq!(lines[1], "  [  1.0] waiting for the root device");
    assert_eq!(lines[2], "watch: no marker within 300ms");
}

#[test]
fn without_a_process_a_marker_ends_it() {
    let scene = Scene::new();
    let watch = scene.start(WatchOptions {
        pid: None,
        ..scene.options()
    });
    scene.append("serial.log", "STACK_PROVISION: a\n");
    scene.screen.wait_for("a\n");
    scene.append("serial.log", "STACK_CLOUD_INIT_DONE\n");
    assert_eq!(watch.join().unwrap(), WatchEnd::Done);
}

#[test]
fn a_serial_line_that_is_no_file_is_an_error() {
    let scene = Scene::new();
    let options = WatchOptions {
        serial: scene.folder.path().to_path_buf(),
        ..scene.options()
    };
    let error = run(&options, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

use super::*;

#[tokio::test]
async fn this_machine_tells_everything() {
    let sections = LocalVitals
        .take(&[PathBuf::from("/var/lib/docker/to/come")])
        .await;
    let titles: Vec<&str> = sections.iter().map(|section| section.title).collect();
    assert_eq!(
        titles,
        ["memory", "load", "pressure", "file systems", "kernel"]
    );
    for section in &sections {
        assert!(!section.lines.is_empty(), "{} is empty", section.title);
    }
    assert!(sections[0].lines[0].ends_with(" available"), "{sections:?}");
    assert!(sections[3].lines[0].starts_with('/'), "{sections:?}");
    assert!(sections[4].lines.len() <= MOST_KERNEL_LINES);
}

#[test]
fn memory_is_told_in_sizes() {
    let meminfo = "MemTotal:        2017280 kB\nMemFree:          100 kB\nMemAvailable:      51200 kB\nSwapTotal:             0 kB\n";
    assert_eq!(
        memory(meminfo),
        ["50.0 MiB of 1.9 GiB available", "no swap"]
    );
    let with_swap = "MemTotal: 1024 kB\nSwapTotal: 1024 kB\nSwapFree: 512 kB\n";
    assert_eq!(
        memory(with_swap),
        ["? of 1.0 MiB available", "swap: 512.0 KiB of 1.0 MiB free"]
    );
}

#[test]
fn pressure_leaves_the_totals_out_and_says_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let text = "some avg10=1.50 avg60=0.20 avg300=0.00 total=8\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
    fs::write(folder.path().join("memory"), text).unwrap();
    let lines = pressure(folder.path());
    assert!(lines[0].starts_with("cpu: not known: "), "{lines:?}");
    assert_eq!(lines[1], "memory: some avg10=1.50 avg60=0.20 avg300=0.00");
    assert_eq!(lines[2], "memory: full avg10=0.00 avg60=0.00 avg300=0.00");
}

fn record(level: u8, text: &str) -> Record {
    Record {
        level,
        uptime: Duration::from_millis(61_500),
        text: text.into(),
    }
}

#[test]
fn of_the_kernels_log_only_trouble_is_shown() {
    let records = [
        record(6, "Linux version 6.12"),
        record(4, "hrtimer: interrupt took 5 ms"),
        record(6, "oom-kill:constraint=CONSTRAINT_MEMCG,task=postgres"),
        record(6, "Out of memory: Killed process 812 (postgres)"),
        record(5, "random: crng init done"),
        record(3, "I/O error, dev vda, sector 12"),
    ];
    assert_eq!(
        warnings(&records),
        [
            "[   61.500000] hrtimer: interrupt took 5 ms",
            "[   61.500000] oom-kill:constraint=CONSTRAINT_MEMCG,task=postgres",
            "[   61.500000] Out of memory: Killed process 812 (postgres)",
            "[   61.500000] I/O error, dev vda, sector 12",
        ]
    );
    assert_eq!(warnings(&records[..1]), ["no warnings"]);
}

#[test]
fn the_last_lines_are_kept_and_long_ones_cut() {
    let mut records: Vec<Record> = (0..50)
        .map(|number| record(4, &format!("warning {number}")))
        .collect();
    records.push(record(4, &"x".repeat(5000)));
    let lines = warnings(&records);
    assert_eq!(lines.len(), MOST_KERNEL_LINES);
    assert!(lines[0].ends_with("warning 21"), "{}", lines[0]);
    assert!(lines[29].len() < 400);
}

#[test]
fn each_real_file_system_is_chosen_once_and_those_of_the_paths_first() {
    let mount = |device: &str, mount_point: &str, kind: &str| Mount {
        device: device.into(),
        mount_point: mount_point.into(),
        kind: kind.into(),
        source: "source".into(),
        is_whole: true,
        is_read_only: false,
        device_is_read_only: false,
    };
    let mounts = [
        mount("0:1", "/proc", "proc"),
        mount("8:1", "/", "ext4"),
        mount("8:1", "/bind", "ext4"),
        mount("0:5", "/tmp", "tmpfs"),
        mount("8:2", "/srv", "ext4"),
        mount("0:9", "/srv/overlay2/merged", "overlay"),
    ];
    let points = |paths: &[PathBuf]| -> Vec<PathBuf> {
        choose(&mounts, paths)
            .into_iter()
            .map(|mount| mount.mount_point)
            .collect()
    };
    assert_eq!(points(&[]), ["/", "/tmp", "/srv"].map(PathBuf::from));
    assert_eq!(
        points(&["/tmp/none".into()]),
        ["/tmp", "/", "/srv"].map(PathBuf::from)
    );
}

use super::*;

/// What `plan from-compose` proposes to wait for, of a service with these lines.
fn proposed(lines: &str) -> String {
    let yaml = format!("services:\n  aa: {{{lines}}}\n");
    let origin = Origin {
        files: &["compose.yaml".to_owned()],
        env_files: &[],
        profiles: &[],
        project: None,
        archive: None,
    };
    let text = plan(&yaml).starting(&origin);
    let (_, probe) = text.split_once("container = \"aa\"\n").expect("a service");
    probe.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_known_image_is_asked_as_a_server_if_it_runs_as_one() {
    for lines in [
        "image: 'postgres:16'",
        "image: postgres, command: [-c, fsync=off]",
        "image: postgres, command: postgres -c fsync=off",
        "image: redis, command: redis-server --save ''",
        "image: mysql, command: /usr/sbin/mysqld",
    ] {
        let probe = proposed(lines);
        assert!(probe.starts_with("exec = "), "{lines}: {probe}");
    }
    for lines in [
        "image: 'redis:7', command: redis-cli --cluster create a:1 b:1",
        "image: 'postgres:16', entrypoint: [sh, -c, 'psql -f x']",
        "image: 'mysql:8', command: [sh, -c, mysqldump]",
    ] {
        let probe = proposed(lines);
        assert!(probe.starts_with("up = true"), "{lines}: {probe}");
    }
    let tcp = proposed("image: redis, command: [sh, -c, x], ports: ['6379:6379']");
    assert_eq!(tcp, "tcp = \"127.0.0.1:6379\"");
}

//! The private engine of the tests is itself tested: what it promises is what the other tests stand on.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::engine::{EngineOptions, PrivateEngine};
use support::http;
use support::image::{TOOLS, tools_image};

fn create_and_start(engine: &PrivateEngine, name: &str, command: &str) {
    let spec = format!(
        r#"{{"Image": "{TOOLS}", "Cmd": ["sh", "-c", "{command}"], "HostConfig": {{"NetworkMode": "host"}}}}"#
    );
    let path = format!("/containers/create?name={name}");
    let answer = post_json(engine, &path, &spec);
    assert_eq!(answer.status, 201, "{}", answer.body);
    let answer = engine.request("POST", &format!("/containers/{name}/start"), b"");
    assert_eq!(answer.status, 204, "{}", answer.body);
}

fn post_json(engine: &PrivateEngine, path: &str, body: &str) -> http::Answer {
    let answer = http::json(
        &engine.socket(),
        "POST",
        path,
        body,
        Duration::from_secs(60),
    );
    answer.unwrap_or_else(|error| panic!("POST {path}: {error}"))
}

fn assert_gone(directory: &Path) {
    assert!(!directory.exists(), "{} is left", directory.display());
    let name = directory.to_str().unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(name), "mounts are left:\n{mounts}");
    let ours = std::process::id().to_string();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        if entry.file_name().to_str() == Some(&ours) {
            continue;
        }
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command);
        assert!(!command.contains(name), "a process is left: {command}");
    }
}

#[test]
fn runs_containers_of_the_tools_image_and_leaves_nothing_behind() {
    let engine = PrivateEngine::start();
    tools_image(&engine);
    create_and_start(&engine, "once", "echo from inside; exit 3");
    let answer = engine.request("POST", "/containers/once/wait", b"");
    assert!(answer.body.contains(r#""StatusCode":3"#), "{}", answer.body);
    let answer = engine.request("GET", "/containers/once/logs?stdout=1", b"");
    assert!(answer.body.contains("from inside"), "{}", answer.body);
    create_and_start(&engine, "endless", "sleep 100000");
    let directory = engine.data_root().parent().unwrap().to_owned();
    drop(engine);
    assert_gone(&directory);
}

#[test]
fn a_stopped_engine_hangs_and_is_still_removed() {
    let engine = PrivateEngine::start();
    tools_image(&engine);
    create_and_start(&engine, "endless", "sleep 100000");
    engine.stop();
    let answer = http::request(
        &engine.socket(),
        "GET",
        "/_ping",
        b"",
        Duration::from_millis(200),
    );
    assert!(answer.is_err(), "a stopped engine answered");
    engine.cont();
    assert_eq!(engine.request("GET", "/_ping", b"").body, "OK");
    engine.stop();
    let directory = engine.data_root().parent().unwrap().to_owned();
    drop(engine);
    assert_gone(&directory);
}

#[test]
fn a_killed_engine_leaves_nothing_behind() {
    let engine = PrivateEngine::start();
    tools_image(&engine);
    create_and_start(&engine, "endless", "sleep 100000");
    engine.kill();
    let directory = engine.data_root().parent().unwrap().to_owned();
    drop(engine);
    assert_gone(&directory);
}

#[test]
fn a_data_root_of_its_own_runs_full() {
    let engine = PrivateEngine::start_with(EngineOptions {
        data_root_size: Some(4 << 20),
        ..EngineOptions::default()
    });
    let archive = support::image::ImageArchive::new(
        "big:latest",
        vec![support::image::layer(&[("big", &vec![7; 8 << 20])])],
    );
    let answer = engine.request("POST", "/images/load?quiet=1", &archive.bytes());
    assert!(
        answer.body.contains("no space left"),
        "{} {}",
        answer.status,
        answer.body
    );
    let output = Command::new("df").arg(engine.data_root()).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("guestbake-test-data"));
}

#[test]
fn the_shared_engine_is_one() {
    let first = PrivateEngine::shared();
    assert_eq!(first.pid(), PrivateEngine::shared().pid());
}

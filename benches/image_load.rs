//! Who had better unpack an image archive, the agent or the engine? Loads one image of a few hundred MB of this
//! machine's own files into a private engine, packed with nothing, gzip and zstd, each unpacked by either side, and by
//! the `docker` command if it is there. Ratios are to the first row of the same run.
//!
//! `cargo bench --bench image_load`; `GUESTBAKE_TEST_DOCKERD` and `GUESTBAKE_TEST_DAEMON_JSON` choose the engine,
//! `GUESTBAKE_BENCH_MB` the size, `GUESTBAKE_BENCH_ROUNDS` how often.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::query_parameters::{ImportImageOptions, RemoveImageOptions};
use futures_util::TryStreamExt;
use guestbake::images::archive::{Archive, Layers};
use support::engine::PrivateEngine;
use support::image::{ImageArchive, Packing};

const TAG: &str = "guestbake-test/bench:latest";

/// Who unpacks.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Agent,
    Engine,
}

/// How an archive gets into the engine.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Agent(Side),
    DockerLoad,
}

struct Case {
    packing: Packing,
    by: By,
    file: PathBuf,
    /// Wall-clock, and CPU time of this process and its children, and of the engine with its containerd.
    runs: Vec<(Duration, f64, f64)>,
}

fn main() {
    let megabytes = number("GUESTBAKE_BENCH_MB", 400);
    let rounds = number("GUESTBAKE_BENCH_ROUNDS", 3);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let engine = PrivateEngine::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let docker = runtime.block_on(connect(&engine));
    let api = docker.client_version();
    let mut cases = cases(directory.path(), megabytes << 20, api.minor_version >= 42);
    for _ in 0..rounds {
        for case in &mut cases {
            let cpu = (own_cpu(), engine_cpu(&engine));
            let start = Instant::now();
            match case.by {
                By::Agent(side) => runtime.block_on(load(&docker, &case.file, side)),
                By::DockerLoad => docker_load(&engine, &case.file),
            }
            let elapsed = start.elapsed();
            case.runs
                .push((elapsed, own_cpu() - cpu.0, engine_cpu(&engine) - cpu.1));
            let removed = docker.remove_image(TAG, None::<RemoveImageOptions>, None);
            runtime.block_on(removed).expect("the image was loaded");
        }
    }
    println!(
        "engine API {}.{}, best of {rounds}",
        api.major_version, api.minor_version
    );
    println!(
        "{:<10} {:<16} {:>8} {:>7} {:>7} {:>10} {:>10}",
        "packing", "unpacked by", "file MB", "s", "ratio", "own CPU s", "engine s"
    );
    let first = best(&cases[0]).0.as_secs_f64();
    for case in &cases {
        let (elapsed, own, engine) = best(case);
        println!(
            "{:<10} {:<16} {:>8} {:>7.2} {:>7.2} {own:>10.2} {engine:>10.2}",
            format!("{:?}", case.packing),
            match case.by {
                By::Agent(Side::Agent) => "agent",
                By::Agent(Side::Engine) => "engine",
                By::DockerLoad => "`docker load`",
            },
            std::fs::metadata(&case.file).expect("the archive").len() >> 20,
            elapsed.as_secs_f64(),
            elapsed.as_secs_f64() / first,
        );
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

fn best(case: &Case) -> (Duration, f64, f64) {
    *case.runs.iter().min_by_key(|run| run.0).expect("a run")
}

fn cases(directory: &Path, size: u64, engine_knows_zstd: bool) -> Vec<Case> {
    let client = Command::new("docker").arg("--version").output().is_ok();
    let mut image = ImageArchive::new(TAG, vec![system_files(size)]);
    let mut cases = Vec::new();
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        image.packing = packing;
        let file = directory.join(format!("{packing:?}"));
        image.write(&file);
        for by in [
            By::Agent(Side::Agent),
            By::Agent(Side::Engine),
            By::DockerLoad,
        ] {
            let possible =
                by == By::Agent(Side::Agent) || packing != Packing::Zstd || engine_knows_zstd;
            if possible && (by != By::DockerLoad || client) {
                cases.push(Case {
                    packing,
                    by,
                    file: file.clone(),
                    runs: Vec::new(),
                });
            }
        }
    }
    cases
}

/// A layer of programs and libraries, what images are made of.
fn system_files(size: u64) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut directories = vec![
        PathBuf::from("/usr/bin"),
        PathBuf::from("/usr/lib"),
        PathBuf::from("/usr/share"),
    ];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() && entry.metadata().is_ok_and(|data| data.len() < 64 << 20) {
                let name = entry.path();
                let _ = tar.append_path_with_name(&name, name.strip_prefix("/").expect("absolute"));
            }
            if tar.get_ref().len() as u64 > size {
                return tar.into_inner().expect("in memory");
            }
        }
    }
    tar.into_inner().expect("in memory")
}

async fn connect(engine: &PrivateEngine) -> Docker {
    let socket = engine.socket();
    let docker = Docker::connect_with_unix(
        socket.to_str().expect("UTF-8"),
        600,
        bollard::API_DEFAULT_VERSION,
    );
    docker
        .expect("a socket")
        .negotiate_version()
        .await
        .expect("an engine")
}

async fn load(docker: &Docker, file: &Path, side: Side) {
    let archive =
        Archive::open("bench", File::open(file).expect("the archive")).expect("an archive");
    let (stream, _) = match side {
        Side::Agent => archive.stream_unpacked(Layers::AsTheyAre, |_| Ok(None)),
        Side::Engine => archive.stream_packed(None),
    };
    let options = ImportImageOptions {
        quiet: true,
        ..ImportImageOptions::default()
    };
    let said: Result<Vec<_>, _> = docker
        .import_image_stream(options, stream, None)
        .try_collect()
        .await;
    said.expect("a loaded image");
}

fn docker_load(engine: &PrivateEngine, file: &Path) {
    let status = Command::new("docker")
        .args(["--host", &engine.url(), "load", "--quiet", "--input"])
        .arg(file)
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("docker").success());
}

/// Seconds, of this process and the children it has waited for.
fn own_cpu() -> f64 {
    cpu("/proc/self/stat", 4)
}

fn engine_cpu(engine: &PrivateEngine) -> f64 {
    let dockerd = engine.pid().as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{dockerd}/task/{dockerd}/children"))
        .unwrap_or_default();
    let children: f64 = children
        .split_whitespace()
        .map(|pid| cpu(&format!("/proc/{pid}/stat"), 4))
        .sum();
    // What has ended (the processes that unpack layers) counts as waited for.
    cpu(&format!("/proc/{dockerd}/stat"), 4) + children
}

fn cpu(stat: &str, fields: usize) -> f64 {
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // utime, stime, cutime, cstime in hundredths of a second.
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(fields)
        .filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

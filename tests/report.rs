//! The report: of real runs as its schema says, and what is made of it. The drawings are kept in `target/tmp/report`, to
//! be looked at.

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use guestbake::event::{Awaited, Event, Outcome, Smoke, Verdict};
use guestbake::failure::{Reason, Stage};
use guestbake::report::{Report, VERSION};
use serde_json::{Value, json};
use support::image::{ImageArchive, TOOLS};
use support::provision::{Provision, container, idle};
use support::server::free_port;

fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/report.schema.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn assert_valid(report: &Value) {
    let schema = jsonschema::validator_for(&schema()).expect("a schema");
    let errors: Vec<_> = schema
        .iter_errors(report)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}\n{report:#}");
}

fn guestbake(args: &[&str], input: &str) -> Output {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_guestbake"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// The table, and the drawing's elements, which must be well-formed.
fn shown(name: &str, report: &Value) -> (String, String) {
    let text = report.to_string();
    let table = guestbake(&["report", "-"], &text);
    assert_eq!(table.status.code(), Some(0), "{table:?}");
    let drawing = guestbake(&["report", "-", "--svg", "-"], &text);
    assert_eq!(drawing.status.code(), Some(0), "{drawing:?}");
    let svg = String::from_utf8(drawing.stdout).unwrap();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.svg")), &svg).unwrap();
    fs::write(folder.join(format!("{name}.json")), format!("{report:#}")).unwrap();
    assert_self_contained(&svg);
    (String::from_utf8(table.stdout).unwrap(), svg)
}

#[track_caller]
fn assert_self_contained(svg: &str) {
    for foreign in ["<script", "href", "url(", "@import", "<image", "onload"] {
        assert!(!svg.contains(foreign), "{foreign} in\n{svg}");
    }
    let parse = "import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.stdin.buffer)";
    let mut child = Command::new("python3")
        .args(["-c", parse])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3, which prerequisites.sh installs");
    use std::io::Write;
    child
        .stdin
        .take()
        .unwrap()
        .write_all(svg.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

// --- Of real runs ----------------------------------------------------------------------------------------------------

#[test]
fn the_report_of_a_run_is_as_the_schema_says() {
    let plan = format!(
        "[images]\narchives = ['tools.tar']\nrequire = ['{TOOLS}']\n\
         {}[[wait.services]]\nname = 'up'\ncontainer = 'reported'\nexec = ['test', '-e', '/tmp/up']\n\
         [[migrations]]\nname = 'first'\ncontainer = 'reported'\ncommand = ['sh', '-c', 'sleep 0.2']\n\
         [smoke]\nwhen = 'always'\n[[smoke.checks]]\nname = 'up'\ncontainer = 'reported'\nexec = ['true']\n",
        container(
            "reported",
            "sleep 2; touch /tmp/up; trap 'exit 0' TERM; sleep 100000 & wait"
        ),
    );
    let ended = Provision::new(&plan)
        .file("tools.tar", ImageArchive::tools(TOOLS).bytes())
        .run();
    ended.assert_done();
    let report = &ended.report;
    assert_valid(report);
    assert_eq!(report["version"], VERSION);
    assert_eq!(report["result"], ended.result);
    let stages = report["stages"].as_array().unwrap();
    let names: Vec<_> = stages
        .iter()
        .map(|stage| stage["stage"].as_str().unwrap())
        .collect();
    let all = [
        "bundle",
        "plan",
        "guest",
        "engine",
        "images",
        "containers",
        "wait",
        "migrations",
        "smoke",
        "stop",
        "finish",
    ];
    assert_eq!(names, all);
    let mut before = 0.0;
    for stage in stages {
        let (start, seconds) = (
            stage["started_s"].as_f64().unwrap(),
            stage["seconds"].as_f64().unwrap(),
        );
        // Each event is dated when it is heard.
        assert!(start >= before - 0.05, "{report:#}");
        assert_eq!(stage["state"], "done");
        before = start + seconds;
    }
    assert_eq!(report["images"][0]["archive"], "tools.tar");
    let services = report["services"].as_array().unwrap();
    assert_eq!(services.len(), 2, "the service and the check of its name");
    assert_eq!(
        (&services[0]["stage"], &services[1]["stage"]),
        (&json!("wait"), &json!("smoke"))
    );
    assert_eq!(services[0]["last_error"], "exit code 1");
    assert!(services[0]["attempts"].as_u64() > Some(1));
    assert!(services[0]["probed_s"].as_f64() >= report["waits"][0]["started_s"].as_f64());
    assert_eq!(report["migrations"][0]["exit_code"], 0);
    assert!(!report["guest"]["evidence"].as_array().unwrap().is_empty());
    assert_eq!(report["diagnostics"], Value::Null);

    let (table, _) = shown("real-run", report);
    let times: Vec<_> = table.lines().filter(|line| line.starts_with(' ')).collect();
    assert!(table.starts_with("done in "), "{table}");
    assert!(
        times
            .iter()
            .any(|line| line.contains("migration") && line.contains("first")),
        "{table}"
    );
}

#[test]
fn the_report_of_a_failure_has_its_moment_the_last_errors_and_the_diagnostics() {
    let plan = container("dies-reported", "echo out of paper; sleep 2.5; exit 3")
        + &format!(
            "[[wait.services]]\nname = 'never'\ncontainer = 'dies-reported'\ntcp = '127.0.0.1:{}'\n",
            free_port()
        );
    let ended = Provision::new(&plan).run();
    ended.assert_failed(31, "dependency_exited", "wait", &["out of paper"]);
    let report = &ended.report;
    assert_valid(report);
    let last = report["stages"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["stage"], &last["state"]),
        (&json!("wait"), &json!("failed"))
    );
    let never = &report["services"][0];
    assert_eq!(never["ready_s"], Value::Null);
    assert_eq!(never["last_error"], "connection refused");
    assert!(never["attempts"].as_u64() > Some(1), "{never}");
    let lines = report["diagnostics"]["lines"].as_array().unwrap();
    assert!(
        lines.contains(&json!("dies-reported | out of paper")),
        "{lines:#?}"
    );
    let (table, svg) = shown("real-failure", report);
    assert!(
        table.contains("cause: container dies-reported exited with code 3"),
        "{table}"
    );
    assert!(
        table.contains("not ready, ") && table.contains(": connection refused"),
        "{table}"
    );
    assert!(
        svg.contains("failed at ") && svg.contains("dependency_exited: "),
        "{svg}"
    );
}

#[test]
fn the_report_is_as_the_schema_says_at_every_moment() {
    let plan = idle("midway")
        + &format!(
            "[[wait.services]]\nname = 'never'\ntcp = '127.0.0.1:{}'\n",
            free_port()
        );
    let run = Provision::new(&plan).start();
    run.until_console("container midway started");
    let text = fs::read_to_string(run.provision().report_file()).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_valid(&report);
    assert_eq!(report["result"], Value::Null);
    let (table, _) = shown("midway", &report);
    assert!(table.starts_with("stage wait, "), "{table}");
    run.signal(rustix::process::Signal::TERM);
    assert_valid(&run.end().report);
}

#[test]
fn a_plan_that_is_wrong_leaves_a_valid_report_too() {
    let ended = Provision::new("nonsense = 1").run();
    ended.assert_failed(11, "plan_invalid", "plan", &[]);
    assert_valid(&ended.report);
    shown("plan-invalid", &ended.report);
}

/// Of a VM, say: `tests/vm/cases` ask for it.
#[test]
fn a_given_report_is_as_the_schema_says() {
    let Ok(path) = std::env::var("GUESTBAKE_CHECK_REPORT") else {
        eprintln!("skipped: GUESTBAKE_CHECK_REPORT names no report");
        return;
    };
    let text = fs::read_to_string(path).unwrap();
    assert_valid(&serde_json::from_str(&text).unwrap());
}

// --- What is made of it ----------------------------------------------------------------------------------------------

/// A run told by its events.
struct Told {
    report: Report,
    now: f64,
}

impl Told {
    fn new() -> Self {
        let report = Report {
            version: VERSION,
            guestbake: "0.1.0".into(),
            started: "2026-11-21T05:04:59Z".into(),
            uptime_s: 74.2,
            ..Report::default()
        };
        Told { report, now: 0.0 }
    }

    fn event(&mut self, event: Event) -> &mut Self {
        self.report.take(&event, self.now);
        self
    }

    fn at(&mut self, now: f64) -> &mut Self {
        self.now = now;
        self
    }

    fn stage(&mut self, stage: Stage, seconds: f64) -> &mut Self {
        self.event(Event::StageStarted { stage });
        self.now += seconds;
        self.event(Event::StageDone { stage, seconds })
    }

    /// Up to the images.
    fn begun(&mut self) -> &mut Self {
        self.stage(Stage::Bundle, 1.4)
            .stage(Stage::Plan, 0.031)
            .event(Event::Guest {
                arch: "amd64".into(),
                accel: "tcg".into(),
                evidence: vec!["CPUID 0x40000000 says \"TCGTCGTCGTCG\"".into()],
            });
        self.stage(Stage::Guest, 0.012).stage(Stage::Engine, 0.21)
    }

    fn image(&mut self, archive: &str, bytes: u64, seconds: f64) -> &mut Self {
        let archive = archive.to_owned();
        self.event(Event::ImageLoading {
            archive: archive.clone(),
            done: 0,
            total: bytes,
            seconds: 0.0,
        });
        self.now += seconds;
        self.event(Event::Image {
            archive,
            bytes,
            seconds,
            loaded: true,
        })
    }

    fn waiting(&mut self, names: &[&str]) -> &mut Self {
        let services = names.iter().map(|name| Awaited {
            name: (*name).into(),
            container: Some("deps".into()),
        });
        self.event(Event::Waiting {
            services: services.collect(),
            budget_s: 1500.0,
            waited_s: 0.0,
        })
    }

    fn ready(&mut self, name: &str, since: f64, ready_s: f64, attempts: u32) -> &mut Self {
        self.at(since + ready_s).event(Event::Service {
            name: name.into(),
            ready_s,
            attempts,
        })
    }

    fn not_ready(&mut self, name: &str, error: &str, attempts: u32) -> &mut Self {
        self.event(Event::NotReady {
            name: name.into(),
            error: error.into(),
            attempts,
        })
    }

    fn migration(&mut self, name: &str, seconds: f64, exit_code: Option<i64>) -> &mut Self {
        self.event(Event::MigrationStarted { name: name.into() });
        self.now += seconds;
        self.event(Event::Migration {
            name: name.into(),
            exit_code,
            seconds,
        })
    }

    fn done(&mut self) -> Value {
        self.event(Event::Outcome(Outcome {
            verdict: Verdict::Done,
            stage: None,
            reason: None,
            message: None,
            smoke: Smoke::Skipped,
        }));
        self.json()
    }

    fn json(&self) -> Value {
        let report = serde_json::to_value(&self.report).unwrap();
        assert_valid(&report);
        report
    }
}

/// Everything at once, with times as in an emulated guest.
fn whole() -> Value {
    let mut told = Told::new();
    told.begun().event(Event::StageStarted {
        stage: Stage::Images,
    });
    told.image("images.tar.zst", 43_200_000, 17.9)
        .image("extras/another.tgz", 8_100_000, 5.2);
    told.event(Event::StageDone {
        stage: Stage::Images,
        seconds: 23.1,
    });
    told.stage(Stage::Containers, 1.1)
        .event(Event::StageStarted { stage: Stage::Wait });
    let since = told.now;
    told.waiting(&["postgres", "postgres-queries", "valkey", "clickhouse"]);
    told.at(since + 1.0)
        .not_ready("postgres", "connection refused", 40);
    told.ready("valkey", since, 5.6, 71)
        .ready("postgres", since, 22.8, 139);
    told.ready("postgres-queries", since, 29.1, 18)
        .ready("clickhouse", since, 24.4, 145);
    told.at(since + 29.1).event(Event::StageDone {
        stage: Stage::Wait,
        seconds: 29.1,
    });
    told.event(Event::StageStarted {
        stage: Stage::Migrations,
    });
    told.migration("schema", 13.4, Some(0))
        .migration("seed", 4.4, Some(0));
    told.event(Event::StageDone {
        stage: Stage::Migrations,
        seconds: 17.8,
    });
    told.event(Event::StageStarted {
        stage: Stage::Smoke,
    });
    let since = told.now;
    told.waiting(&["backend"]).ready("backend", since, 9.3, 55);
    told.event(Event::StageDone {
        stage: Stage::Smoke,
        seconds: 9.4,
    });
    told.stage(Stage::Stop, 2.2).done()
}

/// Events are heard late where everything is slow, and not all by the same time.
#[test]
fn a_stage_begins_after_the_one_before_it_however_late_it_was_heard_of() {
    let mut told = Told::new();
    let (smoke, stop) = (Stage::Smoke, Stage::Stop);
    told.at(10.062).event(Event::StageStarted { stage: smoke });
    told.at(10.065).event(Event::StageDone {
        stage: smoke,
        seconds: 0.003,
    });
    told.at(10.070).event(Event::StageStarted { stage: stop });
    told.at(16.070).event(Event::StageDone {
        stage: stop,
        seconds: 6.024,
    });
    let started = told.report.stages.iter().map(|stage| stage.started_s);
    assert_eq!(started.collect::<Vec<_>>(), [10.062, 10.065]);
}

#[test]
fn a_whole_run_is_listed_by_time() {
    let (table, svg) = shown("whole", &whole());
    let expected = "\
done in 84.3s
amd64, tcg · started 2026-11-21 05:04:59 UTC · 74.2s after boot · smoke test skipped

    TIME       FROM    WHAT       NAME                NOTE
   29.1s     +25.9s    stage      wait
   29.1s     +25.9s    service    postgres-queries    18 attempts
   24.4s     +25.9s    service    clickhouse          145 attempts
   23.1s      +1.7s    stage      images
   22.8s     +25.9s    service    postgres            139 attempts
   17.9s      +1.7s    image      images.tar.zst      41.2 MiB, 2.3 MiB/s
";
    assert!(table.starts_with(expected), "{table}");
    for words in [
        "Stages",
        "Images",
        "Services",
        "Migrations",
        "Smoke test",
        "29.1s · 18 attempts",
    ] {
        assert!(svg.contains(words), "no {words:?} in\n{svg}");
    }
}

#[test]
fn one_service_reads_as_well_as_forty_with_long_names() {
    let mut told = Told::new();
    told.begun()
        .event(Event::StageStarted { stage: Stage::Wait })
        .waiting(&["db"]);
    let since = told.now;
    told.ready("db", since, 0.4, 3).event(Event::StageDone {
        stage: Stage::Wait,
        seconds: 0.4,
    });
    shown("one", &told.done());

    let names: Vec<String> = (1..=40)
        .map(|n| format!("a-rather-long-service-name-of-team-{}-number-{n}", n % 7))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut told = Told::new();
    told.begun()
        .event(Event::StageStarted { stage: Stage::Wait })
        .waiting(&names);
    let since = told.now;
    for (n, name) in names.iter().enumerate() {
        told.ready(name, since, 3.0 + 31.7 * n as f64, 20 + n as u32);
    }
    let seconds = told.now - since;
    told.event(Event::StageDone {
        stage: Stage::Wait,
        seconds,
    });
    let (table, svg) = shown("forty", &told.stage(Stage::Stop, 12.0).done());
    assert_eq!(table.matches(" service ").count(), 40);
    // In full where the mouse rests on it, and in the table.
    for name in names {
        assert!(table.contains(name) && svg.contains(name), "{name}");
    }
}

#[test]
fn a_failed_run_shows_where_it_failed_and_what_was_wrong() {
    let mut told = Told::new();
    told.begun().event(Event::StageStarted {
        stage: Stage::Images,
    });
    told.image("img.tgz", 192_000_000, 196.0);
    told.event(Event::StageDone {
        stage: Stage::Images,
        seconds: 196.0,
    });
    told.stage(Stage::Containers, 0.8)
        .event(Event::StageStarted { stage: Stage::Wait });
    let since = told.now;
    told.waiting(&[
        "postgres",
        "clickhouse",
        "svix",
        "<angle> & \"quoted\" \u{1b}[31m",
    ]);
    told.ready("postgres", since, 20.3, 130);
    told.at(since + 341.0);
    told.not_ready("clickhouse", "connection refused", 702);
    told.not_ready("svix", "status 503: {\"error\": \"upstream <clickhouse> & friends are not there yet, and will not be either, however long one waits for them\"}", 688);
    told.not_ready(
        "<angle> & \"quoted\" \u{1b}[31m",
        "no answer within 68s",
        31,
    );
    told.event(Event::StageFailed {
        stage: Stage::Wait,
        seconds: 341.0,
    });
    told.event(Event::DiagnosticsStarted);
    told.at(since + 348.5).event(Event::Diagnostics {
        text: "---- memory ----".into(),
    });
    let message = "container deps exited with code 139 (killed by SIGSEGV); its last words: \
                   2026.11.21 05:05:41 [ 1 ] {} <Fatal> Application: Child process was terminated by signal 4. / \
                   the CPU lacks an instruction that this build of ClickHouse was compiled with";
    let failed = Outcome::failed(Some(Stage::Wait), Reason::DependencyExited, message.into());
    told.event(Event::Outcome(failed));
    let (table, svg) = shown("failed", &told.json());
    assert!(
        table.starts_with("failed in stage wait after 8m 59s\n"),
        "{table}"
    );
    assert!(!table.contains('\u{1b}'), "{table}");
    assert!(svg.contains("failed at 8m 59s"), "{svg}");
    assert!(svg.contains("&lt;angle&gt; &amp; "), "{svg}");
}

#[test]
fn very_short_and_very_long_stages_are_both_seen() {
    let mut told = Told::new();
    told.stage(Stage::Bundle, 0.0)
        .stage(Stage::Plan, 0.001)
        .stage(Stage::Images, 6400.0);
    told.stage(Stage::Containers, 0.0)
        .event(Event::StageStarted {
            stage: Stage::Migrations,
        });
    told.migration("quick", 0.004, Some(0))
        .migration("endless", 1200.0, None);
    let failed = Outcome::failed(
        Some(Stage::Migrations),
        Reason::MigrationTimeout,
        "migration endless did not end within 1200s".into(),
    );
    told.event(Event::StageFailed {
        stage: Stage::Migrations,
        seconds: 1200.0,
    });
    let report = told.event(Event::Outcome(failed)).json();
    let (table, svg) = shown("long", &report);
    assert!(table.contains("1h 46m") && table.contains("4ms"), "{table}");
    // No bar is thinner than can be seen.
    let widths = svg.split("<rect ").skip(2).filter_map(|rect| {
        let (_, behind) = rect.split_once("width=\"")?;
        behind.split('"').next()?.parse::<f64>().ok()
    });
    let bars: Vec<f64> = widths.filter(|width| *width > 0.0).collect();
    assert!(bars.len() > 7, "{bars:?}");

    let mut told = Told::new();
    shown(
        "short",
        &told
            .stage(Stage::Bundle, 0.004)
            .stage(Stage::Plan, 0.0007)
            .done(),
    );
    shown("just-started", &Told::new().json());
}

#[test]
fn what_is_no_report_is_refused_in_words() {
    let refused = |text: &str| {
        let output = guestbake(&["report", "-"], text);
        assert_eq!(output.status.code(), Some(70), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused("rubbish").contains("no report: expected value at line 1"));
    let mut future = whole();
    future["version"] = json!(VERSION + 1);
    let said = refused(&future.to_string());
    assert!(
        said.contains("version 3; this program reads version 2"),
        "{said}"
    );
    let output = guestbake(&["report", "/nowhere/report.json"], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("/nowhere/report.json: No such file"),
        "{said}"
    );
}

#[test]
fn the_schema_finds_what_is_wrong() {
    let schema = jsonschema::validator_for(&schema()).unwrap();
    let mut report = whole();
    assert!(schema.is_valid(&report));
    report["services"][0]["attempts"] = json!("many");
    assert!(!schema.is_valid(&report));
    let mut report = whole();
    report["surprise"] = json!(1);
    assert!(!schema.is_valid(&report));
}

//! The command line: arguments become one call, its result an exit code.

mod alone;
mod compose;
mod report;
mod status;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode as ProcessExit;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::failure::ExitCode;
use crate::guardian::{self, Run};
use crate::host::docker;
use crate::host::power::{FORCE_VERB, ThisMachine};
use crate::pipeline::Request;
use crate::verdict::{self, Outlets};
use crate::watch::{self, WatchOptions};
use crate::worker::{self, WORKER_VERB};

/// Where a run leaves its traces unless told otherwise.
const DEFAULT_LOG: &str = "/var/log/guestbake/provision.log";
const DEFAULT_REPORT: &str = "/var/log/guestbake/report.json";
/// In memory: a reset forgets it, as it should.
const DEFAULT_STATE: &str = "/run/guestbake";

#[derive(Parser)]
#[command(
    name = "guestbake",
    version,
    about = "Turns a freshly booted cloud guest into a finished image, or says why it could not",
    after_help = "In the guest: `guestbake run`. By hand over SSH: `guestbake check`, `guestbake wait`, `guestbake diagnose`.\n\
                  On the host: `guestbake watch --serial FILE --pid N`.",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// The whole pipeline: bundle, engine, images, containers, wait, migrations, smoke test, verdict
    #[command(args_override_self = true)]
    Run(RunArgs),
    /// Validate bundle and plan, touch nothing, print the effective plan with secrets masked
    #[command(args_override_self = true)]
    Check(BundleArgs),
    /// Wait for the plan's services, against what is running now
    #[command(args_override_self = true)]
    Wait(StageArgs),
    /// Run the plan's migrations, against what is running now
    #[command(args_override_self = true)]
    Migrate(StageArgs),
    /// Run the plan's smoke test, against what is running now
    #[command(args_override_self = true)]
    Smoke(StageArgs),
    /// Print the diagnostics dump, now
    #[command(args_override_self = true)]
    Diagnose(StageArgs),
    /// On the host: make a plan
    Plan(compose::PlanArgs),
    /// On the host: make a bundle's folder of a Compose file and the local engine's images
    Bundle(compose::BundleFolderArgs),
    /// Show where the current or last run stands
    Status(status::StatusArgs),
    /// Turn a report into a table of what took longest, or into a time line
    Report(report::ReportArgs),
    /// On the host: follow a VM's serial log until a marker, the VM's end or a time limit
    #[command(
        after_help = "Exit codes: 0 done, 1 the guest reported failure, 2 the VM ended without a marker, \
                            3 time limit, 64 usage."
    )]
    Watch(WatchArgs),
    #[command(name = WORKER_VERB, hide = true)]
    Worker,
    #[command(name = FORCE_VERB, hide = true)]
    ForcePowerOff { seconds: u64 },
}

#[derive(Args)]
struct BundleArgs {
    /// The bundle: a directory, an .iso file or a block device [default: the volume with the plan's label]
    #[arg(long, value_name = "PATH")]
    bundle: Option<PathBuf>,
    /// The plan [default: guestbake.toml in the bundle, then /etc/guestbake/guestbake.toml]
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

#[derive(Args)]
struct StageArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    /// What runs the guest: kvm, tcg, hvf, … [default: the bundle's word, then detection]
    #[arg(long, value_name = "NAME")]
    accel: Option<String>,
    /// The engine [default: DOCKER_HOST, then unix:///var/run/docker.sock]
    #[arg(long, value_name = "URL", value_parser = engine_address)]
    docker_host: Option<String>,
}

#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 done, 10 bundle, 11 plan, 20 engine, 21 images, 22 no space, 30 container start, \
                        31 a dependency exited or is unhealthy, 32 wait budget, 40 migration, 50 smoke test, \
                        60 deadline or interrupted, 64 usage, 70 internal or killed."
)]
struct RunArgs {
    #[command(flatten)]
    stage: StageArgs,
    /// Where lines and marker go; may be repeated, a plain file works
    /// [default: /dev/console, and those of /dev/ttyS0, /dev/ttyAMA0 that exist]
    #[arg(long = "console", value_name = "PATH")]
    consoles: Vec<PathBuf>,
    /// The provision log
    #[arg(long, value_name = "FILE", default_value = DEFAULT_LOG)]
    log: PathBuf,
    /// The report, in JSON
    #[arg(long, value_name = "FILE", default_value = DEFAULT_REPORT)]
    report: PathBuf,
    /// Where the record of the run is kept while the machine is up
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE)]
    state_dir: PathBuf,
    /// Keep the verdict here too, where a reset does not forget it
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Power off at the end, whatever the plan says and although this is a terminal
    #[arg(long, overrides_with = "no_power_off")]
    power_off: bool,
    /// Leave the machine on, whatever the plan says
    #[arg(long)]
    no_power_off: bool,
}

#[derive(Args)]
struct WatchArgs {
    /// The file that QEMU writes the serial line to
    #[arg(long, value_name = "FILE")]
    serial: PathBuf,
    /// QEMU's process; its end without a marker ends the watch
    #[arg(long, value_name = "N")]
    pid: Option<i32>,
    /// The provision log, if the guest writes it to a folder shared with the host
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Such as 90s or 15m [default: none]
    #[arg(long, value_name = "D", value_parser = duration)]
    timeout: Option<Duration>,
}

pub fn main() -> ProcessExit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return match error.use_stderr() {
                true => ProcessExit::from(ExitCode::Usage as u8),
                false => ProcessExit::SUCCESS,
            };
        }
    };
    // reqwest takes the process's provider; there is only one, so a second call does no harm.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let code = match cli.verb {
        Verb::Run(args) => run(args),
        Verb::Worker => worker::run(),
        Verb::ForcePowerOff { seconds } => {
            verdict::force_power_off(Duration::from_secs(seconds), &ThisMachine);
            ExitCode::Internal
        }
        Verb::Check(args) => alone::check(&args.into_request()),
        Verb::Wait(args) => alone::wait(&args.into_request()),
        Verb::Migrate(args) => alone::migrate(&args.into_request()),
        Verb::Smoke(args) => alone::smoke(&args.into_request()),
        Verb::Diagnose(args) => alone::diagnose(&args.into_request()),
        Verb::Plan(args) => compose::plan(args),
        Verb::Bundle(args) => compose::bundle(args),
        Verb::Status(args) => status::show(&args),
        Verb::Report(args) => report::show(&args),
        Verb::Watch(args) => return watch(args),
    };
    ProcessExit::from(code as u8)
}

fn run(args: RunArgs) -> ExitCode {
    let terminal = std::io::stdout().is_terminal() || std::io::stdin().is_terminal();
    // Someone is at the other end even where there is no terminal: `ssh guest guestbake run`.
    let by_hand = terminal || std::env::var_os("SSH_CONNECTION").is_some();
    let power_off = match (args.power_off, args.no_power_off) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => by_hand.then_some(false),
    };
    guardian::run(Run {
        request: args.stage.into_request(),
        outlets: Outlets {
            consoles: args.consoles,
            log: args.log,
            report: args.report,
            state: args.state_dir,
            record: args.record,
            power_off,
        },
        guardian: std::process::id().cast_signed(),
    })
}

fn watch(args: WatchArgs) -> ProcessExit {
    let options = WatchOptions {
        serial: args.serial,
        pid: args.pid,
        log: args.log,
        timeout: args.timeout,
    };
    match watch::run(&options, &mut std::io::stdout()) {
        Ok(end) => ProcessExit::from(end.exit_code()),
        Err(error) => {
            eprintln!("guestbake watch: {error}");
            ProcessExit::from(ExitCode::Usage as u8)
        }
    }
}

impl BundleArgs {
    fn into_request(self) -> Request {
        Request {
            bundle: self.bundle,
            plan: self.plan,
            ..Request::default()
        }
    }
}

impl StageArgs {
    fn into_request(self) -> Request {
        Request {
            accel: self.accel,
            docker_host: self.docker_host,
            ..self.bundle.into_request()
        }
    }
}

fn engine_address(text: &str) -> Result<String, String> {
    docker::parse_host(text).map_err(|error| format!("{error:#}"))?;
    Ok(text.to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a number with a unit, such as 90s or 15m".to_owned())
}

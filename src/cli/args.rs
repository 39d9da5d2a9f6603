//! The arguments: one set of definitions for parsing, `--help`, the man pages and the shells' completions.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use super::compose::{BundleFolderArgs, PlanArgs};
use super::report::ReportArgs;
use crate::failure::Stage;
use crate::host::docker;
use crate::host::instance::FORGET_VERB;
use crate::host::power::FORCE_VERB;
use crate::pipeline::{CHOICES, Request};
use crate::view::Progress;
use crate::worker::WORKER_VERB;

/// Where a run leaves its traces unless told otherwise.
pub const DEFAULT_LOG: &str = "/var/log/guestbake/provision.log";
pub const DEFAULT_REPORT: &str = "/var/log/guestbake/report.json";
/// In memory: a reset forgets it, as it should.
pub const DEFAULT_STATE: &str = "/run/guestbake";

#[derive(Parser)]
#[command(
    name = "guestbake",
    version,
    about = "Turns a freshly booted cloud guest into a finished image, or says why it could not",
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs"
)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand)]
pub enum Verb {
    /// The whole pipeline: bundle, engine, images, containers, wait, migrations, smoke test, verdict
    #[command(args_override_self = true)]
    Run(RunArgs),
    /// Validate bundle and plan, touch nothing, print the effective plan with secrets masked
    #[command(args_override_self = true)]
    Check(CheckArgs),
    /// Wait for the plan's services, against what is running now
    #[command(args_override_self = true)]
    Wait(AloneArgs),
    /// Run the plan's migrations, against what is running now
    #[command(args_override_self = true)]
    Migrate(AloneArgs),
    /// Run the plan's smoke test, against what is running now
    #[command(args_override_self = true)]
    Smoke(AloneArgs),
    /// Print the diagnostics, or write them and all logs into one archive to take along
    #[command(args_override_self = true)]
    Diagnose(DiagnoseArgs),
    /// On the host: make a plan
    Plan(PlanArgs),
    /// On the host: make a bundle's folder of a Compose file and the local engine's images
    Bundle(BundleFolderArgs),
    /// Show where the current or last run stands
    Status(StatusArgs),
    /// Turn a report into a table of what took longest, or into a time line
    Report(ReportArgs),
    /// On the host: follow a VM's serial log until a marker, the VM's end or a time limit
    Watch(WatchArgs),
    /// Print what makes a shell complete verbs and options
    #[cfg(feature = "manual")]
    Completions {
        /// The shell to print it for
        shell: Shell,
    },
    /// Print a man page: this program's, or a verb's
    #[cfg(feature = "manual")]
    Man {
        /// The verb to print the page of
        #[arg(value_name = "VERB")]
        page: Option<String>,
    },
    #[command(name = WORKER_VERB, hide = true)]
    Worker,
    #[command(name = FORCE_VERB, hide = true)]
    ForcePowerOff { seconds: u64 },
    #[command(name = FORGET_VERB, hide = true)]
    ForgetInstance,
}

#[derive(Args)]
pub struct BundleArgs {
    /// The bundle: a directory, an .iso file or a block device [default: the volume with the plan's label]
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub bundle: Option<PathBuf>,
    /// The plan [default: guestbake.toml in the bundle, then /etc/guestbake/guestbake.toml]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub plan: Option<PathBuf>,
}

#[derive(Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Print the plan as it holds where this runs the guest: tcg, or kvm, hvf, … [default: the bundle's word, else native]
    #[arg(long, value_name = "NAME")]
    pub accel: Option<String>,
}

#[derive(Args)]
pub struct StageArgs {
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// What runs the guest: kvm, tcg, hvf, … [default: the bundle's word, then detection]
    #[arg(long, value_name = "NAME")]
    pub accel: Option<String>,
    /// The engine [default: DOCKER_HOST, then unix:///var/run/docker.sock]
    #[arg(long, value_name = "URL", value_parser = engine_address)]
    pub docker_host: Option<String>,
}

#[derive(Args)]
pub struct ViewArgs {
    /// What to show: a live view of where everything stands, or plain lines
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub progress: Progress,
}

#[derive(Args)]
pub struct AloneArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    #[command(flatten)]
    pub view: ViewArgs,
}

#[derive(Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// Where lines and marker go; may be repeated, a plain file works
    /// [default: /dev/console, and those of /dev/ttyS0, /dev/ttyAMA0 that exist]
    #[arg(long = "console", value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub consoles: Vec<PathBuf>,
    /// The provision log
    #[arg(long, value_name = "FILE", default_value = DEFAULT_LOG)]
    pub log: PathBuf,
    /// The report, in JSON
    #[arg(long, value_name = "FILE", default_value = DEFAULT_REPORT)]
    pub report: PathBuf,
    /// Where the record of the run is kept while the machine is up
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE)]
    pub state_dir: PathBuf,
    /// Keep the verdict here too, where a reset does not forget it
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// A port to the host, for log and report [default: the virtio-serial port org.guestbake.0, if there is one]
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub channel: Option<PathBuf>,
    /// Power off at the end, whatever the plan says and although this is a terminal
    #[arg(long, overrides_with = "no_power_off")]
    pub power_off: bool,
    /// Leave the machine on, whatever the plan says
    #[arg(long)]
    pub no_power_off: bool,
    /// Begin with this stage; what those before would have made must be there
    #[arg(long, value_name = "STAGE", value_parser = stages())]
    pub from: Option<Stage>,
    /// Do this stage alone: no marker, no report, no power-off
    #[arg(long, value_name = "STAGE", value_parser = stages(), conflicts_with_all = ["from", "hold", "power_off"])]
    pub only: Option<Stage>,
    /// If it fails leave everything as it is, the machine on, and say how to look inside
    #[arg(long, conflicts_with = "power_off")]
    pub hold: bool,
    #[command(flatten)]
    pub view: ViewArgs,
}

#[derive(Args)]
pub struct DiagnoseArgs {
    #[command(flatten)]
    pub stage: StageArgs,
    /// Write it all into one archive (.tar.gz), with logs, report, plan and the kernel's log; `-`: to standard output
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Within the usual limits, also where the guest is slow: for a guardian who waits
    #[arg(long, hide = true)]
    pub brief: bool,
    /// The provision log that goes into the archive
    #[arg(long, value_name = "FILE", default_value = DEFAULT_LOG)]
    pub log: PathBuf,
    /// The report that goes into the archive [default: that of the run going on, then the last one's]
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

#[derive(Args)]
pub struct StatusArgs {
    /// The report as it is
    #[arg(long)]
    pub json: bool,
    /// Look on until it is over, as if it had been started here, and end with its exit code
    #[arg(long, short, conflicts_with_all = ["json", "report"])]
    pub follow: bool,
    /// The report to read [default: that of the run going on, then the last one's]
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Where the record of the run is kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE)]
    pub state_dir: PathBuf,
    #[command(flatten)]
    pub view: ViewArgs,
}

#[derive(Args)]
pub struct WatchArgs {
    /// The file that QEMU writes the serial line to
    #[arg(long, value_name = "FILE")]
    pub serial: PathBuf,
    /// QEMU's process; its end without a marker ends the watch
    #[arg(long, value_name = "N")]
    pub pid: Option<i32>,
    /// The provision log, if the guest writes it to a folder shared with the host
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// The file or socket that QEMU makes of the virtio-serial port org.guestbake.0
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub channel: Option<PathBuf>,
    /// Leave the provision log, the report and its time line here; they come over --channel, or lie beside --log
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub out: Option<PathBuf>,
    /// Such as 90s or 15m [default: none]
    #[arg(long, value_name = "D", value_parser = duration)]
    pub timeout: Option<Duration>,
}

#[cfg(feature = "manual")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl BundleArgs {
    pub fn into_request(self) -> Request {
        Request {
            bundle: self.bundle,
            plan: self.plan,
            ..Request::default()
        }
    }
}

impl CheckArgs {
    pub fn into_request(self) -> Request {
        Request {
            accel: self.accel,
            ..self.bundle.into_request()
        }
    }
}

impl StageArgs {
    pub fn into_request(self) -> Request {
        Request {
            accel: self.accel,
            docker_host: self.docker_host,
            ..self.bundle.into_request()
        }
    }
}

/// The stages that can be chosen, by their names.
fn stages() -> impl TypedValueParser<Value = Stage> {
    PossibleValuesParser::new(CHOICES.map(Stage::name)).try_map(|name| {
        let named = |stage: &Stage| stage.name() == name;
        CHOICES.into_iter().find(named).ok_or("no such stage")
    })
}

pub fn engine_address(text: &str) -> Result<String, String> {
    docker::parse_host(text).map_err(|error| format!("{error:#}"))?;
    Ok(text.to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "expected a number with a unit, such as 90s or 15m".to_owned())
}

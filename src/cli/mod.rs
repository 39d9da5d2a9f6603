//! The command line: arguments become one call, its result an exit code.

mod alone;
mod args;
mod by_hand;
mod compose;
mod diagnosis;
mod follow;
#[cfg(feature = "manual")]
mod manual;
mod report;
mod status;
mod teaching;

use std::path::PathBuf;
use std::process::ExitCode as ProcessExit;
use std::time::{Duration, Instant};

use clap::{CommandFactory, FromArgMatches};

use crate::failure::{ExitCode, Stage};
use crate::guardian::{self, Run};
use crate::host::instance;
use crate::host::power::ThisMachine;
use crate::pipeline::{Range, Request};
use crate::verdict::{self, Hold, Inherited, Outlets};
use crate::view::{Board, Manner, Progress, View};
use crate::watch::{self, WatchOptions};
use crate::worker;

use args::{Cli, RunArgs, Verb, WatchArgs};

/// The systemd unit says here which file means that this instance is provisioned.
const ONCE: &str = "GUESTBAKE_ONCE";

pub fn main() -> ProcessExit {
    let matches = teaching::taught(Cli::command()).try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
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
        Verb::ForgetInstance => match instance::forget_this_instance() {
            Ok(()) => ExitCode::Done,
            Err(error) => {
                eprintln!("guestbake: {error}");
                ExitCode::Finish
            }
        },
        Verb::Check(args) => alone::check(&args.into_request()),
        Verb::Wait(args) => alone::wait(args),
        Verb::Migrate(args) => alone::migrate(args),
        Verb::Smoke(args) => alone::smoke(args),
        Verb::Diagnose(args) => diagnosis::diagnose(args),
        Verb::Plan(args) => compose::plan(args),
        Verb::Bundle(args) => compose::bundle(args),
        Verb::Status(args) => status::show(&args),
        Verb::Report(args) => report::show(&args),
        Verb::Watch(args) => return watch(args),
        #[cfg(feature = "manual")]
        Verb::Completions { shell } => manual::completions(shell),
        #[cfg(feature = "manual")]
        Verb::Man { page } => manual::page(page.as_deref()),
    };
    ProcessExit::from(code as u8)
}

fn run(args: RunArgs) -> ExitCode {
    if let Some(stage) = args.only {
        return alone::only(stage, args);
    }
    let power_off = match (args.power_off, args.no_power_off) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => by_hand::is_by_hand().then_some(false),
    };
    let range = args.from.map(Range::from).unwrap_or_default();
    let request = Request {
        range,
        hold: args.hold,
        own_files: vec![args.log.clone(), args.report.clone()],
        ..args.stage.into_request()
    };
    let run = Run {
        outlets: Outlets {
            consoles: args.consoles,
            log: args.log,
            report: args.report,
            state: args.state_dir,
            record: args.record,
            channel: args.channel,
            once: std::env::var_os(ONCE).map(PathBuf::from),
            power_off,
            hold: args.hold.then(|| Hold::of(&request)),
        },
        request,
        guardian: std::process::id().cast_signed(),
        passages: Inherited::default(),
    };
    guardian::run(run, view(args.view.progress, "run", &range.stages()))
}

/// Of a verb that begins now.
fn view(progress: Progress, verb: &str, stages: &[Stage]) -> View {
    let board = Board::new(format!("guestbake {verb}"), stages);
    View::open(Manner::of_stdout(progress), board, Instant::now())
}

fn watch(args: WatchArgs) -> ProcessExit {
    let options = WatchOptions {
        serial: args.serial,
        pid: args.pid,
        log: args.log,
        channel: args.channel,
        out: args.out,
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

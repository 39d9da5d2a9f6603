//! The verbs for a Compose file, on the host: a plan to start from, and a bundle.

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::alone::{block_on, exit_code};
use super::args::engine_address;
use crate::arch::Arch;
use crate::event::Events;
use crate::failure::{ExitCode, Fault, Reason};
use crate::pack::{Packing, Stack};

#[derive(Args)]
pub struct PlanArgs {
    #[command(subcommand)]
    verb: PlanVerb,
}

#[derive(Subcommand)]
enum PlanVerb {
    /// Print a commented plan to start from
    FromCompose(StackArgs),
}

#[derive(Args)]
pub struct StackArgs {
    /// A folder with a Compose file, or Compose files over each other [default: this folder]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A profile whose services belong to it; may be repeated
    #[arg(long = "profile", value_name = "NAME")]
    profiles: Vec<String>,
}

#[derive(Args)]
pub struct BundleFolderArgs {
    #[command(flatten)]
    stack: StackArgs,
    /// The folder to make
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The guest's architecture: amd64 or arm64 [default: this machine's]
    #[arg(long, value_name = "ARCH", value_parser = arch)]
    arch: Option<Arch>,
    /// The static guestbake of that architecture [default: this program]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// The engine that has the images [default: DOCKER_HOST, then unix:///var/run/docker.sock]
    #[arg(long, value_name = "URL", value_parser = engine_address)]
    docker_host: Option<String>,
}

fn arch(text: &str) -> Result<Arch, String> {
    Arch::from_docker(text).ok_or_else(|| "expected amd64 or arm64".to_owned())
}

pub fn plan(args: PlanArgs) -> ExitCode {
    let PlanVerb::FromCompose(args) = args.verb;
    let made = Stack::find(&args.paths, args.profiles).and_then(|stack| stack.starting_plan());
    let result = made.map(|planned| {
        for note in &planned.plan.notes {
            eprintln!("note: {note}");
        }
        let _ = write!(std::io::stdout(), "{}", planned.text);
    });
    exit_code(result, &Events::new(|_| ()))
}

pub fn bundle(args: BundleFolderArgs) -> ExitCode {
    exit_code(packed(args), &Events::new(|_| ()))
}

fn packed(args: BundleFolderArgs) -> Result<(), Fault> {
    let here = Arch::from_machine(std::env::consts::ARCH);
    let arch = args.arch.or(here);
    let wrong = |message: &str| Fault::new(Reason::WrongArchitecture, message.to_owned());
    let arch = arch.ok_or_else(|| wrong("name the guest's architecture with --arch"))?;
    let program = match args.program {
        Some(program) => program,
        None if here == Some(arch) => PathBuf::from("/proc/self/exe"),
        None => {
            return Err(wrong(
                "name the guest's program with --program; this one is for another architecture",
            ));
        }
    };
    let stack = Stack::find(&args.stack.paths, args.stack.profiles)?;
    let packing = Packing {
        into: args.into,
        arch,
        program,
        docker_host: args.docker_host,
    };
    block_on(packing.pack(&stack, &|line| eprintln!("{line}")))
}

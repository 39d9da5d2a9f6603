//! The command line: from arguments to an exit code.

fn main() -> std::process::ExitCode {
    guestbake::cli::main()
}

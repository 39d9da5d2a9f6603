//! What `--help` and the man pages say beyond the list of options: examples, exit codes, files, environment.

use clap::Command;

/// A headline, and lines that stand as they are written here.
pub struct Section {
    pub title: &'static str,
    pub text: &'static str,
}

const fn section(title: &'static str, text: &'static str) -> Section {
    Section { title, text }
}

const EXIT_CODES: Section = section(
    "Exit status",
    "\
 0  done
10  bundle: bundle_missing, bundle_corrupt
11  plan: plan_invalid
20  engine: engine_unavailable
21  images: wrong_architecture, image_load_failed
22  disk full: no_space
30  a container cannot be started: container_start_failed
31  a dependency: dependency_exited, dependency_unhealthy
32  the wait's budget is spent: wait_timeout
40  migrations: migration_failed, migration_timeout
50  smoke test: smoke_failed
55  finishing the image: finish_failed
60  deadline_exceeded, interrupted
64  the command line is wrong
70  internal, killed",
);

const ENGINE_ENVIRONMENT: Section = section(
    "Environment",
    "\
DOCKER_HOST         the engine, unless --docker-host is given
STACK_DEPS_TIMEOUT  the wait's budget in seconds, instead of the plan's
NO_COLOR, TERM      a NO_COLOR that is not empty or TERM=dumb mean plain lines",
);

const WHOLE: [Section; 4] = [
    section(
        "Examples",
        "\
guestbake check --bundle ./bundle      what is wrong with a bundle, before it goes anywhere
guestbake run                          the whole way, with the volume labelled STACKBUNDLE
guestbake status --follow              look on from a second shell
guestbake diagnose                     why does it not work?
guestbake watch --serial serial.log    on the host: follow the VM to its verdict
guestbake help run                     all about one verb",
    ),
    section(
        "Files",
        "\
guestbake.toml                         the plan, in the bundle
/etc/guestbake/guestbake.toml          the plan of an image that brings its own
/var/log/guestbake/provision.log       everything a run said; the one before as .old
/var/log/guestbake/report.json         what it came to
/run/guestbake                         the current or last run, while the machine is up",
    ),
    ENGINE_ENVIRONMENT,
    section(
        "Exit status",
        "\
0 done, 64 the command line is wrong; those of `run` and of the single stages tell the cause:
see `guestbake help run`",
    ),
];

const RUN: [Section; 4] = [
    section(
        "Examples",
        "\
guestbake run                               the volume labelled STACKBUNDLE; on a terminal the machine stays on
guestbake run --bundle ./bundle             a folder or an .iso file instead
guestbake run --bundle b.iso --power-off    and power off when it is over, as under cloud-init
guestbake run --hold                        if it fails, leave everything up and say how to look inside
guestbake run --from migrations             go on where it failed; services and containers must be there
guestbake run --only images                 load the images and no more",
    ),
    EXIT_CODES,
    section(
        "Files",
        "\
/var/log/guestbake/provision.log            everything it said; the one before as .old
/var/log/guestbake/report.json              stages, services, images, migrations, verdict
/run/guestbake                              record of the run, while the machine is up",
    ),
    ENGINE_ENVIRONMENT,
];

const CHECK: [Section; 2] = [
    section(
        "Examples",
        "\
guestbake check --bundle ./bundle           every error with file, line and what was expected
guestbake check --bundle b.iso >plan.toml   the plan with all its defaults",
    ),
    section(
        "Exit status",
        "0 it is fine, 10 the bundle is not, 11 the plan is not, 64 the command line is wrong",
    ),
];

const ALONE: [Section; 3] = [
    section(
        "Examples",
        "\
guestbake wait --bundle ./bundle            are the services up? which is not, and why?
guestbake migrate                           the migrations once more, with their output
guestbake smoke --accel kvm                 the smoke test, although the guest is emulated",
    ),
    EXIT_CODES,
    ENGINE_ENVIRONMENT,
];

const DIAGNOSE: [Section; 2] = [
    section(
        "Examples",
        "\
guestbake diagnose                          machine, logs, containers, each probe once more
guestbake diagnose --output d.tar.gz        the same with all logs, report, plan, kernel log: to take along
ssh guest guestbake diagnose --output - >d.tar.gz",
    ),
    ENGINE_ENVIRONMENT,
];

const STATUS: [Section; 1] = [section(
    "Examples",
    "\
guestbake status                            where it stands
guestbake status --follow                   look on until it is over; its exit code is the run's
guestbake status --json                     the report, for programs",
)];

const REPORT: [Section; 1] = [section(
    "Examples",
    "\
guestbake report                            what took longest
guestbake report --svg timeline.svg         the run as a picture
guestbake report - <report.json             of another machine",
)];

const WATCH: [Section; 2] = [
    section(
        "Examples",
        "\
qemu-system-x86_64 … -serial file:serial.log &
guestbake watch --serial serial.log --pid $! --timeout 30m",
    ),
    section(
        "Exit status",
        "\
0 done, 1 the guest reported failure, 2 the VM ended without a marker, 3 time limit,
64 the command line is wrong",
    ),
];

const COMPLETIONS: [Section; 1] = [section(
    "Examples",
    "\
guestbake completions bash >/etc/bash_completion.d/guestbake
guestbake completions zsh >/usr/local/share/zsh/site-functions/_guestbake
guestbake completions fish >/etc/fish/completions/guestbake.fish",
)];

const MAN: [Section; 1] = [section(
    "Examples",
    "\
guestbake man | man -l -                    read this program's page
guestbake man run >guestbake-run.1          keep a verb's",
)];

/// What there is to say about a verb, or (None) about the program.
pub fn sections(verb: Option<&str>) -> &'static [Section] {
    match verb {
        None => &WHOLE,
        Some("run") => &RUN,
        Some("check") => &CHECK,
        Some("wait" | "migrate" | "smoke") => &ALONE,
        Some("diagnose") => &DIAGNOSE,
        Some("status") => &STATUS,
        Some("report") => &REPORT,
        Some("watch") => &WATCH,
        Some("completions") => &COMPLETIONS,
        Some("man") => &MAN,
        Some(_) => &[],
    }
}

/// The command with all that is taught about it at the end of `--help`; `-h` stays short.
pub fn taught(command: Command) -> Command {
    let teach = |command: Command, verb: Option<&str>, more: String| {
        let sections = sections(verb);
        if sections.is_empty() {
            return command;
        }
        command
            .after_help(format!("Examples, exit codes and files: {more}"))
            .after_long_help(in_words(sections))
    };
    let command = teach(command, None, "guestbake --help".to_owned());
    command.mut_subcommands(|command| {
        let verb = command.get_name().to_owned();
        teach(command, Some(&verb), format!("guestbake {verb} --help"))
    })
}

fn in_words(sections: &[Section]) -> String {
    let each = sections.iter().map(|section| {
        let lines: Vec<_> = section
            .text
            .lines()
            .map(|line| format!("  {line}"))
            .collect();
        format!("{}:\n{}", section.title, lines.join("\n"))
    });
    each.collect::<Vec<_>>().join("\n\n")
}

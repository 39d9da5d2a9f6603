//! What a person sees on a terminal, captured from tmux: a run with a service that is slow and one that dies.

mod support;

use regex::Regex;
use support::provision::{DONE, FAILED, Provision, container, idle, touch, until_or};
use support::server::free_port;
use support::terminal::Terminal;

/// One service is ready at once, one never is, and the container of a third dies when it is told to.
fn troubled(name: &str) -> String {
    // It dies between two probes: one that is cut off by its death would have nothing to say but that.
    let dies = "while ! test -e /tmp/seen; do usleep 20000; done; usleep 100000; echo FATAL: no luck >&2; exit 7";
    let dying = "echo still at it; ! test -e /tmp/go || touch /tmp/seen; false";
    format!(
        "[wait]\nheartbeat = '1h'\n{}{}\
         [[wait.services]]\nname = 'up'\ncontainer = '{name}'\nexec = ['true']\n\
         [[wait.services]]\nname = 'slow-to-come'\ncontainer = '{name}'\ntcp = '127.0.0.1:{}'\n\
         [[wait.services]]\nname = 'dying'\ncontainer = '{name}-dies'\nexec = ['sh', '-c', '{dying}']\n",
        idle(name),
        container(&format!("{name}-dies"), dies),
        free_port(),
    )
}

/// The picture at the end of a screen, without what differs from run to run.
fn picture(screen: &str) -> String {
    let from = screen
        .rfind("── guestbake")
        .unwrap_or_else(|| panic!("no picture:\n{screen}"));
    let mut text = screen[from..].trim_end().to_owned() + "\n";
    for (pattern, instead) in [
        (r"(\d+m )?\d+(\.\d+)?s", "TIME"),
        (r" TIME of TIME", " TIME of TIME"),
        (r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", "⠋"),
        (r"(bundle|plan|guest|engine|images|containers) TIME", "$1"),
        (r"─+\n", "─\n"),
        (r" +TIME\n", " TIME\n"),
    ] {
        text = Regex::new(pattern)
            .unwrap()
            .replace_all(&text, instead)
            .into_owned();
    }
    text
}

fn narrow_enough(screen: &str, columns: usize) -> bool {
    screen.lines().all(|line| line.chars().count() <= columns)
}

/// Waits until both services that are not ready have said why.
fn until_both_are_told(terminal: &Terminal) -> String {
    terminal.until("both services to say why", |screen| {
        screen.contains("slow-to-come  connection refused")
            && screen.contains("dying         exit code 1: still at it")
            && screen.contains("✔ up")
    })
}

#[test]
fn at_80_columns() {
    looked_at(80, "at-80");
}

#[test]
fn at_120_columns() {
    looked_at(120, "at-120");
}

fn looked_at(columns: u16, name: &str) {
    let run = Provision::new(&troubled(name));
    let terminal = run.on_terminal(columns, 30, &[]);
    let screen = until_both_are_told(&terminal);
    println!("{screen}");
    assert_eq!(
        picture(&screen),
        "\
── guestbake run, TIME ─
 ✔ bundle, plan, guest, engine, images, containers
 ⠋ wait: 1 of 3 ready, TIME of TIME
   ✔ up TIME
   … slow-to-come  connection refused
   … dying         exit code 1: still at it
 · then migrations, smoke, stop, finish
"
    );
    assert!(narrow_enough(&screen, columns.into()));
    // The lines of the consoles stand above it, and the picture is there once.
    assert!(
        screen.contains(&format!("\ncontainer {name} started\n")),
        "{screen}"
    );
    assert_eq!(screen.matches("── guestbake").count(), 1, "{screen}");
    assert!(terminal.in_colour().contains("\x1b[32m✔"));

    touch(&format!("{name}-dies"), "/tmp/go");
    assert_eq!(terminal.end(), 31);
    println!("{}", terminal.screen());
    let all = terminal.everything();
    let last = all.trim_end().lines().rev().take(3).collect::<Vec<_>>();
    assert!(last[1].starts_with("STACK_PROVISION_RESULT: {"), "{all}");
    assert!(last[2].starts_with("FAILED in stage wait: "), "{all}");
    assert_eq!(last[0], FAILED);
    let end = all.rfind("FAILED in stage").unwrap();
    assert_eq!(
        picture(&all[..end]),
        "\
── guestbake run, TIME ─
 ✔ bundle, plan, guest, engine, images, containers
 ✘ wait after TIME
   ✔ up TIME
   · slow-to-come  connection refused
   ✘ dying         exit code 1: still at it
"
    );
    // What the consoles have, the terminal has shown too.
    for line in run.console().lines() {
        let line = line
            .strip_prefix("STACK_PROVISION: ")
            .unwrap_or(line)
            .trim_end();
        assert!(all.contains(line), "no {line:?} in\n{all}");
    }
}

#[test]
fn the_same_piped_is_lines_alone() {
    let run = Provision::new(&troubled("piped")).start();
    run.until_console("container piped-dies started");
    touch("piped-dies", "/tmp/go");
    let ended = run.end();
    ended.assert_failed(31, "dependency_exited", "wait", &[]);
    assert!(!ended.stdout.contains('\x1b') && !ended.stdout.contains("──"));
    let console: Vec<_> = ended.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), console);
}

#[test]
fn a_terminal_that_wants_no_picture_gets_lines() {
    for variable in ["NO_COLOR=1", "TERM=dumb"] {
        let run = Provision::new(&idle("no-picture"));
        let terminal = run.on_terminal(80, 40, &[variable]);
        assert_eq!(terminal.end(), 0);
        let all = terminal.everything();
        assert!(!all.contains("── guestbake"), "{variable}:\n{all}");
        assert!(all.contains("\nstage wait done ("), "{all}");
        assert!(all.contains(DONE), "{all}");
    }
}

#[test]
fn a_terminal_without_utf_8_gets_a_picture_in_ascii() {
    let run = Provision::new(&idle("ascii"));
    let terminal = run.on_terminal(80, 40, &["LANG=C"]);
    assert_eq!(terminal.end(), 0);
    let all = terminal.everything();
    assert!(all.contains("-- guestbake run, "), "{all}");
    assert!(all.is_ascii(), "{all}");
}

#[test]
fn a_terminal_may_change_its_size() {
    let run = Provision::new(&troubled("resized"));
    let terminal = run.on_terminal(120, 30, &[]);
    until_both_are_told(&terminal);
    for (columns, rows) in [(60, 20), (30, 20), (100, 12), (80, 30)] {
        terminal.resize(columns, rows);
        let rule = |screen: &str| {
            let lines: Vec<_> = screen
                .lines()
                .filter(|line| line.starts_with("──"))
                .collect();
            lines.len() == 1 && lines[0].chars().count() == usize::from(columns)
        };
        let screen = terminal.until("one picture of the new size", rule);
        println!("{screen}");
        let picture = &screen[screen.find("──").unwrap()..];
        assert!(picture.contains("slow-to-come  "), "{screen}");
    }
    terminal.keys("C-c");
    assert_eq!(terminal.end(), 60);
}

#[test]
fn a_terminal_that_takes_nothing_holds_nothing_up() {
    let run = Provision::new(&troubled("blocked"));
    let terminal = run.on_terminal(80, 30, &[]);
    until_both_are_told(&terminal);
    terminal.keys("C-s");
    touch("blocked-dies", "/tmp/go");
    until_or(
        || {
            run.console()
                .ends_with(&format!("\n{FAILED}\n"))
                .then_some(())
        },
        || format!("no marker on the console:\n{}", run.console()),
    );
    assert_eq!(terminal.end(), 31);
}

#[test]
fn a_stage_alone_has_the_same_view() {
    let plan = idle("alone");
    let captured = Provision::new(&format!("finish.capture = true\n{plan}")).run();
    assert_eq!(captured.code, Some(0), "{}", captured.console);
    let service = |name: &str, probe: &str| {
        format!("[[wait.services]]\nname = '{name}'\ncontainer = 'alone'\n{probe}\n")
    };
    let port = format!("tcp = '127.0.0.1:{}'", free_port());
    let waiting = Provision::new(
        &(plan.clone() + &service("up", "exec = ['true']") + &service("never", &port)),
    );
    let terminal = waiting.verb_on_terminal("wait", 80, 24);
    let screen = terminal.until("the services", |screen| {
        screen.contains("never  connection refused") && screen.contains("✔ up")
    });
    println!("{screen}");
    assert_eq!(
        picture(&screen),
        "\
── guestbake wait, TIME ─
 ✔ bundle, plan, guest, engine
 ⠋ wait: 1 of 2 ready, TIME of TIME
   ✔ up TIME
   … never  connection refused
"
    );
    drop(terminal);

    let migrating = format!(
        "{plan}[[migrations]]\nname = 'schema'\ncontainer = 'alone'\n\
         command = ['sh', '-c', 'echo step 1; until test -e /tmp/go; do usleep 50000; done; echo step 2']\n"
    );
    let migrating = Provision::new(&migrating);
    let terminal = migrating.verb_on_terminal("migrate", 80, 24);
    let screen = terminal.until("its output", |screen| screen.contains("s  step 1"));
    println!("{screen}");
    touch("alone", "/tmp/go");
    assert_eq!(terminal.end(), 0);
    assert!(terminal.everything().contains("schema | step 2"));
}

//! `[emulation]`: what is stretched, what is merged, what is refused.

use super::*;

fn plans(text: &str) -> Plans {
    plans_in(&Environment::default(), text)
}

fn plans_in(environment: &Environment, text: &str) -> Plans {
    let source = Source {
        name: "guestbake.toml",
        bytes: text.as_bytes(),
    };
    parse(&source, &Bundle::usual(), environment).unwrap_or_else(|errors| panic!("{errors}"))
}

fn seconds(duration: std::time::Duration) -> u64 {
    duration.as_secs()
}

const LIMITED: &str = "
[run]
timeout = '1h'
[images]
timeout = '10m'
[containers.deps]
image = 'app'
stop_grace_period = '20s'
healthcheck = { test = 'true', timeout = '3s' }
[wait]
timeout = '60s'
[[wait.services]]
name = 's'
tcp = 'localhost:1'
timeout = '2s'
stable = '3s'
[[migrations]]
name = 'set'
container = 'deps'
command = 'true'
timeout = '90s'
[[migrations]]
name = 'default'
container = 'deps'
command = 'true'
[smoke]
[[smoke.checks]]
name = 'c'
tcp = 'localhost:1'
";

#[test]
fn limits_for_native_speed_are_stretched_and_both_numbers_said() {
    let plans = plans(&format!("{LIMITED}[emulation]\n"));
    let here = plans.settled(&Emulated::Everything);
    assert_eq!(here.slowness, 5.0);
    assert_eq!(seconds(here.images.timeout), 3000);
    assert_eq!(seconds(here.wait.timeout), 300);
    assert_eq!(seconds(here.wait.services[0].attempt_timeout.unwrap()), 10);
    let three = std::time::Duration::from_secs(3);
    assert_eq!(here.wait.services[0].stable, Stable::For(three * 5));
    assert_eq!(seconds(here.migrations[0].timeout), 450);
    assert_eq!(seconds(here.migrations[1].timeout), 6000);
    assert_eq!(seconds(here.smoke.as_ref().unwrap().timeout), 1500);
    assert_eq!(seconds(here.containers[0].stop_grace_period), 100);
    let check = here.containers[0].healthcheck.as_ref().unwrap();
    assert_eq!(seconds(check.timeout.unwrap()), 15);
    assert_eq!(
        plans.differences(&here),
        [
            "limits under emulation: images 600s → 3000s, wait 60s → 300s, migration set 90s → 450s, \
             migration default 1200s → 6000s, smoke test 300s → 1500s, stop of deps 20s → 100s, \
             health check timeout of deps 3s → 15s"
        ]
    );
    let native = plans.settled(&Emulated::Nothing);
    assert_eq!((native.slowness, seconds(native.wait.timeout)), (1.0, 60));
    assert!(plans.differences(&native).is_empty());
}

#[test]
fn what_a_plan_sets_is_fixed_unless_it_knows_of_emulation() {
    let plans = plans(LIMITED);
    let here = plans.settled(&Emulated::Everything);
    assert_eq!(seconds(here.wait.timeout), 60);
    assert_eq!(seconds(here.migrations[0].timeout), 90);
    assert_eq!(
        seconds(here.migrations[1].timeout),
        6000,
        "a default for native speed"
    );
    let lines = plans.differences(&here).join("\n");
    assert!(lines.contains("the plan has no [emulation]"), "{lines}");
}

#[test]
fn limits_of_emulated_guests_are_never_stretched() {
    let text = format!(
        "{LIMITED}[emulation]\nfactor = 2.5\n[emulation.wait]\ntimeout = '70s'\n[emulation.migrations.set]\ntimeout = '2m'\n"
    );
    let here = plans(&text).settled(&Emulated::Everything);
    assert_eq!(seconds(here.wait.timeout), 70, "fixed by the overlay");
    assert_eq!(seconds(here.migrations[0].timeout), 120, "fixed by it");
    assert_eq!(seconds(here.smoke.unwrap().timeout), 750);
    assert_eq!(seconds(here.run.timeout), 3600, "the host's own limit");

    let variable = Environment::from_iter([(DEPS_TIMEOUT, "80")]);
    let plan = plans_in(&variable, &format!("{LIMITED}[emulation]\n"));
    assert_eq!(seconds(plan.emulated.wait.timeout), 80);

    let defaults = plans("[emulation]\n").emulated;
    assert_eq!(defaults.wait.timeout, DEFAULT_WAIT_TIMEOUT);
    assert_eq!(defaults.images.timeout, DEFAULT_IMAGES_TIMEOUT);
    assert_eq!(defaults.engine.timeout, DEFAULT_ENGINE_TIMEOUT);
}

#[test]
fn the_overlay_is_merged_as_compose_merges() {
    let plans = plans(
        "
[containers.deps]
image = 'app'
command = ['serve', '--fast']
environment = { A = '1', B = '2' }
env_file = 'build.env'
volumes = ['data:/a', '/h:/b']
healthcheck = { test = 'true', interval = '7s' }
[containers.listed]
image = 'app'
environment = ['A=1', 'B=2']
[[migrations]]
name = 'seed'
container = 'deps'
command = ['node', 'seed.js']
[emulation]
factor = 1
[emulation.containers.deps]
command = ['serve']
environment = ['B=3', 'C=4']
env_file = ['build.env']
volumes = ['/other:/b:ro', 'more:/c']
healthcheck = { retries = 9 }
[emulation.containers.listed]
environment = { B = 3 }
[emulation.migrations.seed]
command = ['node', '--no-opt', 'seed.js']
environment = { X = 'y' }
",
    );
    let native = &plans.native.containers[0];
    assert_eq!(native.command.as_ref().unwrap().len(), 2);
    let here = &plans.emulated;
    let deps = here.containers.iter().find(|c| c.name == "deps").unwrap();
    assert_eq!(deps.command.as_deref(), Some(&["serve".to_owned()][..]));
    let variables: Vec<_> = deps
        .environment
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(variables, ["A=1", "B=3", "C=4", "FROM_FILE=1"]);
    let targets: Vec<_> = deps
        .volumes
        .iter()
        .map(|v| (&*v.target, v.read_only))
        .collect();
    assert_eq!(targets, [("/a", false), ("/b", true), ("/c", false)]);
    let check = deps.healthcheck.as_ref().unwrap();
    assert_eq!(
        (check.retries, check.interval.map(seconds)),
        (Some(9), Some(7))
    );
    let listed = here.containers.iter().find(|c| c.name == "listed").unwrap();
    assert_eq!(listed.environment["B"], "3");
    let MigrationTarget::Exec {
        command,
        environment,
        ..
    } = &here.migrations[0].target
    else {
        panic!("a command in a container");
    };
    assert_eq!(command.join(" "), "node --no-opt seed.js");
    assert_eq!(environment["X"], "y");
}

struct Composed;

impl BundleFiles for Composed {
    fn exists(&self, name: &str) -> bool {
        ["compose.yaml", "slow.env"].contains(&name)
    }

    fn read(&self, name: &str) -> std::io::Result<Vec<u8>> {
        let text = match name {
            "compose.yaml" => {
                "services:\n  db:\n    image: app\n    command: serve --fast\n    environment: {A: '1', B: '2'}\n    \
                 stop_grace_period: 1m\n    healthcheck: {test: [CMD, 'true'], interval: 2s, timeout: 3s}\n    \
                 ports: ['80:80']\n  other:\n    image: app\n"
            }
            "slow.env" => "FROM_FILE=1\n",
            _ => return Err(std::io::ErrorKind::NotFound.into()),
        };
        Ok(text.into())
    }
}

fn composed(emulation: &str) -> Result<Plans, Vec<String>> {
    let text = format!("compose = 'compose.yaml'\n{emulation}");
    let source = Source {
        name: "guestbake.toml",
        bytes: text.as_bytes(),
    };
    let plans = parse(&source, &Composed, &Environment::default());
    plans.map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn services_of_compose_files_are_stretched_and_overlaid_too() {
    let plans = composed(
        "[emulation.containers.db]
command = ['serve']
environment = { B = '3' }
env_file = 'slow.env'
mem_limit = '1g'
ports = ['81:81']
healthcheck = { timeout = '4s' }
",
    )
    .unwrap();
    let here = plans.settled(&Emulated::Everything);
    let db = here.containers.iter().find(|c| c.name == "db").unwrap();
    assert_eq!(db.command.as_deref(), Some(&["serve".to_owned()][..]));
    let variables = db.environment.iter();
    let variables: Vec<_> = variables.map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(variables, ["A=1", "B=3", "FROM_FILE=1"]);
    assert_eq!(db.settings.mem_limit, Some(1 << 30));
    assert_eq!(db.ports.len(), 2);
    assert_eq!(
        plans.differences(&here),
        [
            "limits under emulation: stop of db 60s → 300s, health check interval of db 2s → 10s, \
             health check timeout of db 3s → 4s, stop of other 10s → 50s",
            "set by [emulation]: containers.db.command, containers.db.environment, containers.db.env_file, \
             containers.db.mem_limit, containers.db.ports, containers.db.healthcheck",
        ]
    );
    let native = plans.native.containers.iter().find(|c| c.name == "db");
    assert_eq!(native.unwrap().environment["B"], "2");
    // A plan that does not know of emulation means what its files say, and Compose's default is for native speed.
    let here = composed("").unwrap().settled(&Emulated::Everything);
    let stops = here
        .containers
        .iter()
        .map(|c| (&*c.name, seconds(c.stop_grace_period)));
    assert_eq!(stops.collect::<Vec<_>>(), [("db", 60), ("other", 50)]);
}

#[test]
fn a_service_that_is_in_no_compose_file_cannot_be_overlaid() {
    let errors =
        composed("[emulation.containers.bd]\nuser = 'x'\n[emulation.containers.db]\nusr = 'x'\n");
    assert_eq!(
        errors.unwrap_err(),
        [
            "guestbake.toml:2:23: emulation.containers.bd: no container or service of this name; did you mean `db`?",
            "guestbake.toml:5:1: services.db.usr: unknown key; did you mean `user`?",
        ]
    );
}

#[test]
fn one_emulated_container_stretches_budgets_and_leaves_the_others_alone() {
    let plans = plans(
        "
[containers.foreign]
image = 'arm:1'
[containers.own]
image = 'app'
stop_grace_period = '1s'
[wait]
timeout = '10s'
[emulation.containers.foreign]
environment = { SLOW = '1' }
[emulation.containers.own]
environment = { SLOW = '1' }
",
    );
    let images = ["arm:1".to_owned()].into();
    let plan = plans.settled(&Emulated::Images(&images));
    assert_eq!(seconds(plan.wait.timeout), 50);
    let slow: Vec<_> = plan
        .containers
        .iter()
        .map(|c| (&*c.name, c.environment.len(), seconds(c.stop_grace_period)))
        .collect();
    assert_eq!(slow, [("foreign", 1, 50), ("own", 0, 1)]);
}

#[test]
fn errors_in_the_overlay_have_its_lines() {
    let text = format!(
        "{DEPS}[[migrations]]\nname = 'm'\ncontainer = 'deps'\ncommand = 'x'\n\
         [emulation]\nfactr = 3\n[emulation.containers.dep]\nuser = 'x'\n[emulation.containers.deps]\ncomand = 'x'\n\
         [emulation.migrations.n]\n[emulation.migrations.m]\nname = 'z'\ntimeout = 5\n[emulation.wait]\nservices = []\n"
    );
    assert_eq!(
        errors(&text),
        [
            "guestbake.toml:8:1: emulation.factr: unknown key; did you mean `factor`?",
            "guestbake.toml:9:23: emulation.containers.dep: no container of this name; did you mean `deps`?",
            "guestbake.toml:12:1: containers.deps.comand: unknown key; did you mean `command`?",
            "guestbake.toml:13:23: emulation.migrations.n: no migration of this name; did you mean `m`?",
            "guestbake.toml:15:1: emulation.migrations.m.name: a migration keeps its name",
            "guestbake.toml:16:11: migrations[0].timeout: \"5\" has no unit: write \"5s\" for seconds, \"5m\" for minutes",
            "guestbake.toml:18:1: emulation.wait.services: unknown key; expected `timeout` or `heartbeat`",
        ]
    );
}

#[test]
fn the_factor_is_a_number_from_1_to_100() {
    for wrong in ["0.5", "101", "'5'", "nan"] {
        let errors = errors(&format!("[emulation]\nfactor = {wrong}\n"));
        assert!(
            errors[0].contains("expected a factor from 1 to 100"),
            "{errors:?}"
        );
    }
}

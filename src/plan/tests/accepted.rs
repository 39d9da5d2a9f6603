use std::path::PathBuf;
use std::time::Duration;

use super::*;

fn words(command: &Option<Vec<String>>) -> Vec<&str> {
    command.iter().flatten().map(String::as_str).collect()
}

#[test]
fn the_contracts_example() {
    let plan = plan(CONTRACT);
    assert_eq!(plan.bundle.label, "STACKBUNDLE");
    assert_eq!(plan.images.archives, [PathBuf::from("img.tgz")]);
    assert_eq!(plan.images.require, ["stack-local-emulator:latest"]);
    let deps = &plan.containers[0];
    assert_eq!(
        (deps.name.as_str(), deps.image.as_str()),
        ("deps", "stack-local-emulator")
    );
    assert_eq!(deps.network_mode.as_deref(), Some("host"));
    assert_eq!(deps.environment["STACK_DEPS_ONLY"], "true");
    assert_eq!(deps.environment["FROM_FILE"], "1");
    assert_eq!(
        deps.volumes[0].source,
        VolumeSource::Named("stack-postgres-data".into())
    );
    assert_eq!(plan.wait.timeout, Duration::from_secs(1500));
    let names: Vec<&str> = plan
        .wait
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    assert_eq!(names, ["postgres", "qstash", "init-services"]);
    assert!(
        matches!(&plan.wait.services[0].probe, Probe::Tcp { host, port: 5432, .. } if host == "127.0.0.1")
    );
    assert!(
        matches!(&plan.wait.services[1].probe, Probe::Http(http) if http.status == [401] && http.method == "GET")
    );
    let migration = &plan.migrations[0];
    assert_eq!(migration.timeout, Duration::from_secs(1200));
    let MigrationTarget::Exec {
        container,
        command,
        working_dir,
        environment,
        ..
    } = &migration.target
    else {
        panic!("{migration:?}")
    };
    assert_eq!((container.as_str(), command.len()), ("deps", 3));
    assert_eq!(working_dir.as_deref(), Some("/app/apps/backend"));
    assert_eq!(environment["FROM_FILE"], "1");
    let smoke = plan.smoke.unwrap();
    assert_eq!(smoke.when, SmokeWhen::UnlessTcg);
    let own = smoke.container.unwrap();
    assert_eq!(
        (own.name.as_str(), own.secrets["CRON_SECRET"]),
        ("smoke", 32)
    );
    assert_eq!(smoke.checks[0].container.as_deref(), Some("smoke"));
    assert_eq!(plan.finish.power_off, PowerOff::Always);
}

#[test]
fn the_reference_plan_of_the_repository() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/stack-auth.toml");
    let plan = plan(&std::fs::read_to_string(path).unwrap());
    assert_eq!(plan.wait.services.len(), 6);
    assert_eq!(plan.containers[0].volumes.len(), 5);
    let fatal = |service: &Service| matches!(&service.probe, Probe::Exec { fatal_exit_codes, .. } if *fatal_exit_codes == [99]);
    assert!(fatal(&plan.wait.services[5]));
    assert_eq!(plan.migrations.len(), 2);
    for migration in &plan.migrations {
        let MigrationTarget::Exec {
            command, container, ..
        } = &migration.target
        else {
            panic!("{migration:?}")
        };
        assert_eq!((command.len(), container.as_str()), (3, "stack-build-init"));
    }
    let smoke = plan.smoke.unwrap();
    assert_eq!(smoke.stop, ["stack-build-init"]);
    assert_eq!(smoke.container.unwrap().secrets.len(), 4);
}

#[test]
fn an_empty_plan_is_all_defaults() {
    let plan = plan("");
    assert_eq!(plan.run.timeout, DEFAULT_RUN_TIMEOUT);
    assert_eq!(plan.bundle.label, DEFAULT_LABEL);
    assert_eq!(plan.wait.heartbeat, DEFAULT_HEARTBEAT);
    assert!(plan.containers.is_empty() && plan.smoke.is_none());
}

#[test]
fn commands_are_words_or_a_string() {
    let container = container("command = 'node a.mjs \"b c\"'\nentrypoint = []\n");
    assert_eq!(words(&container.command), ["node", "a.mjs", "b c"]);
    // Compose's way to take the image's entrypoint away.
    assert_eq!(container.entrypoint, Some(Vec::new()));
}

#[test]
fn environment_is_a_table_or_a_list() {
    let from_table =
        container("environment = { A = 1, B = true, C = 1.50, D = 'x', E = 0x10 }\n").environment;
    let values: Vec<&str> = from_table.values().map(String::as_str).collect();
    assert_eq!(values, ["1", "true", "1.50", "x", "16"]);
    let text = format!("{DEPS}environment = ['A=1=2', 'HOME', 'UNSET']\n");
    let environment = Environment::from_iter([("HOME", "/root")]);
    let plan = parse_in(&Bundle::usual(), &environment, &text).unwrap();
    let expected =
        [("A", "1=2"), ("HOME", "/root")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(plan.containers[0].environment, BTreeMap::from(expected));
}

#[test]
fn environment_wins_over_env_files_and_later_files_over_earlier_ones() {
    let bundle = Bundle::with(&[("a", b"X=a\nY=a\nZ=a\nS=a"), ("b", b"Y=b\nZ=b")]);
    let text = format!(
        "{DEPS}env_file = ['a', {{ path = 'b' }}, {{ path = 'c', required = false }}]\n\
         environment = {{ Z = 'c' }}\nsecrets = {{ S = 8 }}"
    );
    let plan = parse_in(&bundle, &Environment::default(), &text).unwrap();
    let expected = [("X", "a"), ("Y", "b"), ("Z", "c")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    // The throwaway secret takes the place of the file's value.
    assert_eq!(plan.containers[0].environment, BTreeMap::from(expected));
}

#[test]
fn long_forms_mean_the_same_as_short_ones() {
    let short = container(
        "volumes = ['d1:/a:ro', '/h:/b:rslave', '/c']\nports = ['127.0.0.1:8080:80/udp']\ntmpfs = '/t:size=1048576,mode=700'\n",
    );
    let long = container(
        "volumes = [{ type = 'volume', source = 'd1', target = '/a', read_only = true },
                    { type = 'bind', source = '/h', target = '/b', bind = { propagation = 'rslave' } },
                    { type = 'volume', target = '/c' },
                    { type = 'tmpfs', target = '/t', tmpfs = { size = '1m', mode = 0o700 } }]
         ports = [{ target = 80, published = '8080', host_ip = '127.0.0.1', protocol = 'udp' }]\n",
    );
    assert_eq!(short.volumes, long.volumes);
    assert_eq!(short.ports, long.ports);
    assert_eq!(short.tmpfs, long.tmpfs);
}

#[test]
fn the_other_keys_of_a_container() {
    let container = container(
        "shm_size = '64m'
         mem_limit = 67108864
         ulimits = { nofile = 1024, nproc = { soft = 1, hard = -1 } }
         restart = 'on-failure:3'
         user = 1000
         labels = ['a=1', 'b']
         extra_hosts = { db = ['10.0.0.1', '::1'] }
         networks = { back = { aliases = ['db'] }, front = {} }
         healthcheck = { test = 'pg_isready', interval = '1s', retries = 3 }
         stop_grace_period = '0s'\n",
    );
    assert_eq!(
        (container.settings.shm_size, container.settings.mem_limit),
        (Some(64 << 20), Some(64 << 20))
    );
    let limits: Vec<_> = container
        .settings
        .ulimits
        .iter()
        .map(|limit| (limit.name.as_str(), limit.soft, limit.hard))
        .collect();
    assert_eq!(limits, [("nofile", 1024, 1024), ("nproc", 1, -1)]);
    assert_eq!(container.restart, Restart::OnFailure(Some(3)));
    assert_eq!(container.user.as_deref(), Some("1000"));
    assert_eq!(container.labels["b"], "");
    assert_eq!(container.extra_hosts, ["db:10.0.0.1", "db:::1"]);
    assert_eq!(container.networks[0].network, "back");
    assert_eq!(container.networks[0].aliases, ["db"]);
    let healthcheck = container.healthcheck.unwrap();
    assert_eq!(healthcheck.test, ["CMD-SHELL", "pg_isready"]);
    assert_eq!(healthcheck.interval, Some(Duration::from_secs(1)));
    assert_eq!(container.stop_grace_period, Duration::ZERO);
}

#[test]
fn containers_come_after_what_they_depend_on_else_as_in_the_file() {
    let plan = plan(
        "[containers.web]\nimage = 'a'\ndepends_on = { db = { condition = 'service_healthy' }, init = {} }
         [containers.zoo]\nimage = 'a'
         [containers.init]\nimage = 'a'\ndepends_on = ['db']
         [containers.db]\nimage = 'a'\ncontainer_name = 'pg'
         [containers.side]\nimage = 'a'\nnetwork_mode = 'service:zed'
         [containers.zed]\nimage = 'a'",
    );
    let names: Vec<&str> = plan
        .containers
        .iter()
        .map(|container| container.name.as_str())
        .collect();
    assert_eq!(names, ["pg", "init", "web", "zoo", "zed", "side"]);
    // References are the engine's names, not the plan's keys.
    assert_eq!(
        plan.containers[2].depends_on[0],
        ("pg".to_owned(), Condition::Healthy)
    );
    assert_eq!(
        plan.containers[5].network_mode.as_deref(),
        Some("container:zed")
    );
    assert_eq!(
        plan.containers[5].depends_on,
        [("zed".to_owned(), Condition::Started)]
    );
}

#[test]
fn every_probe_and_its_keys() {
    let plan = plan(&format!(
        "{DEPS}[[wait.services]]\nname = 'a'\nhttp = 'https://h/'\nmethod = 'POST'\nheaders = {{ X-A = 'b', N = 1 }}
         status = 204\nbody = 'o.k'\ninsecure = true\nstable = 2\ntimeout = '3s'
         [[wait.services]]\nname = 'b'\ncontainer = 'deps'\nexec = 'test -e /x'\nuser = 'pg'\nfatal_exit_codes = [2, 3]\nrestarts = 1
         [[wait.services]]\nname = 'c'\ncontainer = 'deps'\nlog = 'ready$'
         [[wait.services]]\nname = 'd'\ncontainer = 'deps'\nhealthy = true
         [[wait.services]]\nname = 'e'\ncontainer = 'deps'\ncompleted = true
         [[wait.services]]\nname = 'f'\ntcp = '[::1]:80'"
    ));
    let services = &plan.wait.services;
    let Probe::Http(http) = &services[0].probe else {
        panic!()
    };
    assert_eq!(
        (http.method.as_str(), &http.status[..], http.insecure),
        ("POST", &[204][..], true)
    );
    assert_eq!(
        http.headers,
        [("X-A".into(), "b".into()), ("N".into(), "1".into())]
    );
    assert!(http.body.as_ref().unwrap().is_match("o_k"));
    assert_eq!(
        (services[0].stable, services[0].attempt_timeout),
        (Stable::Answers(2), Some(Duration::from_secs(3)))
    );
    let Probe::Exec {
        command,
        user,
        fatal_exit_codes,
    } = &services[1].probe
    else {
        panic!()
    };
    assert_eq!(
        (command.len(), user.as_deref(), &fatal_exit_codes[..]),
        (3, Some("pg"), &[2, 3][..])
    );
    assert_eq!(
        (services[1].restarts, services[1].container.as_deref()),
        (1, Some("deps"))
    );
    assert!(matches!(&services[2].probe, Probe::Log(pattern) if pattern.as_str() == "ready$"));
    assert!(matches!(services[3].probe, Probe::Healthy));
    assert!(matches!(services[4].probe, Probe::Completed));
    assert!(matches!(&services[5].probe, Probe::Tcp { host, port: 80, .. } if host == "::1"));
}

#[test]
fn a_migration_with_an_image_is_a_container_of_its_own() {
    let plan =
        plan("[[migrations]]\nname = 'set up: all'\nimage = 'app:1'\nvolumes = ['data:/data']\n");
    let MigrationTarget::OneShot(container) = &plan.migrations[0].target else {
        panic!()
    };
    assert_eq!(container.name, "migration-set-up--all");
    assert_eq!(container.volumes.len(), 1);
    assert_eq!(plan.migrations[0].timeout, DEFAULT_MIGRATION_TIMEOUT);
}

#[test]
fn the_hosts_variable_overrides_the_budget() {
    let timeout = |value: &str| {
        let environment = Environment::from_iter([(DEPS_TIMEOUT, value)]);
        parse_in(&Bundle::usual(), &environment, "[wait]\ntimeout = '5m'")
            .map(|plan| plan.wait.timeout)
    };
    assert_eq!(timeout("90").unwrap(), Duration::from_secs(90));
    assert_eq!(timeout("").unwrap(), Duration::from_secs(300));
    for wrong in ["0", "-1", "5m", "99999999999"] {
        assert_eq!(
            timeout(wrong).unwrap_err().to_string(),
            format!(
                "STACK_DEPS_TIMEOUT: expected a whole number of seconds above 0, found {wrong:?}"
            )
        );
    }
}

#[test]
fn capture_leaves_the_machine_on_unless_it_fails() {
    assert_eq!(
        plan("[finish]\ncapture = true").finish.power_off,
        PowerOff::OnFailure
    );
    assert_eq!(
        errors("[finish]\ncapture = true\npower_off = 'always'"),
        [
            "guestbake.toml:3:13: finish.power_off: `capture = true` leaves the machine on; expected `on-failure` or `never`"
        ]
    );
}

#[test]
fn an_image_is_finished_as_asked_and_not_at_all_if_it_is_to_be_captured() {
    let finish = plan("[finish]\nprune = true\ntrim = true\ntimeout = '5m'").finish;
    assert!(finish.prune && finish.trim && !finish.zero && !finish.logs && !finish.golden);
    assert_eq!(finish.timeout, Duration::from_secs(300));
    assert_eq!(plan("").finish.timeout, DEFAULT_FINISH_TIMEOUT);
    assert_eq!(
        errors("[finish]\ncapture = true\nzero = false\ngolden = true\nlogs = 1"),
        [
            "guestbake.toml:4:10: finish.golden: `capture = true` leaves everything as it is; it is for a run that stops",
            "guestbake.toml:5:8: finish.logs: expected `true` or `false`, found integer 1",
        ]
    );
}

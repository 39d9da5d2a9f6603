use super::*;

/// A plan with everything in it that has a form of its own.
const RICH: &str = r#"
[containers.'a.b']
image = 'app'
command = ['env', 'API_TOKEN=hunter2', 'sh']
environment = { DB = 'postgres://u:p%40ss@db/x', MY_PASSWORD = 'hunter3', EMPTY_SECRET = '', PLAIN = "two\nlines" }
volumes = ['data:/a', '/h:/b:ro,rshared', '/c', { type = 'tmpfs', target = '/d', read_only = true }]
ports = ['80', '[::1]::81', '1.2.3.4:8000-8001:90-91/udp']
networks = { back = { aliases = ['x'] } }
extra_hosts = ['db=::1']
healthcheck = { test = ['CMD', 'true'], interval = '90s', start_period = '0s' }
ulimits = { nofile = { soft = 1, hard = 2 } }
restart = 'on-failure:3'
labels = { 'my.token' = 'hunter4' }
[containers.side]
image = 'app'
network_mode = 'service:a.b'
depends_on = { 'a.b' = { condition = 'service_healthy' } }
healthcheck = { disable = true }
[[wait.services]]
name = 'web'
http = 'http://u:hunter5@h/'
headers = { Authorization = 'Bearer hunter6', 'X-Plain' = 'seen' }
body = 'a\d'
[[wait.services]]
name = 'sock'
container = 'side'
tcp = '[::1]:80'
timeout = '5s'
[[wait.services]]
name = 'log'
container = 'side'
log = 'x'
[[migrations]]
name = 'one'
image = 'app'
environment = { A = 'b' }
[[migrations]]
name = 'two'
container = 'a.b'
command = 'x y'
[smoke.container]
image = 'app'
network_mode = 'service:a.b'
secrets = { CRON_SECRET = 16 }
[[smoke.checks]]
name = 'c'
exec = 'true'
fatal_exit_codes = 2
[finish]
zero = true
timeout = '5m'
"#;

#[test]
fn the_effective_plan_is_a_plan_that_means_the_same() {
    for text in [
        RICH,
        CONTRACT,
        "",
        include_str!("../../../config/stack-auth.toml"),
    ] {
        let effective = plan(text).effective();
        assert_eq!(plan(&effective).effective(), effective);
    }
}

#[test]
fn it_shows_the_defaults() {
    let effective = plan(DEPS).effective();
    for line in [
        "[containers.deps]",
        "restart = \"no\"",
        "stop_grace_period = \"10s\"",
        "timeout = \"25m\"",
        "heartbeat = \"30s\"",
        "label = \"STACKBUNDLE\"",
        "power_off = \"always\"",
    ] {
        assert!(
            effective.lines().any(|found| found == line),
            "{line} is not in\n{effective}"
        );
    }
}

#[test]
fn no_secret_is_in_it_and_all_are_told_to_the_masker() {
    let plan = plan(RICH);
    let effective = plan.effective();
    let secrets = plan.secrets();
    assert_eq!(
        secrets,
        [
            "Bearer hunter6",
            "hunter2",
            "hunter3",
            "hunter4",
            "hunter5",
            "hunter6",
            "p%40ss",
            "p@ss",
        ]
    );
    for secret in &secrets {
        assert!(
            !effective.contains(secret.as_str()),
            "{secret} is in\n{effective}"
        );
    }
    for shown in [
        "MY_PASSWORD = \"***\"",
        "EMPTY_SECRET = \"\"",
        "DB = \"postgres://u:***@db/x\"",
        "\"my.token\" = \"***\"",
        "X-Plain = \"seen\"",
        "\"API_TOKEN=***\"",
        "PLAIN = \"two\\nlines\"",
    ] {
        assert!(effective.contains(shown), "{shown} is not in\n{effective}");
    }
}

#[test]
fn no_secret_is_in_a_debug_text() {
    let plan = plan(RICH);
    let debug = format!("{plan:?}");
    for secret in plan.secrets() {
        assert!(!debug.contains(&secret), "{secret} is in {debug}");
    }
}

#[test]
fn secrets_of_env_files_are_known_too() {
    let bundle = Bundle::with(&[(
        "build.env",
        b"STACK_API_KEY=\"quoted\"\nURL=redis://:pw@h\n",
    )]);
    let text = format!(
        "{DEPS}[[migrations]]\nname='m'\ncontainer='deps'\ncommand='x'\nenv_file='build.env'"
    );
    let plan = parse_in(&bundle, &Environment::default(), &text).unwrap();
    assert_eq!(plan.secrets(), ["\"quoted\"", "pw"]);
}

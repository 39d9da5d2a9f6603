use super::*;

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_likely_one() {
    assert_eq!(
        errors("\n[containers.deps]\nimage = 'a'\n  imgae = 'b'\n"),
        ["guestbake.toml:4:3: containers.deps.imgae: unknown key; did you mean `image`?"]
    );
    assert_eq!(
        errors("[bundle]\nzzz = 1"),
        ["guestbake.toml:2:1: bundle.zzz: unknown key; expected `label` or `timeout`"]
    );
    assert_eq!(
        errors("[containrs.x]\n"),
        ["guestbake.toml:1:2: containrs: unknown key; did you mean `containers`?"]
    );
    // In the middle of a list, too.
    assert_eq!(
        errors(&format!(
            "{DEPS}volumes = [{{ type = 'volume', target = '/a', readonly = true }}]"
        )),
        [
            "guestbake.toml:3:46: containers.deps.volumes[0].readonly: unknown key; did you mean `read_only`?"
        ]
    );
}

#[test]
fn all_errors_come_at_once_in_the_order_of_the_lines() {
    let text = "[wait]\ntimeout = 90\nheartbeat = 'soon'\n\
                [[wait.services]]\nname = 'a'\ncontainer = 'dep'\ntcp = 'x'\n\
                [run]\ntimeout = true\n\
                [containers.deps]\nimage = 'UPPER'\n";
    assert_eq!(
        errors(text),
        [
            "guestbake.toml:2:11: wait.timeout: \"90\" has no unit: write \"90s\" for seconds, \"90m\" for minutes",
            "guestbake.toml:3:13: wait.heartbeat: expected a duration such as \"90s\", \"5m\" or \"1h30m\", found \"soon\"",
            "guestbake.toml:6:13: wait.services[0].container: no container `dep`; did you mean `deps`?",
            "guestbake.toml:7:7: wait.services[0].tcp: expected an address such as \"127.0.0.1:5432\", \"db:5432\" or \
         \"[::1]:5432\", found \"x\"",
            "guestbake.toml:9:11: run.timeout: expected a string, found boolean true",
            "guestbake.toml:11:9: containers.deps.image: expected an image reference such as \"redis:7\" or \
         \"registry:5000/team/app@sha256:…\" (its name in lower case), found \"UPPER\"",
        ]
    );
}

#[test]
fn a_wrong_type_says_both_types() {
    for (keys, expected) in [
        (
            "privileged = 'yes'",
            "privileged: expected `true` or `false`, found string \"yes\"",
        ),
        (
            "cap_add = 'ALL'",
            "cap_add: expected a list, found string \"ALL\"",
        ),
        (
            "healthcheck = []",
            "healthcheck: expected a table, found array",
        ),
        (
            "command = 1",
            "command: expected a command, as a list of words or as a string, found integer 1",
        ),
        (
            "hostname = 1979-05-27",
            "hostname: expected a string, found a date",
        ),
        (
            "restart = false",
            "restart: expected a string, found boolean false",
        ),
        ("image = 1.5", "image: expected a string, found float 1.5"),
    ] {
        let text = format!("[containers.deps]\n{keys}\n");
        let found = errors(&text);
        assert!(
            found
                .iter()
                .any(|error| error.ends_with(&format!("containers.deps.{expected}"))),
            "{found:?}"
        );
    }
}

#[test]
fn one_mistake_is_one_error() {
    assert_eq!(
        errors("[containers]\ndeps = 1"),
        ["guestbake.toml:2:8: containers.deps: expected a table, found integer"]
    );
    assert_eq!(
        errors("[[wait.services]]\nname = 'a'\ncontainer = 1\nlog = 'x'"),
        ["guestbake.toml:3:13: wait.services[0].container: expected a string, found integer 1"]
    );
}

#[test]
fn values_that_may_be_secret_are_not_printed() {
    for keys in [
        "environment = { PASSWORD = ['hunter2'] }",
        "environment = 'PASSWORD=hunter2'",
        "environment = ['PASS WORD=hunter2']",
        "env_file = 'secret.env'",
    ] {
        let bundle = Bundle::with(&[("secret.env", b"=hunter2\nhunter2 x\n")]);
        let found =
            parse_in(&bundle, &Environment::default(), &format!("{DEPS}{keys}")).unwrap_err();
        assert!(!found.to_string().contains("hunter2"), "{found}");
    }
}

#[test]
fn env_files_are_named_with_their_lines() {
    let bundle = Bundle::with(&[("build.env", b"A=1\nB C=2\n=3\n")]);
    let text = format!("{DEPS}env_file = ['build.env', 'none.env']");
    let found = parse_in(&bundle, &Environment::default(), &text).unwrap_err();
    assert_eq!(
        found.to_string(),
        "guestbake.toml:3:26: containers.deps.env_file[1]: no file `none.env` in the bundle\n\
         build.env:2: the variable name \"B C\" contains white space\n\
         build.env:3: no variable name before the `=`"
    );
}

#[test]
fn archives_are_files_of_the_bundle() {
    assert_eq!(
        errors("[images]\narchives = ['../x', '/x', 'no.tgz', 'img.tgz', './img.tgz']"),
        [
            "guestbake.toml:2:13: images.archives[0]: expected the name of a file in the bundle, without a leading `/` and \
         without `..`, found \"../x\"",
            "guestbake.toml:2:21: images.archives[1]: expected the name of a file in the bundle, without a leading `/` and \
         without `..`, found \"/x\"",
            "guestbake.toml:2:27: images.archives[2]: no file `no.tgz` in the bundle",
            "guestbake.toml:2:48: images.archives[4]: `img.tgz` is listed twice",
        ]
    );
}

#[test]
fn a_service_has_one_probe_that_its_keys_belong_to() {
    let service = |keys: &str| errors(&format!("{DEPS}[[wait.services]]\nname = 'a'\n{keys}\n"));
    assert_eq!(
        service(""),
        [
            "guestbake.toml:3:1: wait.services[0]: no probe; expected one of `tcp`, `http`, `exec`, `log`, `healthy`, \
         `completed`, `up`"
        ]
    );
    assert_eq!(
        service("tcp = 'h:1'\nhttp = 'http://h/'"),
        [
            "guestbake.toml:3:1: wait.services[0]: `tcp` and `http` exclude each other: a service has one probe"
        ]
    );
    assert_eq!(
        service("tcp = 'h:1'\nstatus = [200]"),
        [
            "guestbake.toml:6:10: wait.services[0].status: belongs to a probe of `http`; this one is `tcp`"
        ]
    );
    assert_eq!(
        service("container = 'deps'\nhealthy = true\nstable = 2"),
        [
            "guestbake.toml:7:10: wait.services[0].stable: belongs to a probe of `tcp`, `http`, `exec`; this one is `healthy`"
        ]
    );
    assert_eq!(
        service("log = 'x'"),
        ["guestbake.toml:3:1: wait.services[0]: missing key `container`: `log` is about one"]
    );
    assert_eq!(
        service("tcp = 'h:1'\nrestarts = 1"),
        ["guestbake.toml:3:1: wait.services[0]: missing key `container`: `restarts` is about one"]
    );
    assert_eq!(
        service("container = 'deps'\ncompleted = false"),
        ["guestbake.toml:6:13: wait.services[0].completed: expected `true`, found boolean false"]
    );
    assert_eq!(
        service("http = 'http://h/'\nstatus = [99]\nmethod = 'HEAD'\nbody = 'a(b'"),
        [
            "guestbake.toml:6:11: wait.services[0].status[0]: expected a status code from 100 to 599, found integer 99",
            "guestbake.toml:8:8: wait.services[0].body: not a regular expression: unclosed group",
            "guestbake.toml:8:8: wait.services[0].body: an answer to `HEAD` has no body to match",
        ]
    );
    assert_eq!(
        service("container = 'deps'\nexec = []"),
        ["guestbake.toml:6:8: wait.services[0].exec: expected a command, found an array"]
    );
}

#[test]
fn names_are_unique() {
    let service = "[[wait.services]]\nname = 'a'\ntcp = 'h:1'\n";
    assert_eq!(
        errors(&service.repeat(2)),
        ["guestbake.toml:5:8: wait.services[1].name: a second service of the name `a`"]
    );
    let migration = "[[migrations]]\nname = 'a'\ncontainer = 'deps'\ncommand = 'x'\n";
    assert_eq!(
        errors(&format!("{DEPS}{}", migration.repeat(2))),
        ["guestbake.toml:8:8: migrations[1].name: a second migration of the name `a`"]
    );
    assert_eq!(
        errors(&format!(
            "{DEPS}[containers.b2]\nimage = 'a'\ncontainer_name = 'deps'\n"
        )),
        [
            "guestbake.toml:5:18: containers.b2.container_name: the container name `deps` is taken by `containers.deps`"
        ]
    );
    assert_eq!(
        errors(
            "[containers.smoke]\nimage = 'a'\n[smoke.container]\nimage = 'a'\n[[smoke.checks]]\nname='a'\ntcp='h:1'"
        ),
        [
            "guestbake.toml:3:1: smoke.container: the container name `smoke` is taken by `containers.smoke`"
        ]
    );
}

#[test]
fn depends_on_leads_somewhere_and_never_back() {
    assert_eq!(
        container_errors("depends_on = ['dps']"),
        ["containers.deps.depends_on[0]: no container `dps`; did you mean `deps`?"]
    );
    let text = "[containers.aa]\nimage = 'a'\ndepends_on = ['bb']\n\
                [containers.bb]\nimage = 'a'\ndepends_on = ['cc']\n\
                [containers.cc]\nimage = 'a'\ndepends_on = ['bb']\n";
    assert_eq!(
        errors(text),
        ["guestbake.toml:4:13: containers.bb: depends on itself: bb -> cc -> bb"]
    );
    assert_eq!(
        container_errors("depends_on = ['deps']"),
        ["containers.deps: depends on itself: deps -> deps"]
    );
}

#[test]
fn what_can_never_happen_is_not_waited_for() {
    let text = "[containers.aa]\nimage = 'a'\nrestart = 'always'\nhealthcheck = { disable = true }\n\
                [containers.bb]\nimage = 'a'\ndepends_on.aa.condition = 'service_healthy'\n\
                [containers.cc]\nimage = 'a'\ndepends_on.aa.condition = 'service_completed_successfully'\n\
                [[wait.services]]\nname = 's'\ncontainer = 'aa'\nhealthy = true\n\
                [[wait.services]]\nname = 't'\ncontainer = 'aa'\ncompleted = true\n\
                [[migrations]]\nname = 'm'\ncontainer = 'aa'\ncommand = 'x'\n";
    assert_eq!(
        errors(text),
        [
            "guestbake.toml:7:12: containers.bb.depends_on.aa: `aa` has its health check disabled",
            "guestbake.toml:10:12: containers.cc.depends_on.aa: `aa` never completes: its `restart` starts it again",
            "guestbake.toml:14:11: wait.services[0].healthy: `aa` has its health check disabled",
            "guestbake.toml:18:13: wait.services[1].completed: `aa` never completes: its `restart` starts it again",
            "guestbake.toml:21:13: migrations[0].container: `aa` has ended by then: a service waits for it to be completed",
        ]
    );
}

#[test]
fn migrations_are_commands_or_containers() {
    let migration = |keys: &str| errors(&format!("{DEPS}[[migrations]]\nname = 'm'\n{keys}\n"));
    assert_eq!(
        migration("command = 'x'"),
        [
            "guestbake.toml:3:1: migrations[0]: neither `container` (a command in a running one) nor `image` (a container of \
         its own)"
        ]
    );
    assert_eq!(
        migration("container = 'deps'\nimage = 'a'"),
        [
            "guestbake.toml:3:1: migrations[0]: `container` and `image` exclude each other: a migration is a command in a \
         running container or a container of its own"
        ]
    );
    assert_eq!(
        migration("container = 'deps'\nvolumes = ['data:/data']"),
        [
            "guestbake.toml:3:1: migrations[0]: missing key `command`",
            "guestbake.toml:6:1: migrations[0].volumes: needs `image`: a command in a running container cannot have it",
        ]
    );
    assert_eq!(
        migration("container = 'deps'\ncommand = ''"),
        ["guestbake.toml:6:11: migrations[0].command: expected a command, found none"]
    );
    assert_eq!(
        migration("image = 'a'\nrestart = 'always'\ndepends_on = ['deps']"),
        [
            "guestbake.toml:6:11: migrations[0].restart: a migration runs once; expected \"no\"",
            "guestbake.toml:7:15: migrations[0].depends_on[0]: only `[containers]` depend on each other: they are all up \
         before this one starts",
        ]
    );
    assert_eq!(
        migration("container = 'deps'\ncommand = 'a && b'"),
        [
            "guestbake.toml:6:11: migrations[0].command: `&` needs a shell, and none runs this: quote it, or write [\"sh\", \
         \"-c\", \"…\"]"
        ]
    );
}

#[test]
fn network_keys_that_exclude_each_other() {
    for (keys, expected) in [
        (
            "network_mode = 'host'\nports = ['80']",
            "ports[0]: excluded by `network_mode = \"host\"`: the container's ports are the guest's",
        ),
        (
            "network_mode = 'bridge'\nnetworks = ['back']",
            "networks: excluded by `network_mode = \"bridge\"`: it says the whole network",
        ),
        (
            "network_mode = 'container:other'\nhostname = 'h'",
            "hostname: excluded by `network_mode = \"container:other\"`: the container whose network it is has these",
        ),
        (
            "network_mode = 'hots'",
            "network_mode: expected \"bridge\", \"host\", \"none\", \"service:KEY\" or \"container:NAME\", found \
             \"hots\"; a network with a name goes into `networks`",
        ),
        (
            "network_mode = 'service:db'",
            "network_mode: no container `db`; expected `deps`",
        ),
    ] {
        assert_eq!(
            container_errors(keys),
            [format!("containers.deps.{expected}")]
        );
    }
    assert_eq!(
        errors(
            "[containers.aa]\nimage='a'\nports=['80:1']\n[containers.bb]\nimage='a'\nports=['80:2']"
        ),
        ["guestbake.toml:6:8: containers.bb.ports[0]: port 80/tcp is published by `aa` already"]
    );
}

#[test]
fn other_keys_of_a_container_that_make_no_sense() {
    for (keys, expected) in [
        (
            "secrets = { A = 0 }",
            "secrets.A: expected a number of bytes from 1 to 1024, found integer 0",
        ),
        (
            "secrets = { A = 8 }\nenvironment = { A = 'x' }",
            "secrets.A: is in `environment` too; a secret gets its value here only",
        ),
        (
            "volumes = ['aa:/x', 'bb:/x/']",
            "volumes[1]: `/x` has another mount in this container",
        ),
        ("tmpfs = '/'", "tmpfs: nothing can be mounted over `/`"),
        (
            "mem_limit = '1m'",
            "mem_limit: expected at least \"6m\", found string \"1m\"",
        ),
        (
            "ulimits = { nofile = { soft = 2, hard = 1 } }",
            "ulimits.nofile: the soft limit 2 is above the hard limit 1",
        ),
        (
            "ulimits = { nofiles = 1 }",
            "ulimits.nofiles: unknown limit; did you mean `nofile`?",
        ),
        (
            "healthcheck = { disable = true, interval = '1s' }",
            "healthcheck.interval: makes no sense with `disable = true`",
        ),
        (
            "healthcheck = { test = ['pg_isready'] }",
            "healthcheck.test: expected a string, or a list [\"CMD\", …], [\"CMD-SHELL\", \"…\"] or [\"NONE\"], found an \
             array",
        ),
        (
            "restart = 'allways'",
            "restart: expected \"no\", \"always\", \"unless-stopped\", \"on-failure\" or \"on-failure:3\", found \
             \"allways\"",
        ),
        (
            "working_dir = 'app'",
            "working_dir: expected an absolute path, found \"app\"",
        ),
        (
            "volumes = [{ type = 'volume', target = '/a', bind = { propagation = 'shared' } }]",
            "volumes[0].bind: belongs to `type = \"bind\"`",
        ),
        (
            "volumes = [{ type = 'bind', target = '/a' }]",
            "volumes[0]: missing key `source`: the absolute path of the guest to mount",
        ),
    ] {
        assert_eq!(
            container_errors(keys),
            [format!("containers.deps.{expected}")]
        );
    }
    assert_eq!(
        errors("[containers.deps]"),
        ["guestbake.toml:1:1: containers.deps: missing key `image`"]
    );
    assert_eq!(
        errors("[containers.d]\nimage = 'a'"),
        [
            "guestbake.toml:1:13: containers.d: expected a name of at least two letters, digits, `_`, `.` or `-`, starting \
         with a letter or digit, found \"d\""
        ]
    );
}

#[test]
fn a_smoke_test_checks_something() {
    assert_eq!(
        errors("[smoke]\nwhen = 'sometimes'\n"),
        [
            "guestbake.toml:1:1: smoke: no checks; a smoke test needs at least one `[[smoke.checks]]`",
            "guestbake.toml:2:8: smoke.when: expected one of `unless-tcg`, `always`, `never`, found string \"sometimes\"",
        ]
    );
    let check = "[[smoke.checks]]\nname = 'a'\ncontainer = 'deps'\ntcp = 'h:1'\n";
    assert_eq!(
        errors(&format!("{DEPS}[smoke]\nstop = ['deps']\n{check}")),
        [
            "guestbake.toml:4:9: smoke.stop[0]: makes room for `[smoke.container]`, and there is none",
            "guestbake.toml:7:13: smoke.checks[0].container: `deps` is stopped before the smoke test",
        ]
    );
}

#[test]
fn syntax_errors_and_foreign_bytes_have_a_place() {
    assert_eq!(
        errors("[run]\ntimeout = \"1h\n"),
        ["guestbake.toml:2:14: not TOML: invalid basic string, expected `\"`"]
    );
    let source = Source {
        name: "/tmp/p.toml",
        bytes: b"\n\xff",
    };
    let found = parse(&source, &Bundle::usual(), &Environment::default()).unwrap_err();
    assert_eq!(
        found.to_string(),
        "/tmp/p.toml:2: not UTF-8: byte 0xff at offset 1"
    );
}

#[test]
fn units_that_are_easily_mistaken() {
    assert_eq!(
        errors("[wait]\ntimeout = '10M'\n[[files]]\npath = '/x'\ncontent = ''\nmode = 644\n"),
        [
            "guestbake.toml:2:11: wait.timeout: expected a duration such as \"90s\", \"5m\" or \"1h30m\", found \"10M\"; `m` is for minutes",
            "guestbake.toml:6:8: files[0].mode: expected a mode such as 0o644, in octal digits, found integer 644",
        ]
    );
    for (mode, octal) in [("0o1777", 0o1777), ("'644'", 0o644), ("0", 0)] {
        let file = format!("[[files]]\npath = '/x'\ncontent = ''\nmode = {mode}\n");
        assert_eq!(plan(&file).files[0].mode, Some(octal));
    }
}

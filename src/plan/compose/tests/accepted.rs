use super::*;

#[test]
fn a_service_becomes_a_container_as_the_plan_would_have_it() {
    let composed = plan(
        "services:
  db:
    image: postgres:17
    command: -c listen_addresses=127.0.0.1
    environment:
      A: 1.10
      B: yes
      OUTSIDE:
      MISSING:
    ports: ['127.0.0.1:5432:5432', 53:53/udp]
    volumes: ['data:/var/lib/data', '/srv:/srv:ro']
    healthcheck:
      test: pg_isready
      interval: 1s
    ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}}
    restart: no
volumes:
  data:
",
    );
    let toml = "
[containers.db]
image = 'postgres:17'
command = ['-c', 'listen_addresses=127.0.0.1']
environment = { A = '1.1', B = 'yes', OUTSIDE = 'from outside' }
ports = ['127.0.0.1:5432:5432', '53:53/udp']
volumes = ['guestbake_data:/var/lib/data', '/srv:/srv:ro']
healthcheck = { test = 'pg_isready', interval = '1s' }
ulimits = { nofile = 5, nproc = { soft = 1, hard = 2 } }
networks = { guestbake_default = { aliases = ['db'] } }
[containers.db.labels]
'com.docker.compose.container-number' = '1'
'com.docker.compose.oneoff' = 'False'
'com.docker.compose.project' = 'guestbake'
'com.docker.compose.service' = 'db'
[networks.guestbake_default.labels]
'com.docker.compose.network' = 'default'
'com.docker.compose.project' = 'guestbake'
[volumes.guestbake_data.labels]
'com.docker.compose.volume' = 'data'
'com.docker.compose.project' = 'guestbake'
[[wait.services]]
name = 'db'
container = 'db'
up = true
";
    assert_eq!(composed.effective(), plan_of(toml, &[]).effective());
}

#[test]
fn without_services_in_the_plan_each_is_waited_for_as_up_does() {
    let yaml = "services:
  web:
    image: x
    depends_on:
      init: {condition: service_completed_successfully}
  init: {image: x}
";
    let probes: Vec<String> = plan(yaml)
        .wait
        .services
        .iter()
        .map(|service| format!("{}: {}", service.name, service.probe))
        .collect();
    assert_eq!(probes, ["web: up", "init: completed"]);
    let toml =
        format!("{ONE}[[wait.services]]\nname = 'w'\ncontainer = 'web'\ntcp = 'localhost:1'\n");
    assert_eq!(
        plan_of(&toml, &[("compose.yaml", yaml)])
            .wait
            .services
            .len(),
        1
    );
}

#[test]
fn an_override_merges_tables_appends_lists_and_replaces_commands() {
    let base = "services:
  aa:
    image: x
    command: [a, b]
    environment: {A: 1, B: 2}
    ports: ['80:80', '81:81']
    volumes: ['data:/data', '/h:/h']
    dns: 1.1.1.1
    labels: [a=1]
    healthcheck: {test: [CMD, a], retries: 3}
    logging: {driver: local, options: {max-size: 1m}}
    cap_add: [SYS_ADMIN]
volumes: {data: , other: }
";
    let over = "services:
  aa:
    command: c
    environment: [B=3, C=4]
    ports: ['81:81', '82:82']
    volumes: ['other:/data:ro']
    dns: [8.8.8.8]
    labels: {b: 2}
    healthcheck: {test: [CMD, b]}
    logging: {driver: json-file}
    cap_add: !reset []
";
    let plan = plan_of(
        "compose = ['compose.yaml', 'over.yaml']",
        &[("compose.yaml", base), ("over.yaml", over)],
    );
    let aa = container(&plan, "aa");
    assert_eq!(aa.command.unwrap(), ["c"]);
    let environment: Vec<String> = aa
        .environment
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(environment, ["A=1", "B=3", "C=4"]);
    let ports: Vec<u16> = aa.ports.iter().map(|port| port.target).collect();
    assert_eq!(ports, [80, 81, 82]);
    let volumes: Vec<_> = aa
        .volumes
        .iter()
        .map(|v| (v.target.as_str(), v.read_only))
        .collect();
    assert_eq!(volumes, [("/data", true), ("/h", false)]);
    assert_eq!(aa.settings.dns, ["1.1.1.1", "8.8.8.8"]);
    assert_eq!(
        (aa.labels["a"].as_str(), aa.labels["b"].as_str()),
        ("1", "2")
    );
    let health = aa.healthcheck.unwrap();
    assert_eq!(
        (health.test.as_slice(), health.retries),
        (&["CMD".to_owned(), "b".to_owned()][..], Some(3))
    );
    assert!(aa.settings.logging.unwrap().options.is_empty());
    assert!(aa.settings.cap_add.is_empty());
}

#[test]
fn what_is_overridden_by_nothing_is_the_images_or_the_projects() {
    let base = "services:
  aa:
    image: x
    command: c
    entrypoint: e
    user: u
    environment: {OUTSIDE: base, B: base, C: base}
    labels: {l: base}
";
    let over = "services:
  aa:
    command:
    entrypoint:
    environment: [OUTSIDE, B]
    labels: {l: }
";
    let plan = plan_of(
        "compose = ['compose.yaml', 'over.yml']",
        // The schema has no commands without a value.
        &[("compose.yaml", base), ("over.yml", over)],
    );
    let aa = container(&plan, "aa");
    assert_eq!(
        (aa.command, aa.entrypoint, aa.user.as_deref()),
        (None, None, Some("u"))
    );
    let values: Vec<_> = aa
        .environment
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(values, ["C=base", "OUTSIDE=from outside"]);
    assert_eq!(aa.labels["l"], "");
}

#[test]
fn what_looks_like_a_number_and_is_too_large_for_one_is_a_text() {
    let aa = service("environment: {SHA: 9e12345, A: -1e400, B: 1e5}");
    let values: Vec<&str> = aa.environment.values().map(String::as_str).collect();
    assert_eq!(values, ["-1e400", "100000", "9e12345"]);
}

#[test]
fn override_takes_the_place_of_a_list() {
    let base = "services: {aa: {image: x, ports: ['80:80']}}";
    let over = "services: {aa: {ports: !override ['81:81']}}";
    let plan = plan_of(
        "compose = ['compose.yaml', 'over.yaml']",
        &[("compose.yaml", base), ("over.yaml", over)],
    );
    let ports = container(&plan, "aa").ports;
    assert_eq!((ports.len(), ports[0].target), (1, 81));
}

#[test]
fn anchors_merge_keys_and_extensions() {
    let plan = plan(
        "x-common: &common
  image: x
  environment: &env {A: 1}
services:
  aa:
    <<: *common
    environment:
      <<: [*env, {B: 2, A: 9}]
      C: 3
    x-mine: anything
",
    );
    let environment = container(&plan, "aa").environment;
    let values: Vec<&str> = environment.values().map(String::as_str).collect();
    assert_eq!(values, ["1", "2", "3"]);
}

#[test]
fn a_service_extends_one_of_its_file_or_of_another_with_that_files_paths() {
    let files = [
        (
            "compose.yaml",
            "services:
  aa:
    extends: {file: base/common.yaml, service: base}
    environment: {B: 2}
  bb:
    extends: aa
    command: b
",
        ),
        (
            "base/common.yaml",
            "services: {base: {image: x, environment: {A: 1}, volumes: ['./conf:/conf:ro']}}",
        ),
        ("base/conf/file", "content"),
    ];
    let plan = plan_of(ONE, &files);
    let bb = container(&plan, "bb");
    assert_eq!(bb.environment.len(), 2);
    assert_eq!(
        bb.volumes[0].source,
        VolumeSource::Bind("/var/lib/guestbake/files/base/conf".into())
    );
    assert!(
        matches!(&plan.files[0].content, PlacedContent::Bundle(name) if name.as_os_str() == "base/conf")
    );
    assert_eq!(plan.files.len(), 1);
}

#[test]
fn include_brings_a_project_with_its_own_variables_and_folder() {
    let files = [
        (
            "compose.yaml",
            "include: [sub/compose.yaml]\nservices: {aa: {image: 'x:${TAG}'}}",
        ),
        (".env", "TAG=1\n"),
        (
            "sub/compose.yaml",
            "services: {bb: {image: 'y:${OWN}-${TAG}', env_file: own.env}}",
        ),
        ("sub/.env", "OWN=2\nTAG=never\n"),
        ("sub/own.env", "A='b c' # comment\n"),
    ];
    let plan = plan_of(ONE, &files);
    assert_eq!(container(&plan, "aa").image, "x:1");
    let bb = container(&plan, "bb");
    assert_eq!(
        (bb.image.as_str(), bb.environment["A"].as_str()),
        ("y:2-1", "b c")
    );
}

#[test]
fn what_a_file_and_those_it_includes_say_alike_is_there_once() {
    let shared = "networks: {proxy: {name: pp, external: true}}
volumes: {data: {labels: [a=1]}}\n";
    let service = |name: &str| {
        format!("services: {{{name}: {{image: x, networks: [proxy], volumes: ['data:/d']}}}}\n")
    };
    let included = service("bb") + shared;
    let other = service("cc")
        + "networks: {proxy: {external: true, name: pp}}\nvolumes: {data: {labels: {a: '1'}}}";
    let main = format!(
        "include: [in/b.yaml, in/c.yaml, in/b.yaml]\n{}{shared}",
        service("aa")
    );
    let files = [
        ("compose.yaml", main.as_str()),
        ("in/b.yaml", &included),
        ("in/c.yaml", &other),
    ];
    let plan = plan_of(ONE, &files);
    assert_eq!(
        (
            plan.containers.len(),
            plan.networks.len(),
            plan.volumes.len()
        ),
        (3, 1, 1)
    );
}

#[test]
fn a_file_changes_what_the_one_before_it_includes() {
    let files = [
        (
            "compose.yaml",
            "include: [team/compose.yaml]\nservices: {web: {image: w}}",
        ),
        (
            "team/compose.yaml",
            "services: {db: {image: d, environment: {A: 1, B: 1}}}",
        ),
        (
            "over.yaml",
            "include: [team/over.yaml]\nservices: {db: {environment: {A: 2}}}",
        ),
        ("team/over.yaml", "services: {web: {image: v}}"),
    ];
    let plan = plan_of("compose = ['compose.yaml', 'over.yaml']", &files);
    let db = container(&plan, "db");
    assert_eq!(
        (db.image.as_str(), db.environment["A"].as_str()),
        ("d", "2")
    );
    assert_eq!(db.environment["B"], "1");
    assert_eq!(container(&plan, "web").image, "v");
}

#[test]
fn profiles_choose_services() {
    let yaml = "services: {aa: {image: x}, bb: {image: x, profiles: [debug]}}";
    let names = |toml: &str| {
        let plan = plan_of(toml, &[("compose.yaml", yaml)]);
        plan.containers
            .iter()
            .map(|c| c.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(ONE), ["aa"]);
    assert_eq!(names(&format!("{ONE}profiles = ['debug']")), ["aa", "bb"]);
    assert_eq!(
        names("[compose]\nfiles = ['compose.yaml']\nprofiles = ['*']"),
        ["aa", "bb"]
    );
}

#[test]
fn the_empty_profile_is_on_where_none_is_named() {
    let yaml = "services: {aa: {image: x}, bb: {image: x, profiles: ['', debug]}}";
    let names = |toml: &str, env: &str| {
        let plan = plan_of(toml, &[("compose.yaml", yaml), (".env", env)]);
        plan.containers.len()
    };
    assert_eq!(names(ONE, ""), 2);
    assert_eq!(names(ONE, "COMPOSE_PROFILES=\n"), 2);
    assert_eq!(names(ONE, "COMPOSE_PROFILES=other\n"), 1);
    assert_eq!(names(&format!("{ONE}profiles = ['other']"), ""), 1);
}

#[test]
fn the_project_is_named_by_the_plan_the_file_or_the_folder() {
    let named = |toml: &str, file: &str, yaml: &str| {
        let plan = plan_of(toml, &[(file, yaml)]);
        plan.networks[0].name.clone()
    };
    let yaml = "services: {aa: {image: x}}";
    assert_eq!(named(ONE, "compose.yaml", yaml), "guestbake_default");
    assert_eq!(
        named(ONE, "compose.yaml", &format!("name: shop\n{yaml}")),
        "shop_default"
    );
    assert_eq!(
        named("compose = 'My Shop/c.yaml'", "My Shop/c.yaml", yaml),
        "myshop_default"
    );
    let toml = "[compose]\nfiles = 'compose.yaml'\nproject = 'mine'";
    assert_eq!(named(toml, "compose.yaml", yaml), "mine_default");
}

#[test]
fn files_may_refer_to_the_projects_name_wherever_it_comes_from() {
    let aa = "services: {aa: {image: x, container_name: '${COMPOSE_PROJECT_NAME}-aa', environment: [COMPOSE_PROJECT_NAME]}}";
    let called = |toml: &str, env: &str, yaml: &str| {
        let plan = plan_of(toml, &[("My Shop/c.yaml", yaml), ("My Shop/.env", env)]);
        let name = &plan.containers[0].name;
        assert_eq!(
            *name,
            plan.containers[0].environment["COMPOSE_PROJECT_NAME"].clone() + "-aa"
        );
        name.clone()
    };
    let toml = "compose = 'My Shop/c.yaml'";
    let named = format!("name: ${{COMPOSE_PROJECT_NAME:-in-$BASE}}\n{aa}");
    assert_eq!(called(toml, "", aa), "myshop-aa");
    assert_eq!(called(toml, "BASE=file\n", &named), "in-file-aa");
    assert_eq!(called(toml, "COMPOSE_PROJECT_NAME=Env\n", &named), "env-aa");
    assert_eq!(called(toml, "", &format!("name: ''\n{aa}")), "myshop-aa");
    let toml = "[compose]\nfiles = 'My Shop/c.yaml'\nproject = 'plan'";
    assert_eq!(
        called(toml, "COMPOSE_PROJECT_NAME=env\n", &named),
        "plan-aa"
    );
}

#[test]
fn the_folder_one_runs_compose_in_is_the_projects() {
    let yaml = "services:
  aa:
    image: x
    env_file: ${PWD}/own.env
    volumes: ['${PWD}/conf:/conf:ro', {type: bind, source: $PWD/data, target: /data}]
    environment: {THERE: '${PWD}/x'}
";
    let files = [
        ("in/compose.yaml", yaml),
        ("in/own.env", "A=1\n"),
        ("in/conf/a", ""),
    ];
    let plan = plan_of("compose = 'in/compose.yaml'", &files);
    let aa = container(&plan, "aa");
    let guest = "/var/lib/guestbake/files/in";
    let sources: Vec<_> = aa.volumes.iter().map(|v| v.source.clone()).collect();
    let bind = |name: &str| VolumeSource::Bind(format!("{guest}/{name}").into());
    assert_eq!(sources, [bind("conf"), bind("data")]);
    assert_eq!(aa.environment["THERE"], format!("{guest}/x"));
    assert_eq!(aa.environment["A"], "1");
    assert!(
        matches!(&plan.files[0].content, PlacedContent::Bundle(name) if name.as_os_str() == "in/conf")
    );
    assert_eq!(plan.notes.len(), 1, "{:?}", plan.notes);
}

#[test]
fn a_seccomp_profile_is_what_the_file_says() {
    let yaml = "services:
  aa:
    image: x
    security_opt: ['seccomp:./p.json', 'seccomp=unconfined', 'no-new-privileges:true']
";
    let profile = "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n";
    let plan = plan_of(
        "compose = 'in/c.yaml'",
        &[("in/c.yaml", yaml), ("in/p.json", profile)],
    );
    let expected = [
        r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#,
        "seccomp=unconfined",
        "no-new-privileges:true",
    ];
    assert_eq!(container(&plan, "aa").settings.security_opt, expected);
    let again = plan_of(&plan.effective(), &[]);
    assert_eq!(container(&again, "aa").settings.security_opt, expected);
    let toml = "[containers.aa]\nimage = 'x'\nsecurity_opt = ['seccomp=p.json']";
    let plan = plan_of(toml, &[("p.json", profile)]);
    assert_eq!(container(&plan, "aa").settings.security_opt, expected[..1]);
}

#[test]
fn a_volume_that_is_a_folder_is_where_the_bundles_files_are_copied_to() {
    let yaml = "services: {aa: {image: x, volumes: ['there:/a', 'made:/b', 'not-ours:/c', 'unused:/d'], profiles: ['']}}
volumes:
  there: {driver: local, driver_opts: {type: none, o: 'ro,bind', device: ./data}}
  made: {driver_opts: {type: none, o: bind, device: '${PWD}/new'}}
  not-ours: {driver: other, driver_opts: {type: none, o: bind, device: ./as-it-is}}
  unused: {driver_opts: {type: tmpfs, device: tmpfs, o: 'size=1m'}}
  never: {driver_opts: {type: none, o: bind, device: ./never}}
";
    let plan = plan_of(ONE, &[("compose.yaml", yaml), ("data/a", "")]);
    let devices: Vec<&str> = plan
        .volumes
        .iter()
        .map(|v| v.driver_opts["device"].as_str())
        .collect();
    let guest = "/var/lib/guestbake/files";
    assert_eq!(
        devices,
        [
            &format!("{guest}/data"),
            &format!("{guest}/new"),
            "./as-it-is",
            "tmpfs"
        ]
    );
    let files: Vec<_> = plan
        .files
        .iter()
        .map(|file| file.path.to_str().unwrap())
        .collect();
    assert_eq!(files, [format!("{guest}/data"), format!("{guest}/new")]);
    assert_eq!(
        plan.notes,
        ["compose.yaml:4: `new` is not in the bundle; the container gets an empty folder"]
    );
}

#[test]
fn what_is_built_is_the_bundles_image_of_that_name() {
    let aa = plan("services: {aa: {build: .}, bb: {build: {context: .}, image: mine}}");
    assert_eq!(container(&aa, "aa").image, "guestbake-aa");
    assert_eq!(container(&aa, "bb").image, "mine");
}

#[test]
fn secrets_and_configs_are_files_that_are_mounted() {
    let yaml = "services:
  aa:
    image: x
    secrets: [token, {source: var, target: /etc/var, mode: 0400, uid: '5'}]
    configs: [{source: conf, target: /etc/conf}, text]
secrets:
  token: {file: ./token.txt}
  var: {environment: OUTSIDE}
configs:
  conf: {file: conf}
  text: {content: 'value ${OUTSIDE}'}
";
    let plan = plan_of(
        ONE,
        &[
            ("compose.yaml", yaml),
            ("token.txt", "hunter2\n"),
            ("conf", "c"),
        ],
    );
    let targets: Vec<String> = container(&plan, "aa")
        .volumes
        .iter()
        .map(|v| format!("{} {}", v.target, v.read_only))
        .collect();
    assert_eq!(
        targets,
        [
            "/run/secrets/token true",
            "/etc/var true",
            "/etc/conf true",
            "/text true"
        ]
    );
    assert!(plan.secrets().contains(&"hunter2".to_owned()));
    assert!(plan.secrets().contains(&"from outside".to_owned()));
    assert!(!plan.effective().contains("hunter2"));
    let var = plan
        .files
        .iter()
        .find(|f| f.path.ends_with(".secrets/var-5--256"))
        .unwrap();
    assert_eq!((var.mode, var.uid), (Some(0o400), Some(5)));
}

#[test]
fn a_missing_folder_that_is_written_to_is_made_and_said() {
    let plan = plan_of(
        ONE,
        &[(
            "compose.yaml",
            "services: {aa: {image: x, volumes: ['./data:/data']}}",
        )],
    );
    assert!(matches!(plan.files[0].content, PlacedContent::Folder));
    assert_eq!(
        plan.notes,
        ["compose.yaml:1: `data` is not in the bundle; the container gets an empty folder"]
    );
}

#[test]
fn the_whole_folder_may_be_mounted_as_one_does_while_developing() {
    let aa = "services: {aa: {image: x, volumes: ['.:/code:cached', '/code/node_modules/']}}";
    let plan = plan_of(ONE, &[("compose.yaml", aa)]);
    let volumes = &plan.containers[0].volumes;
    let guest = VolumeSource::Bind("/var/lib/guestbake/files".into());
    assert_eq!(volumes[0].source, guest);
    assert_eq!(volumes[1].target, "/code/node_modules");
    assert!(
        matches!(&plan.files[0].content, PlacedContent::Bundle(name) if name.as_os_str() == ".")
    );
}

#[test]
fn deploys_limits_are_the_containers() {
    let aa = service(
        "deploy:
  replicas: 1
  resources:
    limits: {cpus: '0.5', memory: 64m, pids: 10}
    reservations: {memory: 32m}
  restart_policy: {condition: on-failure, max_attempts: 3}
  placement: {constraints: [a]}",
    );
    assert_eq!(aa.settings.nano_cpus, Some(500_000_000));
    assert_eq!(
        (aa.settings.mem_limit, aa.settings.mem_reservation),
        (Some(64 << 20), Some(32 << 20))
    );
    assert_eq!(aa.settings.pids_limit, Some(10));
    assert_eq!(aa.restart, Restart::OnFailure(Some(3)));
}

#[test]
fn what_is_written_and_says_nothing_is_not_there() {
    let unset = "container_name: ''
user: '${PUID:-}'
working_dir: ''
hostname: ''
domainname: ''
restart: ''
network_mode: ''
ipc: ''
pid: ''
stop_signal: ''
platform: ''
mem_limit: 0
mem_reservation: '0'
mem_swappiness: 0
shm_size: ${SHM:-0m}
pids_limit: 0
healthcheck: {test: 'true', retries: 0}
deploy: {resources: {limits: {memory: '0'}}}";
    let (aa, plain) = (service(unset), service("healthcheck: {test: 'true'}"));
    let plan_with = |aa: Container| Plan {
        containers: vec![aa],
        ..plan("services: {aa: {image: x}}")
    };
    assert_eq!(plan_with(aa).effective(), plan_with(plain).effective());
}

#[test]
fn ports_that_a_variable_leaves_half_empty_and_the_same_twice() {
    let aa = service(
        "ports:
- '${ADDRESS:-}:443:443'
- 8080:80
- 8080:80/TCP
- {target: 80, published: '8080', protocol: TCP}
- {target: 81, published: '${PORT:-}', host_ip: ''}
- 0:82",
    );
    let ports: Vec<_> = aa.ports.iter().map(|p| (p.published, p.target)).collect();
    let expected = [(Some(443), 443), (Some(8080), 80), (None, 81), (None, 82)];
    assert_eq!(ports, expected);
    assert!(
        aa.ports
            .iter()
            .all(|p| p.host_ip.is_none() && p.protocol == "tcp")
    );
}

#[test]
fn words_that_the_engine_takes_in_small_letters_and_a_zero_without_a_unit() {
    let aa = service(
        "cap_add: [net_admin, CAP_NET_RAW]
cap_drop: [all]
stop_signal: sigint
healthcheck: {test: [CMD-SHELL, pg_isready, -U, x], start_period: '0'}",
    );
    assert_eq!(aa.settings.cap_add, ["NET_ADMIN", "CAP_NET_RAW"]);
    assert_eq!(aa.settings.cap_drop, ["ALL"]);
    assert_eq!(aa.stop_signal.as_deref(), Some("SIGINT"));
    let health = aa.healthcheck.unwrap();
    assert_eq!(health.test, ["CMD-SHELL", "pg_isready", "-U", "x"]);
    assert_eq!(health.start_period, Some(std::time::Duration::ZERO));
}

/// They are newer than the schema at hand.
#[test]
fn new_keys_that_ask_for_what_is_done_anyway() {
    let yaml = "services:
  aa:
    image: x
    networks: {back: {gw_priority: 0, interface_name: ''}}
    volumes: [{type: bind, source: /x, target: /x, bind: {recursive: enabled}}]
networks: {back: {enable_ipv4: true}}
";
    assert!(parse_with(ONE, &[("compose.yaml", yaml)]).is_ok());
    let yaml = yaml.replace("enable_ipv4: true", "enable_ipv4: false");
    let errors = parse_with(ONE, &[("compose.yaml", &yaml)]).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "compose.yaml:6:32: networks.back.enable_ipv4: not supported: engines before Docker 28 know no network without IPv4"
    );
}

#[test]
fn networks_have_names_aliases_and_addresses() {
    let yaml = "services:
  aa:
    image: x
    networks:
      back: {aliases: [db], ipv4_address: 10.9.0.5, priority: 1}
      out:
  bb: {image: x, network_mode: 'service:aa'}
networks:
  back: {driver: bridge, internal: true, ipam: {config: [{subnet: 10.9.0.0/24}]}}
  out: {external: true, name: shared}
";
    let plan = plan(yaml);
    let names: Vec<&str> = plan.networks.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["guestbake_back", "shared"]);
    let aa = container(&plan, "aa");
    assert_eq!(aa.networks[0].network, "guestbake_back");
    assert_eq!(aa.networks[0].aliases, ["aa", "db"]);
    assert_eq!(aa.networks[0].ipv4_address.as_deref(), Some("10.9.0.5"));
    assert_eq!(
        container(&plan, "bb").network_mode.as_deref(),
        Some("container:aa")
    );
}

#[test]
fn what_is_shown_of_it_is_a_plan_that_means_the_same() {
    let plan = plan_of(
        ONE,
        &[
            (
                "compose.yaml",
                "services:
  aa:
    image: x
    volumes: ['./conf:/conf', 'data:/d', {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0700}}]
    sysctls: {net.core.somaxconn: 1024}
    devices: ['/dev/null:/dev/x:r']
    logging: {driver: json-file, options: {max-size: 1m}}
    cpus: 1.5
    memswap_limit: -1
    pid: host
    expose: [80, '90-91/udp']
    annotations: [a=b]
  bb: {image: x, ipc: 'service:aa', volumes_from: ['aa:ro'], depends_on: {cc: {condition: service_started, required: false}}}
  cc: {image: x, profiles: [off]}
volumes: {data: {driver_opts: {type: none}, labels: [k=v]}}
networks: {default: {enable_ipv6: true, ipam: {driver: default, config: [{subnet: 'fd00::/64', aux_addresses: {h: 'fd00::1'}}]}}}
",
            ),
            ("conf/a", ""),
        ],
    );
    let effective = plan.effective();
    let again = plan_of(&effective, &[("conf/a", "")]);
    assert_eq!(again.effective(), effective);
}

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
fn what_looks_like_a_number_and_is_too_large_for_one_is_a_text() {
    let aa = service("environment: {SHA: 9e12345, A: -1e400, B: 1e5}");
    let values: Vec<&str> = aa.environment.values().map(String::as_str).collect();
    assert_eq!(values, ["-1e400", "100000", "9e12345"]);
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

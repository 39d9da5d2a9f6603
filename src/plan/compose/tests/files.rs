use super::*;

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

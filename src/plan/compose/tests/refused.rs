use super::*;

#[test]
fn every_error_names_key_and_line() {
    assert_eq!(
        errors(
            "services:
  aa:
    image: x
    imgae: y
    gpus: all
    privileged: maybe
  bb:
    image: x
    depends_on: [cc]
    networks: [bakc]
    scale: 3
    volumes: ['dta:/d', '../../x:/y']
networks: {back: }
volumes: {data: }
servics: {}
"
        ),
        [
            "compose.yaml:4:5: services.aa.imgae: unknown key; did you mean `image`?",
            "compose.yaml:5:5: services.aa.gpus: not supported: a guest that is being provisioned has no GPU",
            "compose.yaml:6:17: services.aa.privileged: expected `true` or `false`, found string \"maybe\"",
            "compose.yaml:9:18: services.bb.depends_on.cc: no service \"cc\"; expected `aa` or `bb`",
            "compose.yaml:10:16: services.bb.networks.bakc: no network \"bakc\" in `networks`; did you mean `back`?",
            "compose.yaml:11:5: services.bb.scale: 3 containers; one of each is provisioned: probes and migrations mean one",
            "compose.yaml:12:15: services.bb.volumes[0]: no volume \"dta\" in `volumes`; did you mean `data`?",
            "compose.yaml:12:25: services.bb.volumes[1]: \"../../x\" leads out of the bundle",
            "compose.yaml:15:1: servics: unknown key; did you mean `services`?",
        ]
    );
}

#[test]
fn errors_of_two_files_are_told_apart() {
    let files = [
        ("compose.yaml", "services: {aa: {image: x, ports: [no]}}"),
        ("over.yaml", "services: {aa: {user: 'a b'}}\n"),
    ];
    let errors = errors_of("compose = ['compose.yaml', 'over.yaml']", &files);
    assert_eq!(errors.len(), 2);
    assert!(
        errors[0].starts_with("compose.yaml:1:35: services.aa.ports[0]: "),
        "{errors:?}"
    );
    assert!(
        errors[1].starts_with("over.yaml:1:23: services.aa.user: "),
        "{errors:?}"
    );
}

#[test]
fn what_is_no_yaml_is_located() {
    let error = &errors("services:\n  aa: [\n")[0];
    assert!(error.starts_with("compose.yaml:3:1: not YAML: "), "{error}");
    assert_eq!(
        errors("services:\n  aa: {image: x}\n  aa: {image: y}\n"),
        ["compose.yaml:3:3: the key \"aa\" is there twice"]
    );
    assert_eq!(
        errors("# nothing\n"),
        ["compose.yaml: an empty Compose file"]
    );
    assert_eq!(
        errors_of(ONE, &[]),
        ["guestbake.toml:1:11: compose: no file `compose.yaml` in the bundle"]
    );
}

#[test]
fn names_of_services_are_those_that_compose_takes() {
    assert_eq!(
        errors("services:\n  'a/b': {image: x}\n  \"é\": {image: x}\n  A.b_c-1: {image: x}\n"),
        [
            "compose.yaml:2:3: services.\"a/b\": expected a name of letters, digits, `.`, `_` and `-`",
            "compose.yaml:3:3: services.\"é\": expected a name of letters, digits, `.`, `_` and `-`",
        ]
    );
}

#[test]
fn aliases_that_multiply_are_stopped() {
    let mut yaml = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        yaml += &format!("a{level}: &a{level} [{alias}]\n");
    }
    let errors = errors(&yaml);
    assert!(
        errors[0].ends_with("its aliases unfold to more than 4194304 bytes"),
        "{errors:?}"
    );
    assert!(errors_are_about(&"- ".repeat(300), "nested deeper than 64"));
    assert!(errors_are_about(
        "a: &a [*a]\n",
        "an alias inside of what it stands for"
    ));
}

fn errors_are_about(yaml: &str, what: &str) -> bool {
    errors(yaml).iter().any(|error| error.contains(what))
}

#[test]
fn a_dependency_of_another_profile_is_named() {
    let yaml = "services: {aa: {image: x, depends_on: [bb]}, bb: {image: x, profiles: [p]}}";
    assert_eq!(
        errors(yaml),
        [
            "compose.yaml:1:40: services.aa.depends_on.bb: service \"bb\" belongs to a profile that is not active"
        ]
    );
}

#[test]
fn circles_are_found() {
    let yaml = "services: {aa: {extends: bb, image: x}, bb: {extends: aa}}";
    let found = errors(yaml);
    assert!(
        found.contains(
            &"compose.yaml:1:46: services.bb.extends: extends itself: aa -> bb -> aa".to_owned()
        ),
        "{found:?}"
    );
    let files = [
        (
            "compose.yaml",
            "include: [b.yaml]\nservices: {aa: {image: x}}",
        ),
        ("b.yaml", "include: [b.yaml]\nservices: {bb: {image: x}}"),
    ];
    assert!(errors_of(ONE, &files)[0].contains("`b.yaml` includes itself"));
    let yaml = "services: {aa: {image: x, depends_on: [bb]}, bb: {image: x, depends_on: [aa]}}";
    assert!(errors(yaml)[0].contains("depends on itself: aa -> bb -> aa"));
}

#[test]
fn what_a_file_and_one_that_it_includes_say_differently() {
    let files = [
        (
            "compose.yaml",
            "include: [b.yaml]\nservices: {aa: {image: x}}\nnetworks:\n  n: {external: true}\n",
        ),
        (
            "b.yaml",
            "services: {aa: {image: y}}\nnetworks: {n: {external: true, name: n}}",
        ),
    ];
    assert_eq!(
        errors_of(ONE, &files),
        [
            "b.yaml:1:12: services.aa: is in compose.yaml:2 too, and not the same",
            "b.yaml:2:12: networks.n: is in compose.yaml:4 too, and not the same",
        ]
    );
}

#[test]
fn a_mistyped_key_of_extends_is_found() {
    let yaml = "services:\n  aa: {extends: {service: bb, files: base.yaml}}\n  bb: {image: x}\n";
    assert_eq!(
        errors(yaml),
        ["compose.yaml:2:31: services.aa.extends.files: unknown key; did you mean `file`?"]
    );
}

#[test]
fn what_a_guest_cannot_have() {
    for (lines, message) in [
        (
            "links: ['bb:db']",
            "services.aa.links[0]: a link with an alias is not supported; give the service `aliases` on a network",
        ),
        (
            "volumes: ['~/x:/x']",
            "services.aa.volumes[0]: `~` is the home of whoever runs Compose, and nobody does in a guest; expected an absolute or a relative path",
        ),
        (
            "volumes: ['${HOME}/x:/x']",
            "services.aa.volumes[0]: `$HOME` is the home of whoever runs Compose, and nobody does in a guest; expected an absolute or a relative path",
        ),
        (
            "volumes: [{type: bind, source: '$HOME', target: /x}]",
            "services.aa.volumes[0].source: `$HOME` is the home of whoever runs Compose, and nobody does in a guest; expected an absolute or a relative path",
        ),
        (
            "volumes: ['./x:/x:ro']",
            "services.aa.volumes[0]: nothing called `x` in the bundle, and it is mounted read-only",
        ),
        (
            "security_opt: ['seccomp:./no.json']",
            "services.aa.security_opt[0]: no file `no.json` in the bundle",
        ),
        (
            "security_opt: ['seccomp=/etc/p.json']",
            "services.aa.security_opt[0]: \"/etc/p.json\" is outside of the bundle; expected a relative path",
        ),
        (
            "security_opt: ['seccomp=compose.yaml']",
            "services.aa.security_opt[0]: `compose.yaml` is no seccomp profile in JSON: expected value at line 1 column 1",
        ),
        (
            "healthcheck: {test: x, interval: 5M}",
            "services.aa.healthcheck.interval: expected a duration such as \"90s\", \"5m\" or \"1h30m\", found \"5M\"; `m` is for minutes",
        ),
        (
            "volumes: [{type: bind, source: /x, target: /x, bind: {recursive: disabled}}]",
            "services.aa.volumes[0].bind.recursive: not supported: what is mounted below the folder is in the container too, as by `enabled`",
        ),
        (
            "volumes: [{type: volume, target: /x, volume: {labels: {a: b}}}]",
            "services.aa.volumes[0].volume.labels: not supported: write them under the volume's name in `volumes`",
        ),
        (
            "networks: {default: {gw_priority: 1}}",
            "services.aa.networks.default.gw_priority: not supported: engines before Docker 28 choose the network with the gateway themselves",
        ),
        (
            "networks: {default: {interface_name: eth9}}",
            "services.aa.networks.default.interface_name: not supported: engines before Docker 28 name a container's interfaces themselves",
        ),
        (
            "volumes: ['data/sub:/x']",
            "services.aa.volumes[0].source: expected a name of letters, digits, `_`, `.` or `-`, starting with a letter or digit, found \"data/sub\"",
        ),
        (
            "env_file: no.env",
            "services.aa.env_file[0].path: no file `no.env` in the bundle",
        ),
        (
            "secrets: [s]",
            "services.aa.secrets[0].source: no \"s\" in `secrets`",
        ),
        (
            "deploy: {replicas: 2}",
            "services.aa.deploy: 2 containers; one of each is provisioned: probes and migrations mean one",
        ),
        (
            "deploy: {resources: {reservations: {devices: []}}}",
            "services.aa.deploy.resources.reservations.devices: not supported; of `limits`, `cpus`, `memory` and `pids` are, of `reservations` `memory`",
        ),
        ("image: Upper", "the key \"image\" is there twice"),
        (
            "command: a | b",
            "services.aa.command: `|` needs a shell, and none runs this: quote it, or write [\"sh\", \"-c\", \"…\"]",
        ),
        (
            "environment: {A: '${}'}",
            "services.aa.environment.A: not a variable: expected `${NAME}`, `${NAME:-default}`, `${NAME:?error}` or `${NAME:+word}`",
        ),
        (
            "environment: ['A=${X:?tell me}']",
            "services.aa.environment[0]: the variable X must be set: tell me",
        ),
    ] {
        assert_eq!(service_error(lines), message, "{lines}");
    }
}

#[test]
fn a_digest_that_no_archive_keeps_needs_a_tag_beside_it() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    let yaml = |image: &str| format!("services:\n  aa: {{image: '{image}@{digest}'}}\n");
    assert_eq!(
        errors(&yaml("registry:5000/x")),
        [
            "compose.yaml:2:15: services.aa.image: archives keep no digests, and there is no tag beside it; name the image by a tag"
        ]
    );
    let plan = plan(&yaml("registry:5000/x:1"));
    assert_eq!(container(&plan, "aa").image, "registry:5000/x:1");
    assert_eq!(
        plan.notes,
        [
            "compose.yaml:2: \"registry:5000/x:1\" is looked for by its tag, as archives keep no digests"
        ]
    );
}

#[test]
fn what_is_external_is_noted() {
    let yaml = "services: {aa: {image: x, networks: [out]}}\nnetworks:\n  out: {external: true}\n  unused: {external: true}\n";
    assert_eq!(
        plan(yaml).notes,
        ["compose.yaml:3: network `out` is external: the guest has to have it already"]
    );
}

#[test]
fn a_container_of_the_plan_and_a_service_have_different_names() {
    let toml = format!("{ONE}[containers.aa]\nimage = 'x'\n");
    assert_eq!(
        errors_of(&toml, &[("compose.yaml", "services: {aa: {image: x}}")]),
        ["guestbake.toml:2:13: containers.aa: is a service of compose.yaml:1 too"]
    );
    assert_eq!(
        errors_of("profiles = ['a']", &[]),
        ["guestbake.toml:1:12: profiles: belongs to `compose`, and there is none"]
    );
}

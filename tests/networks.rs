//! Bridge networks on a real engine, which has a network of its own for it: names between containers, published ports seen
//! from the guest, IPv6 on its loopback.

mod support;

use support::engine::{EngineOptions, PrivateEngine};
use support::image::{TOOLS, tools_image};
use support::provision::Provision;

fn engine() -> PrivateEngine {
    let engine = PrivateEngine::start_with(EngineOptions {
        bridges: true,
        ..EngineOptions::default()
    });
    tools_image(&engine);
    engine
}

fn container(name: &str, script: &str, keys: &str) -> String {
    format!(
        "[containers.{name}]\nimage = '{TOOLS}'\nstop_grace_period = '1s'\n\
         command = ['sh', '-c', \"\"\"{script}\"\"\"]\n{keys}\n"
    )
}

const SERVE: &str =
    "mkdir -p /tmp/www; echo here > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www";

#[test]
fn containers_know_each_other_by_name_and_the_guest_sees_published_ports() {
    let engine = engine();
    let plan = container("web", SERVE, "networks = { back = { aliases = ['pages'] } }\nports = ['127.0.0.1:8181:8080']")
        // By its name and its alias, over the network alone.
        + &container(
            "client",
            "until wget -q -O - http://web:8080/ && wget -q -O - http://pages:8080/; do sleep 0.2; done",
            "networks = ['back', 'front']",
        )
        // On another network it is not known.
        + &container("stranger", "! wget -T 2 -q -O - http://web:8080/", "networks = ['front']")
        // One shares the network of another.
        + &container(
            "side",
            "until wget -q -O - http://127.0.0.1:8080/; do sleep 0.2; done",
            "network_mode = 'service:web'",
        )
        + r#"
        [[wait.services]]
        name = "published"
        container = "web"
        http = "http://127.0.0.1:8181/"
        body = "^here"
        [[wait.services]]
        name = "port"
        container = "web"
        tcp = "127.0.0.1:8181"
        [[wait.services]]
        name = "client"
        container = "client"
        completed = true
        [[wait.services]]
        name = "stranger"
        container = "stranger"
        completed = true
        [[wait.services]]
        name = "side"
        container = "side"
        completed = true
        [[migrations]]
        name = "by-name"
        image = "guestbake-test/tools:latest"
        networks = ["back"]
        command = ["wget", "-q", "-O", "-", "http://web:8080/"]
        "#;
    let ended = Provision::beside(&engine, &plan).run();
    ended.assert_done();
    assert!(ended.log.contains("by-name | here\n"), "{}", ended.log);
}

/// Docker's proxy accepts at a published port whether or not the container listens yet.
#[test]
fn a_published_port_is_open_when_the_container_listens() {
    let engine = engine();
    let plan = container(
        "late",
        &format!("sleep 3; touch /tmp/up; {SERVE}"),
        "ports = ['127.0.0.1:8181:8080']",
    ) + "[[wait.services]]\nname = 'port'\ncontainer = 'late'\ntcp = '127.0.0.1:8181'\n\
           [[migrations]]\nname = 'is-up'\ncontainer = 'late'\ncommand = ['test', '-e', '/tmp/up']\n";
    let ended = Provision::beside(&engine, &plan).run();
    ended.assert_done();
    assert!(ended.ready_s("port") >= 2.9, "{}", ended.console);
}

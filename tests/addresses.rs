//! Where a probe may go: Unix sockets, IPv6, TLS with a certificate authority of the stack's own.

mod support;

use support::provision::{Ended, Provision, idle};
use support::server::{self, Request, TLS};

fn ok(_: &Request) -> (u16, String, String) {
    (200, String::new(), "well".into())
}

fn service(name: &str, keys: &str) -> String {
    format!("[[wait.services]]\nname = '{name}'\n{keys}\n")
}

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(format!("{TLS}/{name}.pem")).unwrap()
}

#[test]
fn what_listens_at_a_unix_socket_is_asked_there() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("app.sock");
    server::http_at_socket(&socket, |request| {
        let is_right = request.path == "/v1/health?deep=1"
            && request.headers.iter().any(|line| line == "host: localhost");
        (
            if is_right { 200 } else { 404 },
            String::new(),
            String::new(),
        )
    });
    let socket = socket.display().to_string();
    let escaped = socket.replace('/', "%2F");
    let plan = idle("at-sockets")
        + &service("accepts", &format!("tcp = 'unix://{socket}'"))
        + &service(
            "unix",
            &format!("http = 'unix://{socket}:/v1/health?deep=1'"),
        )
        + &service(
            "nginx",
            &format!("http = 'http://unix:{socket}:/v1/health?deep=1'"),
        )
        + &service(
            "requests",
            &format!("http = 'http+unix://{escaped}/v1/health?deep=1'"),
        )
        + &service(
            "elsewhere",
            &format!("http = 'unix://{socket}'\nstatus = 404"),
        );
    Provision::new(&plan).run().assert_done();
}

#[test]
fn a_socket_that_nobody_listens_at_is_named_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let left_behind = dir.path().join("left");
    drop(std::os::unix::net::UnixListener::bind(&left_behind).unwrap());
    let left_behind = left_behind.display();
    let plan = "wait.timeout = '3s'\n".to_owned()
        + &idle("no-sockets")
        + &service("absent", "tcp = 'unix:///nowhere/app.sock'")
        + &service("left", &format!("tcp = 'unix://{left_behind}'"))
        + &service("asked", &format!("http = 'unix://{left_behind}:/'"));
    let words = [
        "absent (no such file or directory)",
        "left (connection refused)",
        "asked (connection refused)",
    ];
    let ended = Provision::new(&plan).run();
    ended.assert_failed(32, "wait_timeout", "wait", &words);
    // What the diagnostics call it is what the plan would.
    ended.assert_shows(&format!(
        "left: tcp unix://{left_behind}: connection refused"
    ));
    ended.assert_shows(&format!(
        "asked: http GET unix://{left_behind}:/: connection refused"
    ));
}

#[test]
fn ipv6_addresses_stand_in_brackets() {
    let port = server::http_on_ipv6(ok);
    let plan = idle("ipv6")
        + &service("tcp", &format!("tcp = '[::1]:{port}'"))
        + &service("long", &format!("tcp = '[0:0:0:0:0:0:0:1]:{port}'"))
        + &service("http", &format!("http = 'http://[::1]:{port}/'"))
        // Whichever of its addresses answers.
        + &service("by-name", &format!("http = 'http://localhost:{port}/'"));
    Provision::new(&plan).run().assert_done();
}

fn over_tls(name: &str, identity: &str, host: &str, keys: &str) -> Ended {
    let port = server::https(identity, ok);
    let plan = "wait.timeout = '5s'\n".to_owned()
        + &idle(name)
        + &service(
            "tls",
            &format!("http = 'https://{host}:{port}/'\nbody = 'well'\n{keys}"),
        );
    Provision::new(&plan)
        .file("ca.pem", pem("ca"))
        .file("self-signed.pem", pem("self-signed"))
        .run()
}

#[test]
fn a_server_is_trusted_whose_certificate_the_ca_file_has_signed() {
    over_tls("tls-name", "server", "localhost", "ca_file = 'ca.pem'").assert_done();
    over_tls("tls-address", "server", "127.0.0.1", "ca_file = 'ca.pem'").assert_done();
}

#[test]
fn a_self_signed_certificate_is_trusted_where_it_is_the_ca_file() {
    let ended = over_tls(
        "tls-self",
        "self-signed",
        "localhost",
        "ca_file = 'self-signed.pem'",
    );
    ended.assert_done();
    // It is not for this name.
    let ended = over_tls(
        "tls-misnamed",
        "self-signed",
        "127.0.0.1",
        "ca_file = 'self-signed.pem'",
    );
    ended.assert_failed(32, "wait_timeout", "wait", &["not valid for name"]);
}

#[test]
fn nobody_else_is_trusted_unless_that_is_wanted() {
    let ended = over_tls(
        "tls-other",
        "server",
        "localhost",
        "ca_file = 'self-signed.pem'",
    );
    ended.assert_failed(32, "wait_timeout", "wait", &["UnknownIssuer"]);
    over_tls(
        "tls-insecure",
        "self-signed",
        "127.0.0.1",
        "insecure = true",
    )
    .assert_done();
}

#[test]
fn a_ca_file_is_read_before_anything_is_begun() {
    let service = |keys: &str| idle("ca-file") + &service("tls", keys);
    let https = "http = 'https://127.0.0.1/'\nca_file = 'ca.pem'";
    let ended = Provision::new(&service(https)).run();
    ended.assert_failed(
        11,
        "plan_invalid",
        "plan",
        &["ca_file: no file `ca.pem` in the bundle"],
    );
    for nonsense in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nx\n"] {
        let ended = Provision::new(&service(https))
            .file("ca.pem", nonsense)
            .run();
        ended.assert_failed(
            11,
            "plan_invalid",
            "plan",
            &["ca.pem: expected certificates in PEM"],
        );
    }
    for (keys, words) in [
        (
            "http = 'http://127.0.0.1/'\nca_file = 'ca.pem'",
            "belongs to a URL that begins with `https://`",
        ),
        (
            "http = 'https://127.0.0.1/'\nca_file = 'ca.pem'\ninsecure = true",
            "excluded by `insecure = true`",
        ),
        (
            "tcp = '127.0.0.1:1'\nca_file = 'ca.pem'",
            "belongs to a probe of `http`",
        ),
    ] {
        let ended = Provision::new(&service(keys))
            .file("ca.pem", pem("ca"))
            .run();
        ended.assert_failed(11, "plan_invalid", "plan", &[words]);
    }
}

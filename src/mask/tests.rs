use proptest::prelude::*;

use super::*;

fn masker(secrets: &[&str]) -> Masker {
    Masker::new(secrets.iter().map(|secret| secret.to_string()))
}

#[track_caller]
fn assert_masked(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(Masker::default().mask(text), *expected, "of {text}");
    }
}

#[test]
fn known_values_are_masked_wherever_they_stand() {
    let masker = masker(&["hunter2", "hunter2-and-more"]);
    assert_eq!(masker.mask("a hunter2, xhunter2x"), "a ***, x***x");
    assert_eq!(masker.mask("hunter2-and-more!"), "***!", "longest first");
    assert_eq!(masker.mask("nothing"), "nothing");
}

#[test]
fn what_is_added_later_is_masked_from_then_on() {
    let masker = Masker::default();
    assert_eq!(masker.mask("late-secret"), "late-secret");
    masker.add("late-secret");
    assert_eq!(masker.mask("late-secret"), "***");
}

#[test]
fn secrets_that_overlap_are_masked_together() {
    assert_eq!(
        masker(&["abcdef", "defghi"]).mask("x abcdefghi y"),
        "x *** y"
    );
}

#[test]
fn other_guises_of_a_value_are_masked() {
    let secret = "p@ss \"w\\ör/d";
    let masker = masker(&[secret]);
    for guise in [
        r#"p@ss \"w\\ör/d"#,
        "p%40ss%20%22w%5C%C3%B6r%2Fd",
        "p%40ss%20%22w%5c%c3%b6r%2fd",
        "p%40ss+%22w%5C%C3%B6r%2Fd",
        "cEBzcyAid1zDtnIvZA",
    ] {
        assert_eq!(masker.mask(&format!("<{guise}>")), "<***>", "{guise}");
    }
    // base64 of `user:` and the secret.
    let masked = masker.mask("Basic dXNlcjpwQHNzICJ3XMO2ci9k").into_owned();
    assert!(
        masked.starts_with("Basic dXNlcj") && masked.contains("***"),
        "{masked}"
    );
    assert!(masked.len() < 20, "{masked}");
}

#[test]
fn each_line_of_a_long_secret_is_masked() {
    let masker = masker(&["-----BEGIN KEY-----\nMIIEvQIBADAN\r\nab\nq83vEjRWeJ\n"]);
    assert_eq!(masker.mask("MIIEvQIBADAN"), "***");
    assert_eq!(masker.mask("  q83vEjRWeJ"), "  ***");
    assert_eq!(masker.mask("cab"), "cab", "too short to hide everywhere");
}

#[test]
fn short_values_are_masked_only_beside_their_name() {
    let masker = masker(&["abc", "****", ""]);
    assert_eq!(
        masker.mask("abcdef PASSWORD=abc x ****"),
        "abcdef PASSWORD=*** x ****"
    );
}

#[test]
fn public_words_are_masked_only_where_they_are_secrets() {
    let masker = Masker::with_public_words(
        ["postgres".to_owned()],
        ["postgres".to_owned(), "other-one".to_owned()],
    );
    assert_eq!(
        masker.mask("postgres ready (8.2s), other-one"),
        "postgres ready (8.2s), ***"
    );
    assert_eq!(
        masker.mask("POSTGRES_PASSWORD=postgres"),
        "POSTGRES_PASSWORD=***"
    );
}

#[test]
fn values_of_secret_names_are_masked_though_unknown() {
    assert_masked(&[
        ("STRIPE_KEY=sk_live_1 and more", "STRIPE_KEY=***"),
        ("export KEY=abc def", "export KEY=***"),
        (
            "+ PASSWORD=abc node server.js",
            "+ PASSWORD=*** node server.js",
        ),
        ("password = hunter2", "password = ***"),
        ("GET /?token=abc&page=2 200", "GET /?token=***&page=2 200"),
        (
            r#"{"dbPassword":"a\"b","user":"c"}"#,
            r#"{"dbPassword":"***","user":"c"}"#,
        ),
        (
            r#"{"key": "abc\\", "user": "c"}"#,
            r#"{"key": "***", "user": "c"}"#,
        ),
        (
            r#"env: "{\"API_TOKEN\":\"abc\",\"b\":1}""#,
            r#"env: "{\"API_TOKEN\":\"***\",\"b\":1}""#,
        ),
        (
            r#"["CRON_SECRET=abc def","A=b"]"#,
            r#"["CRON_SECRET=*** def","A=b"]"#,
        ),
        ("client_secret: abc", "client_secret: ***"),
        ("apiKey: 'abc def', x", "apiKey: '***', x"),
        ("MINIO_ACCESS_KEY: abc", "MINIO_ACCESS_KEY: ***"),
        ("tokens: [a, b] and c", "tokens: [***] and c"),
        ("A=1\nDB_PASSWORD=x y\nB=2", "A=1\nDB_PASSWORD=***\nB=2"),
    ]);
}

#[test]
fn prose_and_code_are_left_alone() {
    for text in [
        "primary key: id",
        "ERROR: duplicate key value violates unique constraint \"users_pkey\"",
        "DETAIL:  Key (id)=(5) already exists.",
        "monkey: banana",
        "FATAL: password authentication failed for user \"postgres\"",
        "DB_PASSWORD=",
        "token::Kind and key => value",
        r#"{"secrets": {"a": 1}, "keyed": true}"#,
        "if (secret == null)",
        "http://localhost:8080/a@b",
        "2024-01-01T10:00:00 listening on 127.0.0.1:5432",
    ] {
        assert_eq!(Masker::default().mask(text), text);
    }
}

#[test]
fn passwords_in_urls_are_masked() {
    assert_masked(&[
        (
            "postgres://stack:pa:ss@db:5432/x",
            "postgres://stack:***@db:5432/x",
        ),
        ("redis://:pass@host", "redis://:***@host"),
        (
            "to 'https://u:p@ss@host/a' now",
            "to 'https://u:***@host/a' now",
        ),
        ("https://user@host:1/", "https://user@host:1/"),
    ]);
}

#[test]
fn names_say_whether_they_are_secret() {
    for name in [
        "DB_PASSWORD",
        "passwd",
        "apiKey",
        "GH_TOKEN",
        "Credentials",
        "STACK_SECRET_SERVER_KEY",
    ] {
        assert!(is_secret_name(name), "{name}");
    }
    for name in ["PATH", "USER", "PASS_COUNT", "NODE_ENV"] {
        assert!(!is_secret_name(name), "{name}");
    }
}

#[test]
fn the_secrets_are_not_in_the_debug_output() {
    assert!(!format!("{:?}", masker(&["hunter2"])).contains("hunter2"));
}

proptest! {
    #[test]
    fn no_known_secret_is_left(
        secrets in prop::collection::vec("[a-c=:/@\"\\\\ é\n]{4,12}", 1..5),
        noise in prop::collection::vec("[a-c=:/@\"\\\\ é\n]{0,6}|token=|https://", 1..8),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let text: String = noise.iter().zip(&picks).map(|(noise, pick)| format!("{noise}{}", pick.get(&secrets))).collect();
        let masker = Masker::new(secrets.clone());
        let masked = masker.mask(&text).into_owned();
        for secret in secrets.iter().filter(|secret| !secret.trim().is_empty()) {
            prop_assert!(!masked.contains(secret.as_str()), "{secret:?} in {masked:?}");
        }
    }

    #[test]
    fn any_text_is_taken(text in "\\PC*[=:]\\PC*") {
        masker(&["secret"]).mask(&text);
    }
}

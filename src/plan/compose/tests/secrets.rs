use super::*;

/// Wherever the value of a variable whose name says that it is a secret comes to stand.
const EVERYWHERE: &str = "services:
  aa:
    image: x
    command: redis-server --requirepass ${REDIS_PASSWORD} --other ${OTHER_PASSWORD:-by-default}
    environment: {OPTIONS: '--auth ${REDIS_PASSWORD}', MORE: '$COMPOSED'}
    env_file: own.env
    healthcheck: {test: 'redis-cli -a \"$REDIS_PASSWORD\" ping'}
    labels: {made.by: 'x $REDIS_PASSWORD'}
    hostname: visible
    configs: [conf]
    secrets: [declared]
    working_dir: /srv/${HIDDEN}
    volumes: ['./$HIDDEN:/x']
configs: {conf: {content: 'auth ${REDIS_PASSWORD}'}}
secrets: {declared: {environment: HIDDEN}}
include: [inner/compose.yaml]
";

fn files() -> [(&'static str, &'static str); 5] {
    [
        ("compose.yaml", EVERYWHERE),
        (
            ".env",
            "REDIS_PASSWORD=sup3rs3cret\nHIDDEN=declared-value\nCOMPOSED=--p=${REDIS_PASSWORD}-${X_TOKEN:-of-env-file}\n",
        ),
        ("own.env", "REFERS='a'\nTO=${Y_TOKEN:-of-own-file}\n"),
        (
            "inner/compose.yaml",
            "services: {bb: {image: x, command: 'a $INNER_KEY'}}",
        ),
        ("inner/.env", "INNER_KEY=of-inner-file\n"),
    ]
}

#[test]
fn the_value_of_a_secret_variable_is_shown_nowhere() {
    let plan = plan_of(ONE, &files());
    let effective = plan.effective();
    let values = [
        "sup3rs3cret",
        "by-default",
        "declared-value",
        "of-env-file",
        "of-own-file",
        "of-inner-file",
    ];
    for value in values {
        assert!(!effective.contains(value), "{value} is in\n{effective}");
        assert!(plan.secrets().contains(&value.to_owned()), "{value}");
    }
    assert!(!format!("{plan:?}").contains("sup3rs3cret"));
    assert_eq!(
        plan.notes,
        ["compose.yaml:13: `***` is not in the bundle; the container gets an empty folder"]
    );
    for line in [
        r#"command = ["redis-server", "--requirepass", "***", "--other", "***"]"#,
        r#"hostname = "visible""#,
        r#"OPTIONS = "--auth ***""#,
        r#"working_dir = "/srv/***""#,
        r#"content = "auth ***""#,
    ] {
        assert!(effective.contains(line), "{line} is not in\n{effective}");
    }
}

#[test]
fn what_a_plan_speaks_of_stays_readable_whatever_a_variable_is_called() {
    let yaml =
        "services: {keycloak: {image: 'kc:${KEYCLOAK_VERSION}', ports: ['${KEYCLOAK_PORT}:8080']}}";
    let env = "KEYCLOAK_VERSION=26.0\nKEYCLOAK_PORT=8180\n";
    let plan = plan_of(ONE, &[("compose.yaml", yaml), (".env", env)]);
    let effective = plan.effective();
    assert!(effective.contains("image = \"kc:26.0\""), "{effective}");
    assert!(effective.contains("\"8180:8080/tcp\""), "{effective}");
}

#[test]
fn a_secret_is_in_no_error() {
    let yaml = "services: {aa: {image: x, environment: {PASSWORD: ['hunter2']}}}";
    assert!(!errors(yaml).concat().contains("hunter2"));
    let yaml = "services: {aa: {image: x, volumes: ['./${DB_PASSWORD:-hunter2}:/x:ro']}}";
    let found = errors(yaml).concat();
    assert!(
        found.contains("nothing called `***` in the bundle"),
        "{found}"
    );
    let yaml = "services: {aa: {image: x, user: 'a ${DB_PASSWORD:-hunter2}'}}";
    let found = errors(yaml);
    assert_eq!(
        found,
        [
            "compose.yaml:1:33: services.aa.user: expected a user such as \"postgres\", \"1000:1000\" or 1000, found string \"a ***\""
        ]
    );
}

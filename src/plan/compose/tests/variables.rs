use super::*;
use crate::plan::compose::dotenv;
use crate::plan::compose::interpolate::{self, Seen};
use crate::plan::compose::variables::Variables;

fn known() -> Variables {
    let environment = [("A", "a"), ("EMPTY", ""), ("DOLLAR", "$A")];
    Variables::of(&Environment::from_iter(environment))
}

fn interpolated(text: &str) -> Result<String, String> {
    interpolate::string(text, &known(), &mut Seen::default())
}

#[test]
fn every_form_of_a_variable() {
    for (text, value) in [
        ("$A ${A}", "a a"),
        ("$$A $${A}", "$A ${A}"),
        ("${B:-b} ${B-b} ${EMPTY:-e} ${EMPTY-e}", "b b e "),
        (
            "${A:+yes} ${A+yes} ${EMPTY:+yes} ${EMPTY+yes} ${B+yes}",
            "yes yes  yes ",
        ),
        ("${A:?no} ${A?no} ${EMPTY?no}", "a a "),
        ("${B:-${C:-${A}}}", "a"),
        ("${B:-{x}}", "{x}"),
        ("${B:-a:b-c}", "a:b-c"),
        ("${B}", ""),
        // What a variable brings is not looked into again.
        ("${DOLLAR}", "$A"),
        ("${B:-$$x}", "$x"),
        // A dollar that begins no variable.
        ("^ok$ $(date) $? $1 a$ b", "^ok$ $(date) $? $1 a$ b"),
        ("${B:-x$} $", "x$ $"),
    ] {
        assert_eq!(interpolated(text).as_deref(), Ok(value), "{text}");
    }
}

#[test]
fn what_is_no_variable() {
    for text in ["${", "${}", "${A", "${1}", "${A!}", "${A:}", "$ ${A"] {
        assert!(interpolated(text).is_err(), "{text}");
    }
    assert_eq!(
        interpolated("${B:?gone}").unwrap_err(),
        "the variable B must be set: gone"
    );
    assert_eq!(
        interpolated("${EMPTY:?}").unwrap_err(),
        "the variable EMPTY must be set"
    );
    let deep = "${B:-".repeat(100) + &"}".repeat(100);
    assert_eq!(
        interpolated(&deep).unwrap_err(),
        "defaults nested deeper than 32"
    );
}

#[test]
fn unset_variables_are_noted_with_their_line() {
    let plan = plan("services:\n  aa:\n    image: 'x${TAG}'\n");
    assert_eq!(
        plan.notes,
        ["compose.yaml:3: $TAG is not set, taken as empty"]
    );
}

#[test]
fn a_password_with_a_dollar_in_it_is_in_no_note() {
    let yaml = "services:
  aa:
    image: x
    env_file: own.env
    environment: ['DB_PASSWORD=pa$word', 'API_KEY=$API_KEY']
    labels: {token: 'pa$word', plain: $plain}
";
    let files = [("compose.yaml", yaml), ("own.env", "A_PASSWORD=pa$word\n")];
    assert_eq!(
        plan_of(ONE, &files).notes,
        [
            "compose.yaml:5: $API_KEY is not set, taken as empty",
            "compose.yaml:5: a variable in DB_PASSWORD is not set, taken as empty; `$$` is a dollar",
            "compose.yaml:6: $plain is not set, taken as empty",
            "compose.yaml:6: a variable in token is not set, taken as empty; `$$` is a dollar",
            "own.env:1: a variable in A_PASSWORD is not set, taken as empty; `$$` is a dollar",
        ]
    );
}

fn env(text: &str) -> Vec<(String, String)> {
    dotenv::parse(text.as_bytes(), &known()).unwrap().variables
}

fn only(text: &str) -> String {
    let mut variables = env(text);
    assert_eq!(variables.len(), 1, "{text}");
    variables.remove(0).1
}

#[test]
fn env_files_have_quotes_comments_and_variables() {
    assert_eq!(only("X=a b # c"), "a b");
    assert_eq!(only("X=a#b"), "a#b");
    assert_eq!(only("export X = 'a # b'"), "a # b");
    assert_eq!(only("X='$A \\n'"), "$A \\n");
    assert_eq!(only("X=\"$A \\n\\\"${B:-b}\\\" \\$A\""), "a \n\"b\" $A");
    assert_eq!(only("X=\"two\nlines\""), "two\nlines");
    assert_eq!(only("X: yaml"), "yaml");
    assert_eq!(only("X="), "");
    assert_eq!(only("X=abc$"), "abc$");
    assert_eq!(only("X=\"$1 \\$A$\""), "$1 $A$");
    assert_eq!(only("\u{feff}X=1\r\n"), "1");
    let two = env("X=1\nY=${X}2\nA\nNOT_SET\nA=own\nZ=$A");
    let values: Vec<&str> = two.iter().map(|(_, value)| value.as_str()).collect();
    // What comes from outside wins where it is referred to.
    assert_eq!(values, ["1", "12", "a", "own", "a"]);
}

#[test]
fn an_env_file_refers_to_the_project_the_services_environment_and_the_files_before() {
    let yaml = "services:
  aa:
    image: x
    env_file: [a.env, {path: b.env}, {path: c.env, format: raw}]
    environment: {DB: db1, BOTH: own, OUTSIDE: own, HOST: }
";
    let files = [
        ("compose.yaml", yaml),
        (".env", "PROJECT=p\n"),
        ("a.env", "X=1\nHOST=h1\nBOTH=of-a\nPROJECT=of-a\n"),
        (
            "b.env",
            "Y=${X}-${HOST}\nURL=pg://${DB}/x\nALL=$BOTH-$PROJECT-$OUTSIDE\nX=2\nAGAIN=$X\nGONE=\"a\n$GONE\"\n",
        ),
        ("c.env", "RAW=$X\n"),
    ];
    let plan = plan_of(ONE, &files);
    let environment = container(&plan, "aa").environment;
    for (name, value) in [
        ("Y", "1-h1"),
        ("URL", "pg://db1/x"),
        ("ALL", "own-p-from outside"),
        ("AGAIN", "2"),
        ("RAW", "$X"),
        ("BOTH", "own"),
    ] {
        assert_eq!(environment[name], value, "{name}");
    }
    // Named without a value, and none is outside of the container.
    assert!(!environment.contains_key("HOST"));
    assert_eq!(plan.notes, ["b.env:6: $GONE is not set, taken as empty"]);
}

#[test]
fn an_env_file_of_the_plan_by_composes_rules_does_so_too() {
    let toml = "[containers.aa]
image = 'x'
environment = { DB = 'db1' }
env_file = ['a.env', { path = 'b.env', format = 'compose' }]
";
    let plan = plan_of(
        toml,
        &[("a.env", "X=1\n"), ("b.env", "Y=$X-$DB-$OUTSIDE\n")],
    );
    let environment = container(&plan, "aa").environment;
    assert_eq!(environment["Y"], "1-db1-from outside");
}

#[test]
fn every_wrong_line_of_an_env_file_is_named_and_no_value_shown() {
    let errors = dotenv::parse(b"X='never closed\n", &known()).err().unwrap();
    assert_eq!(
        (errors[0].line, errors[0].message.as_str()),
        (1, "a `'` is never closed")
    );
    let errors = dotenv::parse(b"A=1\n\nb c=hunter2\n=x\ny!=2\nD=${\n", &known())
        .err()
        .unwrap();
    let lines: Vec<String> = errors
        .iter()
        .map(|e| format!("{}: {}", e.line, e.message))
        .collect();
    assert_eq!(
        lines,
        [
            "3: a variable name contains white space",
            "4: no variable name",
            "5: unexpected '!' in a variable name",
            "6: a `${` is never closed",
        ]
    );
}

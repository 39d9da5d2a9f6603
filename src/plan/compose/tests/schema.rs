//! Whole documents against the official schema: what the tests take as Compose files are such, and what the schema refuses
//! is not taken.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::*;
use crate::plan::compose::yaml;
use crate::plan::error::Findings;
use crate::plan::node::{Item, Node};

pub fn schema() -> Value {
    let text = include_str!("../../../../tests/compose/compose-spec.json");
    serde_json::from_str(text).expect("JSON")
}

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft7::new(&schema()).expect("a schema"));

fn json_of(node: &Node) -> Option<Value> {
    Some(match &node.item {
        Item::Null => Value::Null,
        Item::Text(text) => json!(text),
        Item::Boolean(boolean) => json!(boolean),
        Item::Integer(number) => json!(number.parse::<i64>().expect("a number")),
        Item::Float(number) => json!(number.parse::<f64>().expect("a number")),
        // As Compose reads it where the schema wants a text.
        Item::Date => json!("2000-01-01"),
        Item::List(items) => items.iter().filter_map(json_of).collect(),
        Item::Table(entries) => {
            let entries = entries.iter();
            let entries = entries.filter_map(|e| Some((e.name.clone(), json_of(&e.value)?)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        Item::Reset => return None,
        Item::Override(node) => return json_of(node),
    })
}

/// What the schema says against the documents of a file.
fn complaints(name: &str, text: &str) -> Vec<String> {
    let findings = Findings::new(name, text);
    let documents = yaml::documents(text, 0, &findings).expect("YAML");
    let documents = documents.iter().filter_map(json_of);
    let documents = documents.filter(|document| !document.is_null());
    let of_one = |document: Value| {
        let errors = VALIDATOR.iter_errors(&document);
        let errors = errors.map(|error| format!("{name}: {}: {error}", error.instance_path()));
        errors.collect::<Vec<_>>()
    };
    documents.flat_map(of_one).collect()
}

#[track_caller]
pub fn assert_valid(name: &str, text: &str) {
    let complaints = complaints(name, text);
    assert!(complaints.is_empty(), "{complaints:#?}\n{text}");
}

fn yaml_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.extension().and_then(|end| end.to_str()) {
            _ if path.is_dir() => yaml_files(&path, found),
            Some("yaml" | "yml") => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn the_compose_files_of_tests_and_examples_are_valid() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["tests/compose/cases", "tests/compose/stacks", "config"] {
        yaml_files(&top.join(folder), &mut files);
    }
    // What a stack mounts may be YAML of another kind.
    let is_compose = |text: &str| text.contains("\nservices:") || text.starts_with("services:");
    let mut validated = 0;
    for file in files {
        let text = fs::read_to_string(&file).expect("a file");
        if is_compose(&text) {
            assert_valid(&file.to_string_lossy(), &text);
            validated += 1;
        }
    }
    assert!(validated > 20, "only {validated} files");
}

#[test]
fn what_the_schema_refuses_is_refused() {
    let mut taken = Vec::new();
    for lines in [
        "image: [x]",
        "imgae: x",
        "command: {a: b}",
        "ports: {a: b}",
        "ports: [{target: 80, publish: 80}]",
        "environment: text",
        "environment: [1]",
        "volumes: [{source: data, target: /d}]",
        "volumes: [{type: bind, target: /d, mode: 1}]",
        "depends_on: {bb: {condition: service_ready}}",
        "depends_on: {bb: {restart: true}}",
        "healthcheck: {tests: a}",
        "healthcheck: {test: 1}",
        "ulimits: {nofile: {soft: 1}}",
        "networks: {default: {alias: [a]}}",
        "restart: {condition: any}",
        "privileged: [true]",
        "secrets: [{sources: a}]",
        "env_file: [{file: a}]",
        "logging: {drivers: local}",
        "deploy: {replica: 1}",
        "dns: {a: b}",
        "extra_hosts: 1",
        "labels: 1",
        "tmpfs: {a: b}",
        "stop_grace_period: [1s]",
    ] {
        let lines = match lines.starts_with("image:") {
            true => lines.to_owned(),
            false => format!("image: x\n    {lines}"),
        };
        let yaml =
            format!("services:\n  aa:\n    {lines}\n  bb: {{image: x}}\nvolumes: {{data: }}\n");
        assert!(
            !complaints("compose.yaml", &yaml).is_empty(),
            "valid: {lines}"
        );
        if parse_with(ONE, &[("compose.yaml", &yaml)]).is_ok() {
            taken.push(lines);
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
}

//! The list of keys against the official schema, and the README's table against the list.

use serde_json::Value;

use super::schema::schema;
use crate::plan::compose::keys::{self, DEPLOY, SERVICE, TOP};

fn properties(of: &Value) -> Vec<String> {
    let names = of["properties"].as_object().expect("properties").keys();
    names.cloned().collect()
}

#[test]
fn every_key_of_the_official_schema_has_its_standing() {
    let schema = schema();
    let definitions = &schema["definitions"];
    for (of, keys) in [
        (&schema, TOP),
        (&definitions["service"], SERVICE),
        (&definitions["deployment"], DEPLOY),
    ] {
        for name in properties(of) {
            assert!(
                keys::standing(keys, &name).is_some(),
                "{name} is in no list"
            );
        }
        assert!(keys.is_sorted_by_key(|(name, _)| *name));
    }
}

#[test]
fn the_readme_says_how_it_stands_with_every_key() {
    let readme = include_str!("../../../../README.md");
    let table = keys::table();
    assert!(
        readme.contains(&table),
        "the README lacks this table:\n{table}"
    );
}

//! Whatever the bytes, the answer is a plan or errors: no panic, no overflow, no hang.

use proptest::prelude::*;

use super::*;
use crate::plan::syntax;

fn survive(bytes: &[u8]) {
    let source = Source { name: "p", bytes };
    let environment = Environment::default();
    match parse(&source, &Bundle::usual(), &environment) {
        Ok(plans) => {
            for plan in [&plans.native, &plans.emulated] {
                // What is shown of a plan is a plan.
                let effective = plan.effective();
                let source = Source {
                    name: "effective",
                    bytes: effective.as_bytes(),
                };
                let again = parse(&source, &Bundle::usual(), &environment);
                assert_eq!(
                    again
                        .map(|plans| plans.native.effective())
                        .map_err(|errors| errors.to_string()),
                    Ok(effective)
                );
                plan.secrets();
            }
            plans.differences(&plans.emulated);
        }
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
}

/// Pieces of plans, so that what is put together at random gets past the first check.
fn fragment() -> impl Strategy<Value = String> {
    let values = prop_oneof![
        Just("'x'".to_owned()),
        Just("1".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("['a', 'b']".to_owned()),
        Just("{ a = 'b', soft = 1 }".to_owned()),
        "'[a-z0-9:/.@ -]{0,12}'",
    ];
    let keys = prop_oneof![
        "[a-z_]{1,8}",
        prop::sample::select(vec![
            "image",
            "command",
            "volumes",
            "ports",
            "environment",
            "env_file",
            "depends_on",
            "healthcheck",
            "ulimits",
            "networks",
            "network_mode",
            "timeout",
            "name",
            "container",
            "http",
            "exec",
            "stop",
            "status",
            "labels",
        ])
        .prop_map(str::to_owned),
    ];
    let headers = prop::sample::select(vec![
        "[containers.aa]\n",
        "[containers.bb]\nimage = 'x'\n",
        "[wait]\n",
        "[[wait.services]]\nname = 'x'\n",
        "[[migrations]]\n",
        "[smoke]\n",
        "[[smoke.checks]]\n",
        "[images]\n",
        "[emulation]\n",
        "[emulation.containers.bb]\n",
        "[emulation.smoke]\n",
    ]);
    prop_oneof![
        headers.prop_map(str::to_owned),
        (keys, values).prop_map(|(key, value)| format!("{key} = {value}\n")),
    ]
}

proptest! {
    #[test]
    fn any_bytes_as_a_plan(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        survive(&bytes);
    }

    #[test]
    fn any_text_as_a_plan(text in "\\PC{0,200}") {
        survive(text.as_bytes());
    }

    #[test]
    fn pieces_of_plans(pieces in prop::collection::vec(fragment(), 0..12)) {
        survive(pieces.concat().as_bytes());
    }

    #[test]
    fn the_example_with_bytes_changed(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = CONTRACT.as_bytes().to_vec();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        survive(&bytes);
        survive(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn the_example_with_a_line_moved(from in 0usize..70, to in 0usize..70) {
        let mut lines: Vec<&str> = CONTRACT.lines().collect();
        let line = lines.remove(from % lines.len());
        lines.insert(to % lines.len(), line);
        survive(lines.join("\n").as_bytes());
    }

    #[test]
    fn any_bytes_as_an_env_file(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(variables) = env_file::parse(&bytes, &Environment::default()) {
            prop_assert!(variables.iter().all(|(name, _)| !name.is_empty() && !name.contains([' ', '\t', '='])));
        }
    }

    #[test]
    fn any_text_in_a_small_language(text in prop_oneof!["\\PC{0,40}", "[0-9a-z:/.,@\\[\\]=-]{0,30}", "[0-9.]{1,25}[a-z]{0,5}"]) {
        let _ = syntax::duration(&text);
        let _ = syntax::image(&text);
        let _ = syntax::words(&text);
        let _ = syntax::size(&text);
        let _ = syntax::socket(&text);
        let _ = syntax::http_address(&text);
        let _ = syntax::extra_host(&text);
        let _ = syntax::bundle_path(&text);
        if let Ok(ports) = syntax::ports(&text) {
            prop_assert!(!ports.is_empty() && ports.iter().all(|port| port.target > 0));
        }
        if let Ok(volume) = syntax::volume(&text) {
            prop_assert!(volume.target.starts_with('/'));
        }
        // Masked once, there is nothing left to mask.
        let masked = mask_url_passwords(&text);
        prop_assert_eq!(&mask_url_passwords(&masked), &masked);
    }
}

// The costliest plans that fit: bounded by what each check does with them, not by the clock of the test.
#[test]
fn a_huge_plan_is_answered() {
    for unit in [
        "x = 1\n",
        "[[wait.services]]\n",
        "[[migrations]]\nname = 'a'\n",
        "a = [\n",
        "= ",
        "[a.b.c]\n",
    ] {
        survive(unit.repeat((1 << 20) / unit.len()).as_bytes());
    }
    let many: String = (0..20_000)
        .map(|number| format!("[containers.c{number}]\nimage = 'a'\n"))
        .collect();
    survive(many.as_bytes());
    let keys: String = (0..20_000)
        .map(|number| format!("key{number} = 1\n"))
        .collect();
    survive(keys.as_bytes());
    survive(
        format!(
            "{} = {{ {} }}",
            "k".repeat(1 << 19),
            "a.b = 1, ".repeat(1 << 15)
        )
        .as_bytes(),
    );
    survive(format!("{DEPS}ports = [{}]", "'1-65535:1-65535', ".repeat(40_000)).as_bytes());
    let chain: String = (0..200)
        .map(|n| {
            format!(
                "[containers.c{n}]\nimage = 'a'\ndepends_on = ['c{}']\n",
                n + 1
            )
        })
        .collect();
    survive(chain.as_bytes());
}

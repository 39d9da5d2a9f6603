//! `[finish]` on a real engine. What it does to disks and to the instance only a VM can show: `tests/vm/cases/long`.

mod support;

use std::time::Duration;

use serde_json::json;

use support::http;
use support::image::{ImageArchive, TOOLS, layer};
use support::provision::{Provision, container, engine, idle, inspect};

const LIMIT: Duration = Duration::from_secs(60);

fn exists(what: &str) -> bool {
    engine().request("GET", what, b"").status == 200
}

#[test]
fn what_a_build_leaves_in_the_engine_goes_and_what_others_need_stays() {
    // Two images, one after the other under the same name: the first has none any more.
    let first = ImageArchive::new("finish/app:latest", vec![layer(&[("old", b"old")])]);
    for archive in [&first, &ImageArchive::tools("finish/app:latest")] {
        engine().load(&archive.bytes());
    }
    let untagged = format!("/images/{}/json", first.id());
    assert!(exists(&untagged));
    for name in ["finish-smoke", "somebody-elses"] {
        let body = json!({"Image": TOOLS, "Cmd": ["true"]}).to_string();
        let path = format!("/containers/create?name={name}");
        let answer = http::json(&engine().socket(), "POST", &path, &body, LIMIT);
        assert_eq!(answer.expect("an answer").status, 201);
    }
    let smoke =
        container("finish-smoke", "true").replace("containers.finish-smoke", "smoke.container");
    let plan = idle("finish-kept")
        + "[finish]\nprune = true\n[smoke]\nwhen = 'never'\n"
        + &smoke.replace(
            "[smoke.container]",
            "[smoke.container]\ncontainer_name = 'finish-smoke'",
        )
        + "[[smoke.checks]]\nname = 'c'\ntcp = 'localhost:1'\n";
    let ended = Provision::new(&plan).run();
    ended.assert_done();
    assert!(!exists(&untagged), "{}", ended.console);
    assert_eq!(inspect("finish-smoke"), serde_json::Value::Null);
    for kept in ["finish-kept", "somebody-elses"] {
        assert_ne!(inspect(kept), serde_json::Value::Null, "{kept}");
    }
    assert!(exists("/images/finish/app:latest/json"));
    let chores = ended.report["finish"].as_array().unwrap();
    let of = |what: &str| chores.iter().find(|chore| chore["of"] == what);
    let images = of("untagged images").expect("what was pruned");
    assert_eq!(images["chore"], "prune");
    assert!(images["bytes"].is_u64(), "{images}");
    ended.assert_shows("pruned untagged images: ");
}

//! What the program can do with the capabilities that its systemd unit leaves it.

mod support;

use std::os::unix::fs::MetadataExt;

use support::provision::{Provision, idle};

const UNIT: &str = include_str!("../systemd/guestbake.service");

/// The unit's bounding set, as `setpriv` wants it.
fn capabilities() -> String {
    let lines = UNIT
        .lines()
        .filter_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let names = lines.flat_map(str::split_whitespace);
    let kept = names.map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase()));
    format!("-all{}", kept.collect::<String>())
}

#[test]
fn files_of_any_owner_and_mode_are_placed_and_placed_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let plan = format!(
        "{}[[files]]\npath = '{}'\ncontent = 'secret'\nuid = 999\ngid = 998\nmode = '6640'\n\
         [[files]]\npath = '{}'\nfolder = true\nuid = 999\nmode = '2750'\ngid = 998\n",
        idle("served"),
        path("file").display(),
        path("folder").display(),
    );
    for _ in 0..2 {
        Provision::new(&plan)
            .started_by(["setpriv", "--bounding-set", &capabilities()])
            .run()
            .assert_done();
        for (name, mode) in [("file", 0o6640), ("folder", 0o2750)] {
            let found = path(name).metadata().unwrap();
            assert_eq!((found.uid(), found.gid()), (999, 998), "{name}");
            assert_eq!(found.mode() & 0o7777, mode, "{name}");
        }
    }
}

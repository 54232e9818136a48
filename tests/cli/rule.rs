//! `rule …`: the file keeps its comments, wrong changes leave it as it is.

use super::registry::Home;

const FILE: &str = "# of the site\n[credential.hub] # the hub's\nhost = \"docker.io\"\nusername = \"u\"\npassword = { env = \"HUB\" }\n\n[rule.hub]\nsource = \"docker.io/library/*\" # all of it\ntarget = \"lib/*\"\ncredential = \"hub\" # ours\n";

fn home() -> Home {
    let home = Home::new();
    home.write(".config/packmule/packmule.toml", FILE);
    home
}

fn file(home: &Home) -> String {
    std::fs::read_to_string(home.path(".config/packmule/packmule.toml")).unwrap()
}

#[test]
fn c1_rules_are_made_shown_listed_and_deleted_and_comments_stay() {
    let home = home();
    let run = |words: &[&str], code: i32| {
        let ended = home.run(&[&["rule"], words].concat(), "");
        assert_eq!(ended.code, code, "{words:?}: {}", ended.stderr);
        ended.stdout + &ended.stderr
    };
    run(
        &[
            "set",
            "hub",
            "credential=",
            "refresh=5m",
            "tags.include=3.*,4.*",
            "tags.exclude=*-rc*",
            "sync.every=12h",
            "serve_stale=false",
            "platforms=linux/amd64",
        ],
        0,
    );
    let shown = run(&["show", "hub"], 0);
    for part in ["docker.io/library/*", "lib/*", "300s", "*-rc*", "43200s", "linux/amd64"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let now = file(&home);
    for kept in ["# of the site", "# the hub's", "# all of it"] {
        assert!(now.contains(kept), "{now}");
    }
    assert!(
        !now.contains("# ours") && now.contains("tags = { include = [\"3.*\", \"4.*\"], exclude = [\"*-rc*\"] }")
            || now.contains("exclude = [\"*-rc*\"]"),
        "{now}"
    );
    run(&["set", "hub", "credential=hub", "tags.include=", "tags.exclude=", "sync=", "refresh="], 0);
    assert!(!file(&home).contains("tags") && !file(&home).contains("sync"), "{}", file(&home));
    run(&["set", "own", "source=quay.io/own/app", "target=lib/app"], 0);
    let list = run(&["list"], 0);
    assert!(
        list.contains("hub  docker.io/library/* -> lib/*") && list.contains("own  quay.io/own/app -> lib/app"),
        "{list}"
    );
    // Refused changes, and the file as it was.
    let before = file(&home);
    for (words, said) in [
        (&["set", "hub", "source=quay.io/*"][..], "rule delete hub"),
        (&["set", "hub", "target=x/*"], "rule delete hub"),
        (&["set", "two", "source=quay.io/*", "target=lib/sub/*"], "\"hub\""),
        (&["set", "two", "source=quay.io/*", "target=lib/app"], "both source and target"),
        (&["set", "two", "source=ghcr.io/x/app", "target=lib/app"], "\"own\""),
        (&["set", "two", "target=x"], "source"),
        (&["set", "hub", "credential=none"], "no credential"),
        (&["set", "hub", "refresh=soon"], "refresh"),
        (&["set", "hub", "colour=red"], "colour"),
        (&["set", "hub", "referrers=maybe"], "true or false"),
        (&["set", "a b", "source=quay.io/x", "target=x"], "name"),
        (&["show", "two"], "rule list"),
        (&["delete", "two"], "rule list"),
    ] {
        let told = run(words, 2);
        assert!(told.contains(said) && told.contains("help:"), "{words:?}: {told}");
        assert_eq!(file(&home), before, "{words:?}");
    }
    let told = home.run(&["credential", "delete", "hub"], "");
    assert!(told.code == 2 && told.stderr.contains("rule \"hub\" uses it"), "{}", told.stderr);
    run(&["set", "hub", "source=docker.io/library/*", "referrers=false"], 0);
    run(&["delete", "own"], 0);
    assert!(!file(&home).contains("own"));
}

#[test]
fn c4_c7_c8_rules_are_checked_and_tried() {
    let home = home();
    let run = |words: &[&str], code: i32| {
        let ended = home.run(&[&["rule"], words].concat(), "");
        assert_eq!(ended.code, code, "{words:?}: {}", ended.stderr);
        ended.stdout + &ended.stderr
    };
    assert!(!run(&["check"], 0).contains("warning:"));
    for (image, rule, upstream) in [
        ("lib/alpine:3.20", "hub", "docker.io/library/alpine:3.20"),
        ("docker.io/alpine:3", "hub", "docker.io/library/alpine:3"),
        ("docker.io/library/alpine", "hub", "docker.io/library/alpine"),
    ] {
        let told = run(&["test", image], 0);
        assert!(
            told.contains(&format!("rule       {rule}\n")) && told.contains(&format!("upstream   {upstream}\n")),
            "{told}"
        );
    }
    for image in ["alpine", "lib", "quay.io/x/y", "lib/A", "lib/alpine:", "lib/alpine@sha256:0"] {
        assert!(run(&["test", image], 2).contains("help:"), "{image}");
    }
    run(&["set", "hub", "tags.exclude=*-rc*"], 0);
    assert!(run(&["test", "lib/alpine:3-rc1"], 0).contains("left out"));
    // Docker Hub without a login, and a source with two targets, are said.
    let told = run(&["set", "also", "source=docker.io/library/*", "target=also/*"], 0);
    assert!(told.contains("warning:"), "{told}");
    let told = run(&["check"], 0);
    assert!(told.contains("\"also\"") && told.contains("\"hub\"") && told.contains("--map rules"), "{told}");
}

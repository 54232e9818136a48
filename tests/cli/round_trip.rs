//! The main job from outside: the built binary between real registries, checked by other programs.

use std::sync::OnceLock;

use super::world::{command, dir, expected, manifest, packmule, prefix, selectors, sha256, stranger, text, var};
use serde_json::Value;

/// The whole corpus as one bundle, made once.
pub fn whole() -> Option<&'static str> {
    static WHOLE: OnceLock<Option<()>> = OnceLock::new();
    let made = WHOLE.get_or_init(|| {
        let selectors = selectors(&var("PACKMULE_TEST_SOURCE")?, &expected()?);
        let mut args = vec!["export"];
        args.extend(selectors.iter().map(String::as_str));
        std::fs::create_dir_all(dir().join("whole")).unwrap();
        args.extend(["-o", "whole/corpus", "--sign", "k.pem", "--volume-size", "32MiB"]);
        packmule(&args, 0);
        Some(())
    });
    made.map(|()| "whole/corpus")
}

/// Checks every manifest of the corpus below `to`, with its tag and its place in its subject's
/// list.
pub fn same_as_source(crane: &str, to: &str) {
    for entry in expected().unwrap() {
        let repository = format!("{to}/{}", entry.repository);
        let by_digest = manifest(crane, &format!("{repository}@{}", entry.digest));
        assert_eq!(sha256(&by_digest), entry.digest, "{repository}");
        if let Some(tag) = &entry.tag {
            assert_eq!(manifest(crane, &format!("{repository}:{tag}")), by_digest, "{repository}:{tag}");
        }
        if let Some(subject) = &entry.subject {
            let tag = subject.replace(':', "-");
            let list: Value = serde_json::from_slice(&manifest(crane, &format!("{repository}:{tag}"))).unwrap();
            let listed = list["manifests"].as_array().unwrap();
            assert!(listed.iter().any(|one| one["digest"] == *entry.digest), "{repository}:{tag}: {list}");
        }
    }
}

/// Imports the corpus and checks every manifest that must be there.
fn arrives(host_var: &str, test: &str) {
    let (Some(bundle), Some(host), Some(crane)) = (whole(), var(host_var), var("PACKMULE_TEST_CRANE")) else { return };
    packmule(&["verify", bundle, "--key", "k.pub.pem"], 0);
    let to = format!("{host}/{}", prefix(test));
    let (done, _) = packmule(&["import", bundle, "--key", "k.pub.pem", "--to", &to], 0);
    assert_ne!(done["result"]["blobs"]["pushed"], 0, "{done}");
    same_as_source(&crane, &to);
    let (again, _) = packmule(&["import", bundle, "--key", "k.pub.pem", "--to", &to], 0);
    assert_eq!(again["result"]["blobs"]["pushed"], 0, "{again}");
    assert_eq!(again["result"]["bytes"], 0, "{again}");
}

#[test]
fn the_corpus_arrives_at_distribution_3() {
    arrives("PACKMULE_TEST_DISTRIBUTION2", "whole3");
}

/// A stream is imported as it passes, with the same result as from files.
#[test]
fn the_corpus_arrives_from_a_pipe() {
    let (Some(bundle), Some(host)) = (whole(), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    let to = format!("{host}/{}", prefix("piped"));
    let through = |code: i32| {
        let mut cat = command(&["cat", bundle]).stdout(std::process::Stdio::piped()).spawn().expect("cat runs");
        let ended = command(&["import", "-", "--key", "k.pub.pem", "--to", &to, "--json"])
            .stdin(cat.stdout.take().expect("a pipe"))
            .output()
            .expect("import runs");
        assert!(cat.wait().expect("cat ends").success());
        assert_eq!(ended.status.code(), Some(code), "{}{}", text(&ended.stdout), text(&ended.stderr));
        serde_json::from_slice::<Value>(&ended.stdout).expect("one JSON document")
    };
    assert_ne!(through(0)["result"]["blobs"]["pushed"], 0);
    same_as_source(&crane, &to);
    let again = through(0);
    assert_eq!(again["result"]["blobs"]["pushed"], 0, "{again}");
}

#[test]
fn the_corpus_arrives_at_distribution_2() {
    arrives("PACKMULE_TEST_DOCKER_REGISTRY", "whole2");
}

#[test]
fn strangers_pull_what_was_imported() {
    let (Some(bundle), Some(host)) = (whole(), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let to = format!("{host}/{}", prefix("pull"));
    packmule(&["import", bundle, "--key", "k.pub.pem", "--to", &to], 0);
    if let Some(skopeo) = var("PACKMULE_TEST_SKOPEO") {
        let from = format!("docker://{to}/corpus/base:bookworm");
        stranger(&skopeo, &["copy", "--all", "--src-tls-verify=false", &from, "oci:skopeo:base"]);
    }
    if let Some(oras) = var("PACKMULE_TEST_ORAS") {
        let from = format!("{to}/corpus/artifact/note:1");
        stranger(&oras, &["pull", "--plain-http", "--no-tty", "-o", "oras", &from]);
        assert_eq!(std::fs::read(dir().join("oras/note \u{e9}.txt")).unwrap(), b"carried as it is\n");
    }
    if let Some(regctl) = var("PACKMULE_TEST_REGCTL") {
        let (at, from) = (format!("reg={host},tls=disabled"), format!("{to}/corpus/app/db:2.1"));
        stranger(&regctl, &["--host", &at, "image", "copy", &from, "ocidir://regctl:db"]);
    }
}

#[test]
fn a_bundle_is_unpacked_by_cat_zstd_and_tar() {
    let Some(bundle) = whole() else { return };
    std::fs::create_dir_all(dir().join("hand")).unwrap();
    let line = format!("set -o pipefail; cat {bundle}.????.tar.zst | zstd -dq | tar x -C hand");
    stranger("bash", &["-c", &line]);
    stranger("bash", &["-c", "cd whole && sha256sum --strict --quiet -c corpus.sha256"]);
    let index: Value = serde_json::from_slice(&std::fs::read(dir().join("hand/index.json")).unwrap()).unwrap();
    let named = |end: &str| {
        let names = index["manifests"].as_array().unwrap().iter();
        let mut names = names.filter_map(|one| one["annotations"]["org.opencontainers.image.ref.name"].as_str());
        names.find(|name| name.ends_with(end)).expect("in the index").to_owned()
    };
    if let Some(skopeo) = var("PACKMULE_TEST_SKOPEO") {
        let from = format!("oci:hand:{}", named("/corpus/app/raw:1"));
        stranger(&skopeo, &["copy", &from, "oci:hand-copy:raw"]);
    }
    if let Some(oras) = var("PACKMULE_TEST_ORAS") {
        let entries = expected().unwrap();
        let note = entries.iter().find(|entry| entry.repository == "corpus/artifact/note").unwrap();
        let from = format!("hand@{}", note.digest);
        let found = stranger(&oras, &["manifest", "fetch", "--oci-layout", &from]);
        assert_eq!(sha256(&found), note.digest);
    }
}

#[test]
fn all_unknown_tags_are_told_and_nothing_is_written() {
    let Some(source) = var("PACKMULE_TEST_SOURCE") else { return };
    let name = |end: &str| format!("{source}/corpus/{end}");
    let (good, one, two) = (name("base:bookworm"), name("base:never"), name("nowhere:1"));
    std::fs::create_dir_all(dir().join("unknown")).unwrap();
    let args = ["export", &good, &one, &two, "-o", "unknown/b", "--sign", "k.pem"];
    let ended = command(&args).output().unwrap();
    let told = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(20), "{told}");
    assert!(told.contains("base:never") && told.contains("nowhere:1"), "{told}");
    assert_eq!(std::fs::read_dir(dir().join("unknown")).unwrap().count(), 0);
}

#[test]
fn a_tag_that_names_something_else_fails_stays_or_moves() {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    let (note, chart) = (format!("{source}/corpus/artifact/note:1"), format!("{source}/corpus/charts/demo:0.1.0"));
    std::fs::create_dir_all(dir().join("tags")).unwrap();
    let renamed = [format!("{note},as=tags/one:1"), format!("{chart},as=tags/one:1")];
    let to = format!("{host}/{}", prefix("tags"));
    for (name, selector) in ["tags/a", "tags/b"].iter().zip(&renamed) {
        packmule(&["export", selector, "-o", name, "--sign", "k.pem"], 0);
    }
    let import = |name: &str, how: &str, code| {
        let args = ["import", name, "--key", "k.pub.pem", "--to", &to, "--tag-conflict", how];
        packmule(&args, code);
        manifest(&crane, &format!("{to}/tags/one:1"))
    };
    let first = import("tags/a", "fail", 0);
    assert_eq!(import("tags/b", "fail", 15), first);
    assert_eq!(import("tags/b", "keep", 0), first);
    assert_eq!(import("tags/b", "move", 0), manifest(&crane, &chart));
}

#[test]
fn one_platform_is_the_image_of_that_platform() {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    std::fs::create_dir_all(dir().join("platform")).unwrap();
    let db = format!("{source}/corpus/app/db:2.1");
    let args = ["export", &db, "--platform", "linux/arm64", "-o", "platform/b", "--sign", "k.pem"];
    packmule(&args, 0);
    let to = format!("{host}/{}", prefix("platform"));
    packmule(&["import", "platform/b", "--key", "k.pub.pem", "--to", &to], 0);
    let before: Value = serde_json::from_slice(&manifest(&crane, &db)).unwrap();
    let all = before["manifests"].as_array().expect("an index");
    let arm = all.iter().find(|one| one["platform"]["architecture"] == "arm64").expect("for arm64");
    assert_eq!(sha256(&manifest(&crane, &format!("{to}/corpus/app/db:2.1"))), arm["digest"].as_str().unwrap());
}

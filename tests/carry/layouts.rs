//! `cat NAME.????.tar.zst | zstd -d | tar x` is an OCI layout: skopeo and umoci read it by `repository:tag`, oras and
//! regctl by digest, however the bundle was framed and cut (`spec/by-hand.md`).

use std::path::Path;

use serde_json::{Value, json};

use super::world::{dir, expected, packmule, sha256, stranger, var};

/// Exports a part of the corpus as bundle `b` in the folder `name`, and opens it by hand beside it.
fn opened(name: &str, source: &str, options: &[&str], volumes: impl Fn(usize) -> bool) -> String {
    std::fs::create_dir_all(dir().join(name).join("hand")).unwrap();
    let selectors = ["base:bookworm", "app/raw:1", "artifact/note:1"].map(|end| format!("{source}/corpus/{end}"));
    let bundle = format!("{name}/b");
    let mut args = vec!["export"];
    args.extend(selectors.iter().map(String::as_str));
    args.extend(["-o", &bundle, "--sign", "k.pem"]);
    args.extend(options);
    packmule(&args, 0);
    let all = std::fs::read_dir(dir().join(name)).unwrap().map(|entry| entry.unwrap().file_name());
    let count = all.filter(|file| file.to_string_lossy().ends_with(".tar.zst")).count();
    assert!(volumes(count), "{name}: {count} volumes");
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(dir().join(&bundle).with_extension("json")).unwrap()).unwrap();
    let packed = manifest["frames"].as_array().unwrap().iter().any(|frame| frame.get("size").is_some());
    assert_eq!(packed, !options.contains(&"0"), "{name}: packed frames");
    let line = format!("set -o pipefail; cat {bundle}.????.tar.zst | zstd -dq | tar x -C {name}/hand");
    stranger("bash", &["-c", &line]);
    format!("{name}/hand")
}

/// All four programs on one layout.
fn read_by_all(layout: &str, source: &str) {
    let entries = expected().unwrap();
    let digest = |repository: &str, tag: &str| {
        let is_it =
            |entry: &&super::world::Expected| entry.repository == repository && entry.tag.as_deref() == Some(tag);
        entries.iter().find(is_it).expect("in the corpus").digest.clone()
    };
    let base = digest("corpus/base", "bookworm");
    let raw = digest("corpus/app/raw", "1");
    let note = digest("corpus/artifact/note", "1");
    let at = dir().join(layout);
    let blob = |digest: &str| std::fs::read(at.join("blobs").join(digest.replace(':', "/"))).unwrap();
    assert!([&base, &raw, &note].iter().all(|digest| sha256(&blob(digest)) == **digest), "{layout}: the documents");

    if let Some(skopeo) = var("PACKMULE_TEST_SKOPEO") {
        let found = stranger(&skopeo, &["inspect", "--raw", &format!("oci:{layout}:{source}/corpus/base:bookworm")]);
        assert_eq!(sha256(&found), base, "{layout}: skopeo inspect");
        let to = format!("{layout}-skopeo");
        stranger(
            &skopeo,
            &["copy", "--all", &format!("oci:{layout}:{source}/corpus/base:bookworm"), &format!("dir:{to}")],
        );
        assert_eq!(
            sha256(&std::fs::read(dir().join(to).join("manifest.json")).unwrap()),
            base,
            "{layout}: skopeo copy"
        );
        stranger(&skopeo, &["copy", &format!("oci:{layout}:{source}/corpus/app/raw:1"), &format!("dir:{layout}-raw")]);
    }
    if let Some(umoci) = var("PACKMULE_TEST_UMOCI") {
        let listed = String::from_utf8(stranger(&umoci, &["ls", "--layout", layout])).unwrap();
        let name = format!("{source}/corpus/app/raw:1");
        assert!(listed.lines().any(|line| line == name), "{layout}: umoci lists {listed}");
        let shown = stranger(&umoci, &["stat", "--json", "--image", &format!("{layout}:{name}")]);
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        assert!(shown["history"].is_array(), "{layout}: umoci stat: {shown}");
        let to = format!("{layout}-umoci");
        stranger(&umoci, &["unpack", "--rootless", "--image", &format!("{layout}:{name}"), &to]);
        assert!(dir().join(to).join("rootfs").is_dir(), "{layout}: umoci unpack");
    }
    if let Some(oras) = var("PACKMULE_TEST_ORAS") {
        let from = format!("{layout}@{note}");
        let found = stranger(&oras, &["manifest", "fetch", "--oci-layout", &from]);
        assert_eq!(sha256(&found), note, "{layout}: oras manifest fetch");
        let to = format!("{layout}-oras:copied");
        stranger(&oras, &["copy", "--no-tty", "--from-oci-layout", "--to-oci-layout", &from, &to]);
        is_copied(&format!("{layout}-oras"), &note);
    }
    if let Some(regctl) = var("PACKMULE_TEST_REGCTL") {
        let from = format!("ocidir://{layout}@{base}");
        let found = stranger(&regctl, &["manifest", "get", "--format", "raw-body", &from]);
        assert_eq!(sha256(&found), base, "{layout}: regctl manifest get");
        stranger(&regctl, &["image", "copy", &from, &format!("ocidir://{layout}-regctl:copied")]);
        is_copied(&format!("{layout}-regctl"), &base);
    }
    let marker = std::fs::read(at.join("oci-layout")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&marker).unwrap(), json!({ "imageLayoutVersion": "1.0.0" }));
}

/// Whether the layout that a stranger made names this digest and holds it.
fn is_copied(layout: &str, digest: &str) {
    let at: &Path = &dir().join(layout);
    let index: Value = serde_json::from_slice(&std::fs::read(at.join("index.json")).unwrap()).unwrap();
    assert!(index["manifests"].as_array().unwrap().iter().any(|one| one["digest"] == digest), "{layout}: {index}");
    let found = std::fs::read(at.join("blobs").join(digest.replace(':', "/"))).unwrap();
    assert_eq!(sha256(&found), digest, "{layout}");
}

#[test]
fn one_volume_stored() {
    let Some(source) = var("PACKMULE_TEST_SOURCE") else { return };
    let layout = opened("stored1", &source, &["--level", "0", "--volume-size", "none"], |count| count == 1);
    read_by_all(&layout, &source);
}

#[test]
fn several_volumes_stored() {
    let Some(source) = var("PACKMULE_TEST_SOURCE") else { return };
    let layout = opened("stored2", &source, &["--level", "0", "--volume-size", "32MiB"], |count| count > 1);
    read_by_all(&layout, &source);
}

#[test]
fn one_volume_packed() {
    let Some(source) = var("PACKMULE_TEST_SOURCE") else { return };
    let layout = opened("packed1", &source, &["--volume-size", "none"], |count| count == 1);
    read_by_all(&layout, &source);
}

#[test]
fn several_volumes_packed() {
    let Some(source) = var("PACKMULE_TEST_SOURCE") else { return };
    let layout = opened("packed2", &source, &["--volume-size", "32MiB"], |count| count > 1);
    read_by_all(&layout, &source);
}

//! `cat NAME.????.tar.zst | zstd -d | tar x` is an OCI layout: skopeo and umoci read it by
//! `repository:tag`, oras and regctl by digest, however the bundle was framed and cut
//! (`spec/by-hand.md`).

use std::path::Path;

use serde_json::{Value, json};

use super::world::{dir, expected, packmule, sha256, stranger, var};

/// Exports a part of the corpus as bundle `b` in the folder `name`, and unpacks it by hand next to
/// it.
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

/// Runs all four programs on one layout.
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

/// Returns whether a layout made by another tool names this digest and contains it.
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

#[test]
fn e1_names_of_a_layout_that_are_none_are_told() {
    use super::shelf::{Image, noise};
    use super::world::{fresh, layout, refused};
    let bundle = fresh("odd-names");
    layout("odd-names/source", &[Image::new(vec![noise(8300, 900)]), Image::new(vec![noise(8301, 900)])]);
    let index = dir().join("odd-names/source/index.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    let digest = value["manifests"][1]["digest"].as_str().unwrap().to_owned();
    value["manifests"][1]["annotations"] = json!({ "org.opencontainers.image.ref.name": "Wrong Name\u{1b}[31m:x y" });
    std::fs::write(&index, value.to_string()).unwrap();
    let told = |stderr: &str| {
        let lines: Vec<&str> = stderr.lines().filter(|line| line.starts_with("warning: layout ")).collect();
        assert!(lines.len() == 1 && lines[0].contains(&digest) && lines[0].contains("Wrong Name"), "{stderr}");
        assert!(lines[0].contains("expected a tag or a reference") && !stderr.contains('\u{1b}'), "{stderr}");
    };
    let (done, stderr) = packmule(&["export", "oci:odd-names/source", "-o", &bundle, "--sign", "k.pem"], 0);
    told(&stderr);
    // It is still carried.
    let roots = done["result"]["artifacts"].to_string();
    assert!(roots.contains(&digest), "{done}");
    for args in [
        &["ls", "oci:odd-names/source"][..],
        &["diff", "oci:odd-names/source", &format!("./{bundle}")],
        &["copy", "oci:odd-names/source", "--to", "oci:odd-names/site"],
        &["export", &format!("oci:odd-names/source:{digest}"), "-o", "odd-names/one", "--sign", "k.pem"],
        &["export", "oci:odd-names/source:Wrong Name\u{1b}[31m:x y", "-o", "odd-names/raw", "--sign", "k.pem"],
    ] {
        told(&packmule(args, 0).1);
    }
    // A selection without it does not warn.
    let other = value["manifests"][0]["digest"].as_str().unwrap();
    let (_, stderr) =
        packmule(&["export", &format!("oci:odd-names/source:{other}"), "-o", "odd-names/two", "--sign", "k.pem"], 0);
    assert!(!stderr.contains("warning: layout"), "{stderr}");
    refused(&["export", "oci:odd-names/source:gone", "-o", "odd-names/three", "--sign", "k.pem"], 20);
}

#[test]
fn b17_what_lies_next_to_a_bundle_is_told_to_whoever_asks() {
    use super::shelf::{Image, noise};
    use super::world::{fresh, layout};
    let bundle = fresh("beside");
    layout("beside-source", &[Image::new(vec![noise(8310, 900)])]);
    packmule(&["export", "oci:beside-source", "-o", &bundle, "--sign", "k.pem"], 0);
    let verify = ["verify", &bundle, "--key", "k.pub.pem"];
    let import = ["import", &bundle, "--key", "k.pub.pem", "--to", "oci:beside-site"];
    let inspect = ["inspect", &bundle];
    let told = |args: &[&str], more: &[&str]| packmule(&[args, more].concat(), 0).1;
    for args in [&verify[..], &import, &inspect] {
        assert!(!told(args, &["-v"]).contains("not opened"), "{args:?}");
    }
    let folder = dir().join(&bundle).parent().unwrap().to_owned();
    std::fs::write(folder.join("autorun\u{1b}[31m.inf"), "x").unwrap();
    std::fs::create_dir(folder.join("more")).unwrap();
    for args in [&verify[..], &import, &inspect] {
        let said = told(args, &["-v"]);
        assert!(said.contains("not opened: autorun\\u{1b}[31m.inf, more/"), "{args:?}: {said}");
        assert!(!told(args, &[]).contains("autorun"), "{args:?}");
    }
}

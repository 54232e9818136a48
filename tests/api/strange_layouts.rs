//! Layouts as other tools write them: `cosign save`, hauler, and lists of referrers under fallback
//! tags.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Bundle, MANIFEST, packmule, put};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Writes a manifest whose config says `text`, and returns its descriptor.
fn manifest(layout: &Path, text: &str, subject: Option<&Value>) -> Value {
    let (digest, size) = put(layout, json!({ "os": "linux", "text": text }).to_string().as_bytes());
    let config = json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": size });
    let mut document = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [] });
    if let Some(subject) = subject {
        (document["subject"], document["artifactType"]) = (subject.clone(), json!("example/sbom"));
    }
    describe(layout, MANIFEST, &document)
}

fn describe(layout: &Path, media_type: &str, document: &Value) -> Value {
    let (digest, size) = put(layout, document.to_string().as_bytes());
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

fn index(entries: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries })
}

fn with(descriptor: &Value, annotations: Value) -> Value {
    let mut entry = descriptor.clone();
    entry["annotations"] = annotations;
    entry
}

/// Exports `selector` and returns repository, tag and digest of each artifact, and the messages.
fn exported(bundle: &Bundle, selector: &str, entries: &[Value]) -> (BTreeSet<(String, String, String)>, String) {
    let root = bundle.root.path();
    fs::write(root.join("source/index.json"), index(entries).to_string()).unwrap();
    let ended = packmule(root, &["export", selector, "-o", "usb/new", "--sign", "1.pem", "--overwrite"]);
    assert_eq!(ended.code, 0, "{selector}: {}", ended.stderr);
    let manifest: Value = serde_json::from_slice(&fs::read(root.join("usb/new.json")).unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let artifacts = manifest["artifacts"].as_array().unwrap().iter();
    let found = artifacts.map(|one| (text(&one["repository"]), text(&one["tags"][0]), text(&one["digest"]))).collect();
    (found, ended.stderr)
}

fn tag(descriptor: &Value, ending: &str) -> String {
    descriptor["digest"].as_str().unwrap().replace(':', "-") + ending
}

fn artifact(repository: &str, tag: &str, descriptor: &Value) -> (String, String, String) {
    (repository.to_owned(), tag.to_owned(), descriptor["digest"].as_str().unwrap().to_owned())
}

#[test]
fn what_cosign_attached_keeps_its_image_under_any_name() {
    let bundle = Bundle::small("0", &[1]);
    let layout = bundle.root.path().join("source");
    let [image, sig, att] = ["image", "sig", "att"].map(|text| manifest(&layout, text, None));
    let kind = |word: &str| json!({ "kind": format!("dev.cosignproject.cosign/{word}") });
    let entries = [with(&image, kind("image")), with(&sig, kind("sigs")), with(&att, kind("atts"))];
    let expected = |repository: &str, own: &str| {
        BTreeSet::from([
            artifact(repository, own, &image),
            artifact(repository, &tag(&image, ".sig"), &sig),
            artifact(repository, &tag(&image, ".att"), &att),
        ])
    };
    assert_eq!(exported(&bundle, "oci:source", &entries).0, expected("localhost/source", ""));
    let named = exported(&bundle, "oci:source,as=registry.example/team/app:1", &entries);
    assert_eq!(named.0, expected("registry.example/team/app", "1"));
    assert!(!named.1.contains("warning"), "{}", named.1);
    assert_eq!(exported(&bundle, "oci:source,referrers=none", &entries).0.len(), 1);
    // hauler gives all of them the image's name.
    let name = |word: &str| {
        json!({ "kind": format!("dev.hauler/{word}"), "io.containerd.image.name": "index.docker.io/library/web:1",
            "org.opencontainers.image.ref.name": "library/web:1" })
    };
    let entries = [with(&sig, name("sigs")), with(&image, name("imageIndex")), with(&att, name("atts"))];
    for selector in ["oci:source", "oci:source:library/web:1"] {
        assert_eq!(exported(&bundle, selector, &entries).0, expected("docker.io/library/web", "1"), "{selector}");
    }
    // Of two images, none is told.
    let other = manifest(&layout, "other", None);
    let (found, told) = exported(&bundle, "oci:source", &[image.clone(), other, with(&sig, kind("sigs"))]);
    assert!(found.contains(&artifact("localhost/source", "", &sig)));
    assert!(told.contains("warning") && told.contains(sig["digest"].as_str().unwrap()), "{told}");
}

#[test]
fn a_whole_layout_takes_lists_of_referrers_for_what_they_are() {
    let bundle = Bundle::small("0", &[1]);
    let layout = bundle.root.path().join("source");
    let image = manifest(&layout, "image", None);
    let [listed, stray] = ["listed", "stray"].map(|text| manifest(&layout, text, Some(&image)));
    let list = describe(&layout, INDEX, &index(std::slice::from_ref(&listed)));
    let name = |name: &str| json!({ "org.opencontainers.image.ref.name": name });
    let entries = [with(&image, name("v1")), with(&list, name(&tag(&image, "")))];
    let (found, told) = exported(&bundle, "oci:source", &entries);
    let referrers = [&listed, &stray].map(|one| artifact("localhost/source", "", one));
    let expected: BTreeSet<_> = referrers.into_iter().chain([artifact("localhost/source", "v1", &image)]).collect();
    assert_eq!(found, expected);
    assert!(!told.contains("warning"), "{told}");
    // A list of something that is not there is told; the rest travels.
    let other = format!("sha256-{}", "0".repeat(64));
    let entries = [with(&image, name("v1")), with(&list, name(&other))];
    let (found, told) = exported(&bundle, "oci:source", &entries);
    assert_eq!(found.len(), 3);
    assert!(told.contains(list["digest"].as_str().unwrap()), "{told}");
}

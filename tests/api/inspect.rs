//! The output of `inspect` about a bundle's signature file and form, before anything is
//! authenticated.

use std::fs;

use super::{Bundle, packmule};

#[test]
fn a_signature_file_is_told_as_what_it_is() {
    let bundle = Bundle::small("9", &[1]);
    let other = Bundle::small("0", &[1]);
    let shown = || {
        let ended = packmule(bundle.root.path(), &["inspect", "usb/b"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    assert!(!shown().contains("ANOTHER") && shown().contains("volumes    1, "));
    let of_other = fs::read(other.path("b.sig.json")).unwrap();
    bundle.with("b.sig.json", &of_other, || assert!(shown().contains("signature  OF ANOTHER MANIFEST, under ")));
    bundle.with("b.sig.json", b"{}", || assert!(shown().contains("signature  UNREADABLE: ")));
    fs::remove_file(bundle.path("b.sig.json")).unwrap();
    assert!(shown().contains("signature  none: there is no b.sig.json"));
}

#[test]
fn what_is_wrong_is_told_by_its_class() {
    let bundle = Bundle::small("9", &[1]);
    let volume = fs::read(bundle.path("b.0001.tar.zst")).unwrap();
    let mut flipped = volume.clone();
    flipped[volume.len() / 2] ^= 1;
    bundle.with("b.0001.tar.zst", &flipped, || {
        let ended = packmule(bundle.root.path(), &["inspect", "usb/b", "--check"]);
        assert!(ended.code == 11 && ended.stdout.contains("checked    bytes differ"), "{}", ended.stdout);
    });
    let root = tempfile::tempdir().unwrap();
    let vector = super::vectors::lay("B11-checksum", root.path());
    let ended = packmule(root.path(), &["inspect", &vector.bundle, "--check"]);
    assert!(ended.code == 10 && ended.stdout.contains("breaks the rules"), "{}", ended.stdout);
}

#[test]
fn t23_a_bundle_says_what_is_in_it_without_being_opened() {
    let bundle = Bundle::new(&[b"layer".repeat(9)], &["--annotation", "ticket=T-17"], &[1, 2]);
    let (id, artifact) = {
        let verdict = bundle.verdict().bundle.unwrap();
        (verdict.id().to_string(), verdict.manifest().artifacts[0].clone())
    };
    fs::remove_file(bundle.path("b.0001.tar.zst")).unwrap();
    let ended = packmule(bundle.root.path(), &["inspect", "usb/b"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let keys = [1, 2].map(|seed| super::bundles::key(seed).public().id().to_owned());
    let name = format!("{}:{}", artifact.repository, artifact.tags[0]);
    let told = [id, keys[0].clone(), keys[1].clone(), name, artifact.digest.to_string(), "ticket: T-17".to_owned()];
    for part in told {
        assert!(ended.stdout.contains(&part), "{part}: {}", ended.stdout);
    }
    assert!(ended.stdout.contains("not authenticated"), "{}", ended.stdout);
}

#[test]
fn a_flat_bundle_has_files() {
    let bundle = Bundle::new(&[b"x".to_vec()], &["--flat"], &[1]);
    let ended = packmule(bundle.root.path(), &["inspect", "usb/b"]);
    assert!(ended.stdout.contains("files      as files in b.oci"), "{}", ended.stdout);
}

/// Replaces the layout by one of an image whose config says these things.
fn image_saying(bundle: &Bundle, config: &str) {
    let layout = bundle.root.path().join("source");
    let describe = |media_type: &str, (digest, size): (String, usize)| serde_json::json!({ "mediaType": media_type, "digest": digest, "size": size });
    let config = describe("application/vnd.oci.image.config.v1+json", crate::put(&layout, config.as_bytes()));
    let layer = describe("application/vnd.oci.image.layer.v1.tar", crate::put(&layout, b"a layer"));
    let image =
        serde_json::json!({ "schemaVersion": 2, "mediaType": crate::MANIFEST, "config": config, "layers": [layer] });
    let mut root = describe(crate::MANIFEST, crate::put(&layout, image.to_string().as_bytes()));
    root["annotations"] = serde_json::json!({ "io.containerd.image.name": "example.org/said:1" });
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [root],
    });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    bundle.run("export oci:source -o usb/said --sign 1.pem --overwrite", 0);
}

#[test]
fn m12_a_single_image_says_its_platform_age_labels_and_history() {
    let bundle = Bundle::small("9", &[1]);
    let config = r#"{"architecture":"arm64","os":"linux","variant":"v8","created":"2026-11-21T12:00:00Z",
        "config":{"Labels":{"vendor":"tide \u001b[31m\u202e desk"}},"rootfs":{"type":"layers","diff_ids":[]},
        "history":[{"created_by":"COPY tide /"}]}"#;
    image_saying(&bundle, config);
    let told = bundle.run("inspect usb/said", 0);
    assert!(told.contains("platform linux/arm64/v8, made 2026-11-21T12:00:00Z"), "{told}");
    assert!(told.contains("label vendor=tide \\u{1b}[31m\\u{202e} desk") && told.contains("COPY tide /"), "{told}");
    bundle.run("verify usb/said --key 1.pub.pem --report said.json --report said.html", 0);
    let read = |name: &str| fs::read_to_string(bundle.root.path().join(name)).unwrap();
    let report: serde_json::Value = serde_json::from_str(&read("said.json")).unwrap();
    let item = &report["contents"]["repositories"][0]["items"][0];
    assert_eq!(item["platforms"], serde_json::json!(["linux/arm64/v8"]), "{item}");
    assert_eq!(item["image"]["created"], "2026-11-21T12:00:00Z", "{item}");
    let page = read("said.html");
    assert!(page.contains("linux/arm64/v8") && page.contains("COPY tide /") && !page.contains('\u{1b}'));
    // With the medium's volumes away, the manifest is shown all the same.
    fs::remove_file(bundle.path("said.0001.tar.zst")).unwrap();
    let told = bundle.run("inspect usb/said", 0);
    assert!(told.contains("example.org/said") && !told.contains("platform"), "{told}");
}

#[test]
fn a_config_that_cannot_be_read_is_unknown() {
    let bundle = Bundle::small("9", &[1]);
    for config in ["{}", "no JSON", r#"{"os":7}"#] {
        image_saying(&bundle, config);
        assert!(!bundle.run("inspect usb/said", 0).contains("platform"));
        bundle.run("verify usb/said --key 1.pub.pem --report said.html", 0);
        let page = fs::read_to_string(bundle.root.path().join("said.html")).unwrap();
        assert!(page.contains("<td>unknown"), "{config}");
    }
}

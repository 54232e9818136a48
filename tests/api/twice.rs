//! Imports into a layout a second time, and into one that is missing content that the bundle does
//! not carry.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{Bundle, MANIFEST, packmule, put};

const FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn describe(media_type: &str, (digest, size): (String, usize)) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

/// An index of two platforms: many small layers, and one non-distributable layer that is missing.
fn fill(layout: &Path) {
    let away = describe(FOREIGN, (format!("sha256:{}", "5".repeat(64)), 1_000));
    let children: Vec<Value> = ["amd64", "arm64"]
        .iter()
        .map(|architecture| {
            let config = format!(r#"{{"architecture":"{architecture}","os":"linux"}}"#);
            let config = describe("application/vnd.oci.image.config.v1+json", put(layout, config.as_bytes()));
            let layer = |n: usize| {
                let content = format!("{architecture} {n}");
                describe("application/vnd.oci.image.layer.v1.tar", put(layout, content.as_bytes()))
            };
            let layers: Vec<Value> = (0..150).map(layer).chain([away.clone()]).collect();
            let image = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
            let mut child = describe(MANIFEST, put(layout, image.to_string().as_bytes()));
            child["platform"] = json!({ "architecture": architecture, "os": "linux" });
            child
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
    let mut root = describe(INDEX, put(layout, index.to_string().as_bytes()));
    root["annotations"] = json!({ "io.containerd.image.name": "example.org/tide:1" });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [root] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
}

#[test]
fn what_is_not_carried_keeps_nothing_from_being_there() {
    let bundle = Bundle::small("9", &[1]);
    let root = bundle.root.path();
    fill(&root.join("source"));
    bundle.run("export oci:source -o usb/sparse --sign 1.pem --platform linux/amd64 --index sparse", 0);
    for (line, again) in [
        ("import usb/sparse --key 1.pub.pem --to oci:site", " 0 blobs sent"),
        ("unpack usb/sparse unpacked --key 1.pub.pem", "unpacked  1 artifacts"),
    ] {
        bundle.run(line, 0);
        assert!(bundle.run(line, 0).contains(again), "{line}");
    }
    let again = packmule(root, &["import", "usb/sparse", "--key", "1.pub.pem", "--to", "oci:site", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&again.stdout).unwrap()["result"]["artifacts"][0]["outcome"], "present");
    // A blob that was lost there is sent again.
    let lost = packmule::oci::Digest::sha256(b"amd64 7").to_string();
    fs::remove_file(root.join("site/blobs").join(lost.replace(':', "/"))).unwrap();
    assert!(bundle.run("import usb/sparse --key 1.pub.pem --to oci:site", 0).contains(" 1 blobs sent"));
}

#[test]
fn an_unpack_says_what_it_left_out() {
    let bundle = Bundle::small("9", &[1]);
    let root = bundle.root.path();
    let layout = root.join("source");
    let config = describe("application/vnd.oci.image.config.v1+json", put(&layout, b"{}"));
    let gone = describe("application/vnd.oci.image.layer.v1.tar", (format!("sha256:{}", "6".repeat(64)), 10));
    let image = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [gone] });
    let mut broken = describe(MANIFEST, put(&layout, image.to_string().as_bytes()));
    broken["annotations"] = json!({ "io.containerd.image.name": "example.org/broken:1" });
    let mut index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    index["manifests"].as_array_mut().unwrap().push(broken);
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    let export = ["export", "oci:source", "-o", "usb/partial", "--sign", "1.pem", "--allow-partial"];
    assert_eq!(packmule(root, &export).code, 30);
    let ended = packmule(root, &["unpack", "usb/partial", "out", "--key", "1.pub.pem"]);
    assert_eq!(ended.code, 30, "{}", ended.stdout);
    assert!(
        ended.stdout.contains("unpacked  1 artifacts") && ended.stderr.contains("example.org/broken"),
        "{}",
        ended.stderr
    );
}

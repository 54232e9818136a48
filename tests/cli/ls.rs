//! `ls`: a real registry's repositories and tags, and a layout's entries; crane pushes the listed
//! content.

use serde_json::Value;

use super::registry::{Home, var};

/// A layout with one entry without a name and two with the same digest.
fn layout(home: &Home) -> String {
    let config = b"{}";
    let manifest = |layer: &str| {
        format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{{\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"{}\",\"size\":2}},\"layers\":[],\"annotations\":{{\"n\":\"{layer}\"}}}}",
            packmule::oci::Digest::sha256(config)
        )
    };
    let put = |bytes: &[u8]| {
        let digest = packmule::oci::Digest::sha256(bytes);
        home.write(&format!("l/blobs/sha256/{}", digest.hex()), std::str::from_utf8(bytes).unwrap());
        digest
    };
    put(config);
    let (one, two) = (manifest("one"), manifest("two"));
    let entry = |text: &str, name: Option<&str>| {
        let digest = put(text.as_bytes());
        let mut entry = serde_json::json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": text.len(),
        });
        if let Some(name) = name {
            entry["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": name });
        }
        entry
    };
    let entries = [entry(&one, Some("host.example/a:v1")), entry(&one, Some("v2")), entry(&two, None)];
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": entries });
    home.write("l/index.json", &index.to_string());
    home.write("l/oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    packmule::oci::Digest::sha256(two.as_bytes()).to_string()
}

#[test]
fn a_layouts_entries() {
    let home = Home::new();
    let unnamed = layout(&home);
    let ended = home.run(&["ls", "oci:l"], "");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("host.example/a:v1  ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("localhost/l:v2  ")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with(&format!("@{unnamed}  "))), "{lines:?}");
    let with = home.run(&["ls", "oci:l", "--digests"], "").stdout;
    assert_eq!(with.matches("sha256:").count(), 3, "{with}");
    let document: Value = serde_json::from_str(&home.run(&["ls", "oci:l", "--json"], "").stdout).unwrap();
    assert_eq!(document["result"]["entries"].as_array().unwrap().len(), 3);
    for (wrong, code) in
        [("oci:", 2), ("oci:l:v1", 2), ("oci:absent", 20), ("file:x", 2), ("UPPER", 2), ("h.example/a:t", 2)]
    {
        assert_eq!(home.run(&["ls", wrong], "").code, code, "{wrong}");
    }
}

#[test]
fn t22_a_registrys_repositories_and_tags() {
    let (Some(host), Some(crane)) = (var("PACKMULE_TEST_DISTRIBUTION"), var("PACKMULE_TEST_CRANE")) else { return };
    let home = Home::new();
    layout(&home);
    let space = format!("ls{}", std::process::id());
    // crane accepts a layout with one entry.
    let index: Value = serde_json::from_str(&home.read("l/index.json")).unwrap();
    let one = serde_json::json!({ "schemaVersion": 2, "manifests": [index["manifests"][0]] });
    home.write("l/index.json", &one.to_string());
    for name in ["a:v2", "a:v10", "b/c:v1"] {
        assert!(home.stranger(&crane, &["push", "--insecure", "l", &format!("{host}/{space}/{name}")], "").is_some());
    }
    let list = |args: &[&str]| {
        let ended = home.run(&[&["ls"], args].concat(), "");
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    let all = list(&[&host]);
    let (a, c) = (format!("{host}/{space}/a\n"), format!("{host}/{space}/b/c\n"));
    assert!(all.contains(&a) && all.contains(&c), "{all}");
    assert_eq!(list(&[&format!("{host}/{space}/*")]), format!("{a}{c}"));
    assert_eq!(list(&[&format!("{host}/{space}/b/*")]), c);
    let repository = format!("{host}/{space}/a");
    assert_eq!(list(&[&repository]), format!("{repository}:v10\n{repository}:v2\n"));
    let digest = home.stranger(&crane, &["digest", "--insecure", &format!("{repository}:v2")], "").unwrap();
    let digest = digest.trim();
    assert_eq!(list(&[&repository, "--digests"]), format!("{repository}:v10@{digest}\n{repository}:v2@{digest}\n"));
    let document: Value = serde_json::from_str(&list(&[&repository, "--digests", "--json"])).unwrap();
    assert_eq!(document["result"]["tags"][1], serde_json::json!({ "tag": "v2", "digest": digest }));
    assert_eq!(home.run(&["ls", &format!("{host}/{space}/none")], "").code, 20);
    // A page of a few bytes is not slowed down; this only checks that the option is accepted.
    assert_eq!(list(&[&repository, "--limit-rate", "1MiB"]).lines().count(), 2);
    assert_eq!(home.run(&["ls", &repository, "--limit-rate", "none"], "").code, 2);
}

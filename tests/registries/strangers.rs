//! Other programs read what was pushed here, and what they push is read here: crane, regctl, oras,
//! skopeo.

use std::process::Command;

use packmule::content::{Destination, Inventory, Referrers, Source};
use packmule::oci::{Descriptor, Reference, Tag, media_type};

use super::hosts::{Bytes, address, anonymous, content, fresh, manifest};

/// Returns what a program prints.
fn says(program: &str, words: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.args(words).env("HOME", home.path()).env("DOCKER_CONFIG", home.path());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn both_ways() {
    for (name, has_api) in [
        ("PACKMULE_TEST_DISTRIBUTION", false),
        ("PACKMULE_TEST_DOCKER_REGISTRY", false),
        ("PACKMULE_TEST_REFERRERS", true),
    ] {
        let (Some(host), Some(crane), Some(regctl), Some(oras), Some(skopeo)) = (
            address(name),
            address("PACKMULE_TEST_CRANE"),
            address("PACKMULE_TEST_REGCTL"),
            address("PACKMULE_TEST_ORAS"),
            address("PACKMULE_TEST_SKOPEO"),
        ) else {
            continue;
        };
        let client = anonymous();
        let registries = &client.registries;
        let (from, to) = (fresh(&host, "ours"), fresh(&host, "theirs"));
        let config =
            Bytes(br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec());
        let layer = content(5 << 20, 91);
        for blob in [&config, &layer] {
            registries.put_blob(&from, &blob.descriptor(), blob).unwrap();
        }
        let config = Descriptor { media_type: media_type::OCI_CONFIG.to_owned(), ..config.descriptor() };
        let document = manifest(&config, &layer.descriptor(), None);
        let signature = manifest(&config, &config, Some(&document.descriptor()));
        for document in [&document, &signature] {
            registries.put_manifest(&from, document).unwrap();
        }
        let tag = Tag::new("v1").unwrap();
        registries.set_tag(&from, &tag, &document).unwrap();

        let ours = format!("{from}:v1");
        let digest = document.digest().to_string();
        assert_eq!(says(&crane, &["digest", "--insecure", &ours]).trim(), digest);
        assert_eq!(says(&crane, &["manifest", "--insecure", &ours]).trim_end().as_bytes(), document.raw());
        says(&crane, &["validate", "--insecure", "--remote", &ours]);
        let shown = says(&oras, &["discover", "--plain-http", "--format", "json", &ours]);
        assert!(shown.contains(&signature.digest().to_string()), "oras: {shown}");
        let tls = format!("reg={host},tls=disabled");
        let shown = says(&regctl, &["--host", &tls, "artifact", "list", "--format", "{{json .}}", &ours]);
        assert!(shown.contains(&signature.digest().to_string()), "regctl: {shown}");
        let raw = says(&skopeo, &["inspect", "--raw", "--tls-verify=false", &format!("docker://{ours}")]);
        assert_eq!(raw.as_bytes(), document.raw());

        // And back: with its referrer, by regctl; a copy by skopeo.
        let theirs = format!("{to}:v1");
        says(&regctl, &["--host", &tls, "image", "copy", "--referrers", &ours, &theirs]);
        let reference: Reference = theirs.parse().unwrap();
        let found = registries.resolve(&reference).unwrap();
        assert_eq!(found.digest, document.digest());
        assert_eq!(registries.document(&to, &found).unwrap().raw(), document.raw());
        assert!(registries.holds(&to, &layer.descriptor()).unwrap());
        let listed = Referrers::referrers(registries, &to, document.digest()).unwrap();
        assert_eq!(listed.iter().map(|entry| entry.digest).collect::<Vec<_>>(), [signature.digest()]);
        let fallback = Tag::referrers_fallback(document.digest());
        assert_eq!(registries.tag(&from, &fallback).unwrap().is_none(), has_api, "{name}");
    }
}

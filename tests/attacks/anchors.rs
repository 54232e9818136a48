//! Row S15 for the time anchors around a bundle: policy versions, spellings of a destination, ends
//! of keys. Whole commands, each with its own states.

use std::fs;

use packmule::oci::Digest;
use packmule::state::{Position, Store};
use serde_json::Value;

use crate::channel::{DAY, NOW, Site};

/// A site with two bundles of the channel.
fn two() -> Site {
    let site = Site::new("");
    for n in 1..=2 {
        site.export(&format!("--init-state --annotation n={n}"), 0);
    }
    site
}

fn version(site: &Site, line: &str) {
    site.policy("");
    let path = site.path("trust.toml");
    fs::write(&path, format!("{line}\n{}", fs::read_to_string(&path).unwrap())).unwrap();
}

fn held(site: &Site) -> (u64, Option<u64>) {
    let record: Value = serde_json::from_slice(&site.held()).unwrap();
    (record["sequence"].as_u64().unwrap(), record["policy"].as_u64())
}

#[test]
fn s15_a_policy_that_is_older_than_the_last_one_is_stale() {
    let site = two();
    site.import("apps-1", "", 0);
    assert_eq!(held(&site), (1, None));
    // The policy version also moves up with the same bundle again, and with an older one that was
    // allowed.
    version(&site, "version = 3");
    site.import("apps-1", "--dry-run", 0);
    assert_eq!(held(&site), (1, None));
    site.import("apps-1", "", 0);
    assert_eq!(held(&site), (1, Some(3)));
    site.import("apps-2", "", 0);
    version(&site, "version = 4");
    site.import("apps-1", "--allow-stale", 0);
    assert_eq!(held(&site), (2, Some(4)));
    let before = site.held();
    for older in ["version = 3", "version = 0", ""] {
        version(&site, older);
        for more in ["", "--allow-stale", "--init-state", "--dry-run"] {
            let told = site.import("apps-2", more, 14);
            assert!(
                told.contains("policy of version 4 or above") && told.contains("higher version"),
                "{older}: {told}"
            );
        }
        site.run("verify usb/apps-2 --policy trust.toml --state in", 14);
        // Another destination has its own record, which is empty.
        site.run("import usb/apps-2 --policy trust.toml --to oci:elsewhere --state in --dry-run", 0);
    }
    // Keys alone have no version: there is a warning, and the record stays.
    let told = site.run("import usb/apps-2 --key 1.pub.pem --to oci:site --state in", 0);
    assert!(told.contains("keys alone have no rules"), "{told}");
    assert_eq!(site.held(), before);
}

#[test]
fn s15_every_spelling_of_a_registry_has_one_state() {
    let site = two();
    let store = Store::new(site.path("in"), String::new());
    let position = Position { epoch: 0, sequence: 2, id: Digest::sha256(b"another") };
    store.take("apps", "registry:localhost:1/mirror").unwrap().hold(&position, 0).unwrap();
    let import = |to: &str, code: u8| {
        site.run(&format!("import usb/apps-1 --key 1.pub.pem --to {to} --state in --dry-run --retries 0"), code)
    };
    for to in ["localhost:1/mirror", "127.0.0.1:1/mirror", "127.0.0.1:1/mirror/", "[::1]:1/mirror", "127.1:1/mirror"] {
        assert!(import(to, 14).contains("an older one"), "{to}");
    }
    // Another prefix has its own order, which causes a warning; nothing listens there.
    let told = import("127.0.0.1:1/other", 21);
    assert!(told.contains("registry:localhost:1/mirror holds 0/2") && told.contains("its own order"), "{told}");
    let told = import("127.0.0.1:2/mirror", 21);
    assert!(!told.contains("own order"), "{told}");
    // A record that an earlier version kept under another spelling counts.
    fs::remove_dir_all(site.path("in")).unwrap();
    store.take("apps", "registry:127.0.0.1:1/mirror/").unwrap().hold(&position, 0).unwrap();
    assert!(import("localhost:1/mirror", 14).contains("an older one"));
}

#[test]
fn s18_a_key_past_its_end_does_not_count_by_this_clock() {
    let site = Site::new("");
    site.export("--init-state", 0);
    let text = fs::read_to_string(site.path("trust.toml")).unwrap();
    let text = text.replacen("role = \"release\"", "role = \"release\", until = \"2026-01-02\"", 1);
    fs::write(site.path("trust.toml"), text).unwrap();
    let verify = "verify usb/apps-1 --policy trust.toml --state in";
    assert_eq!(site.run_at(verify, NOW + 2 * DAY - 1).code, 0);
    for more in ["", " --allow-stale"] {
        let ended = site.run_at(&format!("{verify}{more}"), NOW + 2 * DAY);
        assert_eq!(ended.code, 13, "{}", ended.stderr);
        assert!(ended.stderr.contains("`until` is over"), "{}", ended.stderr);
    }
    let ended = site.run_at(&format!("{verify} --report page.html --report page.json"), NOW + 2 * DAY);
    assert_eq!(ended.code, 13);
    let page: Value = serde_json::from_slice(&fs::read(site.path("page.json")).unwrap()).unwrap();
    assert_eq!(page["signatures"]["signers"][0]["standing"], "ended", "{page}");
    assert!(fs::read_to_string(site.path("page.html")).unwrap().contains("the key's time is over"));
}

#[test]
fn what_rollback_protection_needs_is_told() {
    let site = two();
    let told = site.run("import usb/apps-1 --key 1.pub.pem --to oci:site --state in", 0);
    assert!(told.contains("the first one here, so no older one was looked for"), "{told}");
    site.run("export oci:source -o usb/plain --sign 1.pem", 0);
    let told = site.run("verify usb/plain --key 1.pub.pem --state in", 0);
    assert!(told.contains("without a channel: an older one cannot be distinguished from the newest"), "{told}");
}

//! Deltas over receipts and over the channel's last export (`spec/receipt.md`).

use std::fs;

use serde_json::Value;

use super::receipts::{import, read, refusing, two};
use super::shelf::{Image, Shelf, noise};
use super::world::{command, dir, fresh, layout, packmule, refused, sha256, text};

#[test]
fn m17_a_receipt_is_a_base_and_only_for_what_arrived() {
    let images = two("vouches", 9800);
    let target = refusing(images[0].digest());
    import("vouches/b", target.host(), "vouches/r.json", &["--keep-going"], 30);
    let export = |name: &str, base: &str| -> Value {
        let out = format!("vouches/{name}");
        packmule(&["export", "oci:vouches/source", "-o", &out, "--sign", "k.pem", "--base", base], 0);
        read(&format!("{out}.json"))
    };
    let digests = |manifest: &Value| -> Vec<String> {
        let absent = manifest["absent"].as_array().unwrap().iter();
        absent.map(|one| one["digest"].as_str().unwrap().to_owned()).collect()
    };
    let over = export("over", "vouches/r.json");
    let left = digests(&over);
    for blob in &images[1].blobs {
        assert!(left.contains(&sha256(blob)), "what arrived stays behind");
    }
    assert!(!left.contains(&sha256(&images[0].blobs[1])), "what did not arrive travels again");
    assert_eq!(over["bases"][0], sha256(&fs::read(dir().join("vouches/b.json")).unwrap()));
    assert!(over["absent"].as_array().unwrap().iter().all(|one| one["repository"].is_string()), "{over}");
    // At a registry that has what the receipt says, the delta brings the rest.
    let place = Shelf::plain(&[("a/b", "2", &images[1])]);
    packmule(&["import", "vouches/over", "--key", "k.pub.pem", "--to", place.host()], 0);
    assert!(place.holds("a/b/manifests/1"));
    // The next delta, over the receipt of a delta: base content counts as delivered.
    import("vouches/over", place.host(), "vouches/r2.json", &[], 0);
    let all = export("all", "vouches/r2");
    let carried: Vec<String> = images.iter().flat_map(|image| &image.blobs).map(|blob| sha256(blob)).collect();
    assert!(carried.iter().all(|blob| digests(&all).contains(blob)), "{all}");
    let told = refused(&["export", "oci:vouches/source", "-o", "vouches/x", "--unsigned", "--base", "last"], 2);
    assert!(told.contains("--channel"), "{told}");
    let nothing = refusing(images[0].digest());
    import("vouches/b", nothing.host(), "vouches/r3.json", &[], 21);
    let ended =
        command(&["export", "oci:vouches/source", "-o", "vouches/full", "--unsigned", "--base", "vouches/r3.json"])
            .output()
            .unwrap();
    assert!(ended.status.success() && text(&ended.stderr).contains("nothing arrived"), "{}", text(&ended.stderr));
    assert!(digests(&read("vouches/full.json")).is_empty());
}

#[test]
fn m17_a_chain_over_the_last_export() {
    drop(fresh("lasts"));
    let site = "oci:lasts/site";
    for month in 1..=3_u64 {
        layout("lasts/source", &[Image::new(vec![noise(9900, 90_000), noise(9900 + month, 30_000)])]);
        let args = [
            "export",
            "oci:lasts/source",
            "-o",
            "lasts",
            "--sign",
            "k.pem",
            "--channel",
            "apps",
            "--state",
            "lasts/state",
        ];
        let more: &[&str] = if month == 1 { &["--init-state"] } else { &[] };
        packmule(&[&args[..], &["--base", "last"], more].concat(), 0);
        let manifest = read(&format!("lasts/apps-{month}.json"));
        let absent = manifest["absent"].as_array().unwrap();
        assert_eq!(absent.is_empty(), month == 1, "the first is a full one: {manifest}");
        assert_eq!(manifest["bases"].as_array().unwrap().is_empty(), month == 1);
        if month > 1 {
            assert_eq!(manifest["bases"][0], manifest["previous"]);
        }
        if month == 3 {
            // Content that the first one carried, the second found delivered.
            assert!(absent.iter().any(|one| one["digest"] == *sha256(&noise(9900, 90_000))), "{manifest}");
        }
        // A dry run: it takes no place, but reads the state.
        let (dry, _) = packmule(&[&args[..], &["--base", "last", "--dry-run"], more].concat(), 0);
        assert_ne!(dry["result"]["absent"], 0, "{dry}");
        let bundle = format!("lasts/apps-{month}");
        let args =
            ["import", &bundle, "--key", "k.pub.pem", "--to", site, "--state", "lasts/in", "--tag-conflict", "move"];
        packmule(&args, 0);
        packmule(&["diff", &format!("./{bundle}"), site, "--check", "--content"], 0);
    }
}

//! Bundles as sources: merged, split, mixed with registries and layouts, copied; refused without
//! trust, if they are stale, and by name if something is absent.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::copy::copy;
use super::shelf::{Image, Shelf, noise};
use super::sources::{holding, names};
use super::world::{command, dir, fresh, manifest, packmule, prefix, refused, sha256, var};

const TRUST: [&str; 2] = ["--key", "k.pub.pem"];

/// Exports `selectors` as `name` and returns the result.
fn export(name: &str, selectors: &[&str], more: &[&str], code: i32) -> Value {
    packmule(&[&["export", "-o", name, "--sign", "k.pem"], selectors, more].concat(), code).0["result"].clone()
}

fn manifest_of(name: &str) -> Value {
    serde_json::from_slice(&fs::read(dir().join(format!("{name}.json"))).unwrap()).unwrap()
}

/// Every file below a folder.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(tree(&entry));
        } else {
            found.insert(entry.display().to_string(), fs::read(&entry).unwrap());
        }
    }
    found
}

/// Two signed bundles of one image each, which share a layer, and the images.
fn two(test: &str, seed: u64) -> [Image; 2] {
    drop(fresh(test));
    let shared = noise(seed, 40_000);
    let images = [seed + 1, seed + 2].map(|seed| Image::new(vec![shared.clone(), noise(seed, 9_000)]));
    for (name, reference, image) in [("a", "one.example/a:v1", &images[0]), ("b", "two.example/b:v2", &images[1])] {
        let layout = holding(test, &format!("layout-{name}"), reference, image);
        export(&format!("{test}/{name}"), &[&format!("oci:{layout}")], &[], 0);
    }
    images
}

fn has_all(site: &Path, images: &[Image]) {
    for bytes in images.iter().flat_map(|image| image.blobs.iter().chain([&image.manifest])) {
        let file = site.join("blobs").join(sha256(bytes).replace(':', "/"));
        assert_eq!(&fs::read(&file).unwrap(), bytes, "{}", file.display());
    }
}

#[test]
fn bundles_are_merged_and_split_and_say_where_they_come_from() {
    let test = "merged";
    let images = two(test, 8400);
    let third = Image::new(vec![noise(8410, 5_000)]);
    let shelf = Shelf::plain(&[("c/d", "v3", &third)]);
    let online = format!("{}/c/d:v3", shelf.host());
    let both = ["bundle:merged/a", "bundle:merged/b.json"];

    let done = export("merged/all", &[&both[..], &[&online]].concat(), &TRUST, 0);
    let all = [&*online, "one.example/a:v1", "two.example/b:v2"];
    assert_eq!(names(&done["artifacts"]), all);
    // Three manifests, a layer of each image, the shared layer, and two configurations.
    assert_eq!(done["blobs"], 9, "{done}");
    let mut ids = ["a", "b"].map(|name| sha256(&fs::read(dir().join(test).join(format!("{name}.json"))).unwrap()));
    ids.sort();
    assert_eq!(manifest_of("merged/all")["annotations"]["packmule.from"], ids.join(" "));
    assert_eq!(done["from"], serde_json::json!(ids));
    packmule(&["verify", "merged/all", "--key", "k.pub.pem"], 0);
    packmule(&["import", "merged/all", "--key", "k.pub.pem", "--to", "oci:merged/site"], 0);
    has_all(&dir().join("merged/site"), &images);

    // One artifact of it, by its name, by its digest, and under another name.
    let digest = sha256(&images[1].manifest);
    let [by_name, by_digest] =
        ["two.example/b:v2".to_owned(), digest.clone()].map(|name| format!("bundle:merged/all:{name}"));
    let one = export("merged/one", &[&by_name], &TRUST, 0);
    assert_eq!(names(&one["artifacts"]), ["two.example/b:v2"]);
    assert_eq!((&one["blobs"], &one["artifacts"][0]["digest"]), (&4.into(), &digest.clone().into()));
    let plain = packmule(&["export", &by_digest, "--dry-run", "--key", "k.pub.pem"], 0).0;
    assert_eq!(plain["result"]["artifacts"][0]["tags"], serde_json::json!([]));
    let renamed = export("merged/renamed", &[&format!("{by_name},as=three.example/c:v3")], &TRUST, 0);
    assert_eq!(names(&renamed["artifacts"]), ["three.example/c:v3"]);
    for wrong in ["two.example/b:v1", "one.example/x:v1", &sha256(b"no manifest")] {
        let told = refused(&["export", &format!("bundle:merged/all:{wrong}"), "--dry-run", "--key", "k.pub.pem"], 20);
        assert!(told.contains(wrong) && told.contains("inspect"), "{told}");
    }

    let done = copy(&both, &["--to", "oci:merged/copied", "--key", "k.pub.pem"], 0);
    assert_eq!(done["result"]["from"], serde_json::json!(ids));
    has_all(&dir().join("merged/copied"), &images);
}

#[test]
fn two_bundles_that_claim_one_name_are_refused_with_both() {
    let test = "claimed";
    drop(fresh(test));
    for (name, seed) in [("a", 8501), ("b", 8502)] {
        let layout = holding(test, &format!("layout-{name}"), "one.example/a:v1", &Image::new(vec![noise(seed, 900)]));
        export(&format!("{test}/{name}"), &[&format!("oci:{layout}")], &[], 0);
    }
    let told = refused(&["export", "bundle:claimed/a", "bundle:claimed/b", "--dry-run", "--key", "k.pub.pem"], 2);
    assert!(told.contains("claimed/a") && told.contains("claimed/b") && told.contains("as="), "{told}");
}

#[test]
fn a_bundle_is_no_source_without_trust() {
    let test = "untrusted";
    drop(two(test, 8600));
    packmule(&["key", "new", "-o", "untrusted/other.pem", "--no-passphrase"], 0);
    let public = command(&["key", "public", "untrusted/other.pem"]).output().unwrap();
    fs::write(dir().join("untrusted/other.pub.pem"), public.stdout).unwrap();
    let source = "bundle:untrusted/a";
    for run in
        [&["export", source, "-o", "untrusted/c", "--unsigned"][..], &["copy", source, "--to", "oci:untrusted/s"]]
    {
        let told = refused(run, 2);
        assert!(told.contains("no trust given") && told.contains("signed under key"), "{told}");
        refused(&[run, &["--key", "untrusted/other.pub.pem"]].concat(), 13);
        refused(&[run, &["--key", "k.pub.pem", "--threshold", "2"]].concat(), 2);
    }
    assert!(!dir().join("untrusted/c.json").exists() && !dir().join("untrusted/s/index.json").exists());
    // TRUST is for bundles, and a stream is read only once.
    let layout = "oci:untrusted/layout-a";
    for option in [&["--key", "k.pub.pem"][..], &["--allow-stale"], &["--init-state"], &["--signatures", "k.pem"]] {
        for run in [&["export", layout, "--dry-run"][..], &["copy", layout, "--to", "oci:untrusted/s", "--dry-run"]] {
            let told = refused(&[run, option].concat(), 2);
            assert!(told.contains(option[0]) && told.contains("bundle:"), "{told}");
        }
    }
    let stream = command(&["cat", "untrusted/a"]).output().unwrap().stdout;
    fs::write(dir().join("untrusted/stream"), stream).unwrap();
    for wrong in ["bundle:untrusted/stream", "bundle:-", "bundle:", "bundle:untrusted/a:"] {
        refused(&["export", wrong, "--dry-run", "--key", "k.pub.pem"], 2);
    }
    refused(&["export", "bundle:untrusted/none", "--dry-run", "--key", "k.pub.pem"], 22);
    let told = refused(&["export", layout, "--dry-run", "--annotation", "packmule.from=me"], 2);
    assert!(told.contains("packmule."), "{told}");
    // Of a damaged one nothing is taken that is not as signed.
    let volume = dir().join("untrusted/a.0001.tar.zst");
    let mut bytes = fs::read(&volume).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&volume, &bytes).unwrap();
    let copied = command(&["copy", source, "--to", "oci:untrusted/s", "--key", "k.pub.pem"]).output().unwrap();
    assert!(!copied.status.success());
    bytes.truncate(middle);
    fs::write(&volume, &bytes).unwrap();
    refused(&["export", source, "--dry-run", "--key", "k.pub.pem"], 11);
}

#[test]
fn what_a_delta_leaves_out_is_refused_by_name_until_it_is_found() {
    let test = "lacking";
    drop(fresh(test));
    let os = noise(8700, 300_000);
    let images = [Image::new(vec![os.clone()]), Image::new(vec![os.clone(), noise(8701, 9_000)])];
    let [base, app] = [("base", "os.example/os:1", &images[0]), ("app", "app.example/app:2", &images[1])]
        .map(|(folder, name, image)| format!("oci:{}", holding(test, folder, name, image)));
    export("lacking/full", &[&base], &[], 0);
    export("lacking/delta", &[&app], &["--base", "lacking/full"], 0);
    let digest = sha256(&os);
    let source = "bundle:lacking/delta";
    let told = refused(&[&["export", source, "-o", "lacking/c", "--unsigned"][..], &TRUST].concat(), 20);
    for word in [&*digest, "app.example/app:2", "listed as absent: base", "--base"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let told = refused(&[&["copy", source, "--to", "oci:lacking/s"][..], &TRUST].concat(), 20);
    assert!(told.contains(&*digest), "{told}");
    // Left out, again over its base, or with the bundle that has it.
    let partial = export("lacking/partial", &[source], &[&TRUST[..], &["--allow-partial"]].concat(), 30);
    assert_eq!(
        (&partial["absent"][0]["digest"], &partial["absent"][0]["reason"]),
        (&digest.clone().into(), &"missing".into())
    );
    let again = export("lacking/again", &[source], &[&TRUST[..], &["--base", "lacking/full"]].concat(), 0);
    assert_eq!(again["absent"][0]["reason"], "base");
    let done = export("lacking/whole", &[source, "bundle:lacking/full"], &TRUST, 0);
    assert_eq!(done["absent"], serde_json::json!([]));
    packmule(&["import", "lacking/whole", "--key", "k.pub.pem", "--to", "oci:lacking/site"], 0);
    has_all(&dir().join("lacking/site"), &images);
}

#[test]
fn an_older_bundle_of_a_channel_is_stale_and_no_state_moves() {
    let test = "older";
    let images = two(test, 8800);
    drop(images);
    let channel = ["-o", "older", "--channel", "apps", "--state", "older/state", "--sign", "k.pem"];
    for (layout, more) in [("oci:older/layout-a", &["--init-state"][..]), ("oci:older/layout-b", &[])] {
        packmule(&[&["export", layout], &channel[..], more].concat(), 0);
    }
    let state = ["--state", "older/state", "--key", "k.pub.pem"];
    packmule(&[&["import", "older/apps-2", "--to", "oci:older/site"][..], &state].concat(), 0);
    let before = tree(&dir().join("older/state/import"));
    assert!(!before.is_empty());
    for run in [&["export", "--dry-run"][..], &["copy", "--to", "oci:older/copied"]] {
        let told = refused(&[run, &["bundle:older/apps-1"], &state].concat(), 14);
        assert!(told.contains("apps"), "{told}");
        packmule(&[run, &["bundle:older/apps-2"], &state].concat(), 0);
        let (_, told) = packmule(&[run, &["bundle:older/apps-1", "--allow-stale"], &state].concat(), 0);
        assert!(told.contains("overlooked"), "{told}");
    }
    assert_eq!(tree(&dir().join("older/state/import")), before);
}

#[test]
fn a_real_registry_takes_what_a_bundle_has() {
    let (Some(source), Some(host)) = (var("PACKMULE_TEST_SOURCE"), var("PACKMULE_TEST_DISTRIBUTION2")) else { return };
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    let test = "bundle-to-registry";
    drop(fresh(test));
    let db = format!("{source}/corpus/app/db:2.1");
    export("bundle-to-registry/db", &[&db], &[], 0);
    let to = format!("{host}/{}", prefix(test));
    let done = copy(&["bundle:bundle-to-registry/db"], &["--to", &to, "--key", "k.pub.pem"], 0);
    assert_ne!(done["result"]["blobs"]["pushed"], 0, "{done}");
    assert_eq!(manifest(&crane, &format!("{to}/corpus/app/db:2.1")), manifest(&crane, &db));
    // Mixed with the registry that it comes from: nothing is in it twice.
    let note = format!("{source}/corpus/artifact/note:1");
    let mixed = export("bundle-to-registry/mixed", &["bundle:bundle-to-registry/db", &note], &TRUST, 0);
    let online = export("bundle-to-registry/online", &[&db, &note], &[], 0);
    assert_eq!((&mixed["blobs"], &mixed["content"]), (&online["blobs"], &online["content"]));
}

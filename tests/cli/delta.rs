//! Deltas: a base, what is new over it, destinations that have the base, have it elsewhere or are
//! missing it, and the list that travels back (`spec/closure.md`, rows M17 and C13).

use std::fs;

use serde_json::{Value, json};

use super::shelf::{Hook, Image, Shelf, noise};
use super::world::{command, dir, layout, manifest, packmule, prefix, refused, sha256, text, var};

/// Sizes of layers, in bytes.
const OS: usize = 700_000;
const OWN: usize = 30_000;

/// A source over three months. `base/os` holds the layer that all share; `app/moved` uses it from
/// the second month.
struct Months {
    os: Vec<u8>,
    shelf: Shelf,
}

fn months(seed: u64) -> Months {
    let os = noise(seed, OS);
    let layer = |number: u64| noise(seed + number, OWN);
    let (first, second, third) = (layer(1), layer(2), layer(3));
    let base = Image::new(vec![os.clone()]);
    let one = Image::new(vec![os.clone(), first.clone()]);
    let two = Image::new(vec![os.clone(), first, second.clone()]);
    let three = Image::new(vec![os.clone(), second, third.clone(), layer(5)]);
    let moved = Image::new(vec![os.clone(), layer(4)]);
    let shelf = Shelf::plain(&[
        ("base/os", "1", &base),
        ("app/a", "1", &one),
        ("app/a", "2", &two),
        ("app/a", "3", &three),
        ("app/moved", "1", &moved),
    ]);
    Months { os, shelf }
}

impl Months {
    fn names(&self, names: &[&str]) -> Vec<String> {
        names.iter().map(|name| format!("{}/{name}", self.shelf.host())).collect()
    }

    /// Exports `names` as `test/NAME`; returns the manifest.
    fn export(&self, test: &str, name: &str, names: &[&str], options: &[&str]) -> Value {
        fs::create_dir_all(dir().join(test)).unwrap();
        let (names, bundle) = (self.names(names), format!("{test}/{name}"));
        let mut args = vec!["export", "-o", &bundle, "--sign", "k.pem"];
        args.extend(options);
        args.extend(names.iter().map(String::as_str));
        packmule(&args, 0);
        serde_json::from_slice(&fs::read(dir().join(format!("{bundle}.json"))).unwrap()).unwrap()
    }

    /// Exports the first month and the second, with only a manifest as its base.
    fn two(&self, test: &str) -> Value {
        self.export(test, "m1", &["base/os:1", "app/a:1"], &[]);
        fs::create_dir_all(dir().join(test).join("kept")).unwrap();
        fs::copy(dir().join(test).join("m1.json"), dir().join(test).join("kept/m1.json")).unwrap();
        self.export(test, "m2", &["app/a:2", "app/moved:1"], &["--base", &format!("{test}/kept/m1.json")])
    }

    fn same(&self, crane: &str, to: &str, names: &[&str]) {
        for name in names {
            let source = manifest(crane, &format!("{}/{name}", self.shelf.host()));
            assert!(manifest(crane, &format!("{to}/{name}")) == source, "{to}/{name}");
        }
    }
}

fn import(bundle: &str, to: &str, more: &[&str], code: i32) -> Value {
    let mut args = vec!["import", bundle, "--key", "k.pub.pem", "--to", to];
    args.extend(more);
    packmule(&args, code).0
}

fn bytes(manifest: &Value) -> u64 {
    manifest["volumes"].as_array().unwrap().iter().map(|one| one["size"].as_u64().unwrap()).sum()
}

fn arrives(host_var: &str, test: &str, seed: u64) {
    let (Some(host), Some(crane)) = (var(host_var), var("PACKMULE_TEST_CRANE")) else { return };
    let months = months(seed);
    let delta = months.two(test);
    let os = sha256(&months.os);
    let absent = delta["absent"].as_array().unwrap();
    assert!(absent.iter().all(|one| one["reason"] == "base" && one["repository"].is_string()), "{absent:?}");
    assert!(absent.iter().any(|one| one["digest"] == *os), "{absent:?}");
    assert_eq!(delta["bases"][0], sha256(&fs::read(dir().join(test).join("m1.json")).unwrap()));
    // Two layers are new; documents and configs are small.
    assert!(bytes(&delta) < 2 * OWN as u64 + 12_000, "{}", bytes(&delta));
    let (first, second) = (format!("{test}/m1"), format!("{test}/m2"));
    packmule(&["verify", &second, "--key", "k.pub.pem"], 0);

    // Over the base: content that went to another repository is mounted.
    let to = format!("{host}/{}", prefix(test));
    import(&first, &to, &[], 0);
    let done = import(&second, &to, &["--wanted-out", &format!("{test}/none")], 0);
    assert_ne!(done["result"]["blobs"]["mounted"], 0, "{done}");
    assert_eq!(fs::read(dir().join(test).join("none")).unwrap(), b"", "nothing lacked");
    months.same(&crane, &to, &["base/os:1", "app/a:1", "app/a:2", "app/moved:1"]);
    let bundle = format!("./{test}/m2");
    packmule(&["diff", &bundle, &to, "--check", "--content"], 0);

    // A delta of the delta: its base has its own base.
    let base = format!("{test}/m2.json");
    let third = months.export(test, "m3", &["app/a:3"], &["--base", &base]);
    assert!(third["absent"].as_array().unwrap().iter().any(|one| one["digest"] == *os));
    assert_eq!(third["bases"], serde_json::json!([sha256(&fs::read(dir().join(&base)).unwrap())]));
    import(&format!("{test}/m3"), &to, &[], 0);
    months.same(&crane, &to, &["app/a:3"]);

    // Where the base is missing: nothing is pushed, the missing content is listed, and the list
    // brings it.
    let empty = format!("{host}/{}", prefix(&format!("{test}-bare")));
    let list = format!("{test}/wanted.txt");
    let done = import(&second, &empty, &["--wanted-out", &list], 15);
    assert!(done["error"].to_string().contains(&os), "{done}");
    let found = packmule(&["diff", &bundle, &empty, "--check"], 15).0;
    assert_eq!(found["result"]["differences"].as_array().unwrap().len(), 4, "two manifests and two tags: {found}");
    let listed = fs::read_to_string(dir().join(&list)).unwrap();
    let lines: Vec<&str> = listed.lines().collect();
    let (a, moved) =
        (format!("{}/app/a:2@sha256:", months.shelf.host()), format!("{}/app/moved:1@", months.shelf.host()));
    assert!(lines.len() == 2 && lines[0].starts_with(&a) && lines[1].starts_with(&moved), "{listed}");
    assert!(lines.iter().all(|line| line.contains(&os)) && !listed.contains(&prefix("")), "{listed}");
    let answer = format!("{test}/answer");
    let base = format!("{test}/m1.json");
    packmule(&["export", "--wanted", &list, "--base", &base, "-o", &answer, "--sign", "k.pem"], 0);
    import(&answer, &empty, &[], 0);
    import(&second, &empty, &[], 0);
    months.same(&crane, &empty, &["app/a:2", "app/moved:1"]);
    packmule(&["diff", &bundle, &empty, "--check", "--content"], 0);
}

#[test]
fn m17_c13_a_delta_arrives_at_distribution_3() {
    arrives("PACKMULE_TEST_DISTRIBUTION2", "delta3", 1700);
}

#[test]
fn m17_c13_a_delta_arrives_at_distribution_2() {
    arrives("PACKMULE_TEST_DOCKER_REGISTRY", "delta2", 2700);
}

#[test]
fn m17_where_a_mount_is_refused_it_is_listed() {
    let months = months(3700);
    months.two("refuses");
    // This registry refuses mounts.
    let target = Shelf::plain(&[]);
    import("refuses/m1", target.host(), &[], 0);
    let before = target.manifests().len();
    import("refuses/m2", target.host(), &["--wanted-out", "refuses/list"], 15);
    assert_eq!(target.manifests().len(), before, "nothing was pushed");
    let listed = fs::read_to_string(dir().join("refuses/list")).unwrap();
    assert!(listed.lines().count() == 1 && listed.contains("/app/moved:1@"), "{listed}");
    assert!(listed.contains(&sha256(&months.os)), "{listed}");
}

#[test]
fn m17_a_delta_over_a_layout_and_unpacked_over_its_base() {
    let months = months(4700);
    months.two("layouts");
    import("layouts/m2", "oci:layouts/bare", &["--wanted-out", "layouts/list"], 15);
    assert!(!fs::read(dir().join("layouts/list")).unwrap().is_empty());
    for bundle in ["layouts/m1", "layouts/m2"] {
        import(bundle, "oci:layouts/full", &[], 0);
        packmule(&["unpack", bundle, "layouts/hand", "--key", "k.pub.pem"], 0);
    }
    packmule(&["diff", "./layouts/m2", "oci:layouts/full", "--check", "--content"], 0);
    // A layout with all of it works equally well as the source.
    let hand = months.names(&["app/a:2"]).remove(0);
    packmule(&["export", &format!("oci:layouts/hand:{hand}"), "-o", "layouts/again", "--sign", "k.pem"], 0);
}

#[test]
fn m17_verify_shows_what_is_new() {
    let months = months(5700);
    months.two("news");
    let (done, _) = packmule(&["verify", "news/m2", "--key", "k.pub.pem", "--base", "news/kept/m1.json"], 0);
    let news = &done["result"]["news"];
    assert_eq!(news["bases"][0]["named"], true, "{news}");
    assert_eq!(news["differences"].as_array().unwrap().len(), 2, "{news}");
    assert!(news["differences"].as_array().unwrap().iter().all(|one| one["change"] == "new"), "{news}");
    fs::write(dir().join("news/text.json"), "{}").unwrap();
    assert!(refused(&["verify", "news/m2", "--key", "k.pub.pem", "--base", "news/text.json"], 2).contains("--base"));
    let ended = command(&["verify", "news/m1", "--key", "k.pub.pem", "--base", "news/m2"]).output().unwrap();
    let told = text(&ended.stdout);
    assert!(told.starts_with("PASS") && told.contains("not named by this bundle"), "{told}");
}

#[test]
fn diff_tells_names_and_bytes_of_bundles_layouts_and_registries() {
    let months = months(6700);
    months.two("diff");
    let (done, _) = packmule(&["diff", "./diff/m1", "./diff/m2"], 0);
    let result = &done["result"];
    let words: Vec<&str> =
        result["differences"].as_array().unwrap().iter().map(|one| one["change"].as_str().unwrap()).collect();
    assert_eq!(words, ["gone", "new", "new", "gone"], "{result}");
    let carried = result["delta"]["bytes"].as_u64().unwrap();
    assert!(
        result["delta"]["exact"] == true && carried > 2 * OWN as u64 && carried < 2 * OWN as u64 + 4000,
        "{result}"
    );
    packmule(&["diff", "./diff/m1", "./diff/m2", "--check"], 15);
    packmule(&["diff", "./diff/m1", "./diff/kept/m1.json", "--check"], 0);
    let told = text(&command(&["diff", "./diff/m1", "./diff/m2"]).output().unwrap().stdout);
    assert!(told.contains("not authenticated") && told.contains("a delta of B over A carries"), "{told}");
    packmule(&["unpack", "diff/m1", "diff/hand", "--key", "k.pub.pem"], 0);
    packmule(&["diff", "oci:diff/hand", "./diff/m1", "--check"], 0);
    refused(&["diff", "./diff/m1", "./diff/m2", "--content"], 2);
    refused(&["diff", "diff/m1", "diff/m2"], 2);
    let Some(host) = var("PACKMULE_TEST_DISTRIBUTION2") else { return };
    let places = ["a", "b"].map(|end| format!("{host}/{}", prefix(&format!("diff/{end}"))));
    for place in &places {
        import("diff/m1", place, &[], 0);
    }
    packmule(&["diff", &places[0], &places[1], "--check"], 0);
    packmule(&["diff", &places[0], "oci:diff/hand", "--check"], 0);
    import("diff/m2", &places[1], &[], 0);
    let (done, _) = packmule(&["diff", &places[0], &places[1], "--check"], 15);
    assert_eq!(done["result"]["differences"].as_array().unwrap().len(), 2, "{done}");
    assert_eq!(done["result"]["unchanged"], 2, "{done}");
}

/// An image of one layer that says these things of itself.
fn saying(platform: &str, created: &str, labels: &Value, steps: &[&str]) -> Image {
    let steps: Vec<Value> = steps.iter().map(|step| json!({ "created_by": step })).collect();
    let config = json!({
        "os": "linux", "architecture": platform, "created": created, "config": { "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [] }, "history": steps,
    });
    Image::with_config(vec![noise(7600, 500)], &config)
}

#[test]
fn diff_shows_how_the_configs_of_single_images_differ() {
    let old = saying("amd64", "2026-11-01", &json!({ "a": "1", "b": "2", "c": "3" }), &["FROM x", "RUN \u{1b}[31my"]);
    let new = saying("arm64", "2026-11-02", &json!({ "a": "1", "b": "4" }), &["FROM x", "RUN z"]);
    let same = || Image::new(vec![noise(7601, 500)]);
    layout("diff-images/old", &[old, same()]);
    layout("diff-images/new", &[new, same()]);
    let sides = ["diff", "oci:diff-images/old", "oci:diff-images/new"];
    let (done, _) = packmule(&sides, 0);
    let differences = done["result"]["differences"].as_array().unwrap();
    let said = json!({
        "platform": { "old": "linux/amd64", "new": "linux/arm64" },
        "created": { "old": "2026-11-01", "new": "2026-11-02" },
        "labels": { "b": { "old": "2", "new": "4" }, "c": { "old": "3", "new": null } },
        "history": { "gone": ["RUN \u{1b}[31my"], "new": ["RUN z"] },
    });
    assert!(differences.len() == 1 && differences[0]["image"] == said, "{done}");
    let told = text(&command(&sides).output().unwrap().stdout);
    for line in [
        "    platform linux/amd64 is now linux/arm64\n",
        "    made 2026-11-01 is now 2026-11-02\n",
        "    label b: 2 is now 4\n    label c: 3 is gone\n",
        "    step is gone: RUN \\u{1b}[31my\n    step is new: RUN z\n",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    // A bundle and a registry say the same as the layouts.
    packmule(&["export", "oci:diff-images/new", "-o", "diff-images/b", "--sign", "k.pem"], 0);
    let sides = ["diff", "oci:diff-images/old", "./diff-images/b"];
    assert_eq!(packmule(&sides, 0).0["result"]["differences"][0]["image"], said);
    let lists: fn(&super::server::Request) -> Option<super::server::Reply> = |request| {
        let body = match request.path.split('?').next()? {
            "/v2/_catalog" => json!({ "repositories": ["a/b"] }),
            "/v2/a/b/tags/list" => json!({ "name": "a/b", "tags": ["1"] }),
            _ => return None,
        };
        Some(super::server::reply(200, body.to_string()))
    };
    let shelf = |image: &Image| Shelf::start(&[("a/b", "1", image)], Box::new(lists));
    let (before, after) = (
        shelf(&saying("amd64", "2026-11-01", &json!({}), &[])),
        shelf(&saying("amd64", "2026-11-03", &json!({}), &[])),
    );
    let (done, _) = packmule(&["diff", &format!("{}/a", before.host()), &format!("{}/a", after.host())], 0);
    let created = json!({ "created": { "old": "2026-11-01", "new": "2026-11-03" } });
    assert_eq!(done["result"]["differences"][0]["image"], created, "{done}");
    // Without its volume, a bundle says nothing about its images.
    fs::remove_file(dir().join("diff-images/b.0001.tar.zst")).unwrap();
    let (done, _) = packmule(&sides, 0);
    let found = done["result"]["differences"][0].as_object().unwrap();
    assert!(found["change"] == "changed" && found["image"].is_null(), "{done}");
}

#[test]
fn d2_a_place_that_gives_other_bytes_is_found_by_content() {
    let image = Image::new(vec![noise(7700, OWN), noise(7701, 500)]);
    let shelf = Shelf::plain(&[("a/b", "1", &image)]);
    fs::create_dir_all(dir().join("d2")).unwrap();
    packmule(&["export", &format!("{}/a/b:1", shelf.host()), "-o", "d2/b", "--sign", "k.pem"], 0);
    let wrong = sha256(&image.blobs[0]);
    let mut other = image.blobs[0].clone();
    other[7] ^= 1;
    let hook: Hook = Box::new(move |request| {
        let is_it = request.method == "GET" && request.path.ends_with(&wrong);
        is_it.then(|| super::server::reply(200, other.clone()))
    });
    let place = Shelf::start(&[("a/b", "1", &image)], hook);
    packmule(&["diff", "./d2/b", place.host(), "--check"], 0);
    let (done, _) = packmule(&["diff", "./d2/b", place.host(), "--check", "--content"], 15);
    let found = done["result"]["differences"].as_array().unwrap();
    assert!(found.len() == 1 && found[0]["kind"] == "blob" && found[0]["digest"] == *sha256(&image.blobs[0]), "{done}");
    packmule(&["diff", "./d2/b", place.host(), "--content"], 0);
    packmule(&["diff", "./d2/b", place.host(), "--map", "*=x/*"], 2);
    let map = format!("{}/*=x/*", shelf.host());
    packmule(&["diff", "./d2/b", place.host(), "--check", "--map", &map], 15);
}

#[test]
fn c13_bases_and_lists_that_are_none_are_refused_before_any_work() {
    let months = months(8700);
    months.two("none");
    let name = months.names(&["app/a:2"]).remove(0);
    let export = |more: &[&str], code| {
        let mut args = vec!["export", "-o", "none/x", "--sign", "k.pem"];
        args.extend(more);
        refused(&args, code)
    };
    assert!(export(&[&name, "--base", "last"], 2).contains("--base last"));
    export(&[&name, "--base", "none/nothing"], 22);
    fs::write(dir().join("none/list"), "ok:1\nreg.example/A\n").unwrap();
    assert!(export(&["--wanted", "none/list"], 2).contains("line 2"));
    export(&["--wanted", "none/absent"], 22);
    fs::write(dir().join("none/list"), "").unwrap();
    assert!(export(&["--wanted", "none/list"], 2).contains("SELECTOR"));
    export(&[], 2);
    fs::write(dir().join("none/text.json"), "{\"format\":\"other\"}").unwrap();
    export(&[&name, "--base", "none/text.json"], 10);
}

//! Concurrent writers: tags set during a run, lists of referrers written by two imports, tags that
//! move during selection. Rows C2, D5.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::server::reply;
use super::shelf::{Hook, Image, MANIFEST, Shelf, noise};
use super::world::{command, dir, fresh, layout, manifest, packmule, prefix, refused, sha256, text, var};

/// A registry in which the tag of `a/b:1` appears, naming something else, once content is sent to
/// it; also tells whether it was then overwritten.
fn late(other: Vec<u8>) -> (Shelf, Arc<AtomicBool>) {
    let (seen, overwritten) = (AtomicBool::new(false), Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&overwritten);
    let hook: Hook = Box::new(move |request| {
        if request.method == "PUT" && request.path.contains("/blobs/uploads/") {
            seen.store(true, Ordering::Relaxed);
        }
        let is_tag = request.path.ends_with("/manifests/1") && seen.load(Ordering::Relaxed);
        if is_tag && request.method == "PUT" {
            flag.store(true, Ordering::Relaxed);
        }
        let is_theirs = is_tag && !flag.load(Ordering::Relaxed);
        is_theirs.then(|| {
            reply(200, other.clone()).with("Content-Type", MANIFEST).with("Docker-Content-Digest", sha256(&other))
        })
    });
    (Shelf::start(&[], hook), overwritten)
}

#[test]
fn d5_a_tag_that_is_set_during_the_import_is_what_tag_conflict_says() {
    let name = fresh("late-tag");
    layout("late-tag/source", &[Image::new(vec![noise(7100, 5000)])]);
    packmule(&["export", "oci:late-tag/source", "-o", &name, "--sign", "k.pem"], 0);
    let theirs = Image::new(vec![noise(7101, 10)]);
    let attempt = |how: &str, code: i32| {
        let (place, overwritten) = late(theirs.manifest.clone());
        let args = ["import", &name, "--key", "k.pub.pem", "--to", place.host(), "--tag-conflict", how];
        let ended = command(&args).arg("--json").output().unwrap();
        assert_eq!(ended.status.code(), Some(code), "{how}: {}{}", text(&ended.stdout), text(&ended.stderr));
        (serde_json::from_slice::<Value>(&ended.stdout).unwrap(), overwritten.load(Ordering::Relaxed))
    };
    let (told, moved) = attempt("fail", 15);
    assert!(!moved && told["error"].to_string().contains("set during this run"), "{told}");
    let (told, moved) = attempt("keep", 0);
    assert!(!moved && told["result"]["artifacts"][0]["kept"] == json!(["1"]), "{told}");
    let (_, moved) = attempt("move", 0);
    assert!(moved);
}

/// Makes a bundle of one image and a note that refers to it; returns the digest of the note.
fn noted(folder: &str, image: &Image, note: &str) -> String {
    let name = fresh(folder);
    layout(&format!("{folder}/source"), std::slice::from_ref(image));
    let root = dir().join(folder).join("source");
    let empty = b"{}";
    std::fs::write(root.join("blobs").join(sha256(empty).replace(':', "/")), empty).unwrap();
    let described = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha256(empty), "size": 2});
    let note = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.test.note", "config": described,
        "layers": [described], "annotations": {"note": note},
        "subject": {"mediaType": MANIFEST, "digest": image.digest(), "size": image.manifest.len()},
    });
    let note = note.to_string().into_bytes();
    std::fs::write(root.join("blobs").join(sha256(&note).replace(':', "/")), &note).unwrap();
    let mut index: Value = serde_json::from_slice(&std::fs::read(root.join("index.json")).unwrap()).unwrap();
    let entry = json!({"mediaType": MANIFEST, "digest": sha256(&note), "size": note.len()});
    index["manifests"].as_array_mut().unwrap().push(entry);
    std::fs::write(root.join("index.json"), index.to_string()).unwrap();
    packmule(&["export", &format!("oci:{folder}/source"), "-o", &name, "--sign", "k.pem"], 0);
    sha256(&note)
}

#[test]
fn c2_two_imports_at_once_write_one_list_of_referrers() {
    let Some(crane) = var("PACKMULE_TEST_CRANE") else { return };
    let image = Image::new(vec![noise(7200, 4000)]);
    let notes = [noted("race-one", &image, "one"), noted("race-two", &image, "two")];
    let hosts = ["PACKMULE_TEST_DISTRIBUTION2", "PACKMULE_TEST_DOCKER_REGISTRY"].map(var);
    let race = |host: &str, which: usize, round: usize| {
        let to = format!("{host}/{}", prefix(&format!("race-{which}-{round}")));
        let runs = ["race-one/b", "race-two/b"].map(|bundle| {
            let mut run = command(&["import", bundle, "--key", "k.pub.pem", "--to", &to]);
            run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        });
        for run in runs {
            let ended = run.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", text(&ended.stderr));
        }
        let list = manifest(&crane, &format!("{to}/a/b:{}", image.digest().replace(':', "-")));
        let list: Value = serde_json::from_slice(&list).unwrap();
        let listed = list["manifests"].as_array().unwrap();
        for note in &notes {
            assert_eq!(listed.iter().filter(|one| one["digest"] == **note).count(), 1, "{round}: {list}");
        }
    };
    // Mostly waits, so both hosts at once.
    std::thread::scope(|scope| {
        for (which, host) in hosts.iter().enumerate() {
            let Some(host) = host else { continue };
            let race = &race;
            scope.spawn(move || (0..10).for_each(|round| race(host, which, round)));
        }
    });
}

#[test]
fn p1_a_list_without_its_entry_is_mended_by_the_same_import() {
    let image = Image::new(vec![noise(7300, 4000)]);
    let note = noted("unlisted", &image, "left");
    let place = Shelf::plain(&[]);
    let args = ["import", "unlisted/b", "--key", "k.pub.pem", "--to", place.host()];
    packmule(&args, 0);
    // As left by an import that was killed between the manifest and the list.
    let list = format!("a/b/manifests/{}", image.digest().replace(':', "-"));
    assert!(place.holds(&list) && place.holds(&format!("a/b/manifests/{note}")));
    place.remove(&list);
    let (again, _) = packmule(&args, 0);
    assert!(place.holds(&list), "{again}");
    assert_eq!(again["result"]["blobs"]["pushed"], 0, "{again}");
}

/// A registry whose tag `a/b:1` names another image on each request.
fn moving(images: &[Image; 2]) -> Shelf {
    let answers = [images[0].manifest.clone(), images[1].manifest.clone()];
    let asked = AtomicUsize::new(0);
    let hook: Hook = Box::new(move |request| {
        request.path.ends_with("/manifests/1").then(|| {
            let now = &answers[asked.fetch_add(1, Ordering::Relaxed) % 2];
            reply(200, now.clone()).with("Content-Type", MANIFEST).with("Docker-Content-Digest", sha256(now))
        })
    });
    Shelf::start(&[("a/b", "x", &images[0]), ("a/b", "y", &images[1])], hook)
}

#[test]
fn i1_a_tag_that_moves_is_one_version_in_one_run() {
    let images = [1, 2].map(|seed| Image::new(vec![noise(7400 + seed, 3000)]));
    let selectors = |host: &str| ["one", "two", "three"].map(|name| format!("{host}/a/b:1,as=example.org/{name}:1"));
    let name = fresh("moves");
    let source = moving(&images);
    let [one, two, three] = selectors(source.host());
    packmule(&["export", &one, &two, &three, "-o", &name, "--sign", "k.pem"], 0);
    let bundle: Value = serde_json::from_slice(&std::fs::read(dir().join("moves/b.json")).unwrap()).unwrap();
    let artifacts = bundle["artifacts"].as_array().unwrap();
    assert_eq!(artifacts.len(), 3);
    assert!(artifacts.iter().all(|one| one["digest"] == artifacts[0]["digest"]), "{bundle}");

    let source = moving(&images);
    let [one, two, three] = selectors(source.host());
    let (done, _) = packmule(&["copy", &one, &two, &three, "--to", "oci:moves/site"], 0);
    let artifacts = done["result"]["artifacts"].as_array().unwrap();
    assert_eq!(artifacts.len(), 3);
    assert!(artifacts.iter().all(|one| one["digest"] == artifacts[0]["digest"]), "{done}");
}

#[test]
fn c2_a_layout_takes_one_import_at_a_time() {
    let name = fresh("one-at-a-time");
    layout("one-at-a-time/source", &[Image::new(vec![noise(7500, 3000)])]);
    packmule(&["export", "oci:one-at-a-time/source", "-o", &name, "--sign", "k.pem"], 0);
    let args = ["import", &name, "--key", "k.pub.pem", "--to", "oci:one-at-a-time/site"];
    let runs: Vec<_> =
        (0..6).map(|_| command(&args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()).collect();
    let ended: Vec<_> = runs.into_iter().map(|run| run.wait_with_output().unwrap()).collect();
    let codes: Vec<Option<i32>> = ended.iter().map(|ended| ended.status.code()).collect();
    assert!(codes.contains(&Some(0)), "{codes:?}");
    for one in ended.iter().filter(|one| !one.status.success()) {
        assert_eq!(one.status.code(), Some(23), "{}", text(&one.stderr));
    }
    packmule(&["diff", "./one-at-a-time/b", "oci:one-at-a-time/site", "--check", "--content"], 0);
    let told = refused(&["import", "one-at-a-time/none", "--key", "k.pub.pem", "--to", "oci:one-at-a-time/site"], 22);
    assert!(!told.is_empty());
}

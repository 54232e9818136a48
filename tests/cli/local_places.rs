//! Lists and locks over archives, bundles, files and layouts of other tools; several registries and
//! layouts in one bundle; `ls` and `diff` of archives.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::chart_images::packed;
use super::saved::{Saved, list, tar};
use super::shelf::{Image, MANIFEST, Shelf, noise};
use super::sources::{holding, names};
use super::world::{dir, fresh, packmule, refused, sha256, stranger, text, var};

fn write(path: &str, bytes: impl AsRef<[u8]>) -> String {
    fs::write(dir().join(path), bytes).unwrap();
    path.to_owned()
}

fn archive(path: &str, images: &[(&Saved, &[&str])]) -> String {
    let entries: Vec<Value> = images.iter().map(|(image, tags)| image.entry(tags)).collect();
    let mut members: Vec<Vec<u8>> = images.iter().flat_map(|(image, _)| image.members()).collect();
    members.push(list(&entries));
    write(path, tar(&members))
}

#[test]
fn a_lock_of_an_archive_a_bundle_and_files_is_read_again() {
    let test = "lock-places";
    drop(fresh(test));
    let (one, two) = (Saved::new("one"), Saved::new("two"));
    let saved = archive(&format!("{test}/x.tar"), &[(&one, &["example.org/a:1", "b:2"]), (&two, &[])]);
    let image = Image::new(vec![noise(9701, 3_000)]);
    let layout = holding(test, "held", "one.example/c:v1", &image);
    let bundle = format!("{test}/own");
    packmule(&["export", &format!("oci:{layout}"), "-o", &bundle, "--sign", "k.pem"], 0);
    let model = write(&format!("{test}/Model v1.bin"), noise(9702, 9_000));
    fs::create_dir_all(dir().join(test).join("tree")).unwrap();
    write(&format!("{test}/tree/a, b.txt"), "text");
    let chart = write(&format!("{test}/tide-0.1.0.tgz"), packed("quay.io"));
    let lines = [
        "# what goes this month".to_owned(),
        format!("docker-archive:{saved}"),
        format!("bundle:{bundle}:one.example/c:v1,as=far.example/c:v2"),
        format!("file:{model}   # a name with a blank"),
        format!("file:{test}/tree,as=localhost/trees/one:1"),
        format!("file:{chart}"),
    ];
    let from = write(&format!("{test}/list.txt"), lines.join("\n"));
    let (lock, trust) = (format!("{test}/lock.txt"), ["--key", "k.pub.pem"]);
    let export = |list: &str, name: &str, more: &[&str]| {
        let output = format!("{test}/{name}");
        let args = ["export", "-f", list, "-o", &output, "--sign", "k.pem"];
        packmule(&[&args[..], &trust, more].concat(), 0).0["result"]["artifacts"].clone()
    };
    let first = export(&from, "first", &["--lock", &lock]);
    let mut found: Vec<String> = first.as_array().unwrap().iter().map(name).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "docker.io/library/b:2",
            "example.org/a:1",
            "far.example/c:v2",
            "localhost/model-v1.bin:latest",
            "localhost/tide:0.1.0",
            "localhost/trees/one:1",
            "localhost/x",
        ]
    );
    let locked = fs::read_to_string(dir().join(&lock)).unwrap();
    for word in [sha256(&image.manifest), format!("docker-archive:{saved}:example.org/a:1@sha256:")] {
        assert!(locked.contains(&word), "{word}: {locked}");
    }
    let second = export(&lock, "second", &["--lock", &lock]);
    assert_eq!(first, second);
    assert_eq!(fs::read_to_string(dir().join(&lock)).unwrap(), locked, "a lock of a lock is the same");
    // An archive that was saved again with other content is not what was locked.
    archive(&saved, &[(&Saved::new("other"), &["example.org/a:1"])]);
    let told = refused(&[&["export", "-f", &lock, "--dry-run"][..], &trust].concat(), 20);
    assert!(told.contains("x.tar: expected") && told.contains("@sha256:"), "{told}");
}

/// Returns the name of an artifact with its first tag.
fn name(artifact: &Value) -> String {
    let repository = artifact["repository"].as_str().unwrap();
    artifact["tags"][0].as_str().map_or_else(|| repository.to_owned(), |tag| format!("{repository}:{tag}"))
}

#[test]
fn three_registries_and_two_layouts_become_one_bundle() {
    let test = "many-sources";
    drop(fresh(test));
    let shared = noise(9710, 40_000);
    let images: Vec<Image> = (9711..9716).map(|seed| Image::new(vec![shared.clone(), noise(seed, 5_000)])).collect();
    let shelves: Vec<Shelf> = ["a", "b", "c"]
        .iter()
        .zip(&images)
        .map(|(name, image)| Shelf::plain(&[(&format!("team/{name}"), "v1", image)]))
        .collect();
    let layouts = [3, 4].map(|number: usize| {
        holding(test, &format!("held{number}"), &format!("held.example/x{number}:v1"), &images[number])
    });
    let entries: String = ["a", "b", "c"]
        .iter()
        .zip(&shelves)
        .map(|(name, shelf)| {
            format!("  {{ ref = \"{}/team/{name}:v1\", as = \"site.example/{name}:1\" }},\n", shelf.host())
        })
        .chain(layouts.iter().map(|layout| format!("  {{ ref = \"oci:{layout}\" }},\n")))
        .collect();
    let from = write(&format!("{test}/list.toml"), format!("artifacts = [\n{entries}]\n"));
    let bundle = format!("{test}/b");
    let (done, _) = packmule(&["export", "-f", &from, "-o", &bundle, "--sign", "k.pem"], 0);
    assert_eq!(
        names(&done["result"]["artifacts"]),
        ["held.example/x3:v1", "held.example/x4:v1", "site.example/a:1", "site.example/b:1", "site.example/c:1"]
    );
    // Five manifests, five layers, the shared layer and the one configuration.
    assert_eq!(done["result"]["blobs"], 12, "{done}");
    packmule(&["verify", &bundle, "--key", "k.pub.pem"], 0);
    packmule(&["import", &bundle, "--key", "k.pub.pem", "--to", &format!("oci:{test}/site")], 0);
    for image in &images {
        for bytes in image.blobs.iter().chain([&image.manifest]) {
            let file = dir().join(test).join("site/blobs").join(sha256(bytes).replace(':', "/"));
            assert_eq!(&fs::read(&file).unwrap(), bytes);
        }
    }
    // One source that fails is named; the others are tried, and nothing is written.
    shelves[1].remove("team/b/manifests/v1");
    let told = refused(&["export", "-f", &from, "-o", &format!("{test}/c"), "--unsigned"], 20);
    assert!(told.contains("team/b:v1") && !told.contains("team/a:v1"), "{told}");
    assert!(!dir().join(test).join("c.json").exists());
}

#[test]
fn a_store_of_hauler_is_a_source() {
    let test = "hauler-store";
    drop(fresh(test));
    // An image and its signature under one name, and a file, with hauler's annotations.
    let image = Image::new(vec![noise(9720, 2_000)]);
    let signature = Image::new(vec![b"signature".to_vec()]);
    let file = Image::new(vec![b"notes".to_vec()]);
    super::world::layout(&format!("{test}/store"), &[image, signature, file]);
    let path = dir().join(test).join("store/index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let entries = index["manifests"].as_array_mut().unwrap();
    let digest = entries[0]["digest"].as_str().unwrap().to_owned();
    for (entry, (kind, of)) in entries.iter_mut().zip([
        ("dev.cosignproject.cosign/image", "library/web:1"),
        ("dev.cosignproject.cosign/sigs", "library/web:1"),
        ("dev.cosignproject.cosign/image", "hauler/notes.txt:latest"),
    ]) {
        entry["annotations"] = json!({
            "kind": kind, "org.opencontainers.image.ref.name": of,
            "io.containerd.image.name": format!("index.docker.io/{of}"),
        });
    }
    fs::write(&path, index.to_string()).unwrap();
    let (done, _) = packmule(&["export", &format!("oci:{test}/store"), "-o", &format!("{test}/b"), "--unsigned"], 0);
    let found: BTreeSet<String> = done["result"]["artifacts"].as_array().unwrap().iter().map(name).collect();
    let signature = format!("docker.io/library/web:{}.sig", digest.replace(':', "-"));
    let expected = ["docker.io/hauler/notes.txt:latest", "docker.io/library/web:1", &*signature];
    assert_eq!(found, expected.map(ToOwned::to_owned).into(), "{done}");
    // One of it by its name, with its signature.
    let one = format!("oci:{test}/store:docker.io/library/web:1");
    let (done, _) = packmule(&["export", &one, "--dry-run"], 0);
    assert_eq!(done["result"]["artifacts"].as_array().unwrap().len(), 2, "{done}");
}

#[test]
fn a_layout_that_oras_made_is_a_source() {
    let Some(oras) = var("PACKMULE_TEST_ORAS") else { return };
    let test = "oras-layout";
    drop(fresh(test));
    write(&format!("{test}/notes.txt"), "notes");
    write(&format!("{test}/sbom.json"), "{}");
    let at = dir().join(test);
    let run = |words: &[&str]| {
        let line = r#"cd "$0" && exec "$@""#;
        stranger("bash", &[&["-c", line, &at.display().to_string(), &oras], words].concat())
    };
    run(&["push", "--no-tty", "--oci-layout", "store:v1", "--artifact-type", "a/notes", "notes.txt"]);
    run(&["tag", "--oci-layout", "store:v1", "v2"]);
    run(&["attach", "--no-tty", "--oci-layout", "store:v1", "--artifact-type", "a/sbom", "sbom.json"]);
    let (done, _) =
        packmule(&["export", &format!("oci:{test}/store"), "-o", &format!("{test}/b"), "--sign", "k.pem"], 0);
    let artifacts = done["result"]["artifacts"].as_array().unwrap();
    let tags: Vec<&Value> = artifacts.iter().map(|one| &one["tags"]).collect();
    // The attached one travels without a name.
    assert_eq!(artifacts.len(), 2, "{done}");
    assert!(tags.contains(&&json!(["v1", "v2"])) && tags.contains(&&json!([])), "{done}");
    packmule(&["verify", &format!("{test}/b"), "--key", "k.pub.pem"], 0);
    packmule(&["import", &format!("{test}/b"), "--key", "k.pub.pem", "--to", &format!("oci:{test}/site")], 0);
    let named = artifacts.iter().find(|one| one["tags"][1] == "v2").unwrap();
    let subject = format!("site@{}", named["digest"].as_str().unwrap());
    let shown = text(&run(&["discover", "--oci-layout", "--format", "json", &subject]));
    assert!(shown.contains("a/sbom"), "{shown}");
}

#[test]
fn archives_are_listed_and_compared() {
    let test = "archive-shown";
    drop(fresh(test));
    let (one, two) = (Saved::new("one"), Saved::new("two"));
    let old = archive(&format!("{test}/old.tar"), &[(&one, &["example.org/a:1", "b:2"]), (&two, &[])]);
    let new = archive(&format!("{test}/new.tar"), &[(&two, &["example.org/a:1"]), (&one, &["c:3"])]);
    let (listed, told) = packmule(&["ls", &format!("docker-archive:{old}")], 0);
    let entries = listed["result"]["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{listed}");
    assert_eq!(entries[0]["names"], json!(["example.org/a:1", "docker.io/library/b:2"]), "{listed}");
    assert_eq!((&entries[1]["names"], &entries[1]["mediaType"]), (&json!([]), &json!(MANIFEST)));
    assert!(told.contains("they are made here"), "{told}");
    // The digest is the one that an export has.
    let (plan, _) = packmule(&["export", "--dry-run", &format!("docker-archive:{old}:b:2")], 0);
    assert_eq!(plan["result"]["artifacts"][0]["digest"], entries[0]["digest"]);

    let sides = [format!("docker-archive:{old}"), format!("docker-archive:{new}")];
    let (same, _) = packmule(&["diff", &sides[0], &sides[0], "--check"], 0);
    assert_eq!(same["result"]["same"], true, "{same}");
    let (found, _) = packmule(&["diff", &sides[0], &sides[1], "--check"], 15);
    let all: BTreeSet<String> = found["result"]["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{}:{}", one["repository"].as_str().unwrap(), one["tag"].as_str().unwrap_or("-")))
        .collect();
    let expected = ["docker.io/library/b:2", "docker.io/library/c:3", "example.org/a:1", "localhost/old:-"];
    assert_eq!(all, expected.map(ToOwned::to_owned).into(), "{found}");
    // A bundle of an archive has what the archive has.
    let bundle = format!("{test}/b");
    packmule(&["export", &sides[0], "-o", &bundle, "--unsigned"], 0);
    packmule(&["diff", &format!("bundle:{bundle}"), &sides[0], "--check"], 0);
    packmule(&["diff", &sides[1], &format!("bundle:{bundle}"), "--check"], 15);
    for wrong in ["docker-archive:", "docker-archive:a.tar:b:2"] {
        refused(&["ls", wrong], 2);
        refused(&["diff", wrong, &sides[0]], 2);
    }
    refused(&["ls", &format!("docker-archive:{test}/none.tar")], 20);
    refused(&["diff", &sides[0], &sides[1], "--content"], 2);
}

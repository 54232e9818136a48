//! Archives of images as sources: what skopeo, buildah and podman save, and docker's two forms made by
//! hand, plain and compressed. The config and the layers arrive as they were; the manifest is made,
//! always the same, and says so.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::copy::copy;
use super::saved::{Saved, file, list, tar};
use super::shelf::{Image, Shelf, noise};
use super::sources::{holding, names};
use super::world::{dir, fresh, packmule, refused, sha256, stranger, var};

/// Writes `bytes` to a file of a test and returns its name.
fn write(path: &str, bytes: &[u8]) -> String {
    fs::write(dir().join(path), bytes).unwrap();
    path.to_owned()
}

fn blob(layout: &str, digest: &str) -> Vec<u8> {
    fs::read(dir().join(layout).join("blobs").join(digest.replace(':', "/"))).unwrap()
}

/// Exports, verifies and imports into a layout; returns the artifacts.
fn carried(test: &str, bundle: &str, selectors: &[String]) -> Vec<Value> {
    let bundle = format!("{test}/{bundle}");
    let mut args = vec!["export"];
    args.extend(selectors.iter().map(String::as_str));
    args.extend(["-o", &bundle, "--sign", "k.pem", "--overwrite"]);
    let (done, _) = packmule(&args, 0);
    packmule(&["verify", &bundle, "--key", "k.pub.pem"], 0);
    packmule(&["import", &bundle, "--key", "k.pub.pem", "--to", &format!("oci:{test}/site")], 0);
    done["result"]["artifacts"].as_array().unwrap().clone()
}

/// Checks that the made manifest of an artifact in `layout` names exactly this config and these layers.
fn is_image(layout: &str, artifact: &Value, image: &Saved) {
    let manifest: Value = serde_json::from_slice(&blob(layout, artifact["digest"].as_str().unwrap())).unwrap();
    assert_eq!(manifest["annotations"], json!({ "packmule.made": "docker-archive" }));
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["digest"], sha256(&image.config));
    assert_eq!(blob(layout, &sha256(&image.config)), image.config);
    let layers: Vec<&str> =
        manifest["layers"].as_array().unwrap().iter().map(|layer| layer["digest"].as_str().unwrap()).collect();
    let expected: Vec<String> = image.layers.iter().map(|layer| sha256(layer)).collect();
    assert_eq!(layers, expected);
    for layer in &image.layers {
        assert_eq!(&blob(layout, &sha256(layer)), layer);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    std::io::Write::write_all(&mut packed, bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn several_images_arrive_from_an_archive_plain_or_compressed() {
    let test = "archive-forms";
    drop(fresh(test));
    let (one, two) = (Saved::new("one"), Saved::new("two"));
    let images = [one.entry(&["example.org/a:1", "b:2"]), two.entry(&[])];
    let whole = tar(&[one.members(), two.members(), vec![list(&images)]].concat());
    let forms =
        [("x.tar", whole.clone()), ("x.tar.gz", gzip(&whole)), ("x.tar.zst", zstd::encode_all(&whole[..], 3).unwrap())];
    let mut found = Vec::new();
    for (name, bytes) in forms {
        let file = write(&format!("{test}/{name}"), &bytes);
        let artifacts = carried(test, "b", &[format!("docker-archive:{file}")]);
        let named: Vec<_> = artifacts.iter().map(|one| (one["repository"].as_str().unwrap(), &one["tags"])).collect();
        let tag = |tag: &str| json!([tag]);
        assert_eq!(
            named,
            [("docker.io/library/b", &tag("2")), ("example.org/a", &tag("1")), ("localhost/x", &json!([])),]
        );
        let site = format!("{test}/site");
        is_image(&site, &artifacts[1], &one);
        is_image(&site, &artifacts[2], &two);
        assert_eq!(artifacts[0]["digest"], artifacts[1]["digest"]);
        found.push(artifacts);
    }
    assert!(found.iter().all(|one| *one == found[0]));
    // One image by each of its names; the manifest's digest does not depend on the rest.
    let file = format!("docker-archive:{test}/x.tar.zst");
    let digest = found[0][2]["digest"].as_str().unwrap();
    for name in [format!("@{digest}"), sha256(&two.config), format!("localhost/x@{digest}")] {
        let (plan, _) = packmule(&["export", &format!("{file}:{name}"), "--dry-run"], 0);
        assert_eq!(plan["result"]["artifacts"].as_array().unwrap().len(), 1, "{name}");
        assert_eq!(plan["result"]["artifacts"][0]["digest"], digest, "{name}");
    }
    let (plan, _) = packmule(&["export", &format!("{file}:b:2,as=r.example/c:3"), "--dry-run"], 0);
    assert_eq!(names(&plan["result"]["artifacts"]), ["r.example/c:3"]);
    let told = refused(&["export", &format!("{file}:b:3"), "--dry-run"], 20);
    assert!(told.contains("expected b:3, found none"), "{told}");
}

#[test]
fn a_layout_in_an_archive_gives_its_images_with_compressed_layers_as_they_are() {
    let test = "archive-layout";
    drop(fresh(test));
    let image = Saved::new("inside");
    let packed = gzip(&image.layers[1]);
    let name = |bytes: &[u8]| format!("blobs/{}", sha256(bytes).replace(':', "/"));
    let layers = [
        ("application/vnd.oci.image.layer.v1.tar", &image.layers[0]),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", &packed),
    ];
    let layers = layers.map(|(kind, bytes)| json!({ "mediaType": kind, "digest": sha256(bytes), "size": bytes.len() }));
    let kept = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": layers,
        "config": { "mediaType": "a/config", "digest": sha256(&image.config), "size": image.config.len() },
    });
    let kept = kept.to_string().into_bytes();
    let entry = json!({
        "Config": name(&image.config), "RepoTags": ["example.org/in:1"],
        "Layers": [name(&image.layers[0]), name(&packed)], "LayerSources": {},
    });
    // Docker names an index whose other images are not in the archive.
    let describe = |kind: &str, digest: &str, size: usize| json!({ "mediaType": kind, "digest": digest, "size": size });
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let absent = sha256(b"another platform");
    let inner = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [describe(manifest, &absent, 16), describe(manifest, &sha256(&kept), kept.len())],
    });
    let inner = inner.to_string().into_bytes();
    let top = json!({
        "schemaVersion": 2,
        "manifests": [describe("application/vnd.oci.image.index.v1+json", &sha256(&inner), inner.len())],
    });
    let mut members = vec![
        file(&name(&image.config), &image.config),
        file(&name(&image.layers[0]), &image.layers[0]),
        file(&name(&packed), &packed),
        file("index.json", top.to_string().as_bytes()),
        file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        list(&[entry]),
    ];
    let site = format!("{test}/site");
    let file_name = write(&format!("{test}/made.tar"), &tar(&members));
    let artifacts = carried(test, "b", &[format!("docker-archive:{file_name}")]);
    let made: Value = serde_json::from_slice(&blob(&site, artifacts[0]["digest"].as_str().unwrap())).unwrap();
    let kinds: Vec<_> = made["layers"].as_array().unwrap().iter().map(|layer| &layer["mediaType"]).collect();
    assert_eq!(kinds, ["application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+gzip"]);
    assert_eq!(made["annotations"]["packmule.made"], "docker-archive");
    assert_eq!(blob(&site, &sha256(&packed)), packed);
    assert_eq!(blob(&site, &sha256(&image.config)), image.config);

    // With its manifest, that one travels.
    members.push(file(&name(&inner), &inner));
    members.push(file(&name(&kept), &kept));
    let file_name = write(&format!("{test}/kept.tar"), &tar(&members));
    let plan = |name: &str| packmule(&["export", &format!("docker-archive:{name}"), "--dry-run"], 0);
    let (found, told) = plan(&file_name);
    assert_eq!(found["result"]["artifacts"][0]["digest"], sha256(&kept));
    assert!(!told.contains("warning"), "{told}");
    // One of another image does not.
    let other = kept.iter().map(|byte| *byte as char).collect::<String>();
    let other = other.replace(&sha256(&packed), &absent).into_bytes();
    let top = json!({ "schemaVersion": 2, "manifests": [describe(manifest, &sha256(&other), other.len())] });
    members[3] = file("index.json", top.to_string().as_bytes());
    members.push(file(&name(&other), &other));
    let file_name = write(&format!("{test}/other.tar"), &tar(&members));
    let (found, told) = plan(&file_name);
    assert_eq!(found["result"]["artifacts"][0]["digest"], artifacts[0]["digest"]);
    assert!(told.contains("they are made here"), "{told}");
    // One that is not what its name says is refused.
    members.pop();
    members.push(file(&name(&other), &kept));
    let file_name = write(&format!("{test}/false.tar"), &tar(&members));
    let told = refused(&["export", &format!("docker-archive:{file_name}"), "--dry-run"], 10);
    assert!(told.contains("expected content sha256:"), "{told}");
}

#[test]
fn archives_files_layouts_and_a_registry_travel_together() {
    let test = "archive-mixed";
    drop(fresh(test));
    let images = [9101, 9102].map(|seed| Image::new(vec![noise(seed, 3_000)]));
    let shelf = Shelf::plain(&[("c/d", "v3", &images[0])]);
    let layout = holding(test, "one", "one.example/a:v1", &images[1]);
    let saved = Saved::new("mixed");
    let archive = write(
        &format!("{test}/x.tar"),
        &tar(&[saved.members(), vec![list(&[saved.entry(&["example.org/a:1"])])]].concat()),
    );
    let data = write(&format!("{test}/data.bin"), &noise(9103, 300_000));
    let selectors = [
        format!("{}/c/d:v3", shelf.host()),
        format!("oci:{layout}"),
        format!("docker-archive:{archive}"),
        format!("file:{data},as=files.example/data:1"),
    ];
    let artifacts = carried(test, "b", &selectors);
    assert_eq!(artifacts.len(), 4);
    is_image(
        &format!("{test}/site"),
        artifacts.iter().find(|one| one["repository"] == "example.org/a").unwrap(),
        &saved,
    );
    copy(&selectors, &["--to", &format!("oci:{test}/copied")], 0);
    for folder in ["site", "copied"] {
        let at = format!("{test}/{folder}");
        assert_eq!(sha256(&blob(&at, &sha256(&noise(9103, 300_000)))), sha256(&noise(9103, 300_000)));
        assert_eq!(blob(&at, &images[0].digest()), images[0].manifest);
    }
    let again = copy(&selectors, &["--to", &format!("oci:{test}/copied")], 0);
    assert_eq!(again["result"]["blobs"]["pushed"], 0, "{again}");
    // Two of them claim one name.
    let clash = [format!("docker-archive:{archive}"), format!("file:{data},as=example.org/a:1")];
    let told = refused(&["export", &clash[0], &clash[1], "--dry-run"], 2);
    assert!(told.contains("x.tar") && told.contains("data.bin") && told.contains("as="), "{told}");
    // The same names with other content are another export, not the rest of an interrupted one.
    let (before, _) = packmule(&["export", &selectors[3], "--dry-run"], 0);
    fs::write(dir().join(&data), b"other").unwrap();
    let (after, _) = packmule(&["export", &selectors[3], "--dry-run"], 0);
    assert_ne!(before["result"]["artifacts"][0]["digest"], after["result"]["artifacts"][0]["digest"]);
}

/// An image in a layout whose layers are real archives; returns its name for skopeo and buildah.
fn source(test: &str, folder: &str, image: &Saved) -> String {
    let describe =
        |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": sha256(bytes), "size": bytes.len() });
    let layers: Vec<Value> =
        image.layers.iter().map(|layer| describe("application/vnd.oci.image.layer.v1.tar", layer)).collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("application/vnd.oci.image.config.v1+json", &image.config), "layers": layers,
    });
    let blobs = image.layers.iter().cloned().chain([image.config.clone()]).collect();
    let held = Image { manifest: manifest.to_string().into_bytes(), blobs };
    let path = holding(test, folder, "example.org/x:1", &held);
    let index = fs::read_to_string(dir().join(&path).join("index.json")).unwrap();
    let index = index.replace("io.containerd.image.name", "org.opencontainers.image.ref.name");
    fs::write(dir().join(&path).join("index.json"), index.replace("example.org/x:1", "v1")).unwrap();
    format!("oci:{path}:v1")
}

#[test]
fn what_skopeo_saved_arrives_with_its_config() {
    let Some(skopeo) = var("PACKMULE_TEST_SKOPEO") else { return };
    let test = "archive-skopeo";
    drop(fresh(test));
    let image = Saved::new("skopeo");
    let from = source(test, "src", &image);
    let to = format!("docker-archive:{test}/s.tar");
    stranger(&skopeo, &["copy", "--insecure-policy", &from, &format!("{to}:example.org/s:1")]);
    let artifacts = carried(test, "b", &[to]);
    assert_eq!(names(&json!(artifacts)), ["example.org/s:1"]);
    is_image(&format!("{test}/site"), &artifacts[0], &image);
}

#[test]
fn what_buildah_and_podman_saved_arrives_with_its_config() {
    let (Some(buildah), Some(podman)) = (var("PACKMULE_TEST_BUILDAH"), var("PACKMULE_TEST_PODMAN")) else { return };
    let test = "archive-podman";
    drop(fresh(test));
    let images = [Saved::new("first"), Saved::new("second")];
    let policy = write(&format!("{test}/policy.json"), br#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    let at = dir().join(test);
    let (store, run) = (at.join("store").display().to_string(), at.join("run").display().to_string());
    let storage = ["--root", &*store, "--runroot", &run, "--storage-driver", "vfs"];
    let with = |words: &[&str]| {
        storage.iter().copied().chain(words.iter().copied()).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let call = |program: &str, words: &[&str]| {
        let words = with(words);
        stranger(program, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    for (number, image) in images.iter().enumerate() {
        let from = source(test, &format!("src{number}"), image);
        let id = call(&buildah, &["pull", "-q", "--signature-policy", &policy, &from]);
        let id = String::from_utf8(id).unwrap();
        assert_eq!(id.trim(), &sha256(&image.config)[7..]);
        call(&buildah, &["tag", id.trim(), &format!("example.org/p:{number}")]);
        let to = format!("docker-archive:{}:example.org/b:{number}", at.join(format!("b{number}.tar")).display());
        call(&buildah, &["push", "-q", "--signature-policy", &policy, id.trim(), &to]);
    }
    call(
        &podman,
        &["save", "-q", "-m", "-o", &at.join("p.tar").display().to_string(), "example.org/p:0", "example.org/p:1"],
    );
    let archives = ["p.tar", "b0.tar", "b1.tar"].map(|name| format!("docker-archive:{test}/{name}"));
    let artifacts = carried(test, "b", &archives);
    assert_eq!(names(&json!(artifacts)), ["example.org/b:0", "example.org/b:1", "example.org/p:0", "example.org/p:1"]);
    for (artifact, image) in artifacts.iter().zip([&images[0], &images[1], &images[0], &images[1]]) {
        is_image(&format!("{test}/site"), artifact, image);
    }
    // They can be read back by the program that saved them.
    let back = format!("oci:{test}/site:example.org/p:0");
    let id = String::from_utf8(call(&buildah, &["pull", "-q", "--signature-policy", &policy, &back])).unwrap();
    assert_eq!(id.trim(), &sha256(&images[0].config)[7..]);
}

/// Returns the content of all files below a folder, by their names, with links as their targets.
fn tree(top: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in walkdir::WalkDir::new(top).sort_by_file_name() {
        let entry = entry.unwrap();
        let name = entry.path().strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        let content = if entry.file_type().is_symlink() {
            fs::read_link(entry.path()).unwrap().to_str().unwrap().as_bytes().to_vec()
        } else if entry.file_type().is_dir() {
            Vec::new()
        } else {
            fs::read(entry.path()).unwrap()
        };
        all.push((name, content));
    }
    all
}

/// Makes a folder with a subfolder, a program, a link, a long name and an empty folder.
fn grow(top: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir_all(top.join("sub/empty")).unwrap();
    fs::write(top.join("a.txt"), b"text").unwrap();
    fs::write(top.join("sub").join("x".repeat(120)), noise(9201, 70_000)).unwrap();
    fs::write(top.join("sub/run"), b"#!/bin/sh\n").unwrap();
    fs::set_permissions(top.join("sub/run"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("../a.txt", top.join("sub/link")).unwrap();
}

#[test]
fn oras_and_helm_get_back_what_a_bundle_carried() {
    let (Some(host), Some(oras), Some(helm)) =
        (var("PACKMULE_TEST_DISTRIBUTION"), var("PACKMULE_TEST_ORAS"), var("PACKMULE_TEST_HELM"))
    else {
        return;
    };
    let test = "archive-files";
    drop(fresh(test));
    let at = dir().join(test);
    grow(&at.join("tree"));
    let model = write(&format!("{test}/Model v1.bin"), &noise(9202, 900_000));
    let chart = at.join("charts");
    fs::create_dir_all(&chart).unwrap();
    let home = at.join("home").display().to_string();
    let folder = chart.display().to_string();
    let run = |words: &[&str]| {
        let line = r#"cd "$0" && HOME="$1" && export HOME && shift && exec "$@""#;
        stranger("bash", &[&["-c", line, &folder, &home, &helm], words].concat());
    };
    run(&["create", "tide"]);
    let yaml = fs::read_to_string(chart.join("tide/Chart.yaml")).unwrap();
    let yaml =
        yaml.replace("version: 0.1.0", "version: 0.1.0+up2").replace(r#"appVersion: "1.16.0""#, "appVersion: 1.10");
    fs::write(chart.join("tide/Chart.yaml"), yaml).unwrap();
    run(&["package", "tide"]);
    let packed = format!("{test}/charts/tide-0.1.0+up2.tgz");

    let bundle = format!("{test}/b");
    let files = [&model, &format!("{test}/tree"), &packed].map(|path| format!("file:{path}"));
    let (done, _) = packmule(&["export", &files[0], &files[1], &files[2], "-o", &bundle, "--sign", "k.pem"], 0);
    assert_eq!(
        names(&done["result"]["artifacts"]),
        ["localhost/model-v1.bin:latest", "localhost/tide:0.1.0_up2", "localhost/tree:latest"]
    );
    packmule(&["verify", &bundle, "--key", "k.pub.pem"], 0);
    let place = format!("{host}/{}", super::world::prefix(test));
    packmule(&["import", &bundle, "--key", "k.pub.pem", "--to", &place], 0);

    let out = at.join("pulled").display().to_string();
    for name in ["model-v1.bin", "tree"] {
        stranger(&oras, &["pull", "--plain-http", &format!("{place}/{name}:latest"), "-o", &out]);
    }
    assert_eq!(fs::read(at.join("pulled/Model v1.bin")).unwrap(), noise(9202, 900_000));
    assert_eq!(tree(&at.join("pulled/tree")), tree(&at.join("tree")));
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(at.join(path)).unwrap().permissions().mode() & 0o111
    };
    assert!(mode("pulled/tree/sub/run") != 0 && mode("pulled/tree/a.txt") == 0);
    fs::create_dir(chart.join("back")).unwrap();
    run(&["pull", "--plain-http", &format!("oci://{place}/tide"), "--version", "0.1.0+up2", "-d", "back"]);
    assert_eq!(fs::read(chart.join("back/tide-0.1.0+up2.tgz")).unwrap(), fs::read(dir().join(&packed)).unwrap());
    // Config and layers are those that helm itself pushes.
    run(&["push", "--plain-http", "tide-0.1.0+up2.tgz", &format!("oci://{place}/own")]);
    let parts = |name: &str| {
        let manifest = stranger(&oras, &["manifest", "fetch", "--plain-http", &format!("{place}/{name}:0.1.0_up2")]);
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        (manifest["config"].clone(), manifest["layers"].clone())
    };
    assert_eq!(parts("tide"), parts("own/tide"));
}

#[test]
fn a_directory_has_one_digest_wherever_it_lies() {
    use std::os::unix::fs::PermissionsExt as _;
    let test = "archive-trees";
    drop(fresh(test));
    let at = dir().join(test);
    grow(&at.join("one/tree"));
    grow(&at.join("two/tree"));
    let digest = |path: &str| {
        let (plan, _) = packmule(&["export", &format!("file:{test}/{path}"), "--dry-run"], 0);
        plan["result"]["artifacts"][0]["digest"].as_str().unwrap().to_owned()
    };
    fs::set_permissions(at.join("two/tree/a.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let old = fs::File::options().write(true).open(at.join("two/tree/a.txt")).unwrap();
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(digest("one/tree"), digest("two/tree"));
    fs::set_permissions(at.join("two/tree/a.txt"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_ne!(digest("one/tree"), digest("two/tree"));
}

#[test]
fn files_that_no_artifact_can_be_are_refused() {
    let test = "archive-refused";
    drop(fresh(test));
    let at = dir().join(test);
    for folder in ["out", "absolute", "pipe", "fine"] {
        fs::create_dir_all(at.join(folder).join("sub")).unwrap();
    }
    std::os::unix::fs::symlink("../../k.pem", at.join("out/sub/l")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at.join("absolute/l")).unwrap();
    stranger("mkfifo", &[&format!("{test}/pipe/p")]);
    std::os::unix::fs::symlink("sub", at.join("fine/l")).unwrap();
    let refused = |path: &str, code: i32, text: &str| {
        let told = refused(&["export", &format!("file:{path}"), "--dry-run"], code);
        assert!(told.contains(text), "{path}: {told}");
    };
    refused(&format!("{test}/out"), 20, "out/sub/l: expected links that lead to something inside the directory");
    refused(&format!("{test}/absolute"), 20, "absolute/l: expected links");
    refused(&format!("{test}/pipe"), 20, "pipe/p: expected files, directories and links");
    refused(&format!("{test}/none"), 20, "No such file");
    refused("/dev/null", 20, "expected a file or a directory");
    packmule(&["export", &format!("file:{test}/fine"), "--dry-run"], 0);
    // A packed archive without a Chart.yaml is a file; one with a bad Chart.yaml is refused.
    let chart = |yaml: &str| gzip(&tar(&[file("app/values.yaml", b"a: 1\n"), file("app/Chart.yaml", yaml.as_bytes())]));
    write(&format!("{test}/plain.tgz"), &gzip(&tar(&[file("app/sub/Chart.yaml", b"x")])));
    let (plan, _) = packmule(&["export", &format!("file:{test}/plain.tgz"), "--dry-run"], 0);
    assert_eq!(names(&plan["result"]["artifacts"]), ["localhost/plain.tgz:latest"]);
    write(&format!("{test}/bad.tgz"), &chart("name: [a]\nversion: 1.0.0\n"));
    refused(&format!("{test}/bad.tgz"), 10, "bad.tgz: Chart.yaml");
    write(&format!("{test}/other.tgz"), &chart("name: app\n"));
    refused(&format!("{test}/other.tgz"), 10, "expected a version");
}

//! Foreign layers that an export leaves out; referrers that an import leaves out, and how its receipt
//! lists them.

use std::fs;

use serde_json::Value;

use super::shelf::{Hook, Image, Shelf, noise};
use super::world::{command, dir, fresh, layout, packmule, text};

fn read(path: &str) -> Value {
    serde_json::from_slice(&fs::read(dir().join(path)).unwrap()).unwrap()
}

/// An image that refers to `subject`.
fn referrer(subject: &Image) -> Image {
    let mut made = Image::new(vec![noise(9777, 500)]);
    let mut manifest: Value = serde_json::from_slice(&made.manifest).unwrap();
    manifest["artifactType"] = "x/sbom".into();
    manifest["subject"] = serde_json::json!({
        "mediaType": super::shelf::MANIFEST, "digest": subject.digest(), "size": subject.manifest.len(),
    });
    made.manifest = manifest.to_string().into_bytes();
    made
}

#[test]
fn import_leaves_referrers_out_where_the_destination_takes_none() {
    let name = fresh("bare");
    let image = Image::new(vec![noise(9770, 900)]);
    let sbom = referrer(&image);
    let (at, sbom_at) = (image.digest(), sbom.digest());
    layout("bare/source", &[image, sbom]);
    let index = dir().join("bare/source/index.json");
    let mut edited: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    edited["manifests"][1].as_object_mut().unwrap().remove("annotations");
    fs::write(&index, edited.to_string()).unwrap();
    packmule(&["export", "oci:bare/source", "-o", &name, "--sign", "k.pem"], 0);
    let refuses: Hook = Box::new(|request| {
        let has_subject = request.method == "PUT" && text(&request.body).contains("\"subject\"");
        has_subject.then(|| super::server::reply(400, r#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#))
    });
    let site = Shelf::start(&[], refuses);
    let (told, _) = packmule(&["import", "bare/b", "--key", "k.pub.pem", "--to", site.host()], 21);
    assert!(told["error"].to_string().contains("--referrers none"), "{told}");
    for (number, which, out, code) in [
        (0, &["--referrers", "none"][..], true, 0),
        (1, &["--referrers", "x/other", "--referrers", "x/third"], true, 0),
        (2, &["--referrers", "x/sbom"], false, 21),
        (3, &["--referrers", "none", "--referrers", "x/sbom"], false, 2),
    ] {
        let receipt = format!("bare/r{number}.json");
        let args = ["import", "bare/b", "--key", "k.pub.pem", "--to", site.host(), "--receipt", &receipt];
        let (told, _) = packmule(&[&args[..], which].concat(), code);
        if !out {
            continue;
        }
        assert!(site.holds("a/b/manifests/1") && !site.holds(&format!("a/b/manifests/{sbom_at}")));
        let outcomes = |list: &Value| -> Vec<(String, String)> {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let of = |one: &Value| (text(&one["digest"]), text(&one["outcome"]));
            list.as_array().unwrap().iter().map(of).collect()
        };
        let arrived = if number == 0 { "pushed" } else { "present" };
        let mut expected = vec![(at.clone(), arrived.to_owned()), (sbom_at.clone(), "left-out".to_owned())];
        expected.sort();
        assert_eq!(outcomes(&told["result"]["artifacts"]), expected);
        assert_eq!(outcomes(&read(&receipt)["artifacts"]), expected);
        let shown = text(&command(&["inspect", &receipt]).output().unwrap().stdout);
        let line = shown.lines().next().unwrap();
        assert_eq!(line, format!("PARTLY ARRIVED  1 of 2 artifacts of b at {}", site.host()));
        let (shown, _) = packmule(&["inspect", &receipt], 0);
        assert_eq!((&shown["result"]["leftOut"], &shown["result"]["all"]), (&1.into(), &false.into()));
    }
}

#[test]
fn t19_a_foreign_layer_is_named_at_export_and_carried_on_request() {
    let name = fresh("foreign");
    let foreign = noise(9780, 700);
    let mut image = Image::new(vec![noise(9779, 900), foreign.clone()]);
    let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    let layer = &mut manifest["layers"][1];
    layer["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar".into();
    layer["urls"] = serde_json::json!(["https://foreign.example/layer"]);
    image.manifest = manifest.to_string().into_bytes();
    let digest = super::world::sha256(&foreign);
    layout("foreign/source", &[image]);
    let export = ["export", "oci:foreign/source", "-o", &name, "--sign", "k.pem", "--overwrite"];
    for (more, is_there) in [(&[][..], false), (&["--foreign"], true)] {
        let (done, told) = packmule(&[&export[..], more].concat(), 0);
        let is_named =
            told.contains("1 non-distributable layers of 700 bytes are left out; carry them with `--foreign`");
        assert_eq!(is_named, !is_there, "{told}");
        let absent = done["result"]["absent"].as_array().unwrap();
        assert_eq!(
            absent.iter().any(|one| one["digest"] == *digest && one["reason"] == "foreign"),
            !is_there,
            "{done}"
        );
        let carried = read("foreign/b.json")["blobs"].to_string().contains(&digest);
        assert_eq!(carried, is_there);
        packmule(&["verify", &name, "--key", "k.pub.pem"], 0);
    }
}

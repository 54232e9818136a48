//! `--with-images`: the images that charts list travel with them, from registries, layouts, bundles
//! and packed charts.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::saved::{file, tar};
use super::shelf::{Image, MANIFEST, Shelf, noise};
use super::sources::{holding, names};
use super::world::{dir, fresh, layout, packmule, sha256, text, var};

/// A packed chart that lists `team/app:1` in its annotation and `team/side:v1` in its values, on
/// `host`, and an image without a tag.
pub fn packed(host: &str) -> Vec<u8> {
    let chart = format!(
        "apiVersion: v2\nname: tide\nversion: 0.1.0\nannotations:\n  artifacthub.io/images: |\n    - name: app\n      image: {host}/team/app:1\n"
    );
    let values = format!(
        "image: {{repository: quay.io/team/main, tag: ''}}\nside:\n  image: {{repository: {host}/team/side, tag: v1}}\n"
    );
    let members = [file("tide/Chart.yaml", chart.as_bytes()), file("tide/values.yaml", values.as_bytes())];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    std::io::Write::write_all(&mut gzip, &tar(&members)).unwrap();
    gzip.finish().unwrap()
}

/// A chart as a registry holds it.
fn as_artifact(packed: Vec<u8>) -> Image {
    let config = br#"{"name":"tide","version":"0.1.0"}"#.to_vec();
    let describe = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": sha256(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": describe("application/vnd.cncf.helm.config.v1+json", &config),
        "layers": [describe("application/vnd.cncf.helm.chart.content.v1.tar+gzip", &packed)],
    });
    Image { manifest: manifest.to_string().into_bytes(), blobs: vec![packed, config] }
}

/// Sets the names of a layout's entries, in order.
fn name_entries(folder: &str, names: &[&str]) {
    let file = dir().join(folder).join("index.json");
    let mut index: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    for (entry, name) in index["manifests"].as_array_mut().unwrap().iter_mut().zip(names) {
        entry["annotations"] = json!({ "io.containerd.image.name": name });
    }
    fs::write(file, index.to_string()).unwrap();
}

fn dry(args: &[&str]) -> (Vec<String>, String) {
    let (done, warnings) = packmule(&[&["export", "--dry-run"], args].concat(), 0);
    let mut found = names(&done["result"]["artifacts"]);
    found.sort();
    (found, warnings)
}

#[test]
fn images_of_charts_in_layouts_bundles_and_files_travel_with_them() {
    let test = "chart-places";
    drop(fresh(test));
    let images = [9601, 9602].map(|seed| Image::new(vec![noise(seed, 700)]));
    let shelf = Shelf::plain(&[("team/side", "v1", &images[0]), ("team/app", "1", &images[1])]);
    let host = shelf.host().to_owned();
    let chart = as_artifact(packed(&host));
    let held = holding(test, "held", "charts.example/tide:0.1.0", &chart);
    fs::write(dir().join(test).join("tide-0.1.0.tgz"), packed(&host)).unwrap();
    let bundle = format!("{test}/b");
    packmule(&["export", &format!("oci:{held}"), "-o", &bundle, "--sign", "k.pem"], 0);
    let places: [(String, &[&str], &str); 3] = [
        (format!("oci:{held}"), &[], "charts.example/tide:0.1.0"),
        (format!("bundle:{bundle}"), &["--key", "k.pub.pem"], "charts.example/tide:0.1.0"),
        (format!("file:{test}/tide-0.1.0.tgz"), &[], "localhost/tide:0.1.0"),
    ];
    for (selector, trust, name) in places {
        let before = shelf.server.all_requests().len();
        let without = dry(&[&[selector.as_str()], trust].concat());
        assert_eq!(without.0, [name], "{selector}");
        assert_eq!(shelf.server.all_requests().len(), before, "{selector}: nothing is asked for");
        let (found, warnings) = dry(&[&[selector.as_str(), "--with-images"], trust].concat());
        let mut all = [name.to_owned(), format!("{host}/team/app:1"), format!("{host}/team/side:v1")];
        all.sort();
        assert_eq!(found, all, "{selector}");
        assert!(warnings.contains("no tag"), "{selector}: {warnings}");
    }
    // Of an image that travels already, the chart's is not another one.
    let renamed = format!("{host}/team/app:1");
    let (found, _) = dry(&[&format!("oci:{held}"), &renamed, "--with-images"]);
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn images_next_to_a_chart_are_taken_from_there_without_a_network() {
    let test = "chart-beside";
    drop(fresh(test));
    // No such host exists.
    let host = "far.invalid";
    let images = [9611, 9612].map(|seed| Image::new(vec![noise(seed, 700)]));
    let [app, side] = images;
    layout(&format!("{test}/all"), &[as_artifact(packed(host)), app, side]);
    let [chart, app, side] =
        [format!("{host}/charts/tide:0.1.0"), format!("{host}/team/app:1"), format!("{host}/team/side:v1")];
    name_entries(&format!("{test}/all"), &[&chart, &app, &side]);
    let selector = format!("oci:{test}/all:{chart}");
    let lock = format!("{test}/lock.txt");
    let (found, _) = dry(&[&selector, "--with-images", "--lock", &lock]);
    assert_eq!(found, [&*chart, &app, &side]);
    // The lock names all three there.
    let again = dry(&["-f", &lock]).0;
    assert_eq!(again, found);
    let bundle = format!("{test}/b");
    packmule(&["export", &format!("oci:{test}/all"), "-o", &bundle, "--sign", "k.pem"], 0);
    let of_bundle = dry(&[&format!("bundle:{bundle}:{chart}"), "--with-images", "--key", "k.pub.pem"]).0;
    assert_eq!(of_bundle, found);
    // What travels already from another place is not asked for.
    let both = [format!("oci:{test}/all:{app}"), format!("oci:{test}/all:{side}")];
    let alone = holding(test, "alone", &chart, &as_artifact(packed(host)));
    assert_eq!(dry(&[&format!("oci:{alone}"), &both[0], &both[1], "--with-images"]).0, found);
    // The filters of the chart count for its images, too.
    let (done, _) =
        packmule(&["export", "--dry-run", &format!("{selector},platform=linux/arm64"), "--with-images"], 15);
    assert!(done["error"].to_string().contains("linux/arm64"), "{done}");
}

#[test]
fn the_images_of_a_chart_of_helm_travel_with_it() {
    let Some(helm) = var("PACKMULE_TEST_HELM") else { return };
    drop(fresh("chart"));
    let folder = dir().join("chart");
    let run = |args: &[&str]| {
        let done = Command::new(&helm).args(args).current_dir(&folder).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    let images = [9501, 9502].map(|seed| Image::new(vec![noise(seed, 700)]));
    let shelf = Shelf::plain(&[("team/side", "v1", &images[0]), ("team/app", "1", &images[1])]);
    let host = shelf.host().to_owned();
    run(&["create", "tide"]);
    let append = |file: &str, more: &str| {
        let path = folder.join(file);
        let before = fs::read_to_string(&path).unwrap();
        fs::write(path, before + more).unwrap();
    };
    append("tide/values.yaml", &format!("\nside:\n  image: {{repository: {host}/team/side, tag: v1}}\n"));
    append(
        "tide/Chart.yaml",
        &format!("\nannotations:\n  artifacthub.io/images: |\n    - name: app\n      image: {host}/team/app:1\n"),
    );
    run(&["package", "tide"]);
    let chart = as_artifact(fs::read(folder.join("tide-0.1.0.tgz")).unwrap());
    shelf.add("charts/tide", "0.1.0", &chart);
    let list = "chart/list.txt";
    fs::write(dir().join(list), format!("oci://{host}/charts/tide:0.1.0\n")).unwrap();
    let chart = format!("{host}/charts/tide:0.1.0");
    assert_eq!(dry(&["-f", list]).0, std::slice::from_ref(&chart));
    let (found, warnings) = dry(&["-f", list, "--with-images"]);
    assert_eq!(found, [chart, format!("{host}/team/app:1"), format!("{host}/team/side:v1")]);
    assert!(warnings.contains("no tag"), "{warnings}");
}

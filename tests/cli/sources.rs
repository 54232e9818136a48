//! One run over several sources: layouts and a registry in one `export` and one `copy`, shared
//! content, conflicting names, filters of single selectors.

use std::fs;

use serde_json::Value;

use super::copy::copy;
use super::shelf::{Image, Shelf, noise};
use super::world::{dir, fresh, layout, packmule, refused, sha256, var};

/// A layout `TEST/FOLDER` with one image under `name`.
pub fn holding(test: &str, folder: &str, name: &str, image: &Image) -> String {
    let path = format!("{test}/{folder}");
    let copy = Image { manifest: image.manifest.clone(), blobs: image.blobs.clone() };
    layout(&path, &[copy]);
    let file = dir().join(&path).join("index.json");
    let index = fs::read_to_string(&file).unwrap().replace("example.org/a/b:1", name);
    fs::write(file, index).unwrap();
    path
}

pub fn names(artifacts: &Value) -> Vec<String> {
    let name = |one: &Value| format!("{}:{}", one["repository"].as_str().unwrap(), one["tags"][0].as_str().unwrap());
    artifacts.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn two_layouts_and_a_registry_become_one_bundle_and_one_copy() {
    let test = "sources";
    drop(fresh(test));
    let shared = noise(8100, 50_000);
    let image = |seed: u64| Image::new(vec![shared.clone(), noise(seed, 9_000)]);
    let images = [image(8101), image(8102), image(8103)];
    let one = holding(test, "one", "one.example/a:v1", &images[0]);
    let two = holding(test, "two", "two.example/b:v2", &images[1]);
    let shelf = Shelf::plain(&[("c/d", "v3", &images[2])]);
    let online = format!("{}/c/d:v3", shelf.host());
    let selectors = [online.clone(), format!("oci:{one}"), format!("oci:{two}:two.example/b:v2")];

    let mut args = vec!["export"];
    args.extend(selectors.iter().map(String::as_str));
    args.extend(["-o", "sources/b", "--sign", "k.pem"]);
    let (done, _) = packmule(&args, 0);
    assert_eq!(names(&done["result"]["artifacts"]), [&*online, "one.example/a:v1", "two.example/b:v2"]);
    // Three manifests, three separate layers, the shared layer and the shared configuration.
    assert_eq!(done["result"]["blobs"], 8, "{done}");
    let requests = shelf.server.requests();
    let gets = requests.iter().filter(|one| one.method == "GET" && one.path.contains("/blobs/"));
    let of_shared = gets.filter(|one| one.path.ends_with(&sha256(&shared)));
    assert!(of_shared.count() <= 1, "{requests:?}");
    packmule(&["verify", "sources/b", "--key", "k.pub.pem"], 0);
    packmule(&["import", "sources/b", "--key", "k.pub.pem", "--to", "oci:sources/site"], 0);

    copy(&selectors, &["--to", "oci:sources/copied"], 0);
    for image in &images {
        for site in ["site", "copied"] {
            for bytes in image.blobs.iter().chain([&image.manifest]) {
                let file = dir().join(test).join(site).join("blobs").join(sha256(bytes).replace(':', "/"));
                assert_eq!(&fs::read(&file).unwrap(), bytes, "{}", file.display());
            }
        }
    }
    let again = copy(&selectors, &["--to", "oci:sources/copied"], 0);
    assert_eq!(again["result"]["blobs"]["pushed"], 0, "{again}");
}

fn export<'a>(selectors: &[&'a str]) -> Vec<&'a str> {
    [&["export"], selectors, &["-o", "claims/b", "--unsigned"]].concat()
}

#[test]
fn a_name_that_two_sources_claim_is_refused_with_both() {
    let test = "claims";
    drop(fresh(test));
    let images = [8201, 8202].map(|seed| Image::new(vec![noise(seed, 2_000)]));
    let shelf = Shelf::plain(&[("a/b", "v1", &images[0])]);
    let name = format!("{}/a/b:v1", shelf.host());
    let one = holding(test, "one", &name, &images[0]);
    let two = holding(test, "two", &name, &images[1]);
    let [from_one, from_two] = [&one, &two].map(|path| format!("oci:{path}"));

    let told = refused(&export(&[&from_one, &from_two]), 2);
    assert!(told.contains("claims/one") && told.contains("claims/two") && told.contains("as="), "{told}");
    let told = refused(&export(&[&name, &from_two]), 20);
    assert!(told.contains("claims/two") && told.contains("the registry"), "{told}");
    assert!(!dir().join("claims/b.json").exists());
    // Equal digests are no conflict, and another name resolves one.
    packmule(&export(&[&name, &from_one]), 0);
    let renamed = format!("{from_two},as=other.example/x:v2");
    let (done, _) = packmule(&[&*export(&[&name, &renamed]), &["--overwrite"]].concat(), 0);
    assert_eq!(names(&done["result"]["artifacts"]), [&*name, "other.example/x:v2"]);
}

#[test]
fn a_selector_has_filters_of_its_own() {
    let test = "own-filters";
    drop(fresh(test));
    let images = [8301, 8302].map(|seed| Image::new(vec![noise(seed, 2_000)]));
    let one = format!("oci:{}", holding(test, "one", "one.example/a:v1", &images[0]));
    let two = format!("oci:{}", holding(test, "two", "two.example/a:v1", &images[1]));
    let export = |first: &str, second: &str, code: i32| {
        packmule(&["export", first, second, "--dry-run", "--platform", "linux/arm64"], code).0
    };
    // Both are for linux/amd64: only if both selectors say so is nothing refused.
    export(&one, &two, 15);
    export(&format!("{one},platform=linux/amd64"), &two, 15);
    let own = [&one, &two].map(|selector| format!("{selector},platform=linux/amd64,referrers=none"));
    assert_eq!(export(&own[0], &own[1], 0)["result"]["artifacts"].as_array().unwrap().len(), 2);
    for wrong in ["platform=amd64", "referrers=all,referrers=none"] {
        refused(&["export", &format!("{one},{wrong}"), "--dry-run"], 2);
    }
}

/// A real registry and a layout that another run made of it: nothing is lost, and common content is
/// there once.
#[test]
fn a_real_registry_and_a_layout_of_it_become_one_bundle() {
    let Some(source) = var("PACKMULE_TEST_SOURCE") else { return };
    let test = "mixed";
    drop(fresh(test));
    let of = |end: &str| format!("{source}/corpus/{end}");
    copy(&[of("base:bookworm")], &["--to", "oci:mixed/site"], 0);
    let export = |name: &str, selectors: &[&str]| {
        packmule(&[&["export"], selectors, &["-o", name, "--sign", "k.pem"]].concat(), 0).0["result"].clone()
    };
    let both = export("mixed/both", &[&of("artifact/note:1"), "oci:mixed/site"]);
    let online = export("mixed/online", &[&of("artifact/note:1"), &of("base:bookworm")]);
    assert_eq!((&both["blobs"], &both["content"]), (&online["blobs"], &online["content"]));
    packmule(&["verify", "mixed/both", "--key", "k.pub.pem"], 0);
}

//! Indexes that `--platform` cuts: what travels, what is said of it, and what registries accept.

use serde_json::{Value, json};

use crate::world::{dir, manifest, packmule, prefix, sha256, var};

/// Exports one platform of the corpus's database with `--index keep`. Returns the digest of the
/// original index.
fn kept(test: &str) -> Option<(String, String)> {
    let (source, crane) = (var("PACKMULE_TEST_SOURCE")?, var("PACKMULE_TEST_CRANE")?);
    std::fs::create_dir_all(dir().join(test)).unwrap();
    let (db, bundle) = (format!("{source}/corpus/app/db:2.1"), format!("{test}/b"));
    let args = ["export", &db, "--platform", "linux/arm64", "--index", "keep", "-o", &bundle, "--sign", "k.pem"];
    let (_, told) = packmule(&args, 0);
    let original = sha256(&manifest(&crane, &db));
    assert!(told.contains(&original) && told.contains("pinned"), "{told}");
    Some((bundle, original))
}

fn outcomes(done: &Value, digest: &str) -> Vec<Value> {
    let artifacts = done["result"]["artifacts"].as_array().expect("artifacts");
    artifacts.iter().filter(|one| one["digest"] == digest).map(|one| one["outcome"].clone()).collect()
}

#[test]
fn m6_an_original_index_is_left_where_it_is_not_accepted() {
    let Some((bundle, original)) = kept("kept-away") else { return };
    let Some(host) = var("PACKMULE_TEST_DISTRIBUTION2") else { return };
    let to = format!("{host}/{}", prefix("kept-away"));
    let import = ["import", &bundle, "--key", "k.pub.pem", "--to", &to, "--receipt", "kept-away/r.json"];
    let (done, told) = packmule(&import, 0);
    assert_eq!(outcomes(&done, &original), [json!("left")], "{done}");
    assert!(told.contains("warning") && told.contains(&original), "{told}");
    let (shown, _) = packmule(&["inspect", "kept-away/r.json"], 0);
    let artifacts = shown["result"]["receipt"]["artifacts"].as_array().expect("artifacts");
    let left: Vec<&Value> = artifacts.iter().filter(|one| one["outcome"] == "left").collect();
    assert_eq!(shown["result"]["left"], json!(left.len()), "{shown}");
    assert!(left.iter().any(|one| one["digest"] == *original), "{shown}");
    assert_eq!(shown["result"]["all"], json!(true), "{shown}");
    // Nothing that should be there is missing.
    let (place, bundle) = (to.clone(), format!("./{bundle}"));
    let (differs, _) = packmule(&["diff", &bundle, &place, "--check"], 0);
    assert_eq!(differs["result"]["left"], json!(left.len()), "{differs}");
}

#[test]
fn m6_an_original_index_arrives_where_sparse_indexes_are_accepted() {
    let Some((bundle, original)) = kept("kept-there") else { return };
    let (Some(host), Some(crane)) = (var("PACKMULE_TEST_SPARSE"), var("PACKMULE_TEST_CRANE")) else { return };
    let to = format!("{host}/{}", prefix("kept-there"));
    let (done, _) = packmule(&["import", &bundle, "--key", "k.pub.pem", "--to", &to], 0);
    assert_eq!(outcomes(&done, &original), [json!("pushed")], "{done}");
    let there = format!("{to}/corpus/app/db");
    assert_eq!(sha256(&manifest(&crane, &format!("{there}@{original}"))), original);
    assert_ne!(sha256(&manifest(&crane, &format!("{there}:2.1"))), original);
    assert!(done["result"]["artifacts"].as_array().unwrap().iter().all(|one| one["outcome"] != "left"), "{done}");
}

//! Failures at the source, and refused content.

use super::*;
use crate::oci::media_type::DOCKER_SCHEMA1_SIGNED;

fn all(fault: &Fault) -> Vec<&str> {
    std::iter::once(&fault.what).chain(fault.others.iter().map(|other| &other.what)).map(String::as_str).collect()
}

#[test]
fn r14_all_failures_stand_in_one_list() {
    let mut store = Store::new();
    let good = store.image("linux/amd64", "good");
    store.tag("good", &good);
    let layer = Descriptor::new(LAYER, Digest::sha256(b"lost layer"), 10);
    let config = store.put(OCI_CONFIG, b"{}");
    let bad = store.manifest(&json!({"config": config, "layers": [layer]}));
    store.tag("bad", &bad);
    let mut names: Vec<String> = (0..10).map(|number| format!("localhost:5000/app:misspelt-{number}")).collect();
    names.extend(["localhost:5000/app:good".to_owned(), "localhost:5000/app:bad".to_owned()]);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut selection = select(&names);
    let fault = refused(&store, &selection);
    assert_eq!(fault.class, Class::Source);
    let lines = all(&fault);
    assert_eq!(lines.len(), 11, "{lines:#?}");
    for (line, name) in lines.iter().zip(&names[..10]) {
        assert!(line.contains(name), "{line}");
    }
    assert!(lines[10].contains(&layer.digest.to_string()));
    assert!(lines[10].ends_with("; needed by localhost:5000/app:bad"), "{}", lines[10]);

    selection.allow_partial = true;
    let (plan, _) = plan(&store, &selection);
    assert_eq!((plan.artifacts.len(), plan.partial.len()), (2, 11));
    assert_eq!(plan.absent.len(), 1);
    assert_eq!((plan.absent[0].digest, plan.absent[0].reason), (layer.digest, Reason::Missing));

    let mut selection = select(&names[..10]);
    selection.allow_partial = true;
    assert_eq!(all(&refused(&store, &selection)).len(), 10, "nothing left means no bundle");
}

#[test]
fn m6_an_index_that_is_sparse_at_the_source() {
    let mut store = Store::new();
    let (index, entries) = store.buildkit(&["linux/amd64", "linux/arm64"]);
    store.tag("v1", &index);
    store.drop_blob(&entries[1]);
    let mut selection = select(&["localhost:5000/app:v1"]);
    let fault = refused(&store, &selection);
    assert_eq!((fault.class, fault.others.len()), (Class::Source, 0));
    assert!(fault.what.contains(&entries[1].digest.to_string()) && fault.what.contains(&index.digest.to_string()));
    let help = fault.help.unwrap();
    assert!(help.contains("--platform") && help.contains("--allow-partial"));
    selection.allow_partial = true;
    let (partial, _) = plan(&store, &selection);
    assert_eq!((partial.absent[0].digest, partial.absent[0].reason), (entries[1].digest, Reason::Missing));
    // Following the advice works.
    let (filtered, _) = plan(&store, &only(&["localhost:5000/app:v1"], &["linux/amd64"]));
    assert!(filtered.absent.is_empty());
}

#[test]
fn m15_what_is_no_known_manifest_is_refused_by_name() {
    let mut store = Store::new();
    let schema1 = store.put(DOCKER_SCHEMA1_SIGNED, b"{\"schemaVersion\":1}");
    store.tag("old", &schema1);
    let unknown = store.put("application/x-\u{1b}[31m", b"{}");
    store.tag("unknown", &unknown);
    let fault = refused(&store, &select(&["localhost:5000/app:old", "localhost:5000/app:unknown"]));
    let lines = all(&fault);
    assert!(lines[0].contains("app:old: ") && lines[0].contains("schema 1 is not supported"), "{lines:?}");
    assert!(lines[1].contains("found media type") && !lines[1].contains('\u{1b}'), "{lines:?}");
    assert_eq!(fault.class, Class::Source);
}

#[test]
fn a_pinned_digest_keeps_its_tag() {
    let mut store = Store::new();
    let (old, new) = (store.image("linux/amd64", "old"), store.image("linux/amd64", "new"));
    store.tag("v1", &new);
    let pinned = format!("localhost:5000/app:v1@{}", old.digest);
    let (plan, _) = plan(&store, &select(&[&pinned]));
    assert_eq!(tags_of(&plan, old.digest), ["v1"]);
    let fault = refused(&store, &select(&[&pinned, "localhost:5000/app:v1"]));
    assert_eq!(fault.class, Class::Policy);
    assert!(fault.what.contains(&old.digest.to_string()) && fault.what.contains(&new.digest.to_string()));
}

#[test]
fn names_given_with_as_are_the_bundles_names() {
    let mut store = Store::new();
    let (a, b) = (store.image("linux/amd64", "a"), store.image("linux/amd64", "b"));
    store.tag("a", &a);
    store.tag("b", &b);
    let sbom = store.refer(&a, "x/sbom", "s");
    let mut selection = select(&["localhost:5000/app:a", "localhost:5000/app:b"]);
    let other = Repository::exact("example.org/other").unwrap();
    selection.wanted[0].as_name = Some((other.clone(), None));
    let (full, _) = plan(&store, &selection);
    let artifact = |digest| full.artifacts.iter().find(|artifact| artifact.digest == digest).unwrap();
    assert_eq!((&artifact(a.digest).repository, artifact(a.digest).tags[0].as_str()), (&other, "a"));
    assert_eq!(artifact(sbom.digest).repository, other);
    assert_eq!(artifact(b.digest).repository.to_string(), APP);
    assert!(full.blobs.iter().all(|blob| blob.origin.to_string() == APP));
    // Two manifests under one new name.
    let name = Some((other, Some(Tag::new("x").unwrap())));
    selection.wanted.iter_mut().for_each(|wanted| wanted.as_name.clone_from(&name));
    assert_eq!(refused(&store, &selection).class, Class::Policy);
}

#[test]
fn cycles_depth_and_sizes_end_in_a_fault() {
    let mut store = Store::new();
    let mut last = store.image("linux/amd64", "a");
    for _ in 0..9 {
        last = store.index(&[last]);
    }
    store.tag("deep", &last);
    assert!(refused(&store, &select(&["localhost:5000/app:deep"])).what.contains("levels"));
    let fault = refused(&store, &only(&["localhost:5000/app:deep"], &["linux/amd64"]));
    assert!(fault.class == Class::Source && fault.what.contains("levels"), "{fault}");
    let config = store.put(OCI_CONFIG, b"{}");
    let huge = Descriptor::new(LAYER, Digest::sha256(b"huge"), MAX_SIZE + 1);
    let image = store.manifest(&json!({"config": config, "layers": [huge]}));
    store.tag("huge", &image);
    assert!(refused(&store, &select(&["localhost:5000/app:huge"])).what.contains("at most"));
}

#[test]
fn a_cancelled_run_says_only_that() {
    let mut store = Store::new();
    let image = store.image("linux/amd64", "a");
    store.tag("v1", &image);
    let (flow, _) = flow(2);
    flow.cancel_flag().store(true, std::sync::atomic::Ordering::Relaxed);
    let fault = make(&flow, &store, &select(&["localhost:5000/app:v1"])).unwrap_err();
    assert_eq!((fault.class, fault.others.len()), (Class::Cancelled, 0));
}

#[test]
fn an_empty_selection_is_refused() {
    assert_eq!(refused(&Store::new(), &select(&[])).class, Class::Usage);
}

#[test]
fn an_artifact_type_that_no_bundle_states_is_refused() {
    let mut store = Store::new();
    let config = store.put(OCI_CONFIG, b"{}");
    for (tag, stated) in [("control", "x/\u{85}".to_owned()), ("long", "x".repeat(256)), ("good", "x".repeat(255))] {
        let odd = store.manifest(&json!({"config": config, "artifactType": stated}));
        store.tag(tag, &odd);
    }
    let fault = refused(&store, &select(&["localhost:5000/app:control", "localhost:5000/app:long"]));
    assert_eq!((fault.class, all(&fault).len()), (Class::Source, 2));
    assert!(!fault.what.contains('\u{85}'));
    plan(&store, &select(&["localhost:5000/app:good"]));
}

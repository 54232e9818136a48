//! Platforms and foreign layers.

use super::*;
use crate::oci::canonical;

#[test]
fn an_index_is_made_anew_without_what_does_not_match() {
    let mut store = Store::new();
    let (index, entries) = store.buildkit(&["linux/amd64", "linux/arm64", "windows/amd64"]);
    store.tag("v1", &index);
    let (plan, _) = plan(&store, &only(&["localhost:5000/app:v1"], &["linux/amd64", "linux/arm64"]));
    let [artifact] = plan.artifacts.as_slice() else { panic!("{:?}", plan.artifacts) };
    assert_eq!((artifact.original, artifact.tags[0].as_str()), (Some(index.digest), "v1"));
    let new = &plan.documents[&artifact.digest];
    // The source's document without two entries, canonical, including unknown members.
    let mut expected: Value = serde_json::from_slice(&store.blobs[&(APP.to_owned(), index.digest)]).unwrap();
    let list = expected["manifests"].as_array_mut().unwrap();
    list.remove(5);
    list.remove(2);
    assert_eq!(new.raw(), canonical::to_vec(&expected).unwrap());
    assert!(new.raw().starts_with(br#"{"manifests":[{"digest":"sha256:"#));
    assert!(new.raw().ends_with(br#""schemaVersion":2,"x-unknown":{"a":[true,null],"b":1}}"#));
    let carried = carried(&plan);
    for (place, entry) in entries.iter().enumerate() {
        assert_eq!(carried.contains(&entry.digest), place % 3 != 2, "{place}");
    }
    assert!(!carried.contains(&index.digest));
    assert!(plan.absent.is_empty());
}

#[test]
fn one_platform_takes_the_manifest_itself() {
    let mut store = Store::new();
    let (index, entries) = store.buildkit(&["linux/amd64", "linux/arm64"]);
    store.tag("v1", &index);
    store.refer(&index, "x/sig", "of the index");
    let of_the_image = store.refer(&entries[1], "x/sig", "of the image");
    let (plan, warnings) = plan(&store, &only(&["localhost:5000/app:v1"], &["linux/arm64/v8"]));
    assert_eq!(tags_of(&plan, entries[1].digest), ["v1"]);
    let image = plan.artifacts.iter().find(|artifact| artifact.digest == entries[1].digest).unwrap();
    assert_eq!(image.original, Some(index.digest));
    assert_eq!(plan.artifacts.len(), 2);
    assert!(tags_of(&plan, of_the_image.digest).is_empty());
    assert!(warnings.len() == 1 && warnings[0].contains("1 of its referrers and signatures are left out"));
}

#[test]
fn nothing_cut_keeps_the_index() {
    let mut store = Store::new();
    let (index, _) = store.buildkit(&["linux/amd64"]);
    store.tag("v1", &index);
    let (plan, warnings) = plan(&store, &only(&["localhost:5000/app:v1"], &["linux/amd64", "linux/s390x"]));
    assert_eq!((plan.artifacts[0].digest, plan.artifacts[0].original), (index.digest, None));
    assert!(warnings.len() == 1 && warnings[0].contains("linux/s390x"), "{warnings:?}");
}

#[test]
fn nested_indexes_are_filtered_too() {
    let mut store = Store::new();
    let (inner, entries) = store.buildkit(&["linux/amd64", "linux/arm64"]);
    let (other, _) = store.buildkit(&["windows/amd64"]);
    let bare = store.image("linux/amd64", "no platform in its entry");
    let outer = store.index(&[inner.clone(), other.clone(), bare.clone()]);
    store.tag("v1", &outer);
    let (plan, _) = plan(&store, &only(&["localhost:5000/app:v1"], &["linux/amd64"]));
    let new = &plan.documents[&plan.artifacts[0].digest];
    assert_eq!(plan.artifacts[0].original, Some(outer.digest));
    assert_eq!(new.manifests().len(), 2);
    let new_inner = &plan.documents[&new.manifests()[0].digest];
    assert_ne!(new_inner.digest(), inner.digest);
    let kept: Vec<Digest> = new_inner.manifests().iter().map(|entry| entry.digest).collect();
    assert_eq!(kept, [entries[0].digest, entries[2].digest]);
    // No platform in the entry: the platform of the configuration counts.
    assert_eq!(new.manifests()[1].digest, bare.digest);
}

#[test]
fn m6_a_sparse_index_names_what_the_filter_left_out() {
    let mut store = Store::new();
    let (index, entries) = store.buildkit(&["linux/amd64", "linux/arm64"]);
    store.tag("v1", &index);
    let mut selection = only(&["localhost:5000/app:v1"], &["linux/amd64"]);
    selection.index = IndexMode::Sparse;
    let (plan, _) = plan(&store, &selection);
    assert_eq!((plan.artifacts[0].digest, plan.artifacts[0].original), (index.digest, None));
    let mut left_out = [entries[1].digest, entries[3].digest];
    left_out.sort();
    assert_eq!(plan.absent.iter().map(|absent| absent.digest).collect::<Vec<_>>(), left_out);
    assert!(plan.absent.iter().all(|absent| absent.reason == Reason::Platform));
    assert_eq!(plan.blobs.iter().filter(|blob| blob.role == Role::Document).count(), 3);
}

#[test]
fn what_a_filter_leaves_out_travels_if_it_is_selected_itself() {
    let mut store = Store::new();
    let (index, entries) = store.buildkit(&["linux/amd64", "linux/arm64"]);
    store.tag("v1", &index);
    store.tag("arm", &entries[1]);
    let mut selection = only(&["localhost:5000/app:v1", "localhost:5000/app:arm"], &["linux/amd64"]);
    selection.index = IndexMode::Sparse;
    assert_eq!(refused(&store, &selection).class, Class::Policy);
    filter(&mut selection, |filters| filters.platforms.push("linux/arm64".parse().unwrap()));
    assert!(plan(&store, &selection).0.absent.is_empty());
}

#[test]
fn what_a_filter_leaves_out_cannot_be_content_of_another_artifact() {
    let mut store = Store::new();
    let (index, entries) = store.buildkit(&["linux/amd64", "linux/arm64"]);
    store.tag("v1", &index);
    let config = store.json("application/x-config", &json!({}));
    let layer = Descriptor { media_type: "application/octet-stream".into(), ..entries[1].clone() };
    let other = store.manifest(&json!({ "config": config, "layers": [layer] }));
    store.tag("other", &other);
    let mut selection = only(&["localhost:5000/app:v1", "localhost:5000/app:other"], &["linux/amd64"]);
    selection.index = IndexMode::Sparse;
    let fault = refused(&store, &selection);
    assert_eq!(fault.class, Class::Policy);
    assert!(fault.what.contains(&entries[1].digest.to_string()) && fault.help.unwrap().contains("--index rebuild"));
    selection.index = IndexMode::Rebuild;
    assert!(plan(&store, &selection).0.absent.is_empty());
}

#[test]
fn m16_a_filter_that_leaves_nothing_is_refused() {
    let mut store = Store::new();
    let (index, _) = store.buildkit(&["linux/amd64"]);
    store.tag("index", &index);
    let image = store.image("linux/amd64", "plain");
    store.tag("image", &image);
    let unknown = store.image("", "unknown");
    store.tag("unknown", &unknown);
    for mode in [IndexMode::Rebuild, IndexMode::Sparse] {
        for name in ["localhost:5000/app:index", "localhost:5000/app:image"] {
            let mut selection = only(&[name], &["linux/s390x"]);
            (selection.index, selection.allow_partial) = (mode, true);
            let fault = refused(&store, &selection);
            assert_eq!(fault.class, Class::Policy);
            assert!(fault.what.contains(name) && fault.what.contains("found linux/amd64"), "{fault}");
        }
    }
    let (plan, _) = plan(&store, &only(&["localhost:5000/app:unknown"], &["linux/s390x"]));
    assert_eq!(plan.artifacts[0].digest, unknown.digest);
}

#[test]
fn m8_foreign_layers_stay_behind_unless_asked_for() {
    let mut store = Store::new();
    let config = store.put(OCI_CONFIG, b"{}");
    let foreign = Descriptor::new(FOREIGN, Digest::sha256(b"foreign"), 7);
    let both = store.put(LAYER, b"both");
    let both_foreign = Descriptor { media_type: FOREIGN.to_owned(), ..both.clone() };
    let image = store.manifest(&json!({"config": config, "layers": [foreign, both_foreign, both]}));
    store.tag("v1", &image);
    let mut selection = select(&["localhost:5000/app:v1"]);
    let (without, warnings) = plan(&store, &selection);
    assert_eq!(without.absent.len(), 1);
    assert_eq!((without.absent[0].digest, without.absent[0].reason), (foreign.digest, Reason::Foreign));
    assert!(carried(&without).contains(&both.digest), "an ordinary use counts");
    assert!(warnings[0].contains("--foreign"));
    assert!(!store.asked.lock().unwrap().contains(&format!("holds {}", foreign.digest)));
    selection.foreign = true;
    assert!(refused(&store, &selection).what.contains(&foreign.digest.to_string()));
    store.put(FOREIGN, b"foreign");
    assert!(plan(&store, &selection).0.absent.is_empty());
}

#[test]
fn an_earlier_original_is_kept_through_a_second_filter() {
    let mut store = Store::new();
    let (index, _) = store.buildkit(&["linux/amd64", "linux/arm64"]);
    store.tag("v1", &index);
    let first = Digest::sha256(b"before the first filter");
    for platforms in [&[][..], &["linux/amd64"]] {
        let mut selection = only(&["localhost:5000/app:v1"], platforms);
        selection.wanted[0].original = Some(first);
        let (plan, _) = plan(&store, &selection);
        assert_eq!(plan.artifacts[0].original, Some(first), "{platforms:?}");
    }
}

//! Content that bases delivered is left out.

use super::*;
use crate::decide::select::{Base, Delivered, Leaf};

/// Returns a plan's bundle as a base: from its manifest alone, or with all repositories.
fn base(plan: &Plan, id: &str, told: bool) -> Base {
    let leaf = |blob: &PlannedBlob| Leaf {
        size: blob.descriptor.size,
        repository: told.then(|| Repository::exact("localhost:5000/told").unwrap()),
    };
    let leaves = plan.blobs.iter().map(|blob| (blob.descriptor.digest, leaf(blob))).collect();
    Base { id: Digest::sha256(id.as_bytes()), leaves, artifacts: plan.artifacts.clone() }
}

fn over(references: &[&str], bases: &[Base]) -> Selection {
    let delivered = Delivered { bases: bases.to_vec(), ..Delivered::default() };
    Selection { delivered, ..select(references) }
}

/// Returns a store with two images that share a layer, and the plan of the first.
fn months() -> (Store, Descriptor, Plan) {
    let mut store = Store::new();
    let layer = store.put(LAYER, b"shared");
    for (tag, text) in [("v1", "one"), ("v2", "two")] {
        let own = store.put(LAYER, text.as_bytes());
        let config = store.put(OCI_CONFIG, text.to_uppercase().as_bytes());
        let image = store.manifest(&json!({"config": config, "layers": [layer, own]}));
        store.tag(tag, &image);
    }
    let first = plan(&store, &select(&["localhost:5000/app:v1"])).0;
    (store, layer, first)
}

#[test]
fn m17_leaves_of_a_base_stay_behind_and_documents_travel() {
    let (store, layer, first) = months();
    store.asked.lock().unwrap().clear();
    let both = ["localhost:5000/app:v1", "localhost:5000/app:v2"];
    let (delta, _) = plan(&store, &over(&both, &[base(&first, "1", false)]));
    assert_eq!(delta.bases, [Digest::sha256(b"1")]);
    assert_eq!(delta.absent.len(), 3, "two layers and a config of v1");
    assert!(delta.absent.iter().all(|one| one.reason == Reason::Base));
    assert!(delta.absent.iter().all(|one| one.repository.as_ref().unwrap().to_string() == APP));
    assert_eq!(delta.documents.len(), 2);
    assert_eq!(delta.blobs.len(), 4, "two manifests, a config, a layer");
    let asked = store.asked.lock().unwrap().join("\n");
    assert!(!asked.contains(&format!("holds {}", layer.digest)), "delivered leaves are not queried");

    let (untouched, _) =
        plan(&store, &over(&["localhost:5000/app:v2"], &[Base { leaves: HashMap::new(), ..base(&first, "1", false) }]));
    assert!(untouched.bases.is_empty() && untouched.absent.is_empty());
}

#[test]
fn m17_what_a_list_wants_travels_whatever_the_bases_say() {
    let (store, layer, first) = months();
    let mut selection = over(&["localhost:5000/app:v2"], &[base(&first, "1", true)]);
    selection.delivered.again.insert(layer.digest);
    let (delta, _) = plan(&store, &selection);
    assert!(delta.absent.is_empty() && delta.bases.is_empty() && carried(&delta).contains(&layer.digest));
}

#[test]
fn m17_a_base_with_another_size_is_none() {
    let (store, layer, first) = months();
    let mut other = base(&first, "1", true);
    other.leaves.get_mut(&layer.digest).unwrap().size += 1;
    let (delta, _) = plan(&store, &over(&["localhost:5000/app:v2"], &[other]));
    assert!(delta.absent.is_empty());
}

#[test]
fn m17_the_base_or_its_documents_tell_the_repository() {
    let (mut store, layer, first) = months();
    let homes = |store: &Store, bases: &[Base]| -> Option<String> {
        let (delta, _) = plan(store, &over(&["localhost:5000/app:v2"], bases));
        let shared = delta.absent.iter().find(|one| one.digest == layer.digest).unwrap();
        shared.repository.as_ref().map(ToString::to_string)
    };
    let chain = base(&first, "2", true);
    assert_eq!(homes(&store, &[base(&first, "1", false), chain]).as_deref(), Some("localhost:5000/told"));
    // The base does not know the repository, but the source has its documents.
    let mut silent = base(&first, "1", false);
    assert_eq!(homes(&store, &[silent.clone()]).as_deref(), Some(APP));
    // Under another name the source cannot be queried, but a base with one repository needs no
    // query.
    let elsewhere = Repository::exact("other.example/x").unwrap();
    silent.artifacts[0].repository = elsewhere.clone();
    store.asked.lock().unwrap().clear();
    assert_eq!(homes(&store, &[silent.clone()]), Some(elsewhere.to_string()));
    let document = format!("document {}", first.artifacts[0].digest);
    assert!(!store.asked.lock().unwrap().contains(&document), "a host that was not selected is not contacted");
    // With two repositories, it is unknown which one has it.
    let second = Artifact { repository: Repository::exact("other.example/y").unwrap(), ..silent.artifacts[0].clone() };
    silent.artifacts.push(second);
    assert_eq!(homes(&store, &[silent.clone()]), None);
    store.drop_blob(&first.artifacts[0].descriptor());
    assert_eq!(homes(&store, &[silent]), None);
}

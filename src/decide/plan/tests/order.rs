//! Order, sharing, and independence of threads.

use super::*;

#[test]
fn small_blobs_stand_in_front_in_order_of_first_use() {
    let mut store = Store::new();
    let config = store.put(OCI_CONFIG, b"{}");
    let large = store.put(LAYER, &vec![1; 65_537]);
    let small = store.put(LAYER, &vec![2; 65_536]);
    let larger = store.put(LAYER, &vec![3; 70_000]);
    let image = store.manifest(&json!({"config": config, "layers": [large, small, larger]}));
    store.tag("v1", &image);
    let (plan, _) = plan(&store, &select(&["localhost:5000/app:v1"]));
    let order: Vec<Digest> = plan.blobs.iter().map(|blob| blob.descriptor.digest).collect();
    assert_eq!(order, [image.digest, config.digest, small.digest, large.digest, larger.digest]);
    assert_eq!(plan.total_bytes(), image.size + 2 + 65_536 + 65_537 + 70_000);
}

#[test]
fn one_artifact_has_all_its_tags_sorted() {
    let mut store = Store::new();
    let image = store.image("linux/amd64", "a");
    let mut names = Vec::new();
    for tag in ["v1.2", "latest", "v1"] {
        store.tag(tag, &image);
        names.push(format!("{APP}:{tag}"));
    }
    let (plan, _) = plan(&store, &select(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(plan.artifacts.len(), 1);
    assert_eq!(tags_of(&plan, image.digest), ["latest", "v1", "v1.2"]);
}

#[test]
fn a_leaf_comes_from_whichever_repository_has_it() {
    let mut store = Store::new();
    let image = store.image("linux/amd64", "a");
    store.tag("v1", &image);
    let second = "localhost:5000/zzz";
    for ((_, digest), bytes) in store.blobs.clone() {
        store.blobs.insert((second.to_owned(), digest), bytes);
    }
    store.tags.insert((second.to_owned(), "v1".to_owned()), image.clone());
    let layer = Digest::sha256(b"a");
    store.blobs.remove(&(APP.to_owned(), layer));
    let (plan, _) = plan(&store, &select(&["localhost:5000/app:v1", "localhost:5000/zzz:v1"]));
    let blob = plan.blobs.iter().find(|blob| blob.descriptor.digest == layer).unwrap();
    assert_eq!(blob.origin.to_string(), second);
}

#[test]
fn the_summary_counts_what_is_shared() {
    let mut store = Store::new();
    let config = store.put(OCI_CONFIG, b"{}");
    let base = store.put(LAYER, &[0; 1000]);
    let own = store.put(LAYER, &[1; 10]);
    let a = store.manifest(&json!({"config": config, "layers": [base]}));
    let b = store.manifest(&json!({"config": config, "layers": [base, own]}));
    store.tag("a", &a);
    store.tag("b", &b);
    let (plan, _) = plan(&store, &select(&["localhost:5000/app:a", "localhost:5000/app:b"]));
    let summary = plan.summary();
    assert_eq!(summary.bytes, a.size + b.size + 1012);
    assert_eq!(summary.bytes_unshared, a.size + b.size + 2014);
    let of_b = summary.artifacts.iter().find(|artifact| artifact.digest == b.digest).unwrap();
    assert_eq!((of_b.bytes, of_b.shared), (b.size + 1012, 1002));
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["artifacts"][0]["repository"], APP);
    // Five members: two manifests of a block each (and their headers), 2, 10 and 1000 bytes.
    let bytes = 5 * 512 + a.size.next_multiple_of(512) + b.size.next_multiple_of(512) + 512 + 512 + 1024;
    assert_eq!((plan.volumes(bytes), plan.volumes(bytes - 1), plan.volumes(u64::MAX)), (1, 2, 1));
    let resolved: Vec<_> =
        plan.resolved.iter().map(|(wanted, digest)| (wanted.tag().unwrap().as_str(), *digest)).collect();
    assert_eq!(resolved, [("a", a.digest), ("b", b.digest)]);
}

#[test]
fn threads_and_their_timing_change_nothing() {
    let mut store = Store::new();
    store.slow = true;
    let mut names = Vec::new();
    for number in 0..6 {
        let (index, entries) = store.buildkit(&["linux/amd64", "linux/arm64", "linux/arm/v7"]);
        let image = store.image("linux/amd64", &format!("image {number}"));
        let extra = store.index(&[index, at(image, "linux/amd64")]);
        store.tag(&format!("v{number}"), &extra);
        store.refer(&extra, "x/sbom", &format!("sbom {number}"));
        store.refer(&entries[0], "x/sig", &format!("sig {number}"));
        names.push(format!("{APP}:v{number}"));
    }
    let mut seen = Vec::new();
    for (jobs, turn) in [(1, 0), (8, 0), (8, 3), (8, 5)] {
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.rotate_left(turn);
        let (flow, _) = flow(jobs);
        let plan = make(&flow, &store, &only(&names, &["linux/amd64", "linux/arm64"])).unwrap();
        check(&plan);
        seen.push((plan.artifacts, plan.blobs, plan.absent));
    }
    assert_eq!(seen[0].0.len(), 12, "six rebuilt indexes, six signatures of a kept child");
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
}

//! Referrers, referrers of referrers, cosign's tags, and their limits.

use super::*;
use crate::oci::media_type::DOCKER_SCHEMA1_SIGNED;

fn cosign(descriptor: &Descriptor, ending: &str) -> String {
    format!("sha256-{}.{ending}", descriptor.digest.hex())
}

#[test]
fn referrers_of_all_documents_travel_and_theirs_too() {
    let mut store = Store::new();
    let (index, entries) = store.buildkit(&["linux/amd64", "linux/arm64"]);
    store.tag("v1", &index);
    let sbom = store.refer(&entries[0], "x/sbom", "sbom of a child");
    let sig = store.refer(&sbom, "x/sig", "signature of the sbom");
    let top = store.refer(&index, "x/sig", "signature of the index");
    let (full, _) = plan(&store, &select(&["localhost:5000/app:v1"]));
    assert_eq!(full.artifacts.len(), 4);
    for (referrer, subject) in [(&sbom, &entries[0]), (&sig, &sbom), (&top, &index)] {
        let artifact = full.artifacts.iter().find(|artifact| artifact.digest == referrer.digest).unwrap();
        assert_eq!((artifact.subject, artifact.tags.len()), (Some(subject.digest), 0));
        assert_eq!(artifact.artifact_type, referrer.artifact_type);
        assert_eq!(artifact.repository.to_string(), APP);
    }
    let mut selection = select(&["localhost:5000/app:v1"]);
    filter(&mut selection, |filters| filters.referrers = Referrers::Types(vec!["x/sig".to_owned()]));
    let (typed, _) = plan(&store, &selection);
    assert_eq!(typed.artifacts.len(), 2, "a kept sbom keeps its signature");
    filter(&mut selection, |filters| filters.referrers = Referrers::None);
    store.referrers_fail = true;
    let (none, _) = plan(&store, &selection);
    assert_eq!(none.artifacts.len(), 1);
}

#[test]
fn a_type_that_the_list_does_not_tell_is_read_in_the_document() {
    let mut store = Store::new();
    let image = store.image("linux/amd64", "a");
    store.tag("v1", &image);
    store.refer(&image, "x/sbom", "1");
    store.refer(&image, "x/sig", "2");
    store.referrers.get_mut(&image.digest).unwrap().iter_mut().for_each(|one| one.artifact_type = None);
    let mut selection = select(&["localhost:5000/app:v1"]);
    filter(&mut selection, |filters| filters.referrers = Referrers::Types(vec!["x/sig".to_owned()]));
    assert_eq!(plan(&store, &selection).0.artifacts.len(), 2);
}

#[test]
fn each_question_is_asked_once() {
    let mut store = Store::new();
    let (index, _) = store.buildkit(&["linux/amd64", "linux/arm64"]);
    store.tag("v1", &index);
    store.tag("v2", &index);
    let sbom = store.refer(&index, "x/sbom", "s");
    store.tag("sbom", &sbom);
    let refs = ["localhost:5000/app:v1", "localhost:5000/app:v2", "localhost:5000/app:sbom", "localhost:5000/app:v1"];
    let (flow, _) = flow(1);
    make(&flow, &store, &select(&refs)).unwrap();
    let asked = store.asked.lock().unwrap();
    let once: BTreeSet<&String> = asked.iter().collect();
    assert_eq!(once.len(), asked.len(), "{asked:#?}");
}

#[test]
fn cosign_tags_are_artifacts_with_their_tag() {
    for tag_list in [true, false] {
        let mut store = Store::new();
        store.tag_list = tag_list;
        let image = store.image("linux/amd64", "a");
        store.tag("v1", &image);
        let sig = store.image("", "signature");
        store.tag(&cosign(&image, "sig"), &sig);
        let att = store.image("", "attestation of the signature");
        store.tag(&cosign(&sig, "att"), &att);
        let list = store.index(&[]);
        store.tag(&format!("sha256-{}", image.digest.hex()), &list);
        let mut selection = select(&["localhost:5000/app:v1"]);
        let (full, _) = plan(&store, &selection);
        assert_eq!(full.artifacts.len(), 3, "tag list: {tag_list}");
        assert_eq!(tags_of(&full, sig.digest), [cosign(&image, "sig")]);
        assert_eq!(tags_of(&full, att.digest), [cosign(&sig, "att")]);
        assert!(!carried(&full).contains(&list.digest), "fallback tags are never artifacts");
        for referrers in [Referrers::None, Referrers::Types(vec![OCI_CONFIG.to_owned()])] {
            filter(&mut selection, |filters| filters.referrers = referrers.clone());
            assert_eq!(plan(&store, &selection).0.artifacts.len(), 1);
        }
    }
}

#[test]
fn tags_are_listed_in_one_page_or_for_many_digests_and_else_asked_for_one_by_one() {
    let listings = |digests: usize, fails: bool, pages: Option<usize>| {
        let mut store = Store::new();
        store.tags_fail = fails.then_some(Kind::Failed);
        store.pages = pages;
        let children: Vec<Descriptor> =
            (0..digests - 1).map(|number| store.image("linux/amd64", &format!("{number}"))).collect();
        let index = store.index(&children);
        store.tag("v1", &index);
        let sig = store.image("", "signature of a child");
        store.tag(&cosign(&children[0], "sig"), &sig);
        // The signature is found either way.
        let (full, _) = plan(&store, &select(&["localhost:5000/app:v1"]));
        assert_eq!(tags_of(&full, sig.digest), [cosign(&children[0], "sig")]);
        let asked = store.asked.lock().unwrap();
        let is_single = |one: &&String| one.starts_with("resolve ") && one.contains(":sha256-");
        (asked.iter().filter(|one| one.starts_with("tags ")).count(), asked.iter().filter(is_single).count())
    };
    // One page: only the tag that exists is asked for.
    assert_eq!(listings(4, false, None), (1, 1));
    assert_eq!(listings(40, false, None), (1, 1));
    // Three tags for each document, and for the signature.
    assert_eq!(listings(4, false, Some(2)), (1, 15));
    assert_eq!(listings(40, false, Some(5)), (2, 4), "listed, after the index was asked for");
    // A list that cannot be had, or has more pages than single queries would cost, ends nothing.
    assert_eq!(listings(40, true, None), (1, 123));
    assert_eq!(listings(40, false, Some(1000)), (2, 123));
}

#[test]
fn a_fallback_tag_cannot_be_selected() {
    let mut store = Store::new();
    let image = store.image("linux/amd64", "a");
    let list = store.index(&[]);
    let tag = format!("sha256-{}", image.digest.hex());
    store.tag(&tag, &list);
    let fault = refused(&store, &select(&[&format!("{APP}:{tag}")]));
    assert_eq!(fault.class, Class::Policy);
    assert!(fault.what.contains("fallback tag"));
    // No artifact may have such a name, whether it is a list or not.
    store.tag("v1", &image);
    store.tag(&tag, &image);
    let mut selection = select(&["localhost:5000/app:v1"]);
    selection.wanted[0].as_name = Some((APP.parse::<Reference>().unwrap().repository, Some(Tag::new(&tag).unwrap())));
    assert_eq!(refused(&store, &selection).class, Class::Policy);
    let mut selection = select(&[&format!("{APP}:{tag}")]);
    assert_eq!(refused(&store, &selection).class, Class::Policy);
    selection.wanted[0].as_name = Some((APP.parse::<Reference>().unwrap().repository, Some(Tag::new("x").unwrap())));
    assert_eq!(tags_of(&plan(&store, &selection).0, image.digest), ["x"]);
}

#[test]
fn m7_a_hundred_levels_travel_and_no_more() {
    let mut store = Store::new();
    let image = store.image("linux/amd64", "a");
    store.tag("v1", &image);
    let mut last = image;
    for level in 0..100 {
        last = store.refer(&last, "x/sig", &format!("{level}"));
    }
    assert_eq!(plan(&store, &select(&["localhost:5000/app:v1"])).0.artifacts.len(), 101);
    store.refer(&last, "x/sig", "one more");
    let fault = refused(&store, &select(&["localhost:5000/app:v1"]));
    assert_eq!(fault.class, Class::Source);
    assert!(fault.what.contains("100 levels") && fault.help.unwrap().contains("--referrers none"));
}

#[test]
fn m7_too_many_referrers_are_refused() {
    let mut store = Store::new();
    let image = store.image("linux/amd64", "a");
    store.tag("v1", &image);
    let one = store.refer(&image, "x/sig", "s");
    store.referrers.insert(image.digest, vec![one.clone(); MAX_REFERRERS]);
    assert_eq!(plan(&store, &select(&["localhost:5000/app:v1"])).0.artifacts.len(), 2);
    store.referrers.insert(image.digest, vec![one; MAX_REFERRERS + 1]);
    let fault = refused(&store, &select(&["localhost:5000/app:v1"]));
    assert!(fault.class == Class::Source && fault.what.contains("found 10001"), "{fault}");
}

#[test]
fn m7_a_subject_that_is_nowhere_is_not_looked_for() {
    let mut store = Store::new();
    let nowhere = Descriptor::new(OCI_MANIFEST, Digest::sha256(b"nowhere"), 7);
    let orphan = store.refer(&nowhere, "x/sig", "s");
    store.tag("orphan", &orphan);
    let (plan, _) = plan(&store, &select(&["localhost:5000/app:orphan"]));
    assert_eq!(plan.artifacts[0].subject, Some(nowhere.digest));
}

#[test]
fn a_list_that_is_not_to_be_had_is_never_an_empty_one() {
    let mut store = Store::new();
    let image = store.image("linux/amd64", "a");
    store.tag("v1", &image);
    store.referrers_fail = true;
    let mut selection = select(&["localhost:5000/app:v1"]);
    let fault = refused(&store, &selection);
    assert!(fault.class == Class::Source && fault.help.as_ref().unwrap().contains("--referrers none"), "{fault}");
    selection.allow_partial = true;
    assert_eq!(plan(&store, &selection).0.partial.len(), 1);
}

/// Exports `v1` and returns its artifacts, the warnings, and the digests left behind.
fn left(store: &Store) -> (BTreeSet<Digest>, Vec<String>, BTreeSet<Digest>) {
    let (plan, warnings) = plan(store, &select(&["localhost:5000/app:v1"]));
    assert!(plan.left_behind.iter().all(|(repository, _)| repository.to_string() == APP));
    let behind = plan.left_behind.into_iter().map(|(_, digest)| digest).collect();
    (plan.artifacts.into_iter().map(|artifact| artifact.digest).collect(), warnings, behind)
}

#[test]
fn a_referrer_that_cannot_be_carried_costs_only_itself_and_is_named() {
    let mut store = Store::new();
    let image = store.image("linux/amd64", "a");
    store.tag("v1", &image);
    let live = store.refer(&image, "x/sbom", "live");
    let gone = store.refer(&image, "x/sbom", "gone");
    store.drop_blob(&gone);
    let damaged = store.refer(&image, "x/sbom", "damaged");
    store.refuses.insert(damaged.digest, Kind::Mismatch);
    let refused = store.refer(&image, "x/sbom", "refused");
    store.refuses.insert(refused.digest, Kind::Refused);
    let stranger = store.image("", "stranger");
    let artifact = store.put("application/vnd.oci.artifact.manifest.v1+json", b"{}");
    let schema1 = store.put(DOCKER_SCHEMA1_SIGNED, b"{\"schemaVersion\":1}");
    let wrong_size = Descriptor { size: 7, ..store.refer(&image, "x/sbom", "its size") };
    let long = store.refer(&image, &"x".repeat(256), "type");
    let list = store.referrers.get_mut(&image.digest).unwrap();
    list.retain(|one| one.digest != wrong_size.digest);
    list.extend([stranger.clone(), artifact.clone(), schema1.clone(), wrong_size.clone()]);
    let (artifacts, warnings, behind) = left(&store);
    assert_eq!(artifacts, BTreeSet::from([image.digest, live.digest]));
    let named = [&gone, &damaged, &refused, &stranger, &artifact, &schema1, &wrong_size, &long];
    assert_eq!(warnings.len(), named.len(), "{warnings:#?}");
    for one in named {
        let told = warnings.iter().find(|text| text.contains(&format!("manifest {}", one.digest)));
        assert!(told.is_some_and(|text| text.contains(&image.digest.to_string())), "{warnings:#?}");
    }
    assert!(warnings.iter().any(|text| text.contains("oci.artifact.manifest")), "{warnings:#?}");
    // Content that exists is also counted by a comparison of two places.
    let exist = [&damaged, &refused, &artifact, &schema1, &wrong_size, &long];
    assert_eq!(behind, exist.iter().map(|one| one.digest).collect());
}

#[test]
fn a_cosign_tag_that_cannot_be_carried_costs_only_itself_and_is_named() {
    let mut store = Store::new();
    // Enough for the tags to be listed.
    let children: Vec<Descriptor> = (0..9).map(|number| store.image("linux/amd64", &format!("{number}"))).collect();
    let image = store.index(&children);
    store.tag("v1", &image);
    let old = store.put(DOCKER_SCHEMA1_SIGNED, b"{\"schemaVersion\":1}");
    store.tag(&cosign(&children[0], "sig"), &old);
    let gone = store.image("", "gone");
    store.drop_blob(&gone);
    store.tag(&cosign(&children[0], "att"), &gone);
    store.stale.insert(cosign(&children[0], "sbom"));
    let (artifacts, warnings, behind) = left(&store);
    assert_eq!((artifacts, behind), (BTreeSet::from([image.digest]), BTreeSet::from([old.digest])));
    assert!(
        warnings.len() == 3 && warnings.iter().all(|text| text.contains(&cosign(&children[0], ""))),
        "{warnings:#?}"
    );
}

#[test]
fn a_referrer_that_could_not_be_asked_for_is_a_failure() {
    let mut store = Store::new();
    let image = store.image("linux/amd64", "a");
    store.tag("v1", &image);
    let sbom = store.refer(&image, "x/sbom", "s");
    for kind in [Kind::Denied, Kind::Failed, Kind::Policy, Kind::Io] {
        store.refuses.insert(sbom.digest, kind);
        let fault = refused(&store, &select(&["localhost:5000/app:v1"]));
        assert!(fault.what.contains(&sbom.digest.to_string()), "{kind:?}: {fault}");
    }
}

#[test]
fn without_a_list_of_tags_the_signatures_of_children_are_asked_for_too() {
    let mut store = Store::new();
    let (index, entries) = store.buildkit(&["linux/amd64", "linux/arm64"]);
    store.tag("v1", &index);
    let sig = store.image("", "signature of a child");
    store.tag(&cosign(&entries[1], "sig"), &sig);
    for kind in [None, Some(Kind::Absent), Some(Kind::Denied), Some(Kind::Refused)] {
        (store.tags_fail, store.tag_list) = (kind, kind.is_some());
        let (artifacts, warnings, _) = left(&store);
        assert_eq!((artifacts.len(), artifacts.contains(&sig.digest)), (2, true), "{kind:?}");
        assert!(warnings.is_empty());
    }
}

#[test]
fn each_selected_reference_has_its_own_filter() {
    let mut store = Store::new();
    let (one, two) = (store.image("linux/amd64", "a"), store.image("linux/amd64", "b"));
    store.tag("v1", &one);
    store.tag("v2", &two);
    let sboms = [store.refer(&one, "x/sbom", "1"), store.refer(&two, "x/sbom", "2")];
    let sig = store.refer(&two, "x/sig", "3");
    let signature = store.image("", "signature");
    store.tag(&cosign(&one, "sig"), &signature);
    let mut selection = select(&["localhost:5000/app:v1", "localhost:5000/app:v2", "localhost:5000/app:v2"]);
    let digests = |selection: &Selection| -> BTreeSet<Digest> {
        plan(&store, selection).0.artifacts.iter().map(|artifact| artifact.digest).collect()
    };
    let mut set = |place: usize, referrers: Referrers| {
        std::sync::Arc::make_mut(&mut selection.wanted[place].filters).referrers = referrers;
        selection.clone()
    };
    set(0, Referrers::None);
    set(1, Referrers::None);
    let third = set(2, Referrers::Types(vec!["x/sig".to_owned()]));
    assert_eq!(digests(&third), BTreeSet::from([one.digest, two.digest, sig.digest]));
    // Selected twice: content that either filter takes is carried; the first alone still takes
    // nothing.
    let third = set(2, Referrers::All);
    assert_eq!(digests(&third), BTreeSet::from([one.digest, two.digest, sig.digest, sboms[1].digest]));
}

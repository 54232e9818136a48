//! Types and referrers that a section requires, tested with documents made here.

use serde_json::{Value, json};

use super::kinds::Kinds;
use super::rules::Rules;
use super::*;
use crate::oci::media_type::{OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST};
use crate::oci::{Absent, Artifact, Digest, Document, Reason, Repository, Tag};

const SPDX: &str = "application/spdx+json";

fn blob(kind: &str) -> Value {
    json!({ "mediaType": kind, "digest": Digest::sha256(kind.as_bytes()), "size": kind.len() })
}

fn empty() -> Value {
    json!({ "mediaType": OCI_EMPTY, "digest": Digest::sha256(b"{}"), "size": 2 })
}

fn document(kind: &str, mut body: Value) -> Document {
    body["schemaVersion"] = json!(2);
    body["mediaType"] = json!(kind);
    Document::parse(kind, body.to_string().into_bytes()).unwrap()
}

fn image(number: u32, mut more: Value) -> Document {
    more["config"] = blob(OCI_CONFIG);
    more["layers"] = json!([blob("x/layer")]);
    more["annotations"] = json!({ "n": number.to_string() });
    document(OCI_MANIFEST, more)
}

/// Returns a manifest that refers to `subject`, with the given type, config and layers.
fn referrer(subject: &Document, kind: &str, config: &Value, layers: &Value) -> Document {
    let subject = subject.descriptor();
    document(OCI_MANIFEST, json!({ "artifactType": kind, "config": config, "layers": layers, "subject": subject }))
}

fn sbom(subject: &Document, kind: &str) -> Document {
    referrer(subject, kind, &empty(), &json!([blob("text/plain")]))
}

fn artifact(document: &Document, repository: &str, tags: &[&str]) -> Artifact {
    Artifact {
        artifact_type: document.artifact_type().map(ToOwned::to_owned),
        digest: document.digest(),
        media_type: document.media_type().to_owned(),
        original: None,
        repository: Repository::new("r.example", repository).unwrap(),
        size: document.size(),
        source: None,
        subject: document.subject().map(|subject| subject.digest),
        tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
    }
}

fn forbidden(rules: &Rules, documents: &[&Document], artifacts: &[Artifact], absent: &[Absent]) -> Option<String> {
    let mut kinds = Kinds::new(rules);
    documents.iter().for_each(|document| kinds.see(document));
    kinds.forbidden(artifacts, absent)
}

fn glob(text: &str) -> Glob {
    Glob::new(text.to_owned())
}

fn demands() -> Rules {
    Rules { referrers: vec![glob(SPDX)], ..Rules::default() }
}

/// Whether a required referrer is missing from these artifacts.
fn lacks(documents: &[&Document], artifacts: &[Artifact]) -> bool {
    forbidden(&demands(), documents, artifacts, &[]).is_some()
}

#[test]
fn an_image_must_bring_its_referrer_in_its_own_repository() {
    let one = image(1, json!({}));
    let (spdx, other) = (sbom(&one, SPDX), sbom(&one, "application/vnd.other"));
    // Older tools state the type in the config.
    let old = json!({ "config": blob(SPDX), "layers": [blob("x/y")], "subject": one.descriptor() });
    let old = document(OCI_MANIFEST, old);
    let tagged = || artifact(&one, "a", &["1"]);
    for (brought, repository, lacking) in
        [(&spdx, "a", false), (&old, "a", false), (&spdx, "b", true), (&other, "a", true)]
    {
        assert_eq!(lacks(&[&one, brought], &[tagged(), artifact(brought, repository, &[])]), lacking, "{repository}");
    }
    assert!(lacks(&[&one], &[tagged()]));
}

#[test]
fn nothing_that_an_image_calls_itself_makes_it_another_thing() {
    let other = image(2, json!({}));
    let cosign = format!("sha256-{}.sig", "0".repeat(64));
    for (named, tag) in [
        (json!({}), cosign.as_str()),
        (json!({ "artifactType": SPDX }), "1"),
        (json!({ "subject": other.descriptor() }), "1"),
        (json!({ "artifactType": SPDX, "subject": other.descriptor() }), cosign.as_str()),
    ] {
        let posing = image(1, named.clone());
        assert!(lacks(&[&posing], &[artifact(&posing, "a", &[tag])]), "{named}");
        let mut unknown = json!(posing.descriptor());
        unknown["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
        let index = document(OCI_INDEX, json!({ "manifests": [unknown], "subject": other.descriptor() }));
        assert!(lacks(&[&posing, &index], &[artifact(&index, "a", &[tag])]), "{named}");
    }
}

#[test]
fn a_referrer_says_something() {
    let one = image(1, json!({}));
    let with = |layers: Value| referrer(&one, SPDX, &empty(), &layers);
    let nothing = json!({ "mediaType": "x/y", "digest": Digest::sha256(b""), "size": 0 });
    let absent = |reason| Absent { digest: Digest::sha256(b"x/y"), reason, repository: None, size: 3 };
    for (name, referrer, absent, lacking) in [
        ("a layer", with(json!([blob("x/y")])), vec![], false),
        ("none", with(json!([])), vec![], true),
        ("the empty one", with(json!([empty()])), vec![], true),
        ("no byte", with(json!([nothing])), vec![], true),
        ("one of two", with(json!([empty(), blob("x/y")])), vec![], false),
        ("left out", with(json!([blob("x/y")])), vec![absent(Reason::Missing)], true),
        ("foreign", with(json!([blob("x/y")])), vec![absent(Reason::Foreign)], true),
        ("by a base", with(json!([blob("x/y")])), vec![absent(Reason::Base)], false),
    ] {
        let artifacts = [artifact(&one, "a", &["1"]), artifact(&referrer, "a", &[])];
        assert_eq!(forbidden(&demands(), &[&one, &referrer], &artifacts, &absent).is_some(), lacking, "{name}");
    }
    // An image does not count as a referrer, although it has a subject.
    let posing = referrer(&one, SPDX, &blob(OCI_CONFIG), &json!([blob("x/y")]));
    let own = sbom(&posing, SPDX);
    let artifacts = [artifact(&one, "a", &["1"]), artifact(&posing, "a", &[]), artifact(&own, "a", &[])];
    assert!(lacks(&[&one, &posing, &own], &artifacts));
}

#[test]
fn an_index_has_it_or_each_of_its_images_has() {
    let (one, two) = (image(1, json!({})), image(2, json!({})));
    let chart = document(OCI_MANIFEST, json!({ "config": blob("x/chart"), "layers": [blob("x/y")] }));
    let children = [&one, &two, &chart].map(Document::descriptor);
    let index = document(OCI_INDEX, json!({ "manifests": children }));
    let tagged = || artifact(&index, "a", &["1"]);
    let (whole, first, second) = (sbom(&index, SPDX), sbom(&one, SPDX), sbom(&two, SPDX));
    let all = [&index, &one, &two, &chart, &whole, &first, &second];
    assert!(lacks(&all, &[tagged()]));
    assert!(!lacks(&all, &[tagged(), artifact(&whole, "a", &[])]));
    assert!(lacks(&all, &[tagged(), artifact(&first, "a", &[])]));
    assert!(!lacks(&all, &[tagged(), artifact(&first, "a", &[]), artifact(&second, "a", &[])]));
    // The kind of documents that are not carried is unknown.
    let unseen = [&index, &one, &two, &whole, &first, &second];
    assert!(lacks(&unseen, &[tagged(), artifact(&first, "a", &[]), artifact(&second, "a", &[])]));
    let charts = document(OCI_INDEX, json!({ "manifests": [chart.descriptor()] }));
    assert!(!lacks(&[&charts, &chart], &[artifact(&charts, "a", &["1"])]));
}

#[test]
fn only_layers_that_the_policy_names_are_excepted() {
    let layered = |layers: &[&str]| {
        let layers: Vec<Value> = layers.iter().map(|kind| blob(kind)).collect();
        document(OCI_MANIFEST, json!({ "config": blob(OCI_CONFIG), "layers": layers }))
    };
    let file_system = "application/vnd.oci.image.layer.v1.tar";
    for (layers, except, lacking) in [
        (&["application/vnd.in-toto+json"][..], "application/vnd.in-toto+json", false),
        (&["application/vnd.in-toto+json"], "application/vnd.dsse.*", true),
        (&["application/vnd.in-toto+json", "x/y"], "application/vnd.in-toto+json", true),
        (&["application/vnd.in-toto+json", file_system], "*", true),
        (&[], "*", true),
    ] {
        let rules = Rules { except: vec![glob(except)], ..demands() };
        let statement = layered(layers);
        let index = document(OCI_INDEX, json!({ "manifests": [statement.descriptor()] }));
        for root in [&statement, &index] {
            let found = forbidden(&rules, &[&statement, &index], &[artifact(root, "a", &["1"])], &[]);
            assert_eq!(found.is_some(), lacking, "{layers:?} {except}");
        }
        assert!(lacks(&[&statement], &[artifact(&statement, "a", &["1"])]), "{layers:?}");
    }
}

#[test]
fn every_type_of_a_document_must_be_allowed() {
    let rules =
        |allowed: &[&str]| Rules { types: Some(allowed.iter().map(|text| glob(text)).collect()), ..Rules::default() };
    let refuses = |allowed: &[&str], document: &Document| forbidden(&rules(allowed), &[document], &[], &[]);
    let posing = image(1, json!({ "artifactType": SPDX }));
    assert!(refuses(&[SPDX], &posing).unwrap().contains(OCI_CONFIG));
    assert!(refuses(&[OCI_CONFIG], &posing).unwrap().contains(SPDX));
    assert_eq!(refuses(&[SPDX, OCI_CONFIG], &posing), None);
    // A chart with the artifact type of an SBOM, and an SBOM with an empty config.
    let chart = json!({ "artifactType": SPDX, "config": blob("x/chart"), "layers": [blob("x/y")] });
    assert!(refuses(&[SPDX], &document(OCI_MANIFEST, chart)).unwrap().contains("x/chart"));
    assert_eq!(refuses(&[SPDX], &sbom(&posing, SPDX)), None);
    let full = json!({ "artifactType": SPDX, "config": { "mediaType": OCI_EMPTY, "digest": Digest::sha256(b"x"), "size": 1 } });
    assert!(refuses(&[SPDX], &document(OCI_MANIFEST, full)).unwrap().contains(OCI_EMPTY));
    // A document that engines would run is an image, whatever the type of its config.
    let layer = blob("application/vnd.oci.image.layer.v1.tar+gzip");
    let renamed = document(OCI_MANIFEST, json!({ "config": blob(SPDX), "layers": [layer] }));
    assert!(refuses(&[SPDX], &renamed).unwrap().contains(OCI_CONFIG));
    assert_eq!(refuses(&["application/*"], &renamed), None);
}

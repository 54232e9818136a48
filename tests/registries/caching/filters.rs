//! Filters of rules, and active synchronization.

use packmule::oci::{Descriptor, Document, media_type};
use packmule::operate::serve::What;
use packmule::signing::policy::Glob;

use super::{Store, blob, files, is_manifest, open, start};
use crate::hosts::Bytes;
use crate::upstream::{Mood, Upstream, rule};

#[test]
fn c10_only_what_the_filters_admit_is_fetched() {
    let (upstream, site) = (Upstream::start(), Store::new());
    let (app, _) = upstream.image("a", &["3.1", "3.1-rc1", "4"], 10, 1);
    let config = |platform: &str| {
        let (os, architecture) = platform.split_once('/').unwrap();
        let config = Bytes(
            serde_json::json!({"os": os, "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}})
                .to_string()
                .into_bytes(),
        );
        upstream.put(format!("/v2/a/blobs/{}", config.descriptor().digest), "x", &config.0);
        let config = Descriptor { media_type: media_type::OCI_CONFIG.to_owned(), ..config.descriptor() };
        let json = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "config": config, "layers": []});
        let document = Document::parse(media_type::OCI_MANIFEST, json.to_string().into_bytes()).unwrap();
        upstream.document("a", &[], &document);
        let mut entry = serde_json::to_value(document.descriptor()).unwrap();
        entry["platform"] = serde_json::json!({"os": os, "architecture": architecture});
        (document, entry)
    };
    let ((amd, one), (arm, two)) = (config("linux/amd64"), config("linux/arm64"));
    let json = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [one, two]});
    let index = Document::parse(media_type::OCI_INDEX, json.to_string().into_bytes()).unwrap();
    upstream.document("a", &["3.multi"], &index);
    let list = Bytes(b"{\"spdx\":1}".to_vec());
    let sbom = |kind: &str| {
        let json = serde_json::json!({
            "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": kind,
            "config": list.descriptor(), "layers": [list.descriptor()], "subject": app.descriptor(),
        });
        let document = Document::parse(media_type::OCI_MANIFEST, json.to_string().into_bytes()).unwrap();
        upstream.document("a", &[], &document);
        document
    };
    let (spdx, other) = (sbom("application/spdx+json"), sbom("application/other"));
    let listed = serde_json::json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": [spdx.descriptor(), other.descriptor()]});
    upstream.put(format!("/v2/a/referrers/{}", app.digest()), media_type::OCI_INDEX, listed.to_string().as_bytes());
    let source = format!("{}/a", upstream.host());
    let glob = |text: &str| Glob::new(text.to_owned());
    let mut strict = rule("strict", &source, "strict");
    strict.filter.tags.include = vec![glob("3.*")];
    strict.filter.tags.exclude = vec![glob("*-rc*")];
    strict.filter.platforms = vec!["linux/amd64".parse().unwrap()];
    strict.filter.types.exclude = vec![glob("application/other")];
    let mut bare = rule("bare", &source, "bare");
    bare.filter.referrers = false;
    let cache = open(&site.path(), vec![bare, rule("all", &source, "all"), strict], None);
    let server = start(&cache, Vec::new());
    let status = |name: &str, reference: &str| server.get(&format!("/v2/{name}/manifests/{reference}")).status;
    for (tag, strict) in [("3.1", 200), ("3.1-rc1", 404), ("4", 404), ("3.multi", 200)] {
        assert_eq!((status("strict", tag), status("all", tag)), (strict, 200), "{tag}");
    }
    let tags = |name: &str| server.get(&format!("/v2/{name}/tags/list")).json()["tags"].as_array().unwrap().len();
    assert_eq!(tags("all"), 4);
    let (amd, arm) = (amd.digest().to_string(), arm.digest().to_string());
    for (digest, strict) in [(&amd, 200), (&arm, 404)] {
        assert_eq!(status("strict", digest), strict);
    }
    assert_eq!(status("all", &arm), 200);
    assert_eq!(status("strict", &arm), 404, "also when it is kept");
    let referrers = |name: &str| {
        let list = server.get(&format!("/v2/{name}/referrers/{}", app.digest())).json();
        let mut all: Vec<String> = list["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["artifactType"].as_str().unwrap().to_owned())
            .collect();
        all.sort();
        all
    };
    assert_eq!(referrers("all"), ["application/other", "application/spdx+json"]);
    assert_eq!(referrers("strict"), ["application/spdx+json"]);
    assert!(referrers("bare").is_empty());
    assert_eq!(status("bare", &spdx.digest().to_string()), 404);
}

#[test]
fn c10_synchronization_fetches_before_anybody_asks() {
    let (upstream, site) = (Upstream::start(), Store::new());
    let (document, layer) = upstream.image("org/app", &["3.1", "3.2", "4"], 700_001, 1);
    let mut active = rule("active", &format!("{}/org/app", upstream.host()), "app");
    active.filter.tags.include = vec![Glob::new("3.*".to_owned())];
    let cache = open(&site.path(), vec![active], None);
    let dry = cache.sync(0, None, true).unwrap();
    assert_eq!(dry.iter().filter(|one| matches!(one.what, What::Fetched(_))).count(), 2);
    assert!(files(&site.path()).is_empty());
    let only = cache.sync(0, Some(&packmule::oci::Tag::new("4").unwrap()), false).unwrap();
    assert!(matches!(only[0].what, What::LeftOut));
    let done = cache.sync(0, None, false).unwrap();
    assert_eq!(done.iter().filter(|one| matches!(one.what, What::Failed(_))).count(), 0, "{done:?}");
    assert_eq!(files(&site.path()).len(), 3);
    assert!(cache.sync(0, None, false).unwrap().iter().all(|one| matches!(one.what, What::Current(_))));
    upstream.set(Mood::Down);
    let server = start(&cache, Vec::new());
    is_manifest(&server.get("/v2/app/manifests/3.2"), &document);
    assert_eq!(server.get(&blob("app", &layer)).body, layer.0);
}

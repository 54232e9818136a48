//! The limits of a policy, each with what is just allowed and the next that is not.

use serde_json::json;

use super::kinds::Kinds;
use super::section::{Rules, Section, list};
use super::tests::{claims, parsed};
use super::*;
use crate::oci::media_type::{OCI_CONFIG, OCI_MANIFEST};
use crate::oci::{Artifact, Digest, Document, Repository, Tag};

#[test]
fn a_policy_file_has_at_most_4_mib() {
    let text = "[key.first]\nholder = \"A\"\nrole = \"r\"\npublic = \"1.pem\"\n[no_channel]\nkeys = [\"first\"]\n#";
    let most = usize::try_from(file::MAX_FILE).unwrap();
    let padded = |length: usize| text.to_owned() + &"x".repeat(length - text.len());
    assert!(parsed(&padded(most)).is_ok());
    for length in [most + 1, most + 2] {
        let fault = parsed(&padded(length)).unwrap_err();
        assert!(fault.class == Class::Usage && fault.what.contains("at most 4194304 bytes"), "{length}: {fault:?}");
    }
}

#[test]
fn a_section_forbids_from_the_first_byte_above_its_limits() {
    let judgement = Judgement { good: Vec::new(), unknown: Vec::new() };
    let forbids = |rules: Rules, claims: &Claims<'_>| {
        let section =
            Section { name: "channel any".to_owned(), entries: Vec::new(), threshold: 1, roles: Vec::new(), rules };
        !section.forbids(claims, &judgement).is_empty()
    };
    // Its largest blob has 1000 bytes, all together 3000.
    let bundle = claims(Some("any"), &[]);
    for (blob, forbidden) in [(999, true), (1000, false), (1001, false)] {
        assert_eq!(forbids(Rules { blob: Some(blob), ..Rules::default() }, &bundle), forbidden, "{blob}");
    }
    for (most, forbidden) in [(2999, true), (3000, false), (3001, false)] {
        assert_eq!(forbids(Rules { bundle: Some(most), ..Rules::default() }, &bundle), forbidden, "{most}");
    }
    // Whichever of the two is demanded, a place in the channel must be there.
    let placeless = Claims { sequence: None, ..claims(Some("any"), &[]) };
    for (sequence, previous) in [(true, false), (false, true), (true, true)] {
        let rules = || Rules { sequence, previous, ..Rules::default() };
        assert!(forbids(rules(), &placeless) && !forbids(rules(), &bundle), "{sequence} {previous}");
    }
    assert!(!forbids(Rules::default(), &placeless));
}

#[test]
fn of_more_than_sixteen_names_the_rest_is_counted() {
    let names: Vec<String> = (1..=18).map(|number| format!("n{number}")).collect();
    assert!(list(&names[..16]).ends_with("n15, n16"));
    assert!(list(&names[..17]).ends_with("n16, 1 more"));
    assert!(list(&names).ends_with("n16, 2 more"));
}

#[test]
fn what_is_an_image_must_bring_its_referrer() {
    let demands = Rules { referrers: vec![Glob::new("application/spdx+json".to_owned())], ..Rules::default() };
    let lacks = |config: &str, tags: &[&str]| {
        let config = json!({ "mediaType": config, "digest": Digest::sha256(b"x"), "size": 1 });
        let body = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [] });
        let document = Document::parse(OCI_MANIFEST, body.to_string().into_bytes()).unwrap();
        let artifact = Artifact {
            artifact_type: None,
            digest: document.digest(),
            media_type: OCI_MANIFEST.to_owned(),
            original: None,
            repository: Repository::new("r.example", "a").unwrap(),
            size: document.size(),
            subject: None,
            tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
        };
        let mut kinds = Kinds::new(&demands);
        kinds.see(&document);
        kinds.forbidden(&[artifact]).is_some()
    };
    assert!(lacks(OCI_CONFIG, &["1"]));
    assert!(lacks("application/vnd.docker.container.image.v1+json", &["1"]));
    assert!(!lacks("application/vnd.cncf.helm.config.v1+json", &["1"]), "a chart is no image");
    // Only under cosign's own tags is it cosign's.
    for end in ["sig", "att", "sbom"] {
        assert!(!lacks(OCI_CONFIG, &[&format!("sha256-{}.{end}", "0a".repeat(32))]), "{end}");
    }
    for (hex, end) in [("0".repeat(63), "sig"), ("0".repeat(65), "sig"), ("g".repeat(64), "sig"), ("0".repeat(64), "x")]
    {
        assert!(lacks(OCI_CONFIG, &[&format!("sha256-{hex}.{end}")]), "{hex}.{end}");
    }
}

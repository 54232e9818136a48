//! Limits of a policy, tested with the largest allowed value and the next one.

use super::rules::Rules;
use super::section::{Section, list};
use super::tests::{claims, parsed};
use super::*;
use crate::oci::media_type::OCI_MANIFEST;
use crate::oci::{Absent, Artifact, Digest, Reason, Repository, Tag};

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
    let judgement = Judgement::default();
    let forbids = |rules: Rules, claims: &Claims<'_>| {
        let section =
            Section { name: "channel any".to_owned(), entries: Vec::new(), threshold: 1, roles: Vec::new(), rules };
        !section.forbids(claims, &judgement).is_empty()
    };
    // Its largest blob has 1000 bytes, all blobs together 3000.
    let bundle = claims(Some("any"), &[]);
    for (blob, forbidden) in [(999, true), (1000, false), (1001, false)] {
        assert_eq!(forbids(Rules { blob: Some(blob), ..Rules::default() }, &bundle), forbidden, "{blob}");
    }
    for (most, forbidden) in [(2999, true), (3000, false), (3001, false)] {
        assert_eq!(forbids(Rules { bundle: Some(most), ..Rules::default() }, &bundle), forbidden, "{most}");
    }
    // Either demand requires a sequence number.
    let placeless = Claims { sequence: None, ..claims(Some("any"), &[]) };
    for (sequence, previous) in [(true, false), (false, true), (true, true)] {
        let rules = || Rules { sequence, previous, ..Rules::default() };
        assert!(forbids(rules(), &placeless) && !forbids(rules(), &bundle), "{sequence} {previous}");
    }
    assert!(!forbids(Rules::default(), &placeless));
    for (lifetime, forbidden) in [(99, true), (100, false), (101, false)] {
        let rules = Rules { lifetime: Some(lifetime), ..Rules::default() };
        let living = Claims { created: 50, expires: Some(150), ..claims(Some("any"), &[]) };
        assert_eq!(forbids(rules, &living), forbidden, "{lifetime}");
    }
    // The largest possible time span must not overflow.
    let eternal = Claims { created: i64::MIN, expires: Some(i64::MAX), ..claims(Some("any"), &[]) };
    assert!(forbids(Rules { lifetime: Some(i64::MAX - 1), ..Rules::default() }, &eternal));
}

#[test]
fn what_an_import_reads_or_sets_is_held_to_the_patterns_too() {
    let forbids = |rules: Rules, claims: &Claims<'_>| {
        let (name, entries, roles) = ("channel any".to_owned(), Vec::new(), Vec::new());
        let faults = Section { name, entries, threshold: 1, roles, rules }.forbids(claims, &Judgement::default());
        faults.into_iter().map(|fault| fault.what).collect::<Vec<_>>()
    };
    let globs = |text: &str| Some(vec![Glob::new(text.to_owned())]);
    let base = |repository: Option<&str>| Absent {
        digest: Digest::sha256(b"layer"),
        reason: Reason::Base,
        repository: repository.map(|name| Repository::exact(name).unwrap()),
        size: 1,
    };
    let absent = [base(None), base(Some("r.example/public/y")), base(Some("r.example/secret/app"))];
    let public = || Rules { repositories: globs("r.example/public/*"), ..Rules::default() };
    let faults = forbids(public(), &Claims { absent: &absent, ..claims(Some("any"), &[]) });
    assert!(
        faults.len() == 1 && faults[0].contains("r.example/secret/app") && !faults[0].contains("public/y"),
        "{faults:?}"
    );
    assert!(forbids(public(), &Claims { absent: &absent[..2], ..claims(Some("any"), &[]) }).is_empty());
    assert!(forbids(Rules::default(), &Claims { absent: &absent, ..claims(Some("any"), &[]) }).is_empty());
    let artifacts = [Artifact {
        artifact_type: None,
        digest: Digest::sha256(b"a"),
        media_type: OCI_MANIFEST.to_owned(),
        original: None,
        repository: Repository::exact("r.example/public/x").unwrap(),
        size: 1,
        source: None,
        subject: None,
        tags: ["1.0", "latest"].map(|tag| Tag::new(tag).unwrap()).to_vec(),
    }];
    let tagged = claims(Some("any"), &artifacts);
    let faults = forbids(Rules { tags: globs("1.*"), ..Rules::default() }, &tagged);
    assert!(faults.len() == 1 && faults[0].contains("latest") && !faults[0].contains("1.0"), "{faults:?}");
    assert!(forbids(Rules { tags: globs("*"), ..Rules::default() }, &tagged).is_empty());
}

#[test]
fn a_new_name_does_not_hide_a_source() {
    let forbids = |patterns: &[&str], source: Option<&str>| {
        let artifacts = [Artifact {
            artifact_type: None,
            digest: Digest::sha256(b"a"),
            media_type: OCI_MANIFEST.to_owned(),
            original: None,
            repository: Repository::exact("docker.io/team/x").unwrap(),
            size: 1,
            source: source.map(|name| Repository::exact(name).unwrap()),
            subject: None,
            tags: Vec::new(),
        }];
        let globs = patterns.iter().map(|text| Glob::new((*text).to_owned())).collect();
        let (name, entries, roles) = ("channel any".to_owned(), Vec::new(), Vec::new());
        let allowed = Rules { repositories: Some(globs), ..Rules::default() };
        let section = Section { name, entries, threshold: 1, roles, rules: allowed };
        let faults = section.forbids(&claims(Some("any"), &artifacts), &Judgement::default());
        faults.into_iter().map(|fault| fault.what).collect::<Vec<_>>()
    };
    assert!(forbids(&["docker.io/*"], None).is_empty());
    let faults = forbids(&["docker.io/*"], Some("quay.io/x"));
    assert!(faults.len() == 1 && faults[0].contains("source") && faults[0].contains("quay.io/x"), "{faults:?}");
    let faults = forbids(&["quay.io/*"], Some("quay.io/x"));
    assert!(faults.len() == 1 && faults[0].contains("docker.io/team/x"), "{faults:?}");
    assert!(forbids(&["docker.io/*", "quay.io/x"], Some("quay.io/x")).is_empty());
    assert!(forbids(&["docker.io/*"], Some("docker.io/other/x")).is_empty());
}

#[test]
fn of_more_than_sixteen_names_the_rest_is_counted() {
    let names: Vec<String> = (1..=18).map(|number| format!("n{number}")).collect();
    assert!(list(&names[..16]).ends_with("n15, n16"));
    assert!(list(&names[..17]).ends_with("n16, 1 more"));
    assert!(list(&names).ends_with("n16, 2 more"));
}

//! A trusted bundle as a source: names, referrers, tags, blobs; nothing of one repository shows in
//! another.

use packmule::bundle::{Untrusted, open};
use packmule::content::{Kind, Source as _};
use packmule::oci::media_type::OCI_MANIFEST;
use packmule::oci::{Absent, Artifact, Descriptor, Digest, Document, Reason, Reference, Repository, Tag};
use serde_json::json;

use crate::noise;
use crate::store::{artifact, export, flow, listed, repository};

fn tags(names: &[&str]) -> Vec<Tag> {
    names.iter().map(|name| Tag::new(name).unwrap()).collect()
}

#[test]
fn names_tags_and_referrers_are_each_repositorys_own() {
    let (memory, mut input) =
        artifact("b", vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 99), false, "a/b")], 1 << 30);
    let image = input.artifacts[0].clone();
    let other = Repository::exact("localhost/other").unwrap();
    let config = input.blobs[1].descriptor.clone();
    let document = |subject: Option<Descriptor>, note: &str| {
        let mut body = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [], "annotations": { "n": note } });
        if let Some(subject) = subject {
            body["subject"] = json!(subject);
        }
        Document::parse(OCI_MANIFEST, serde_json::to_vec(&body).unwrap()).unwrap()
    };
    let (referrer, stranger) = (document(Some(image.descriptor()), "of it"), document(None, "of nothing"));
    for document in [&referrer, &stranger] {
        let blob = input.blobs[0].clone();
        input.blobs.push(packmule::bundle::write::InputBlob {
            descriptor: document.descriptor(),
            document: Some(document.clone()),
            ..blob
        });
    }
    input.artifacts = vec![
        Artifact { tags: tags(&["1", "2"]), ..image.clone() },
        Artifact { subject: Some(image.digest), ..listed(&referrer) },
        Artifact { tags: tags(&["latest"]), ..listed(&stranger) },
        Artifact { repository: other.clone(), tags: tags(&["1"]), ..listed(&stranger) },
        Artifact { repository: other.clone(), tags: Vec::new(), ..image.clone() },
    ];
    input.artifacts.sort_by(|a, b| (&a.repository, &a.digest).cmp(&(&b.repository, &b.digest)));
    let dir = tempfile::tempdir().unwrap();
    export(&flow(1), dir.path(), &memory, &input).unwrap();
    let bundle = open(dir.path()).and_then(Untrusted::assume).unwrap();

    let resolve = |repository: &Repository, tag: Option<&str>, digest: Option<Digest>| {
        let tag = tag.map(|tag| Tag::new(tag).unwrap());
        let found = bundle.resolve(&Reference { repository: repository.clone(), tag, digest });
        found.map(|descriptor| descriptor.digest).map_err(|error| error.class)
    };
    let here = repository();
    for (repository, tag, expected) in [
        (&here, "1", Ok(image.digest)),
        (&here, "2", Ok(image.digest)),
        (&here, "latest", Ok(stranger.digest())),
        (&here, "3", Err(Kind::Absent)),
        (&other, "1", Ok(stranger.digest())),
        (&other, "2", Err(Kind::Absent)),
    ] {
        assert_eq!(resolve(repository, Some(tag), None), expected, "{repository}:{tag}");
    }
    for (repository, digest, is_there) in [
        (&here, image.digest, true),
        (&here, referrer.digest(), true),
        (&other, image.digest, true),
        (&other, referrer.digest(), false),
        (&here, Digest::sha256(b"another"), false),
    ] {
        let expected = if is_there { Ok(digest) } else { Err(Kind::Absent) };
        assert_eq!(resolve(repository, None, Some(digest)), expected, "{repository}@{digest}");
        // With a digest the tag is ignored.
        assert_eq!(resolve(repository, Some("9"), Some(digest)), expected, "{repository}:9@{digest}");
    }
    assert_eq!(resolve(&here, None, None), Err(Kind::Absent));

    let referrers = |repository: &Repository, subject| {
        let found = bundle.referrers().unwrap().referrers(repository, subject).unwrap();
        found.into_iter().map(|descriptor| descriptor.digest).collect::<Vec<_>>()
    };
    assert_eq!(referrers(&here, image.digest), [referrer.digest()]);
    assert_eq!(referrers(&other, image.digest), []);
    assert_eq!(referrers(&here, stranger.digest()), []);
    let tags_in = |repository: &Repository| bundle.tags().unwrap().tags(repository).unwrap();
    assert_eq!(tags_in(&here), tags(&["1", "2", "latest"]));
    assert_eq!(tags_in(&other), tags(&["1"]));
}

#[test]
fn of_an_absent_blob_the_reason_is_told() {
    let (memory, mut input) =
        artifact("b", vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 99), false, "a/b")], 1 << 30);
    let away = input.blobs.pop().unwrap().descriptor;
    let listed = |digest, reason| Absent { digest, reason, repository: None, size: 99 };
    input.absent = vec![listed(away.digest, Reason::Foreign), listed(Digest::sha256(b"x"), Reason::Missing)];
    input.absent.sort_by_key(|absent| absent.digest);
    let dir = tempfile::tempdir().unwrap();
    export(&flow(1), dir.path(), &memory, &input).unwrap();
    let bundle = open(dir.path()).and_then(Untrusted::assume).unwrap();
    for (digest, told) in
        [(away.digest, "(listed as absent: foreign)"), (Digest::sha256(b"x"), "(listed as absent: missing)")]
    {
        let error = bundle.blob(&repository(), &Descriptor::new("a/b", digest, 99)).err().unwrap();
        assert!(error.class == Kind::Absent && error.to_string().ends_with(told), "{error}");
    }
    let error = bundle.blob(&repository(), &Descriptor::new("a/b", Digest::sha256(b"y"), 99)).err().unwrap();
    assert!(error.class == Kind::Absent && !error.to_string().contains("absent:"), "{error}");
}

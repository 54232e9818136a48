//! A trusted bundle as a source: names, referrers, tags, blobs; nothing of one repository shows in
//! another.

use std::io::Read as _;
use std::sync::Arc;

use packmule::bundle::format::manifest::Form;
use packmule::bundle::write::{Options, flat, write};
use packmule::bundle::{Output, Untrusted, open};
use packmule::content::{Kind, Source};
use packmule::oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use packmule::oci::{Absent, Artifact, Descriptor, Digest, Document, Reason, Reference, Repository, Tag};
use serde_json::json;

use crate::noise;
use crate::store::{SIGN, artifact, export, flow, listed, repository};

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
    let catalog = |host| bundle.catalog().unwrap().repositories(host).unwrap();
    assert_eq!(catalog(None), [here.clone(), other.clone()]);
    assert_eq!((catalog(Some("localhost")).len(), catalog(Some("elsewhere.example")).len()), (2, 0));
    let listed = bundle.referrers().unwrap().referrers(&here, image.digest).unwrap();
    assert_eq!(listed[0].annotation("n"), Some("of it"), "as a registry lists it");
}

/// A server holds it: behind an `Arc`, from several threads.
#[test]
fn any_part_of_a_blob_is_had_in_either_form() {
    let long = |seed: u64| noise(seed, (33 << 20) + 7);
    let blobs = vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 3000), false, "a/b"), (long(2), false, "a/b")];
    let (memory, mut input) = artifact("b", blobs.clone(), 1 << 30);
    input.level = 0;
    for form in [Form::Volumes, Form::Flat] {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::open(dir.path(), &input.name, false).unwrap();
        let options = Options { sign: SIGN, read_back: None, leave_out: false };
        match form {
            Form::Volumes => write(&flow(2), &memory, &output, &input, options).unwrap(),
            Form::Flat => flat::write(&flow(2), &memory, &output, &input, options).unwrap(),
        };
        let source: Arc<dyn Source> = Arc::new(open(dir.path()).and_then(Untrusted::assume).unwrap());
        let ranges = source.ranges().unwrap();
        let (here, frame) = (repository(), 16 << 20);
        for (content, ..) in &blobs {
            let size = content.len() as u64;
            let descriptor = Descriptor::new("a/b", Digest::sha256(content), size);
            let edges = [0, 1, 511, frame - 513, frame - 512, frame - 511, 2 * frame - 512, size - 1, size];
            let edges: Vec<u64> = edges.into_iter().filter(|edge| *edge <= size).collect();
            std::thread::scope(|scope| {
                for &from in &edges {
                    let (edges, descriptor, here) = (&edges, &descriptor, &here);
                    scope.spawn(move || {
                        for to in edges.iter().filter(|to| **to >= from) {
                            let mut found = Vec::new();
                            let mut part = ranges.range(here, descriptor, from, to - from).unwrap().unwrap();
                            part.read_to_end(&mut found).unwrap();
                            let expected = &content[usize::try_from(from).unwrap()..usize::try_from(*to).unwrap()];
                            assert!(found == expected, "{form:?}: {from} to {to} of {size}");
                        }
                    });
                }
            });
            for (offset, length) in [(size, 1), (0, size + 1), (u64::MAX, 2)] {
                let error = ranges.range(&here, &descriptor, offset, length).err().unwrap();
                assert_eq!(error.class, Kind::Refused, "{offset} {length}");
            }
        }
        let unknown = Descriptor::new("a/b", Digest::sha256(b"x"), 1);
        assert_eq!(ranges.range(&here, &unknown, 0, 1).err().unwrap().class, Kind::Absent);
    }
}

#[test]
fn manifests_below_an_index_are_found_in_its_repository_alone() {
    let (memory, mut input) =
        artifact("b", vec![(b"{}".to_vec(), false, "a/b"), (noise(1, 99), false, "a/b")], 1 << 30);
    let image = input.artifacts[0].clone();
    let body = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [image.descriptor()] });
    let index = Document::parse(OCI_INDEX, serde_json::to_vec(&body).unwrap()).unwrap();
    let other = Repository::exact("localhost/other").unwrap();
    let config = input.blobs[1].descriptor.clone();
    let body = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [] });
    let stranger = Document::parse(OCI_MANIFEST, serde_json::to_vec(&body).unwrap()).unwrap();
    for document in [&stranger, &index] {
        let blob = input.blobs[0].clone();
        let (descriptor, document) = (document.descriptor(), Some(document.clone()));
        input.blobs.insert(0, packmule::bundle::write::InputBlob { descriptor, document, ..blob });
    }
    input.artifacts = vec![
        Artifact { media_type: OCI_INDEX.to_owned(), tags: tags(&["1"]), ..listed(&index) },
        Artifact { repository: other.clone(), tags: tags(&["1"]), ..listed(&stranger) },
    ];
    let dir = tempfile::tempdir().unwrap();
    export(&flow(1), dir.path(), &memory, &input).unwrap();
    let bundle = open(dir.path()).and_then(Untrusted::assume).unwrap();
    let by_digest = |repository: &Repository, digest| {
        let found = bundle.resolve(&Reference { repository: repository.clone(), tag: None, digest: Some(digest) });
        found.map(|found| (found.digest, found.size)).map_err(|error| error.class)
    };
    assert_eq!(by_digest(&repository(), image.digest), Ok((image.digest, image.size)));
    assert_eq!(by_digest(&other, image.digest), Err(Kind::Absent));
    // Neither a configuration nor a layer is a manifest.
    assert_eq!(by_digest(&repository(), config.digest), Err(Kind::Absent));
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
        let error = bundle.holds(&repository(), &Descriptor::new("a/b", digest, 99)).err().unwrap();
        assert!(error.class == Kind::Absent && error.to_string().ends_with(told), "{error}");
    }
    assert!(!bundle.holds(&repository(), &Descriptor::new("a/b", Digest::sha256(b"y"), 99)).unwrap());
    let error = bundle.blob(&repository(), &Descriptor::new("a/b", Digest::sha256(b"y"), 99)).err().unwrap();
    assert!(error.class == Kind::Absent && !error.to_string().contains("absent:"), "{error}");
}

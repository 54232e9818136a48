//! Registries that know a manifest by another digest than the one it was pushed under.

use std::collections::HashMap;
use std::sync::Mutex;

use packmule::content::{Destination, Inventory, Source};
use packmule::oci::{Algorithm, Digest, Document, Repository, Tag, media_type};

use super::hosts::{Bytes, anonymous, manifest};
use super::server::{Server, reply};

/// A registry that names every manifest by its SHA-256 digest, whatever it is asked for.
fn registry() -> Server {
    let manifests: Mutex<HashMap<String, Vec<u8>>> = Mutex::default();
    Server::start(move |request, _| {
        let mut manifests = manifests.lock().unwrap();
        let name = request.path.rsplit('/').next().unwrap_or_default().to_owned();
        match request.method.as_str() {
            "PUT" => {
                manifests.insert(name, request.body.clone());
                reply(201, "").with("Docker-Content-Digest", Digest::sha256(&request.body).to_string())
            }
            _ if request.path == "/v2/" => reply(200, ""),
            _ => match manifests.get(&name) {
                Some(raw) => reply(200, raw.clone())
                    .with("Content-Type", media_type::OCI_MANIFEST)
                    .with("Docker-Content-Digest", Digest::sha256(raw).to_string()),
                None => reply(404, ""),
            },
        }
    })
}

#[test]
fn a_tag_of_a_sha512_manifest_is_compared_by_its_bytes() {
    let server = registry();
    let client = anonymous();
    let registries = &client.registries;
    let repository = Repository::new(&server.host, "a/b").unwrap();
    let config = Bytes(b"{}".to_vec()).descriptor();
    let other = manifest(&config, &config, None);
    let raw = manifest(&Bytes(b"{ }".to_vec()).descriptor(), &config, None).raw().to_vec();
    let digest = Digest::of(Algorithm::Sha512, &raw);
    let document = Document::with_digest(media_type::OCI_MANIFEST, digest, &raw[..]).unwrap();
    let tag = Tag::new("v1").unwrap();

    registries.put_manifest(&repository, &document).unwrap();
    assert!(registries.has_manifest(&repository, digest).unwrap());
    assert_eq!(registries.set_new_tag(&repository, &tag, &document).unwrap(), None);
    let puts = || server.requests().iter().filter(|request| request.method == "PUT").count();
    let before = puts();
    // All of it stands there: nothing is put again.
    assert_eq!(registries.tag_like(&repository, &tag, digest).unwrap(), Some(digest));
    assert_eq!(registries.set_new_tag(&repository, &tag, &document).unwrap(), None);
    registries.set_tag(&repository, &tag, &document).unwrap();
    let pinned = format!("{repository}@{digest}").parse().unwrap();
    assert_eq!(registries.resolve(&pinned).unwrap().digest, digest);
    assert_eq!(puts(), before);

    // Another manifest under the tag is a conflict, in the algorithm that is asked for.
    registries.set_tag(&repository, &tag, &other).unwrap();
    let theirs = Digest::of(Algorithm::Sha512, other.raw());
    assert_eq!(registries.tag_like(&repository, &tag, digest).unwrap(), Some(theirs));
    assert_eq!(registries.set_new_tag(&repository, &tag, &document).unwrap(), Some(theirs));
    assert_eq!(registries.tag_like(&repository, &tag, other.digest()).unwrap(), Some(other.digest()));
}

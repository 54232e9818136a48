//! The cache before the registry that has the quirks of products, and before ones that answer with fewer
//! headers than they should.

use packmule::content::Destination as _;
use packmule::oci::{Descriptor, Repository, Tag, media_type};

use super::{Store, blob, is_manifest, open, start, wait};
use crate::hosts::{Bytes, anonymous, content, manifest};
use crate::quirky::{Habits, Location, Quirky};
use crate::server::{Server, reply};
use crate::upstream::rule;

#[test]
fn c7_quirks_of_products_do_not_reach_the_clients_of_the_cache() {
    let plain = Habits::PLAIN;
    for (product, habits) in [
        ("as specified", Habits { referrers: None, ..plain }),
        ("GHCR", Habits { most_body: 4 << 20, location: Location::State, ..plain }),
        ("Harbor", Habits { lag: 1, referrers: Some(401), ..plain }),
        ("Nexus", Habits { lag: 3, ..plain }),
        ("Quay", Habits { page: 2, only_images: true, referrers: Some(400), ..plain }),
        ("digests under tags", Habits { tags_are_digests: true, referrers: None, ..plain }),
    ] {
        let upstream = Quirky::start(habits);
        let client = anonymous();
        let repository = Repository::new(&upstream.server.host, "made/app").unwrap();
        let config = Bytes(b"{}".to_vec());
        let layer = content(200_001, 71);
        for body in [&config, &layer] {
            client.registries.put_blob(&repository, &body.descriptor(), body).unwrap();
        }
        let of_config = Descriptor { media_type: media_type::OCI_CONFIG.to_owned(), ..config.descriptor() };
        let document = manifest(&of_config, &layer.descriptor(), None);
        client.registries.put_manifest(&repository, &document).unwrap();
        for tag in ["v1", "v2", "v3", "v4", "v5"] {
            client.registries.set_tag(&repository, &Tag::new(tag).unwrap(), &document).unwrap();
        }
        let referrer = manifest(&of_config, &of_config, Some(&document.descriptor()));
        client.registries.put_manifest(&repository, &referrer).unwrap();
        let site = Store::new();
        let cache = open(&site.path(), vec![rule("up", &format!("{}/*", upstream.server.host), "up/*")], None);
        let server = start(&cache, Vec::new());
        let get = |rest: &str| server.get(&format!("/v2/up/made/app/{rest}"));
        for _ in 0..2 {
            is_manifest(&get("manifests/v1"), &document);
            for body in [&layer, &config] {
                let got = server.get(&blob("up/made/app", body));
                assert!(got.status == 200 && got.is_whole && got.body == body.0, "{product}: {}", got.status);
            }
            let list = get(&format!("referrers/{}", document.digest())).json();
            assert_eq!(list["manifests"][0]["digest"], referrer.digest().to_string(), "{product}");
            let tags = get("tags/list").json()["tags"].as_array().unwrap().len();
            assert!(tags >= 5, "{product}: {tags}");
        }
        assert_eq!(get("manifests/none").status, 404, "{product}");
        let absent = content(5, 1);
        assert_eq!(server.get(&blob("up/made/app", &absent)).code(), "BLOB_UNKNOWN", "{product}");
    }
}

#[test]
fn c7_an_upstream_without_heads_lengths_and_digests_is_enough() {
    let (config, layer) = (Bytes(b"{}".to_vec()), content(100_001, 3));
    let document = manifest(&config.descriptor(), &layer.descriptor(), None);
    let (own, bytes) = (document.clone(), [config.0.clone(), layer.0.clone()]);
    let paths = [&config, &layer].map(|one| one.descriptor().digest.to_string());
    let upstream = Server::start(move |request, _| match (request.method.as_str(), request.path.as_str()) {
        (_, "/v2/") => reply(200, "{}"),
        ("HEAD", path) if path.contains("/manifests/") => reply(405, ""),
        // As registries do that do not know the length.
        ("HEAD", _) => reply(200, "").with("Content-Length", "0"),
        (_, path) if path.contains("/manifests/") => reply(200, own.raw()).with("Content-Type", own.media_type()),
        (_, path) => match paths.iter().position(|one| path.ends_with(one)) {
            Some(at) => reply(200, bytes[at].clone()),
            None => reply(404, "{}"),
        },
    });
    let site = Store::new();
    let cache = open(&site.path(), vec![rule("up", &format!("{}/*", upstream.host), "up/*")], None);
    let server = start(&cache, Vec::new());
    let head = server.ask("HEAD", "/v2/up/a/manifests/1", &[]);
    assert_eq!((head.status, head.header("content-length")), (200, Some(&*document.size().to_string())));
    is_manifest(&server.get("/v2/up/a/manifests/1"), &document);
    for body in [&layer, &config] {
        let head = server.ask("HEAD", &blob("up/a", body), &[]);
        assert_eq!((head.status, head.header("content-length")), (200, Some(&*body.0.len().to_string())));
        let got = server.get(&blob("up/a", body));
        assert!(got.status == 200 && got.is_whole && got.body == body.0, "{}", got.status);
    }
    wait(&site.path(), |files| files.len() == 3);
}

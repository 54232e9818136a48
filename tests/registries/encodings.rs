//! Bodies that are compressed in transit without being requested so. Rows R1, R2.

use packmule::content::{Destination, Kind, Source, TagList};
use packmule::oci::{Descriptor, Reference, Repository, media_type};

use super::hosts::{Bytes, anonymous, content, login, manifest, manifest_reply, read};
use super::server::{Reply, Server, reply};

/// The first bytes of any gzip file, and some more.
fn packed() -> Vec<u8> {
    [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[7; 90]].concat()
}

#[test]
fn r1_every_request_asks_for_the_bytes_as_they_are() {
    let registry = Server::start(|request, _| {
        let host = request.header("host").unwrap_or_default();
        match (request.method.as_str(), request.header("authorization")) {
            _ if request.path.starts_with("/token") => reply(200, r#"{"token":"t"}"#),
            (_, None) => reply(401, "").with("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\"")),
            ("HEAD", _) => reply(404, ""),
            ("POST", _) => reply(202, "").with("Location", "/v2/a/b/blobs/uploads/s"),
            ("PUT", _) => reply(201, ""),
            _ => manifest_reply(),
        }
    });
    let client = super::hosts::client(login("mule", "hunter2"));
    let repository = Repository::new(&registry.host, "a/b").unwrap();
    let blob = content(600_000, 4);
    client.registries.put_blob(&repository, &blob.descriptor(), &blob).unwrap();
    let config = Bytes(b"{}".to_vec()).descriptor();
    let document = manifest(&config, &config, None);
    client.registries.document(&repository, &document.descriptor()).unwrap();
    client.registries.put_manifest(&repository, &document).unwrap();
    drop(client.registries.blob(&repository, &blob.descriptor()).err());
    let all = registry.all_requests();
    assert!(all.len() > 8);
    for request in all {
        let asked: Vec<&String> =
            request.headers.iter().filter(|(name, _)| name == "accept-encoding").map(|(_, value)| value).collect();
        assert_eq!(asked, ["identity"], "{} {}", request.method, request.path);
    }
}

#[test]
fn r1_a_body_that_a_proxy_compressed_is_told_as_such() {
    let blob = content(2000, 34);
    // With and without its length, and longer than the blob.
    let answers: [fn() -> Reply; 3] = [
        || reply(200, packed()),
        || {
            let head = format!("{:x}\r\n", packed().len());
            let body = [head.as_bytes(), &packed(), b"\r\n0\r\n\r\n"].concat();
            reply(200, body).with("Transfer-Encoding", "chunked")
        },
        || reply(200, [packed(), vec![7; 4000]].concat()),
    ];
    for answer in answers {
        let server = Server::start(move |request, _| match request.path.as_str() {
            "/v2/" => reply(200, ""),
            _ => answer().with("Content-Encoding", "gzip").with("Content-Type", media_type::OCI_MANIFEST),
        });
        let client = anonymous();
        let repository = Repository::new(&server.host, "a/b").unwrap();
        let reference: Reference = format!("{repository}:t").parse().unwrap();
        let document = Descriptor { media_type: media_type::OCI_MANIFEST.to_owned(), ..blob.descriptor() };
        for error in [
            read(&client.registries, &repository, &blob.descriptor()).unwrap_err(),
            client.registries.document(&repository, &document).unwrap_err(),
            client.registries.resolve(&reference).unwrap_err(),
            TagList::tags(&client.registries, &repository).unwrap_err(),
        ] {
            assert_eq!(error.class, Kind::Mismatch, "{error}");
            assert!(error.what.contains("a proxy compressed") && error.what.contains("gzip"), "{error}");
            assert!(error.what.contains("digests are over identity bytes") && error.help.is_some(), "{error}");
        }
    }
}

#[test]
fn r1_a_layer_that_its_storage_calls_compressed_is_what_it_is() {
    let blob = content(70_000, 36);
    let bytes = blob.0.clone();
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/v2/" => reply(200, ""),
        path if path.contains("/blobs/") => reply(200, bytes.clone()).with("Content-Encoding", "gzip"),
        _ => manifest_reply().with("Content-Encoding", "gzip"),
    });
    let client = anonymous();
    let repository = Repository::new(&server.host, "a/b").unwrap();
    assert!(read(&client.registries, &repository, &blob.descriptor()).unwrap() == blob.0);
    assert!(client.registries.holds(&repository, &blob.descriptor()).unwrap());
    let config = Bytes(b"{}".to_vec()).descriptor();
    let document = manifest(&config, &config, None);
    assert_eq!(client.registries.document(&repository, &document.descriptor()).unwrap().raw(), document.raw());
    let reference: Reference = format!("{repository}:t").parse().unwrap();
    assert_eq!(client.registries.resolve(&reference).unwrap().digest, document.digest());
}

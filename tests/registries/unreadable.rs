//! Registries that answer HEAD otherwise than GET, and those that give nobody what they took.

use packmule::base::fault::Reason;
use packmule::content::{Destination, Inventory, Kind, Source};
use packmule::oci::{Document, Reference, Repository, Tag};

use super::hosts::{Bytes, anonymous, content, manifest};
use super::server::{Server, reply};

fn image() -> Document {
    let config = Bytes(b"{}".to_vec()).descriptor();
    manifest(&config, &config, None)
}

fn repository(server: &Server) -> Repository {
    Repository::new(&server.host, "a/b").unwrap()
}

#[test]
fn a_head_that_fails_is_asked_again_by_get() {
    let (document, blob) = (image(), content(1000, 601));
    for status in [400, 401, 403, 405, 412, 500, 501, 502] {
        for ranges in [true, false] {
            let (kept, bytes) = (document.clone(), blob.0.clone());
            let server = Server::start(move |request, _| match (request.method.as_str(), request.path.as_str()) {
                (_, "/v2/") => reply(200, ""),
                ("HEAD", _) => reply(status, ""),
                (_, path) if path.contains("/gone/") => reply(404, ""),
                (_, path) if path.contains("/blobs/") && ranges && request.header("range") == Some("bytes=0-0") => {
                    reply(206, &bytes[..1]).with("Content-Range", format!("bytes 0-0/{}", bytes.len()))
                }
                (_, path) if path.contains("/blobs/") => reply(200, bytes.clone()),
                _ => reply(200, kept.raw()).with("Content-Type", kept.media_type()),
            });
            let registries = anonymous().registries;
            let reference: Reference = format!("{}/a/b:c", server.host).parse().unwrap();
            assert_eq!(registries.resolve(&reference).unwrap().digest, document.digest(), "{status}");
            assert!(registries.has_manifest(&repository(&server), document.digest()).unwrap(), "{status}");
            assert!(registries.has_blob(&repository(&server), &blob.descriptor()).unwrap(), "{status}");
            let other = Bytes(blob.0[1..].to_vec()).descriptor();
            let longer = packmule::oci::Descriptor { size: 1001, ..blob.descriptor() };
            assert_eq!(
                registries.has_blob(&repository(&server), &longer).unwrap_err().class,
                Kind::Mismatch,
                "{status}"
            );
            let gone = Repository::new(&server.host, "gone/b").unwrap();
            assert!(!registries.has_blob(&gone, &other).unwrap(), "{status}");
            assert!(!registries.has_manifest(&gone, document.digest()).unwrap(), "{status}");
        }
    }
}

#[test]
fn a_head_that_finds_nothing_is_not_asked_again() {
    let server = Server::start(|request, _| reply(if request.path == "/v2/" { 200 } else { 404 }, ""));
    let registries = anonymous().registries;
    assert!(!registries.has_blob(&repository(&server), &content(10, 602).descriptor()).unwrap());
    assert!(!registries.has_manifest(&repository(&server), image().digest()).unwrap());
    assert!(server.requests().iter().all(|request| request.method == "HEAD"));
}

#[test]
fn a_length_of_nothing_in_a_head_says_nothing() {
    let blob = content(1000, 603);
    for (told, found) in [("0", Ok(true)), ("1000", Ok(true)), ("999", Err(Kind::Mismatch)), ("1", Err(Kind::Mismatch))]
    {
        let server = Server::start(move |_, _| reply(200, "").with("Content-Length", told));
        let registries = anonymous().registries;
        let has = registries.has_blob(&repository(&server), &blob.descriptor());
        assert_eq!(has.map_err(|error| error.class), found, "{told}");
    }
}

/// A registry that takes everything and gives no manifest that it has; `names`: its answers name the digest.
fn keeper(status: u16, names: bool) -> Server {
    let taken = std::sync::Mutex::new(Vec::<String>::new());
    Server::start(move |request, _| {
        let mut taken = taken.lock().unwrap();
        match request.method.as_str() {
            "PUT" => {
                let digest = packmule::oci::Digest::sha256(&request.body).to_string();
                taken.extend([request.path.clone(), request.path.replace("/t", &format!("/{digest}"))]);
                let answer = reply(201, "");
                if names { answer.with("Docker-Content-Digest", digest) } else { answer }
            }
            _ if request.path == "/v2/" => reply(200, ""),
            _ if taken.contains(&request.path) => {
                reply(status, r#"{"errors":[{"code":"POLICYVIOLATION","message":"not scanned yet"}]}"#)
            }
            _ => reply(404, ""),
        }
    })
}

#[test]
fn what_was_taken_and_is_not_given_is_told_from_what_is_refused() {
    let (document, tag) = (image(), Tag::new("t").unwrap());
    for status in [403, 412, 451] {
        let server = keeper(status, true);
        let registries = anonymous().registries;
        let repository = repository(&server);
        registries.put_manifest(&repository, &document).unwrap();
        let error = registries.has_manifest(&repository, document.digest()).unwrap_err();
        assert!(error.reason == Some(Reason::Unreadable) && error.what.contains("not scanned yet"), "{error}");
        // The tag is set, and cannot be read back.
        let error = registries.set_new_tag(&repository, &tag, &document).unwrap_err();
        assert_eq!(error.reason, Some(Reason::Unreadable), "{status}");
        for tag in [None, Some(&tag)] {
            let error = registries.read_back(&repository, tag, document.digest()).unwrap_err();
            assert_eq!(error.reason, Some(Reason::Unreadable), "{status}");
        }
        // Moving it where it is, is no other thing.
        let error = registries.set_tag(&repository, &tag, &document).unwrap_err();
        assert_eq!(error.reason, Some(Reason::Unreadable), "{status}");
        // Another run has put nothing.
        let error = anonymous().registries.has_manifest(&repository, document.digest()).unwrap_err();
        assert_eq!(error.reason, None, "{status}");
        // An answer that names no digest is no proof.
        let server = keeper(status, false);
        let repository = self::repository(&server);
        registries.put_manifest(&repository, &document).unwrap();
        let error = registries.has_manifest(&repository, document.digest()).unwrap_err();
        assert_eq!(error.reason, None, "{status}");
        assert_eq!(registries.set_new_tag(&repository, &tag, &document).unwrap_err().reason, None);
    }
}

//! Push and pull at open registries: blobs, mounts, ranges, manifests, tags.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use packmule::base::fault::Class;
use packmule::content::{Body, Destination, Error, Inventory, Kind, Ranges, Source, TagList};
use packmule::oci::{Descriptor, Digest, Reference, Tag, media_type};

use super::hosts::{Bytes, address, anonymous, content, fresh, manifest, read};

const OPEN: [&str; 2] = ["PACKMULE_TEST_DISTRIBUTION", "PACKMULE_TEST_DOCKER_REGISTRY"];

fn each(test: impl Fn(&str)) {
    OPEN.iter().filter_map(|name| address(name)).for_each(|host| test(&host));
}

#[test]
fn blobs_of_all_sizes_come_back() {
    each(|host| {
        let client = anonymous();
        let repository = fresh(host, "blobs");
        for size in [0, 1, 256 << 10, (256 << 10) + 1, 64 << 20] {
            let blob = content(size, 7);
            let descriptor = blob.descriptor();
            assert!(!client.registries.has_blob(&repository, &descriptor).unwrap());
            client.registries.put_blob(&repository, &descriptor, &blob).unwrap();
            assert!(client.registries.holds(&repository, &descriptor).unwrap());
            assert!(read(&client.registries, &repository, &descriptor).unwrap() == blob.0, "{size} at {host}");
        }
    });
}

#[test]
fn a_stored_blob_is_not_sent_again() {
    struct Never;
    impl Body for Never {
        fn open(&self) -> io::Result<Box<dyn Read + Send>> {
            panic!("opened")
        }
    }
    each(|host| {
        let client = anonymous();
        let repository = fresh(host, "again");
        let blob = content(1000, 1);
        client.registries.put_blob(&repository, &blob.descriptor(), &blob).unwrap();
        client.registries.put_blob(&repository, &blob.descriptor(), &Never).unwrap();
    });
}

#[test]
fn mounts_send_nothing() {
    each(|host| {
        let client = anonymous();
        let (from, to) = (fresh(host, "from"), fresh(host, "to"));
        let blob = content(5000, 2);
        let descriptor = blob.descriptor();
        client.registries.put_blob(&from, &descriptor, &blob).unwrap();
        let mounts = client.registries.mounts().unwrap();
        assert!(mounts.mount(&to, &descriptor, &from).unwrap());
        assert!(client.registries.has_blob(&to, &descriptor).unwrap());
        // Not there: the session that this opens is used for the upload.
        let other = content(5000, 3);
        assert!(!mounts.mount(&to, &other.descriptor(), &from).unwrap());
        client.registries.put_blob(&to, &other.descriptor(), &other).unwrap();
        assert_eq!(read(&client.registries, &to, &other.descriptor()).unwrap(), other.0);
    });
}

#[test]
fn ranges_give_exactly_their_bytes() {
    each(|host| {
        let client = anonymous();
        let repository = fresh(host, "ranges");
        let blob = content(3 << 20, 4);
        let descriptor = blob.descriptor();
        client.registries.put_blob(&repository, &descriptor, &blob).unwrap();
        for (offset, length) in [(0, 10), (5, 1 << 20), ((3 << 20) - 1, 1), (0, 3 << 20), (100, 0)] {
            let part = client.registries.range(&repository, &descriptor, offset, length).unwrap();
            let mut out = Vec::new();
            part.expect("both registries answer ranges").read_to_end(&mut out).unwrap();
            let (start, end) = (usize::try_from(offset).unwrap(), usize::try_from(offset + length).unwrap());
            assert!(out == blob.0[start..end], "{offset}+{length} at {host}");
        }
        let beyond = client.registries.range(&repository, &descriptor, 1, 3 << 20);
        assert_eq!(beyond.err().map(|error| error.class), Some(Kind::Refused));
    });
}

#[test]
fn manifests_and_tags_come_back_byte_for_byte() {
    each(|host| {
        let client = anonymous();
        let registries = &client.registries;
        let repository = fresh(host, "app");
        let (config, layer) = (Bytes(b"{}".to_vec()), content(100, 5));
        for blob in [&config, &layer] {
            registries.put_blob(&repository, &blob.descriptor(), blob).unwrap();
        }
        let config = Descriptor { media_type: media_type::OCI_CONFIG.to_owned(), ..config.descriptor() };
        let first = manifest(&config, &layer.descriptor(), None);
        let second = manifest(&config, &config, None);
        assert!(!registries.has_manifest(&repository, first.digest()).unwrap());
        for document in [&first, &second] {
            registries.put_manifest(&repository, document).unwrap();
            assert!(registries.has_manifest(&repository, document.digest()).unwrap());
        }
        let tag = Tag::new("v1").unwrap();
        assert_eq!(registries.tag(&repository, &tag).unwrap(), None);
        for document in [&first, &second, &second] {
            registries.set_tag(&repository, &tag, document).unwrap();
            assert_eq!(registries.tag(&repository, &tag).unwrap(), Some(document.digest()));
            let reference: Reference = format!("{repository}:{tag}").parse().unwrap();
            let found = registries.resolve(&reference).unwrap();
            assert_eq!(found, document.descriptor());
            assert_eq!(registries.document(&repository, &found).unwrap().raw(), document.raw());
        }
        registries.set_tag(&repository, &Tag::new("v0").unwrap(), &first).unwrap();
        let mut tags = TagList::tags(registries, &repository).unwrap();
        tags.sort();
        assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["v0", "v1"]);
    });
}

#[test]
fn what_is_not_there_is_absent() {
    each(|host| {
        let client = anonymous();
        let repository = fresh(host, "nothing");
        let reference: Reference = format!("{repository}:v1").parse().unwrap();
        assert_eq!(client.registries.resolve(&reference).unwrap_err().class, Kind::Absent);
        let blob = content(10, 6).descriptor();
        assert_eq!(client.registries.blob(&repository, &blob).err().unwrap().class, Kind::Absent);
        assert_eq!(client.registries.document(&repository, &blob).unwrap_err().class, Kind::Absent);
        assert_eq!(TagList::tags(&client.registries, &repository).unwrap_err().class, Kind::Absent);
        assert!(!client.registries.has_manifest(&repository, blob.digest).unwrap());
    });
}

/// A body that fails after half of its bytes.
struct Failing(usize, AtomicUsize);

impl Body for Failing {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(io::repeat(0).take(self.0 as u64 / 2).chain(Bad)))
    }
}

struct Bad;

impl Read for Bad {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(Error::new(Kind::Content(Class::Integrity), "frame 7: bad").into_io())
    }
}

#[test]
fn a_bodys_own_error_comes_back_and_nothing_is_stored() {
    each(|host| {
        let client = anonymous();
        let repository = fresh(host, "failing");
        for size in [100, 8 << 20] {
            let digest = Digest::sha256(&vec![0; size]);
            let blob = Descriptor::new("application/octet-stream", digest, size as u64);
            let body = Failing(size, AtomicUsize::new(0));
            let error = client.registries.put_blob(&repository, &blob, &body).unwrap_err();
            assert_eq!((error.class, error.what.as_str()), (Kind::Content(Class::Integrity), "frame 7: bad"));
            assert_eq!(body.1.load(Ordering::Relaxed), 1, "bad content is not tried again");
            assert!(!client.registries.has_blob(&repository, &blob).unwrap());
        }
    });
}

#[test]
fn content_other_than_its_digest_is_not_stored() {
    each(|host| {
        let client = anonymous();
        let repository = fresh(host, "wrong");
        let wrong = Descriptor { digest: Digest::sha256(b"other"), ..content(600_000, 8).descriptor() };
        let error = client.registries.put_blob(&repository, &wrong, &content(600_000, 8)).unwrap_err();
        assert_eq!(error.class, Kind::Refused, "{error}");
        let short = Descriptor { size: 600_001, ..content(600_000, 8).descriptor() };
        let error = client.registries.put_blob(&repository, &short, &content(600_000, 8)).unwrap_err();
        assert_eq!(error.class, Kind::Mismatch, "{error}");
    });
}

#[test]
fn a_missing_layer_is_refused_after_some_tries() {
    each(|host| {
        let client = anonymous();
        let repository = fresh(host, "missing");
        let config = Bytes(b"{}".to_vec());
        client.registries.put_blob(&repository, &config.descriptor(), &config).unwrap();
        let document = manifest(&config.descriptor(), &content(9, 9).descriptor(), None);
        let error = client.registries.put_manifest(&repository, &document).unwrap_err();
        assert_eq!(error.class, Kind::Refused, "{error}");
        assert!(error.what.contains("BLOB_UNKNOWN") && error.what.contains("tried 5 times"), "{error}");
    });
}

#[test]
fn a_registry_that_is_down_is_tried_and_named() {
    let host = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().to_string()
    };
    let client = anonymous();
    let reference: Reference = format!("{host}/a/b:c").parse().unwrap();
    let error = client.registries.resolve(&reference).unwrap_err();
    assert_eq!(error.class, Kind::Failed);
    assert!(error.what.contains(&host) && error.what.contains("tried 5 times"), "{error}");
}

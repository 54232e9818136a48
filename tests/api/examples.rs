//! Extracts and checks the examples of `spec/`: fenced blocks named `example FILE` hold the exact
//! bytes of the files of bundle `salt`, and the numbers given with them are right.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use packmule::bundle::Manifest;
use packmule::bundle::format::frame::store;
use packmule::bundle::format::manifest::Blob;
use packmule::bundle::format::tar::Tar;
use packmule::oci::digest::encode_hex;
use packmule::oci::{Algorithm, Digest};
use packmule::signing::PublicKey;

use crate::pages::examples;
use crate::vectors::{lay, unhex, verify};

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("spec").join(name)).unwrap()
}

/// A manifest that lists these blobs and no artifacts, for tests of sizes alone.
pub fn manifest_of(blobs: &[Blob]) -> Arc<Manifest> {
    let example = examples().remove("salt.json").unwrap();
    let mut manifest = Manifest::parse(&example).unwrap();
    manifest.artifacts.clear();
    manifest.blobs = blobs.to_vec();
    Arc::new(manifest)
}

#[test]
fn the_examples_of_the_spec_are_one_bundle_that_passes() {
    let dir = tempfile::tempdir().unwrap();
    let vector = lay("ok-example", dir.path());
    verify(&vector, dir.path()).expect("the example passes");
    let file = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let with_line_end = |bytes: &[u8]| [bytes, b"\n"].concat();
    let volume = file("salt.0001.tar.zst");
    // One stored frame: 10 bytes of frame and 3 of block header, then the stream.
    let stream = &volume[13..13 + 5120];
    let mut seen = 0;
    for (name, bytes) in examples() {
        seen += 1;
        match name.as_str() {
            "salt.json" | "salt.sig.json" => assert_eq!(bytes, file(&name), "{name}"),
            "salt.pub.pem" => {
                let key = PublicKey::from_pem(&with_line_end(&bytes)).expect("a key");
                assert_eq!(key, PublicKey::from_bytes(&vector.keys[0]).unwrap());
                assert!(page("signature.md").contains(key.id()), "its id");
            }
            "salt.sha256" => {
                let manifest = packmule::bundle::Manifest::parse(&file("salt.json")).unwrap();
                let id = Digest::sha256(&file("salt.json"));
                assert_eq!(with_line_end(&bytes), manifest.checksums(id).into_bytes());
                assert!(page("manifest.md").contains(&id.to_string()), "the bundle id");
            }
            "statement" => {
                let manifest = file("salt.json");
                let made = packmule::signing::statement(
                    packmule::bundle::format::manifest::MEDIA_TYPE,
                    Digest::sha256(&manifest),
                    manifest.len() as u64,
                );
                assert_eq!((bytes, made.len()), (made.clone(), 149));
            }
            "pae" => {
                let made = packmule::signing::pae(&examples()["statement"]);
                assert_eq!((bytes, made.len()), (made.clone(), 206));
            }
            // In `custody`.
            "received.json" | "received.sig.json" | "site.jsonl" => {}
            "index.json" => assert_eq!(bytes, &stream[1536..1536 + 415]),
            blob if blob.starts_with("blobs/sha256/") => {
                assert_eq!(Digest::sha256(&bytes).hex(), blob["blobs/sha256/".len()..]);
                assert_eq!(bytes, &stream[2560..2560 + 386]);
            }
            other => panic!("example {other}: nothing checks it"),
        }
    }
    assert_eq!(seen, 11, "all examples");
    for text in ["6,178 bytes", &Digest::sha256(&volume).hex()] {
        assert!(page("volume.md").contains(text), "volume.md: {text}");
    }
    for (offset, text) in
        [(0, "011243"), (512, "{\"imageLayoutVersion\""), (2048, "blobs/sha256/0f5f"), (4096, "blobs/sha256/07ad")]
    {
        let offset = if text == "011243" { 148 } else { offset };
        assert!(stream[offset..].starts_with(text.as_bytes()), "{offset}: {text}");
    }
    let sums = [&volume[5133..5137], &volume[6174..6178]].map(encode_hex);
    assert!(sums.iter().all(|sum| page("frame.md").contains(sum)), "{sums:?}");
}

#[test]
fn the_worked_numbers_are_right() {
    let frame = encode_hex(&store(b"hello, packmule\n"));
    assert!(page("frame.md").replace(' ', "").contains(&frame), "{frame}");
    let zero = Digest::from_raw(Algorithm::Sha256, &[0; 32]).unwrap();
    let long = Digest::from_raw(Algorithm::Sha512, &[0; 64]).unwrap();
    let blobs = [Blob { digest: zero, size: 10 << 30 }, Blob { digest: long, size: 1 }];
    let tar = Tar::new(manifest_of(&blobs)).unwrap();
    let text = page("tar-stream.md");
    for (member, name) in [(2, "a blob of 10 GiB"), (3, "the pax header")] {
        let header = tar.header(member);
        let sum = String::from_utf8(header[148..154].to_vec()).unwrap();
        assert!(text.contains(&format!("`{sum}`")), "{name}: {sum}");
    }
    assert_eq!(tar.header(2)[124..136], [0x80, 0, 0, 0, 0, 0, 0, 2, 0x80, 0, 0, 0]);
}

#[test]
fn the_keys_that_the_spec_lists_are_refused() {
    let text = page("signature.md");
    let is_key = |line: &&str| line.len() == 64 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    let keys: Vec<&str> = text.lines().filter(is_key).collect();
    assert_eq!(keys.len(), 8);
    for key in keys {
        assert!(PublicKey::from_bytes(&unhex(key)).is_err(), "{key}");
    }
}

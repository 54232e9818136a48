//! Rows U4 and A1 of `--scan-files`: the files of layers go to the scanner one by one, and a layer that
//! cannot be looked into is not clean.

use std::io::Write as _;

use serde_json::json;

use super::scan::{GZIP, KEY, bundle, gzip, image, keeper, kept, script, tar};
use super::shelf::noise;
use super::world::{dir, packmule, refused, sha256};

#[test]
fn u4_files_of_layers_are_given_one_by_one_and_the_rest_whole() {
    let test = "scan-files";
    let plain = tar(&[("etc/one", b"one"), ("etc/two", &noise(8, 700_000)), ("none", b"")]);
    let packed = gzip(&tar(&[("usr/bin/three", b"three")]));
    let squeezed = zstd::bulk::compress(&tar(&[("four", b"four")]), 3).unwrap();
    let layers = [
        ("application/vnd.oci.image.layer.v1.tar", plain),
        (GZIP, packed),
        ("application/vnd.oci.image.layer.v1.tar+zstd", squeezed),
        ("application/octet-stream", b"no layer".to_vec()),
    ];
    let images = [image(&layers)];
    let name = bundle(test, &images);
    let scanner = keeper(test);
    let args = |scanner: &str| -> Vec<String> {
        let words = ["verify", &name, "--scan-files", "--scan", scanner];
        words.iter().chain(&KEY).map(ToString::to_string).collect()
    };
    let run = |scanner: &str, code| {
        let words = args(scanner);
        packmule(&words.iter().map(String::as_str).collect::<Vec<_>>(), code).0
    };
    let done = run(&scanner, 0);
    assert_eq!((&done["result"]["scan"]["files"], &done["result"]["scan"]["blobs"]), (&json!(5), &json!(6)), "{done}");
    let config = images[0].blobs.last().unwrap();
    let given = [b"one", &noise(8, 700_000)[..], b"three", b"four", b"no layer", config, &images[0].manifest];
    let mut expected: Vec<String> = given.iter().map(|bytes| sha256(bytes)[7..].to_owned()).collect();
    expected.sort();
    assert_eq!(kept(test), expected);
    let picky = script(test, "[ \"$1\" = --version ] || [ \"$(cat)\" != three ]");
    let done = run(&picky, 15);
    let findings = done["result"]["scan"]["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{done}");
    assert_eq!((&findings[0]["path"], &findings[0]["blob"]), (&json!("usr/bin/three"), &json!(sha256(&layers[1].1))));
    assert_eq!(findings[0]["artifacts"][0]["repository"], "example.org/a/b", "{done}");
}

/// The media type of a layer counts wherever it is given; a layer that cannot be read is not clean.
#[test]
fn a1_u4_layers_that_cannot_be_looked_into_are_not_clean() {
    let test = "scan-hostile";
    let canary = dir().join("scan-canary");
    let mut hostile = tar(&[("fine", b"fine")]);
    // Absolute, upwards, through a link: only scanned, never followed.
    for name in [canary.display().to_string().as_str(), "../scan-canary", "../../scan-canary"] {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(5);
        header.set_mode(0o6755);
        header.set_cksum();
        let member = [&header.as_bytes()[..], b"bytes", &[0; 507]].concat();
        hostile.splice(0..0, member);
    }
    let mut header = tar::Header::new_ustar();
    header.set_size(400 << 20);
    header.set_cksum();
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(header.as_bytes()).unwrap();
    (0..401).for_each(|_| bomb.write_all(&vec![0; 1 << 20]).unwrap());
    let bomb = bomb.finish().unwrap();
    for (layer, found) in [
        (hostile, None),
        (b"no archive at all".repeat(100), None),
        (gzip(&tar(&[("a", &[1; 2000])])[..1500]), Some("truncated")),
        (gzip(&tar(&[("a", &[1; 2000])]))[..60].to_vec(), Some("truncated")),
        (bomb, Some("limits exceeded")),
    ] {
        let name = bundle(test, &[image(&[(GZIP, layer.clone())])]);
        // The file scan passes on a layer even if another image gives it another type first.
        let scanner = script(test, "cat >/dev/null");
        let args = [&["verify", &name, "--scan-files", "--scan", &scanner][..], &KEY].concat();
        match found {
            None => drop(packmule(&args, 0)),
            Some(found) => {
                let told = refused(&args, 15);
                assert!(told.contains(found) && told.contains(&sha256(&layer)), "{told}");
            }
        }
        assert!(!canary.exists());
    }
    // Another image gives it another type: it is unpacked anyway.
    let layer = tar(&[("x", b"findme")]);
    let name = bundle(test, &[image(&[("application/octet-stream", layer.clone())]), image(&[(GZIP, layer)])]);
    let picky = || script(test, "[ \"$1\" = --version ] || [ \"$(cat)\" != findme ]");
    refused(&[&["verify", &name, "--scan-files", "--scan", &picky()][..], &KEY].concat(), 15);
    // No archive: the scanner gets all of it. Encrypted: it would see nothing in it.
    let sealed = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
    for (kind, layer, found) in [(GZIP, &b"findme"[..], sha256(b"findme")), (sealed, &[7; 900], "encrypted".to_owned())]
    {
        let name = bundle(test, &[image(&[(kind, layer.to_vec())])]);
        let told = refused(&[&["verify", &name, "--scan-files", "--scan", &picky()][..], &KEY].concat(), 15);
        assert!(told.contains(&found), "{told}");
    }
}

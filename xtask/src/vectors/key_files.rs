//! Files of public keys that a policy names (`spec/signature.md`, Keys). Rows S4, S6, S17.

use super::Book;
use super::curve::{Key, above_p, low_order};
use super::desk::{base, block, changed, pem};
use super::envelope::base64;
use super::policy::{refused, with};
use super::scene::Entry;

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    keys(book);
}

fn keys(book: &mut Book) {
    let twice = |to: &str| changed("\"2.pem\"", to);
    refused(book, "S4-policy-key-in-two-entries", "one public key in two entries", &twice("\"1.pem\""));
    refused(book, "S4-policy-key-twice-in-entry", "one public key twice in an entry", &twice("[\"2.pem\", \"2.pem\"]"));
    refused(book, "S4-policy-key-under-two-paths", "one public key by two ways to its file", &twice("\"./1.pem\""));
    let mut copy = base(&changed("\"2.pem\"", "\"copy.pem\""));
    copy.lay("copy.pem", pem(&Key::of(1).public).as_bytes());
    book.add(copy, "S4-policy-key-in-two-files", "USAGE", "one public key in two files");
    let unused = "spare = { public = \"spare.pem\", holder = \"spare\", role = \"release\" }\n[channel.apps]";
    let unused = base(&changed("[channel.apps]", unused));
    book.add(unused, "S17-key-missing-unused", "USAGE", "the file of a key that no section names is not there");
    let one = pem(&Key::of(1).public);
    let der = |algorithm: &[u8], key: &[u8]| {
        let head = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03][..], algorithm, &[0x03, 0x21, 0x00]].concat();
        block(&[&head, key].concat())
    };
    let private = [
        &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20][..],
        &[1; 32],
    ]
    .concat();
    let private = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", base64(&private));
    for (name, comment, file) in [
        ("S17-key-not-pem", "no PEM", "release desk\n".to_owned()),
        ("S17-key-hex", "the key in hex", Key::of(1).id()),
        ("S17-key-private", "a private key in the place of the public one", private),
        ("S17-key-certificate", "another label", one.replace("PUBLIC KEY", "CERTIFICATE")),
        ("S17-key-two-blocks", "two keys in a file", one.clone() + &pem(&Key::of(3).public)),
        ("S17-key-text-before", "text in front of the block", format!("release desk\n{one}")),
        ("S17-key-text-behind", "text behind the block", format!("{one}release desk\n")),
        ("S17-key-cut", "its last line lacks", one.replace("-----END PUBLIC KEY-----\n", "")),
        ("S17-key-x25519", "a key of another algorithm", der(&[0x2b, 0x65, 0x6e], &Key::of(1).public)),
        (
            "S17-key-31-bytes",
            "a key that is too short",
            block(&[&[0x30, 0x29, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x20, 0x00][..], &[9; 31]].concat()),
        ),
        (
            "S17-key-with-null",
            "parameters behind the algorithm",
            block(
                &[
                    &[0x30, 0x2c, 0x30, 0x07, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x05, 0x00, 0x03, 0x21, 0x00][..],
                    &Key::of(1).public,
                ]
                .concat(),
            ),
        ),
        (
            "S17-key-byte-behind",
            "a byte behind the key's DER",
            block(
                &[
                    &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..],
                    &Key::of(1).public,
                    &[0],
                ]
                .concat(),
            ),
        ),
        ("S6-policy-low-order", "a key that anyone could sign for", pem(&low_order()[4])),
        ("S6-policy-identity", "the neutral element as key", pem(&low_order()[0])),
        ("S6-policy-above-p", "a key whose encoding is not canonical", pem(&above_p(3))),
    ] {
        let scene = with(|scene| scene.instead("1.pem", &[Entry::File("1.pem".to_owned(), file.into_bytes())]));
        book.add(scene, name, "USAGE", comment);
    }
}

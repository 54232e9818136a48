//! Rows S1, S2, S8 and S10, and a command without trust: who must have signed, and what.

use std::fs;

use packmule::base::fault::Class;
use packmule::bundle::format::manifest::MEDIA_TYPE;
use packmule::bundle::open;
use packmule::oci::Digest;
use packmule::signing::envelope::{PAYLOAD_TYPE, Signature, pae};
use packmule::signing::{Envelope, statement};

use crate::{Bundle, assert_class, key, packmule};

/// Replaces the signatures by this raw signature, claimed to be of key 1.
fn claim(bundle: &Bundle, payload: Vec<u8>, sig: &[u8]) -> packmule::base::fault::Fault {
    let signatures = vec![Signature { keyid: key(1).public().id().to_owned(), sig: sig.to_vec() }];
    let file = Envelope { payload, signatures }.to_bytes();
    bundle.with("b.sig.json", &file, || bundle.refusal("a forged signature"))
}

#[test]
fn s1_no_signature() {
    let bundle = Bundle::small("9", &[]);
    assert_class(&bundle.refusal("an empty list"), Class::Signature, "an empty list");
    assert_eq!(bundle.command().code, 12);
    fs::remove_file(bundle.path("b.sig.json")).unwrap();
    assert_class(&bundle.refusal("no file"), Class::Signature, "no file");
    assert_eq!(bundle.command().code, 12);
}

#[test]
fn s2_an_unknown_key_alone_and_its_id_forged() {
    let bundle = Bundle::small("9", &[2]);
    assert_class(&bundle.refusal("unknown"), Class::Trust, "unknown");
    assert_eq!(bundle.command().code, 13);
    let statement = open(&bundle.dir()).unwrap().statement();
    let fault = claim(&bundle, statement.clone(), &key(2).sign(&pae(&statement)));
    assert_class(&fault, Class::Signature, "forged id");
    // The right key replaces it.
    let ended = packmule(bundle.root.path(), &["sign", "usb/b", "--sign", "1.pem"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(bundle.command().code, 0);
}

#[test]
fn s2_two_keys_given_and_one_signed() {
    let bundle = Bundle::small("9", &[1]);
    let verify = ["verify", "usb/b", "--key", "1.pub.pem", "--key", "2.pub.pem"];
    assert_eq!(packmule(bundle.root.path(), &verify).code, 13);
    assert_eq!(packmule(bundle.root.path(), &[&verify[..], &["--threshold", "1"]].concat()).code, 0);
}

#[test]
fn s8_a_bad_signature_of_a_known_key_beside_a_good_one() {
    let bundle = Bundle::small("9", &[1, 2]);
    let mut envelope = Envelope::parse(&fs::read(bundle.path("b.sig.json")).unwrap()).unwrap();
    let two = key(2).public().id().to_owned();
    envelope.signatures.iter_mut().find(|one| one.keyid == two).unwrap().sig[0] ^= 1;
    let verify = ["verify", "usb/b", "--key", "1.pub.pem", "--key", "2.pub.pem", "--threshold", "1"];
    let ended = bundle.with("b.sig.json", &envelope.to_bytes(), || packmule(bundle.root.path(), &verify));
    assert_eq!(ended.code, 12, "{}", ended.stderr);
}

#[test]
fn s10_a_signature_for_something_else() {
    let bundle = Bundle::small("9", &[1]);
    let manifest = fs::read(bundle.path("b.json")).unwrap();
    let good = open(&bundle.dir()).unwrap().statement();
    let id = Digest::sha256(&manifest);
    let (one, size) = (key(1), manifest.len() as u64);

    let receipt = statement("application/vnd.packmule.receipt.v1+json", id, size);
    let other = statement(MEDIA_TYPE, Digest::sha256(b"another"), size);
    let longer = statement(MEDIA_TYPE, id, size + 1);
    for payload in [receipt, other, longer] {
        // A valid signature, but not over this manifest as a manifest.
        let sig = one.sign(&pae(&payload));
        assert_class(&claim(&bundle, payload.clone(), &sig), Class::Signature, "another statement");
        assert_class(&claim(&bundle, good.clone(), &sig), Class::Signature, "its signature under the right statement");
    }
    for message in [good.clone(), manifest.clone(), [b"DSSEv1 4 text 200 ", &good[..]].concat()] {
        assert_class(&claim(&bundle, good.clone(), &one.sign(&message)), Class::Signature, "another context");
    }
    let text = fs::read_to_string(bundle.path("b.sig.json")).unwrap();
    let retyped = text.replace(PAYLOAD_TYPE, "application/vnd.packmule.log.v1+json");
    assert_ne!(text, retyped);
    let fault = bundle.with("b.sig.json", retyped.as_bytes(), || bundle.refusal("another type"));
    assert_class(&fault, Class::Signature, "another type");
    assert_eq!(bundle.command().code, 0);
}

#[test]
fn without_a_key_nothing_is_verified_or_imported_and_the_signers_are_named() {
    let bundle = Bundle::small("9", &[1]);
    for args in
        [&["verify", "usb/b"][..], &["import", "usb/b", "--to", "oci:site"], &["verify", "usb/b", "--threshold", "1"]]
    {
        let ended = packmule(bundle.root.path(), args);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(key(1).public().id()), "{}", ended.stderr);
    }
    assert!(!bundle.root.path().join("site").exists());
}

//! Signature files: their form, their signers, and the signed content. Rows S1, S2, S4, S8, S9, S10
//! (`spec/signature.md`).

use super::Book;
use super::content::{Built, Content, sha256};
use super::curve::Key;
use super::envelope::{BUNDLE_TYPE, Envelope, base64};
use super::scene::Scene;
use serde_json::{Value, json};

fn base() -> Built {
    Content::salt().packed()
}

/// Returns the base's manifest.
fn manifest() -> String {
    base().manifest().to_string()
}

/// Returns a valid envelope by these test keys.
fn by(seeds: &[u8]) -> Envelope {
    let mut envelope = Envelope::over(manifest().as_bytes());
    let message = envelope.message();
    for seed in seeds {
        envelope.add(&Key::of(*seed).id(), &Key::of(*seed).sign(&message));
    }
    envelope
}

/// Returns the base with this signature file, trusting key 1.
fn with(file: &str) -> Scene {
    base().scene(manifest().as_bytes(), file.as_bytes())
}

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    form(book);
    text(book);
    encoding(book);
    who(book);
    over(book);
    keys(book);
}

fn form(book: &mut Book) {
    type Edit = fn(&mut Value);
    let drop_member = |value: &mut Value, member: &str| {
        if let Some(object) = value.as_object_mut() {
            object.remove(member);
        }
    };
    let cases: [(&str, &str, Edit); 24] = [
        ("unknown-member", "a member beside the three", |e| e["x"] = json!(1)),
        ("unknown-member-in-signature", "a certificate beside a signature", |e| e["signatures"][0]["cert"] = json!("")),
        ("payload-null", "payload is null", |e| e["payload"] = json!(null)),
        ("payload-number", "payload is no string", |e| e["payload"] = json!(1)),
        ("payload-object", "payload is the statement itself", |e| e["payload"] = json!({"digest": "x"})),
        ("payload-type-number", "payloadType is no string", |e| e["payloadType"] = json!(1)),
        ("payload-type-control", "a control character in payloadType", |e| e["payloadType"] = json!("a\n")),
        ("signatures-null", "signatures is null", |e| e["signatures"] = json!(null)),
        ("signatures-object", "signatures is no array", |e| e["signatures"] = json!({"a": 1})),
        ("signature-string", "a signature is no object", |e| e["signatures"] = json!(["x"])),
        ("signature-null", "a signature is null", |e| e["signatures"] = json!([null])),
        ("keyid-upper-case", "upper-case hex in keyid", |e| {
            e["signatures"][0]["keyid"] = json!(Key::of(1).id().to_uppercase());
        }),
        ("keyid-63-digits", "keyid of 63 digits", |e| e["signatures"][0]["keyid"] = json!(Key::of(1).id()[1..])),
        ("keyid-65-digits", "keyid of 65 digits", |e| e["signatures"][0]["keyid"] = json!(Key::of(1).id() + "0")),
        ("keyid-empty", "an empty keyid", |e| e["signatures"][0]["keyid"] = json!("")),
        ("keyid-with-algorithm", "sha256: before the keyid", |e| {
            e["signatures"][0]["keyid"] = json!(format!("sha256:{}", Key::of(1).id()));
        }),
        ("keyid-null", "keyid is null", |e| e["signatures"][0]["keyid"] = json!(null)),
        ("sig-number", "sig is no string", |e| e["signatures"][0]["sig"] = json!(1)),
        ("sig-empty", "a signature of no bytes", |e| e["signatures"][0]["sig"] = json!("")),
        ("sig-hex", "a signature in hex that is no base64 of its length", |e| e["signatures"][0]["sig"] = json!("abc")),
        ("sig-url-alphabet", "base64 of another alphabet", |e| e["signatures"][0]["sig"] = json!("-_-_")),
        ("sig-with-line-end", "base64 with a line end", |e| {
            let text = e["signatures"][0]["sig"].as_str().unwrap_or_default().to_owned();
            e["signatures"][0]["sig"] = json!(text + "\n");
        }),
        ("sig-above-64-kib", "a signature of 65,537 bytes", |e| {
            e["signatures"][0]["sig"] = json!(base64(&vec![1; 65_537]));
        }),
        ("sig-padding-within", "padding in the middle", |e| e["signatures"][0]["sig"] = json!("AA==AA==")),
    ];
    for (name, comment, edit) in cases {
        let mut value = by(&[1]).value();
        edit(&mut value);
        book.add(with(&value.to_string()), &format!("envelope-{name}"), "FMT", comment);
    }
    for member in ["payload", "payloadType", "signatures"] {
        let mut value = by(&[1]).value();
        drop_member(&mut value, member);
        book.add(with(&value.to_string()), &format!("envelope-without-{member}"), "FMT", "a member is absent");
    }
    for member in ["keyid", "sig"] {
        let mut value = by(&[1]).value();
        drop_member(&mut value["signatures"][0], member);
        book.add(with(&value.to_string()), &format!("envelope-without-{member}"), "FMT", "a member is absent");
    }
    let mut swapped = by(&[1, 2]).value();
    swapped["signatures"] = json!([swapped["signatures"][1], swapped["signatures"][0]]);
    book.add(with(&swapped.to_string()), "envelope-out-of-order", "FMT", "key ids not in order");
    let mut twice = by(&[1]).value();
    twice["signatures"] = json!([twice["signatures"][0], twice["signatures"][0]]);
    book.add(with(&twice.to_string()), "envelope-signature-twice", "FMT", "a key id stands twice");
    // The form is checked before the type.
    let mut both = by(&[1]).value();
    both["payloadType"] = json!("application/json");
    book.add(with(&format!("{both} ")), "envelope-form-before-type", "FMT", "another payloadType, and a space behind");
}

fn text(book: &mut Book) {
    let good = by(&[1]).to_string();
    for (name, comment, text) in [
        ("line-end", "a line end behind", format!("{good}\n")),
        ("space", "white space inside", good.replacen("\":", "\": ", 1)),
        ("byte-order-mark", "a byte order mark in front", format!("\u{feff}{good}")),
        ("twice", "the file behind the file", format!("{good}{good}")),
        ("cut", "the last byte lacks", good[..good.len() - 1].to_owned()),
        ("cut-in-half", "half of the file", good[..good.len() / 2].to_owned()),
        ("order", "members not in order", {
            let (payload, rest) = good[1..good.len() - 1].split_once(',').unwrap_or_default();
            format!("{{{rest},{payload}}}")
        }),
        (
            "member-twice",
            "payloadType stands twice",
            good.replacen("\"payloadType\"", "\"payloadType\":\"x\",\"payloadType\"", 1),
        ),
        ("escape", "an escaped slash in the type", good.replacen("application/", "application\\/", 1)),
        ("escaped-name", "an escaped letter in a name", good.replacen("\"payload\"", "\"p\\u0061yload\"", 1)),
        ("array", "an array of the envelope", format!("[{good}]")),
        ("not-json", "text", "signed, I swear".to_owned()),
        ("one-byte", "one byte", "{".to_owned()),
        ("null", "null", "null".to_owned()),
        ("nesting", "nested without an end", "[".repeat(20_000)),
        ("pem", "a PEM block", "-----BEGIN SIGNATURE-----\nAAAA\n-----END SIGNATURE-----\n".to_owned()),
    ] {
        book.add(with(&text), &format!("envelope-{name}"), "FMT", comment);
    }
    let mut bytes = good.clone().into_bytes();
    bytes[20] = 0xff;
    book.add(base().scene(manifest().as_bytes(), &bytes), "envelope-not-utf-8", "FMT", "a byte that is no UTF-8");
}

fn encoding(book: &mut Book) {
    let envelope = by(&[1]);
    let good = envelope.value();
    let sig = good["signatures"][0]["sig"].as_str().unwrap_or_default().to_owned();
    // 64 bytes end in one digit with four unused bits, followed by two padding characters.
    let last = |text: &str| {
        let mut bytes = text.trim_end_matches('=').to_owned();
        let digit = bytes.pop().unwrap_or_default();
        let next = char::from(u8::try_from(u32::from(digit)).unwrap_or_default() + 1);
        format!("{bytes}{next}==")
    };
    for (name, comment, text) in [
        ("sig-without-padding", "base64 without padding", sig.trim_end_matches('=').to_owned()),
        ("sig-unused-bits", "base64 whose unused bits are not 0", last(&sig)),
        ("sig-padding-more", "one sign of padding too many", format!("{sig}=")),
    ] {
        let mut value = good.clone();
        value["signatures"][0]["sig"] = json!(text);
        book.add(with(&value.to_string()), &format!("envelope-{name}"), "FMT", comment);
    }
    let mut value = good.clone();
    let payload = good["payload"].as_str().unwrap_or_default();
    assert!(payload.ends_with('='), "the statement's base64 is padded");
    value["payload"] = json!(payload.trim_end_matches('='));
    book.add(with(&value.to_string()), "envelope-payload-without-padding", "FMT", "base64 without padding");
}

fn who(book: &mut Book) {
    let file = |envelope: &Envelope| with(&envelope.to_string());
    book.add(file(&by(&[])), "S1-empty-list", "SIG", "no signature in the list");
    book.add(file(&by(&[2])), "S2-unknown-key", "TRUST", "a valid signature by an unknown key alone");
    book.add(file(&by(&[2, 3, 4])), "S2-unknown-keys", "TRUST", "valid signatures by unknown keys alone");
    let mut forged = by(&[]);
    forged.add(&Key::of(1).id(), &Key::of(2).sign(&forged.message()));
    book.add(file(&forged), "S2-keyid-forged", "SIG", "another key's signature under the trusted id");
    let wrong = |envelope: &mut Envelope, seed: u8| {
        let id = Key::of(seed).id();
        if let Some((_, sig)) = envelope.signatures.iter_mut().find(|(keyid, _)| *keyid == id) {
            sig[3] ^= 1;
        }
    };
    let three = |scene: &mut Scene| scene.keys = [1, 2, 3].map(|seed| Key::of(seed).public).to_vec();
    for (name, expect, comment, signers, bad, threshold) in [
        ("S2-one-of-two", "TRUST", "one of three has signed, two must", &[1][..], None, Some(2)),
        ("S2-two-of-three", "TRUST", "two of three have signed, all must", &[1, 2], None, None),
        (
            "S2-unknown-does-not-count",
            "TRUST",
            "one known and one unknown have signed, two must",
            &[1, 9],
            None,
            Some(2),
        ),
        (
            "S8-bad-beside-good",
            "SIG",
            "a bad signature by a known key beside enough good ones",
            &[1, 2, 3],
            Some(3),
            Some(1),
        ),
        ("S8-bad-first", "SIG", "a bad signature by a known key beside a good one", &[1, 2], Some(1), Some(1)),
        (
            "S8-bad-beside-unknown",
            "SIG",
            "a bad signature by a known key beside an unknown one",
            &[1, 9],
            Some(1),
            Some(1),
        ),
        (
            "ok-S8-bad-but-unknown",
            "PASS",
            "a bad signature by an unknown key beside a good one",
            &[1, 9],
            Some(9),
            Some(1),
        ),
    ] {
        let mut envelope = by(signers);
        if let Some(seed) = bad {
            wrong(&mut envelope, seed);
        }
        book.change(file(&envelope), name, expect, comment, |scene| {
            three(scene);
            scene.threshold = threshold;
        });
    }
    let many: Vec<u8> = (1..=33).collect();
    book.add(file(&by(&many)), "S9-33-signatures", "FMT", "a signature too many");
    let mut thousands = by(&[1]).value();
    let entries: Vec<Value> = (0..1_000).map(|n| json!({ "keyid": format!("{n:064}"), "sig": "AA==" })).collect();
    thousands["signatures"] = json!(entries);
    book.add(with(&thousands.to_string()), "S9-1000-signatures", "FMT", "a thousand signatures");
}

fn over(book: &mut Book) {
    let text = manifest();
    let (id, size) = (sha256(text.as_bytes()), text.len());
    let key = Key::of(1);
    let signed = |mut envelope: Envelope| {
        let sig = key.sign(&envelope.message());
        envelope.add(&key.id(), &sig);
        with(&envelope.to_string())
    };
    let retyped = |kind: &str| Envelope { payload_type: kind.to_owned(), ..by(&[]) };
    let payload = |bytes: &[u8]| Envelope { payload: bytes.to_vec(), ..by(&[]) };
    let statement = by(&[]).payload;
    for (name, comment, envelope) in [
        (
            "receipt",
            "a statement over a receipt with this digest",
            Envelope::of("application/vnd.packmule.receipt.v1+json", &id, size),
        ),
        ("other-manifest", "a statement over another manifest", Envelope::of(BUNDLE_TYPE, &sha256(b"another"), size)),
        ("size-one-more", "a statement with another size", Envelope::of(BUNDLE_TYPE, &id, size + 1)),
        ("payload-empty", "an empty payload", payload(b"")),
        ("payload-manifest", "the manifest itself as payload", payload(text.as_bytes())),
        ("payload-line-end", "a line end behind the statement", payload(&[&statement[..], b"\n"].concat())),
        (
            "payload-spaced",
            "the statement with white space",
            payload(&String::from_utf8_lossy(&statement).replace(':', ": ").into_bytes()),
        ),
        ("type-log", "another payloadType", retyped("application/vnd.packmule.log.v1+json")),
        ("type-in-toto", "another payloadType", retyped("application/vnd.in-toto+json")),
        ("type-upper-case", "another payloadType", retyped("application/vnd.packmule.statement.V1+json")),
        ("type-empty", "an empty payloadType", retyped("")),
        ("type-with-quote", "a payloadType with an escape", retyped("a\"b\\c")),
    ] {
        book.add(signed(envelope), &format!("S10-{name}"), "SIG", comment);
    }
    let as_if = |sig: Vec<u8>| {
        let mut envelope = by(&[]);
        envelope.add(&key.id(), &sig);
        with(&envelope.to_string())
    };
    let other_type = retyped("application/vnd.packmule.log.v1+json").message();
    let pae = by(&[]).message();
    for (name, comment, message) in [
        ("signed-manifest", "a signature over the manifest's bytes", text.clone().into_bytes()),
        ("signed-statement", "a signature over the statement without PAE", statement.clone()),
        ("signed-base64", "a signature over the payload in base64", base64(&statement).into_bytes()),
        ("signed-other-type", "a signature whose PAE has another type", other_type),
        ("signed-line-end", "a signature over the PAE and a line end", [&pae[..], b"\n"].concat()),
        ("signed-nothing", "a signature over nothing", Vec::new()),
        ("signed-v2", "a signature over another version of the PAE", [b"DSSEv2", &pae[6..]].concat()),
    ] {
        book.add(as_if(key.sign(&message)), &format!("S10-{name}"), "SIG", comment);
    }
}

fn keys(book: &mut Book) {
    let good = || with(&by(&[1]).to_string());
    let two = |scene: &mut Scene| scene.keys.push(Key::of(2).public);
    book.change(good(), "S4-threshold-0", "USAGE", "a threshold that nothing must reach", |s| s.threshold = Some(0));
    book.change(good(), "S4-threshold-above-keys", "USAGE", "a threshold above the number of keys", |s| {
        two(s);
        s.threshold = Some(3);
    });
    book.change(good(), "S4-key-twice", "USAGE", "a key given twice", |s| s.keys.push(s.keys[0]));
    book.change(good(), "S4-no-key", "USAGE", "no key at all", |s| s.keys.clear());
    book.change(good(), "S4-no-key-and-no-manifest", "USAGE", "keys first", |s| {
        s.keys.clear();
        s.put("json", b"x");
    });
}

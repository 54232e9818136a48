//! Policy entries that require a signature by ML-DSA in addition to one by Ed25519
//! (`spec/signature.md`, ML-DSA).
//!
//! The keys are made from fixed, public seeds: they are **test keys** and must never be trusted.

use super::Book;
use super::content::sha256;
use super::curve::Key;
use super::desk::{at, block, under};
use super::envelope::Envelope;
use super::scene::{Entry, Scene};
use ml_dsa::signature::Keypair as _;
use ml_dsa::{MlDsa44, MlDsa65, MlDsa87, MlDsaParams, SigningKey};

/// A parameter set: its name, the last byte of its identifier, the length of its public keys, and
/// functions that make a public key from a test key's number and a signature with a context.
struct Set {
    word: &'static str,
    oid: u8,
    size: usize,
    public: fn(u8) -> Vec<u8>,
    sign: fn(u8, &[u8], &[u8]) -> Vec<u8>,
}

const SETS: [Set; 2] = [
    Set { word: "65", oid: 18, size: 1952, public: public::<MlDsa65>, sign: sign::<MlDsa65> },
    Set { word: "87", oid: 19, size: 2592, public: public::<MlDsa87>, sign: sign::<MlDsa87> },
];

fn public<P: MlDsaParams>(seed: u8) -> Vec<u8> {
    SigningKey::<P>::from_seed(&[seed; 32].into()).verifying_key().encode().to_vec()
}

fn sign<P: MlDsaParams>(seed: u8, message: &[u8], context: &[u8]) -> Vec<u8> {
    let key = SigningKey::<P>::from_seed(&[seed; 32].into());
    let signature = key.expanded_key().sign_deterministic(message, context);
    // A short context is always accepted, and the search for a signature has never failed.
    signature.map(|signature| signature.encode().to_vec()).unwrap_or_default()
}

/// Returns a SubjectPublicKeyInfo of this algorithm, with `more` after its identifier.
fn info(oid: u8, more: &[u8], public: &[u8]) -> Vec<u8> {
    let long = |kind: u8, content: &[u8]| {
        let [high, low] = u16::try_from(content.len()).unwrap_or_default().to_be_bytes();
        [&[kind, 0x82, high, low], content].concat()
    };
    let oid = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, oid];
    let size = u8::try_from(oid.len() + more.len()).unwrap_or_default();
    let algorithm = [&[0x30, size][..], &oid, more].concat();
    long(0x30, &[algorithm, long(0x03, &[&[0], public].concat())].concat())
}

impl Set {
    fn der(&self, seed: u8) -> Vec<u8> {
        info(self.oid, &[], &(self.public)(seed))
    }

    fn id(&self, seed: u8) -> String {
        sha256(&self.der(seed))["sha256:".len()..].to_owned()
    }
}

const POLICY: &str = "[key]\nrelease = { public = [\"1.pem\", \"second.pem\"], holder = \"desk\", role = \"release\" }\n\
                      [channel.apps]\nkeys = [\"release\"]\n";

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    for set in &SETS {
        signatures(book, set);
        keys(book, set);
    }
    both(book);
}

/// Returns a bundle, signed by `sign`, and verified with a policy whose entry requires key 1 and a
/// key of `set`.
fn scene(set: &Set, policy: &str, sign: impl FnOnce(&mut Envelope, &[u8])) -> Scene {
    let built = at(0, 7).packed();
    let manifest = built.manifest().to_string();
    let mut envelope = Envelope::over(manifest.as_bytes());
    let message = envelope.message();
    sign(&mut envelope, &message);
    let mut scene = under(built.scene(manifest.as_bytes(), envelope.to_string().as_bytes()), policy);
    scene.lay("second.pem", block(&set.der(1)).as_bytes());
    scene
}

fn signatures(book: &mut Book, set: &Set) {
    type Spoil<'a> = &'a dyn Fn(&mut Vec<u8>, &[u8]);
    let word = set.word;
    let classic = |envelope: &mut Envelope, message: &[u8]| envelope.add(&Key::of(1).id(), &Key::of(1).sign(message));
    let right = |message: &[u8]| (set.sign)(1, message, b"");
    let good = scene(set, POLICY, |envelope, message| {
        classic(envelope, message);
        envelope.add(&set.id(1), &right(message));
    });
    book.add(good, &format!("ok-hybrid-{word}"), "PASS", "both keys of the entry have signed");
    let alone = POLICY.replace("[\"1.pem\", \"second.pem\"]", "\"second.pem\"");
    let alone = scene(set, &alone, |envelope, message| envelope.add(&set.id(1), &right(message)));
    book.add(alone, &format!("ok-hybrid-{word}-entry-of-its-own"), "PASS", "the one key of an entry has signed");
    let one = scene(set, POLICY, classic);
    book.add(
        one,
        &format!("hybrid-{word}-ed25519-alone"),
        "TRUST",
        "of the entry's two keys that of Ed25519 has signed",
    );
    let one = scene(set, POLICY, |envelope, message| envelope.add(&set.id(1), &right(message)));
    book.add(one, &format!("hybrid-{word}-ml-dsa-alone"), "TRUST", "of the entry's two keys that of ML-DSA has signed");
    let wrong = scene(set, POLICY, |envelope, message| {
        let mut sig = Key::of(1).sign(message);
        sig[9] ^= 1;
        envelope.add(&Key::of(1).id(), &sig);
        envelope.add(&set.id(1), &right(message));
    });
    book.add(
        wrong,
        &format!("hybrid-{word}-ed25519-wrong"),
        "SIG",
        "a good signature of ML-DSA beside a bad one of Ed25519",
    );
    let cases: [(&str, &str, Spoil<'_>); 12] = [
        ("first-bit", "one bit at the start of the signature", &|sig, _| sig[0] ^= 1),
        ("middle-bit", "one bit in the middle of the signature", &|sig, _| {
            let middle = sig.len() / 2;
            sig[middle] ^= 0x10;
        }),
        ("last-bit", "one bit in the last byte of the signature, its count of hints", &|sig, _| {
            if let Some(last) = sig.last_mut() {
                *last ^= 1;
            }
        }),
        ("hint-out-of-order", "a hint out of its order", &|sig, _| {
            let hints = sig.len() - if sig.len() == 3309 { 61 } else { 83 };
            sig.swap(hints, hints + 1);
        }),
        ("byte-less", "a byte too few", &|sig, _| sig.truncate(sig.len() - 1)),
        ("byte-more", "a byte too many", &|sig, _| sig.push(0)),
        ("zeros", "zeros in place of a signature", &|sig, _| sig.fill(0)),
        ("ones", "all bits set: ‖z‖ is above its bound", &|sig, _| sig.fill(0xff)),
        ("other-key", "another key's signature under this keyid", &|sig, message| *sig = (set.sign)(2, message, b"")),
        ("with-context", "a signature with a context", &|sig, message| *sig = (set.sign)(1, message, b"packmule")),
        ("other-message", "a signature over something else", &|sig, message| *sig = (set.sign)(1, &message[1..], b"")),
        ("ed25519-in-its-place", "a signature of Ed25519 under this keyid", &|sig, message| {
            *sig = Key::of(1).sign(message);
        }),
    ];
    for (name, comment, spoil) in cases {
        let scene = scene(set, POLICY, |envelope, message| {
            classic(envelope, message);
            let mut sig = right(message);
            spoil(&mut sig, message);
            envelope.add(&set.id(1), &sig);
        });
        // Comments are ASCII only.
        book.add(scene, &format!("hybrid-{word}-{name}"), "SIG", &comment.replace("‖z‖", "the norm of z"));
    }
}

fn keys(book: &mut Book, set: &Set) {
    let word = set.word;
    let good = |policy: &str| {
        scene(set, policy, |envelope, message| {
            envelope.add(&Key::of(1).id(), &Key::of(1).sign(message));
            envelope.add(&set.id(1), &(set.sign)(1, message, b""));
        })
    };
    let public = (set.public)(1);
    for (name, comment, der) in [
        ("key-short", "a public key without its last byte", info(set.oid, &[], &public[1..])),
        ("key-long", "a public key with a byte too many", info(set.oid, &[], &[&public[..], &[0]].concat())),
        ("key-with-null", "parameters behind the algorithm", info(set.oid, &[5, 0], &public)),
        ("key-of-other-set", "the other set's algorithm in front of the key", info(37 - set.oid, &[], &public)),
        ("key-prehashed", "the algorithm of the prehashed variant", info(set.oid + 15, &[], &public)),
        ("key-byte-behind", "a byte behind the key's DER", [&set.der(1)[..], &[0]].concat()),
    ] {
        let mut scene = good(POLICY);
        scene.instead("second.pem", &[Entry::File("second.pem".to_owned(), block(&der).into_bytes())]);
        book.add(scene, &format!("hybrid-{word}-{name}"), "USAGE", comment);
    }
    let spare = "spare = { public = \"spare.pem\", holder = \"spare\", role = \"release\" }\n[channel.apps]";
    let mut zeros = good(&POLICY.replace("[channel.apps]", spare));
    zeros.lay("spare.pem", block(&info(set.oid, &[], &vec![0; set.size])).as_bytes());
    book.add(
        zeros,
        &format!("ok-hybrid-{word}-key-of-zeros"),
        "PASS",
        "a key of zeros loads: every string of the right length is one",
    );
    let mut twice = good(&POLICY.replace("[channel.apps]", spare));
    twice.lay("spare.pem", block(&set.der(1)).as_bytes());
    book.add(twice, &format!("hybrid-{word}-key-twice"), "USAGE", "one public key in two entries");
}

fn both(book: &mut Book) {
    let [first, second] = &SETS;
    let policy = POLICY.replace("\"second.pem\"]", "\"second.pem\", \"third.pem\"]");
    let all = |three: bool| {
        let mut scene = scene(first, &policy, |envelope, message| {
            envelope.add(&Key::of(1).id(), &Key::of(1).sign(message));
            envelope.add(&first.id(1), &(first.sign)(1, message, b""));
            if three {
                envelope.add(&second.id(1), &(second.sign)(1, message, b""));
            }
        });
        scene.lay("third.pem", block(&second.der(1)).as_bytes());
        scene
    };
    book.add(all(true), "ok-hybrid-three", "PASS", "an entry of three keys, one of each kind: all have signed");
    book.add(
        all(false),
        "hybrid-two-of-three",
        "TRUST",
        "an entry of three keys, one of each kind: that of ML-DSA-87 has not signed",
    );
    let mut small = scene(first, POLICY, |envelope, message| envelope.add(&Key::of(1).id(), &Key::of(1).sign(message)));
    let der = info(17, &[], &public::<MlDsa44>(1));
    small.instead("second.pem", &[Entry::File("second.pem".to_owned(), block(&der).into_bytes())]);
    book.add(small, "hybrid-ml-dsa-44", "USAGE", "a key of ML-DSA-44, which nobody takes");
}

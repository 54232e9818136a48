//! Ed25519 cases in which implementations are known to differ: rows S5 and S6, after CCTV and
//! Wycheproof (`spec/signature.md`, "Verification is strict"). All are computed here, over the
//! message of a real bundle.

use super::Book;
use super::content::{Built, Content};
use super::curve::{Key, above_p, is_point, keyid, low_order, negative, with_order_added};
use super::envelope::Envelope;
use super::scene::{Scene, hex};

type Change<'a> = &'a dyn Fn(&mut Vec<u8>);

struct Desk {
    base: Built,
    manifest: String,
    message: Vec<u8>,
}

impl Desk {
    fn new() -> Self {
        let base = Content::salt().packed();
        let manifest = base.manifest().to_string();
        let message = Envelope::over(manifest.as_bytes()).message();
        Self { base, manifest, message }
    }

    /// Returns the bundle with this signature by this key, which is trusted.
    fn scene(&self, public: &[u8; 32], signature: &[u8]) -> Scene {
        let mut envelope = Envelope::over(self.manifest.as_bytes());
        envelope.add(&keyid(public), signature);
        let mut scene = self.base.scene(self.manifest.as_bytes(), envelope.to_string().as_bytes());
        scene.keys = vec![*public];
        scene
    }
}

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    let desk = Desk::new();
    changed(book, &desk);
    scalars(book, &desk);
    points(book, &desk);
    mixed(book, &desk);
    weak(book, &desk);
}

fn changed(book: &mut Book, desk: &Desk) {
    let key = Key::of(1);
    let good = key.sign(&desk.message);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut signature = good.clone();
        change(&mut signature);
        desk.scene(&key.public, &signature)
    };
    let cases: [(&str, &str, Change<'_>); 12] = [
        ("r-first-bit", "a bit of R", &|s| s[0] ^= 1),
        ("r-sign-bit", "the sign of R", &|s| s[31] ^= 0x80),
        ("s-first-bit", "a bit of S", &|s| s[32] ^= 1),
        ("s-last-bit", "the highest bit of S", &|s| s[63] ^= 0x80),
        ("63-bytes", "the last byte lacks", &|s| s.truncate(63)),
        ("65-bytes", "a byte more", &|s| s.push(0)),
        ("32-bytes", "R alone", &|s| s.truncate(32)),
        ("128-bytes", "the signature twice", &|s| s.extend(s.clone())),
        ("halves-swapped", "S before R", &|s| s.rotate_left(32)),
        ("reversed", "the other byte order", &|s| s.reverse()),
        ("zero", "all bytes 0", &|s| s.fill(0)),
        ("ff", "all bytes FF", &|s| s.fill(0xff)),
    ];
    for (name, comment, change) in cases {
        book.add(with(change), &format!("S5-{name}"), "SIG", comment);
    }
    let prehashed = key.sign_prehashed(&desk.message);
    book.add(desk.scene(&key.public, &prehashed), "S5-ed25519ph", "SIG", "a signature of Ed25519ph");
    let rfc = Key::of_rfc();
    book.add(
        desk.scene(&rfc.public, &rfc.sign(&desk.message)),
        "ok-S5-rfc-8032-key",
        "PASS",
        "the first key of RFC 8032",
    );
    for seed in [0, 2, 127, 255] {
        let key = Key::of(seed);
        let scene = desk.scene(&key.public, &key.sign(&desk.message));
        book.add(scene, &format!("ok-S5-seed-{seed}"), "PASS", "an honest signature by one more test key");
    }
}

fn scalars(book: &mut Book, desk: &Desk) {
    let key = Key::of(1);
    let good = key.sign(&desk.message);
    let mut more = with_order_added(&good);
    book.add(desk.scene(&key.public, &more), "S5-s-plus-order", "SIG", "S + L: the same number mod L, not canonical");
    for _ in 1..8 {
        more = with_order_added(&more);
    }
    book.add(desk.scene(&key.public, &more), "S5-s-plus-8-orders", "SIG", "S + 8 L: not canonical");
    let mut order = good.clone();
    order[32..].copy_from_slice(&[0; 32]);
    let order = with_order_added(&order);
    book.add(desk.scene(&key.public, &order), "S5-s-is-order", "SIG", "S = L");
    let mut none = good;
    none[32..].fill(0);
    book.add(desk.scene(&key.public, &none), "S5-s-is-0", "SIG", "S = 0");
}

/// Adds signatures with an R that is a point of small order, not a point, or a non-canonical
/// encoding.
fn points(book: &mut Book, desk: &Desk) {
    let key = Key::of(1);
    for (index, r) in low_order().iter().enumerate() {
        let scene = desk.scene(&key.public, &key.sign_with_r(r, &desk.message));
        let comment = format!("R of small order {}", hex(&r[..4]));
        book.add(scene, &format!("S5-r-of-small-order-{index}"), "SIG", &comment);
    }
    let zero = [0; 32];
    let mut one = zero;
    one[0] = 1;
    for (name, comment, r) in [
        ("r-identity-negative", "the identity with the sign of x set", negative(one)),
        ("r-p", "y = p: 0, not canonical", above_p(0)),
        ("r-p-negative", "y = p with the sign of x set", negative(above_p(0))),
        ("r-p-plus-1", "y = p + 1: the identity, not canonical", above_p(1)),
        ("r-p-plus-1-negative", "y = p + 1 with the sign of x set", negative(above_p(1))),
        (
            "r-minus-1-negative",
            "y = -1 with the sign of x set",
            negative({
                let mut bytes = above_p(0);
                bytes[0] -= 1;
                bytes
            }),
        ),
    ] {
        book.add(desk.scene(&key.public, &key.sign_with_r(&r, &desk.message)), &format!("S5-{name}"), "SIG", comment);
    }
    // The first y of each kind.
    let small = |y: u8| {
        let mut bytes = zero;
        bytes[0] = y;
        bytes
    };
    if let Some(r) = (2..=u8::MAX).map(small).find(|bytes| !is_point(*bytes)) {
        book.add(desk.scene(&key.public, &key.sign_with_r(&r, &desk.message)), "S5-r-no-point", "SIG", "R is no point");
    }
    for torsion in [1, 2, 4] {
        let scene = desk.scene(&key.public, &key.sign_with_mixed_r(torsion, &desk.message));
        let comment = "R of mixed order: holds where the equation is multiplied by 8";
        book.add(scene, &format!("S5-r-of-mixed-order-{torsion}"), "SIG", comment);
    }
}

/// Adds keys with a component of small order: they are not weak, but only some signatures are valid
/// without the cofactor.
fn mixed(book: &mut Book, desk: &Desk) {
    for (torsion, order) in [(1, 8), (2, 4), (4, 2)] {
        let key = Key::of(3).mixed(torsion);
        for (name, expect, comment, fits) in [
            ("fits", "PASS", "the challenge, reduced, is a multiple of the order: the equation holds", true),
            ("fits-not", "SIG", "the equation holds only when multiplied by 8", false),
        ] {
            let signature = key.sign_until(&desk.message, |reduced, _| (reduced % order == 0) == fits);
            let ok = if fits { "ok-" } else { "" };
            book.add(
                desk.scene(&key.public, &signature),
                &format!("{ok}S5-a-of-order-{order}-{name}"),
                expect,
                comment,
            );
        }
    }
    let key = Key::of(3).mixed(1);
    let reduced = key.sign_until(&desk.message, |reduced, plain| reduced == 0 && plain != 0);
    let comment = "holds with the challenge reduced mod L, not with all its 512 bits";
    book.add(desk.scene(&key.public, &reduced), "ok-S5-challenge-is-reduced", "PASS", comment);
    let plain = key.sign_until(&desk.message, |reduced, plain| reduced != 0 && plain == 0);
    let comment = "holds with all 512 bits of the challenge, not reduced mod L";
    book.add(desk.scene(&key.public, &plain), "S5-challenge-not-reduced", "SIG", comment);
}

/// Adds keys that must not be loaded.
fn weak(book: &mut Book, desk: &Desk) {
    let key = Key::of(1);
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = above_p(0);
    minus_one[0] -= 1;
    let mut cases: Vec<(String, String, [u8; 32])> = Vec::new();
    for (index, point) in low_order().into_iter().enumerate() {
        cases.push((format!("small-order-{index}"), "a key of small order".to_owned(), point));
    }
    for (name, point) in [
        ("identity-negative", negative(one)),
        ("minus-1-negative", negative(minus_one)),
        ("p", above_p(0)),
        ("p-negative", negative(above_p(0))),
        ("p-plus-1", above_p(1)),
        ("p-plus-1-negative", negative(above_p(1))),
    ] {
        cases.push((name.to_owned(), "a key of small order, not canonical".to_owned(), point));
    }
    let above: Vec<u8> = (2..19).filter(|more| is_point(above_p(*more))).collect();
    for more in above.iter().take(2) {
        cases.push((format!("p-plus-{more}"), "a key whose y is not below p".to_owned(), above_p(*more)));
    }
    let mut small = [0; 32];
    while is_point(small) {
        small[0] += 1;
    }
    cases.push(("no-point".to_owned(), "a key that is no point".to_owned(), small));
    cases.push(("ff".to_owned(), "a key of bytes FF".to_owned(), [0xff; 32]));
    for (name, comment, public) in cases {
        // R is the identity and S is 0. With a key of small order a lax verifier accepts this for
        // any message.
        let mut forged = one.to_vec();
        forged.extend([0; 32]);
        book.add(desk.scene(&public, &forged), &format!("S6-key-{name}"), "USAGE", &comment);
    }
    let mut beside = desk.scene(&key.public, &key.sign(&desk.message));
    beside.keys.push(low_order()[1]);
    beside.threshold = Some(1);
    book.add(beside, "S6-key-beside-a-good-one", "USAGE", "a weak key beside a good one");
}

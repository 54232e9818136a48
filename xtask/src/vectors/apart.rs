//! Signature files that are separate from their bundle (`spec/signature.md`, Detached).

use super::Book;
use super::content::{Built, Content, sha256};
use super::curve::Key;
use super::desk::{FILE, at, more, under};
use super::envelope::{BUNDLE_TYPE, Envelope};
use super::forms;
use super::scene::{Entry, Scene};
use serde_json::json;

/// Name of the separate file.
const APART: &str = "guard.sig.json";

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    counted(book);
    form(book);
    spoiled(book);
    policies(book);
    places(book);
}

fn base() -> Built {
    Content::salt().packed()
}

/// Returns signatures of these keys over a manifest.
fn over(manifest: &str, seeds: &[u8]) -> Envelope {
    let mut envelope = Envelope::over(manifest.as_bytes());
    let message = envelope.message();
    for seed in seeds {
        envelope.add(&Key::of(*seed).id(), &Key::of(*seed).sign(&message));
    }
    envelope
}

fn by(seeds: &[u8]) -> Envelope {
    over(&base().manifest().to_string(), seeds)
}

/// Returns the example, signed by `own` (without its signature file if `own` is `None`), with these
/// separate files. Keys 1 and 2 must have signed.
fn with(own: Option<&Envelope>, apart: &[&[u8]]) -> Scene {
    let manifest = base().manifest().to_string();
    let mut scene = base().scene(manifest.as_bytes(), own.map(ToString::to_string).unwrap_or_default().as_bytes());
    if own.is_none() {
        scene.remove("sig.json");
    }
    for (number, bytes) in apart.iter().enumerate() {
        let path = if number == 0 { APART.to_owned() } else { format!("{number}.sig.json") };
        scene.lay(&path, bytes);
        scene.given.signatures.push(path);
    }
    scene.keys = [1, 2].map(|seed| Key::of(seed).public).to_vec();
    scene
}

/// Like [`with`], with valid signature files by these keys.
fn signed(own: Option<&[u8]>, apart: &[&[u8]]) -> Scene {
    let files: Vec<String> = apart.iter().map(|seeds| by(seeds).to_string()).collect();
    let files: Vec<&[u8]> = files.iter().map(String::as_bytes).collect();
    with(own.map(by).as_ref(), &files)
}

fn counted(book: &mut Book) {
    for (name, expect, comment, own, apart) in [
        ("ok-apart-one-each", "PASS", "one has signed in the bundle, the other apart", Some(&[1][..]), &[&[2][..]][..]),
        ("ok-apart-both", "PASS", "both have signed apart, in one file", Some(&[]), &[&[1, 2]]),
        ("ok-apart-each", "PASS", "both have signed apart, in a file each", Some(&[]), &[&[2], &[1]]),
        ("ok-apart-without-own", "PASS", "both have signed apart; the bundle has no signature file", None, &[&[1, 2]]),
        (
            "ok-apart-each-without-own",
            "PASS",
            "both have signed in a file each; the bundle has none",
            None,
            &[&[1], &[2]],
        ),
        ("ok-apart-again", "PASS", "what lies apart has the signatures that the bundle has", Some(&[1, 2]), &[&[1, 2]]),
        ("ok-apart-unknown", "PASS", "an unknown key has signed apart", Some(&[1, 2]), &[&[9]]),
        ("ok-apart-empty-list", "PASS", "no signature apart, enough in the bundle", Some(&[1, 2]), &[&[]]),
        ("apart-one-twice", "TRUST", "one has signed in the bundle and apart: a key counts once", Some(&[1]), &[&[1]]),
        ("apart-one-in-two-files", "TRUST", "one has signed in two files: a key counts once", Some(&[]), &[&[2], &[2]]),
        ("apart-unknown-does-not-count", "TRUST", "one has signed, and an unknown key apart", Some(&[1]), &[&[9]]),
        ("apart-without-own-too-few", "TRUST", "one has signed apart; the bundle has no signature file", None, &[&[2]]),
        ("apart-unknown-alone", "TRUST", "an unknown key has signed apart, nobody else", Some(&[]), &[&[9]]),
        ("S1-apart-all-empty", "SIG", "no signature in the bundle and none apart", Some(&[]), &[&[]]),
        ("S1-apart-empty-without-own", "SIG", "no signature apart, and no signature file in the bundle", None, &[&[]]),
    ] {
        book.add(signed(own, apart), name, expect, comment);
    }
    let (first, second): (Vec<u8>, Vec<u8>) = ((10..=40).collect(), (41..=71).collect());
    let many = signed(Some(&[&[1], &first[..]].concat()), &[&[&[2], &second[..]].concat()]);
    book.add(many, "ok-apart-64-signatures", "PASS", "as many signatures in the bundle and apart as a file may have");
    let mut scene = with(Some(&by(&[1])), &[by(&[2]).to_string().as_bytes()]);
    scene.put("sig.json", b"");
    scene.given.signatures.push(APART.to_owned());
    scene.keys.remove(0);
    book.add(
        scene,
        "ok-apart-own-empty-file",
        "PASS",
        "the bundle's signature file is empty, which counts as absent; the file apart is named twice",
    );
}

fn form(book: &mut Book) {
    let good = by(&[2]).to_string();
    let own = by(&[1]);
    for (name, comment, bytes) in [
        ("line-end", "a line end behind it", format!("{good}\n").into_bytes()),
        ("text", "text", b"signed, I swear".to_vec()),
        ("cut", "half of it", good.as_bytes()[..good.len() / 2].to_vec()),
        ("not-utf-8", "a byte that is no UTF-8", [good.as_bytes(), b"\xff"].concat()),
        ("unknown-member", "a member beside the three", good.replacen('{', "{\"a\":1,", 1).into_bytes()),
        ("33-signatures", "a signature too many", by(&(1..=33).collect::<Vec<u8>>()).to_string().into_bytes()),
        ("pem", "a public key in its place", super::desk::pem(&Key::of(2).public).into_bytes()),
    ] {
        book.add(with(Some(&own), &[&bytes]), &format!("apart-{name}"), "FMT", &format!("apart: {comment}"));
        // Enough signatures without it.
        book.add(
            with(Some(&by(&[1, 2])), &[&bytes]),
            &format!("apart-{name}-beside-enough"),
            "FMT",
            &format!("apart: {comment}; the bundle has enough signatures"),
        );
    }
    book.add(
        with(None, &[b"{}"]),
        "apart-no-envelope-without-own",
        "FMT",
        "apart: no envelope; the bundle has no signature file",
    );
    book.add(
        with(Some(&own), &[good.as_bytes(), b"{}"]),
        "apart-second-no-envelope",
        "FMT",
        "the second of two is no envelope",
    );
    let mut grown = with(Some(&own), &[good.as_bytes()]);
    grown.entries.push(Entry::Grow(APART.to_owned(), (2 << 20) + 1));
    book.add(grown, "apart-above-2-mib", "FMT", "apart: above 2 MiB, by its size");
    let mut other = with(Some(&own), &[b"{}"]);
    other.edit("sig.json", |bytes| bytes.push(b'\n'));
    book.add(
        other,
        "apart-neither-in-form",
        "FMT",
        "neither the bundle's signatures nor those apart are in their form",
    );
    let foreign = Envelope::of(BUNDLE_TYPE, &sha256(b"another"), 865).to_string();
    book.add(
        with(Some(&own), &[foreign.as_bytes(), b"{}"]),
        "apart-form-before-statement",
        "FMT",
        "one apart of another manifest, one that is no envelope: the form of all comes first",
    );
}

fn spoiled(book: &mut Book) {
    let own = by(&[1, 2]);
    let spoil = |seeds: &[u8], seed: u8| {
        let mut envelope = by(seeds);
        for (keyid, sig) in &mut envelope.signatures {
            if *keyid == Key::of(seed).id() {
                sig[50] ^= 1;
            }
        }
        envelope.to_string()
    };
    let manifest = base().manifest().to_string();
    let other = |mut envelope: Envelope| {
        let sig = Key::of(2).sign(&envelope.message());
        envelope.add(&Key::of(2).id(), &sig);
        envelope.to_string()
    };
    let (id, size) = (sha256(manifest.as_bytes()), manifest.len());
    for (name, comment, own, text) in [
        (
            "S8-apart-bad-beside-good",
            "a bad signature apart, its key's good one in the bundle",
            Some(&own),
            spoil(&[2], 2),
        ),
        (
            "S8-apart-bad-of-other",
            "a bad signature of a known key apart, enough good ones beside",
            Some(&own),
            spoil(&[1, 2], 1),
        ),
        (
            "S8-apart-bad-without-own",
            "a bad signature of a known key apart, and no signature file",
            None,
            spoil(&[1, 2], 1),
        ),
        (
            "apart-other-manifest",
            "apart: about another manifest",
            Some(&own),
            other(Envelope::of(BUNDLE_TYPE, &sha256(b"another"), size)),
        ),
        (
            "apart-other-manifest-without-own",
            "apart: about another manifest; the bundle has no signature file",
            None,
            other(Envelope::of(BUNDLE_TYPE, &sha256(b"another"), size)),
        ),
        (
            "apart-other-size",
            "apart: about a manifest of another size",
            Some(&own),
            other(Envelope::of(BUNDLE_TYPE, &id, size + 1)),
        ),
        (
            "S10-apart-receipt",
            "apart: a statement over a receipt",
            Some(&own),
            other(Envelope::of("application/vnd.packmule.receipt.v1+json", &id, size)),
        ),
        (
            "S10-apart-other-type",
            "apart: another payloadType",
            Some(&own),
            other(Envelope { payload_type: "application/vnd.packmule.log.v1+json".to_owned(), ..by(&[]) }),
        ),
        (
            "apart-other-manifest-unsigned",
            "apart: about another manifest, without a signature",
            Some(&own),
            Envelope::of(BUNDLE_TYPE, &sha256(b"another"), size).to_string(),
        ),
    ] {
        book.add(with(own, &[text.as_bytes()]), name, "SIG", comment);
    }
    let bad = with(Some(&own), &[spoil(&[9], 9).as_bytes()]);
    book.add(bad, "ok-S8-apart-bad-but-unknown", "PASS", "a bad signature of an unknown key apart");
    let mut both = with(Some(&own), &[by(&[2]).to_string().as_bytes()]);
    both.put("sig.json", spoil(&[1, 2], 2).as_bytes());
    book.add(both, "S8-apart-good-beside-bad", "SIG", "a bad signature in the bundle, its key's good one apart");
    let mut both = with(Some(&own), &[by(&[1, 2]).to_string().as_bytes()]);
    both.put("sig.json", other(Envelope::of(BUNDLE_TYPE, &sha256(b"another"), size)).as_bytes());
    book.add(
        both,
        "apart-good-beside-other-manifest",
        "SIG",
        "the bundle's own signatures are about another manifest, those apart are good",
    );
    let second = with(Some(&own), &[by(&[2]).to_string().as_bytes(), spoil(&[1], 1).as_bytes()]);
    book.add(second, "S8-apart-bad-in-second", "SIG", "a bad signature in the second of two");
}

fn policies(book: &mut Book) {
    let built = at(0, 7).packed();
    let manifest = built.manifest().to_string();
    let with = |own: &[u8], apart: &[u8], lines: &str| {
        let scene = built.scene(manifest.as_bytes(), over(&manifest, own).to_string().as_bytes());
        let mut scene = under(scene, &more(lines));
        scene.lay(APART, over(&manifest, apart).to_string().as_bytes());
        scene.given.signatures.push(APART.to_owned());
        scene
    };
    let refuse = "unknown_signatures = \"refuse\"";
    for (name, expect, comment, own, apart, lines) in [
        ("ok-apart-policy", "PASS", "one desk in the bundle, one apart", &[1][..], &[2][..], ""),
        ("S18-apart-one-desk", "TRUST", "one desk in the bundle and apart", &[1], &[1], ""),
        (
            "policy-apart-unknown-refused",
            "POLICY",
            "an unknown key apart, which the section refuses",
            &[1, 2],
            &[9],
            refuse,
        ),
        ("ok-apart-policy-unknown-shown", "PASS", "an unknown key apart, which is shown", &[1, 2], &[9], ""),
        ("ok-apart-policy-unknown-none", "PASS", "unknown keys are refused, there is none apart", &[1], &[2], refuse),
    ] {
        book.add(with(own, apart, lines), name, expect, comment);
    }
    let mut first = with(&[1], &[2], "");
    first.entries.push(Entry::Mode(FILE.to_owned(), 0o666));
    first.edit("json", Vec::clear);
    book.add(
        first,
        "apart-policy-first",
        "USAGE",
        "others can write the policy, and the manifest is empty: the policy comes first",
    );
}

fn places(book: &mut Book) {
    let good = || signed(Some(&[1]), &[&[2]]);
    let text = by(&[2]).to_string();
    for (name, comment, entries) in [
        ("missing", "it is not there", vec![]),
        ("empty", "an empty file counts as absent", vec![Entry::File(APART.to_owned(), Vec::new())]),
        ("directory", "a directory in its place", vec![Entry::Directory(APART.to_owned())]),
        ("fifo", "a FIFO in its place", vec![Entry::Fifo(APART.to_owned())]),
        (
            "link",
            "a link to a good one",
            vec![Entry::File("real".to_owned(), text.into_bytes()), Entry::Link(APART.to_owned(), "real".to_owned())],
        ),
        ("link-to-itself", "a link to itself", vec![Entry::Link(APART.to_owned(), APART.to_owned())]),
    ] {
        let mut scene = good();
        scene.instead(APART, &entries);
        book.add(scene, &format!("apart-{name}"), "IO", &format!("apart: {comment}"));
    }
    let mut no_bundle = signed(Some(&[1]), &[&[2]]);
    no_bundle.instead(APART, &[]);
    no_bundle.put("json", b"x");
    book.add(
        no_bundle,
        "apart-missing-and-no-manifest",
        "FMT",
        "the manifest is none, and the file apart is not there: the manifest comes first",
    );
    for mode in [0o600, 0o666] {
        let mut scene = good();
        scene.entries.push(Entry::Mode(APART.to_owned(), mode));
        book.add(scene, &format!("ok-apart-mode-{mode:04o}"), "PASS", "who can write a signature file is of no matter");
    }
    let manifest = forms::manifest_of_stream();
    for (name, expect, comment, seeds) in [
        ("ok-apart-of-stream", "PASS", "a stream, and a second signature apart", &[2][..]),
        ("apart-of-stream-too-few", "TRUST", "a stream, and the same signature apart", &[1]),
    ] {
        let mut scene = forms::whole_stream();
        scene.lay(APART, over(&manifest, seeds).to_string().as_bytes());
        scene.given.signatures.push(APART.to_owned());
        scene.keys = [1, 2].map(|seed| Key::of(seed).public).to_vec();
        book.add(scene, name, expect, comment);
    }
    let wrong = json!({}).to_string();
    let mut scene = forms::whole_stream();
    scene.lay(APART, wrong.as_bytes());
    scene.given.signatures.push(APART.to_owned());
    book.add(scene, "apart-of-stream-no-envelope", "FMT", "a stream, and apart what is no envelope");
}

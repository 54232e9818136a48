//! Valid bundles: every shape that a conforming writer may produce.

use super::Book;
use super::content::{Content, EMPTY, describe, image, sha256, sha512};
use super::curve::Key;
use super::envelope::Envelope;
use super::frame::{Frame, compressed, packed, stored};
use super::scene::{Entry, Scene};
use serde_json::json;

const REPOSITORY: &str = "registry.example/notes/salt";

/// Returns one image with these layers.
fn layered(layers: &[&[u8]]) -> Content {
    let mut content = Content::new();
    let config = content.put(EMPTY, b"{}");
    let layers: Vec<_> = layers.iter().map(|layer| content.put("x/layer", layer)).collect();
    let root = content.document(&image(&config, &layers));
    content.artifact(REPOSITORY, &["1"], &root);
    content
}

fn list(scene: &Scene) -> Vec<u8> {
    let hex = |bytes: &[u8]| sha256(bytes)["sha256:".len()..].to_owned();
    let mut list = format!("{}  {}\n", hex(&scene.bytes("json")), scene.path("json"));
    for number in 1..10 {
        let end = format!("{number:04}.tar.zst");
        if scene.entries.iter().any(|entry| matches!(entry, Entry::File(name, _) if *name == scene.path(&end))) {
            list.extend([&hex(&scene.bytes(&end)), "  ", &scene.path(&end), "\n"]);
        }
    }
    list.into_bytes()
}

/// Returns a scene with a correct list, for other vectors to change.
pub fn with_list() -> Scene {
    let mut scene = volumes();
    let list = list(&scene);
    scene.put("sha256", &list);
    scene
}

/// Returns three volumes of stored frames.
pub fn volumes() -> Scene {
    let built = Content::salt().lay().each(stored);
    built.in_volumes(&[2, 3, 1]).signed()
}

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    shapes(book);
    sizes(book);
    digests(book);
    files(book);
    trust(book);
}

fn shapes(book: &mut Book) {
    let salt = Content::salt().lay();
    let example = salt.built(stored).under(&[Key::of_rfc()]);
    let example = (example.signed(), "the example of the specification, byte for byte");
    let whole = salt.plain().len();
    let mark = |plain: &[u8]| {
        let frame = stored(plain);
        let mut entry = frame.entry.clone();
        entry["digest"] = json!(sha256(&frame.bytes));
        Frame { entry, ..frame }
    };
    let mixed = |plain: &[u8]| if plain.len() > 1024 { packed(plain) } else { stored(plain) };
    for (name, (scene, comment)) in [
        ("example", example),
        ("packed", (salt.built(packed).signed(), "one packed frame of raw and run-length blocks")),
        ("packed-by-zstd", (salt.built(|plain| compressed(plain, 9)).signed(), "one packed frame by libzstd, level 9")),
        (
            "packed-by-zstd-fast",
            (salt.built(|plain| compressed(plain, 1)).signed(), "one packed frame by libzstd, level 1"),
        ),
        ("frame-for-each-member", (salt.each(stored).signed(), "every member has a stored frame")),
        ("packed-for-each-member", (salt.each(packed).signed(), "every member has a packed frame")),
        ("stored-and-packed", (salt.each(mixed).signed(), "stored and packed frames side by side")),
        ("three-volumes", (volumes(), "volumes of two, three and one frames")),
        ("volume-for-each-frame", (salt.each(packed).in_volumes(&[1; 6]).signed(), "six volumes of one frame")),
        (
            "cut-inside-header",
            (salt.cut(&[100, 924, 512, 512, 3072], stored).signed(), "a part may end inside a header"),
        ),
        (
            "cut-inside-content",
            (salt.cut(&[1024, 1024, 600, 424, 2048], packed).signed(), "a part may end inside content"),
        ),
        (
            "cut-inside-padding",
            (salt.cut(&[1024, 1024, 1000, 24, 2048], stored).signed(), "a part may end inside padding"),
        ),
        ("cut-after-one-byte", (salt.cut(&[1, 1022, 1, whole - 1024], stored).signed(), "parts of one byte")),
        ("stored-with-digest", (salt.built(mark).signed(), "a stored frame may have a digest")),
    ] {
        book.add(scene, &format!("ok-{name}"), "PASS", comment);
    }
    let volume =
        salt.built(stored).signed_with(|manifest| manifest["volumes"][0]["digest"] = json!(sha256(b"another")));
    book.add(volume, "ok-volume-digest", "PASS", "a check of the whole bundle does not look at the digests of volumes");
}

fn sizes(book: &mut Book) {
    for size in [0, 1, 511, 512, 513] {
        let layer = vec![b'a'; size];
        let scene = layered(&[&layer]).lay().each(stored).signed();
        book.add(scene, &format!("ok-M14-blob-of-{size}"), "PASS", "a layer of this many bytes");
    }
    let empty = layered(&[b"", b"x"]).stored().signed();
    book.add(empty, "ok-M14-empty-blob-between-others", "PASS", "a blob without content, in a frame with others");
    for (name, size) in [("at", 131_072), ("over", 131_072 + 512)] {
        // Header and content of this layer form one frame.
        let layer: Vec<u8> = (0..size - 512).map(|at: usize| at.to_le_bytes()[0]).collect();
        let scene = layered(&[&layer]).lay().each(stored).signed();
        book.add(scene, &format!("ok-frame-{name}-one-block"), "PASS", "a stored frame about as large as a block");
    }
    let large = layered(&[&vec![0; (16 << 20) - 512]]).lay().each(packed).signed();
    book.add(large, "ok-frame-of-16-mib", "PASS", "the largest frame");
    let parts = layered(&[&vec![7; 16 << 20]]).lay();
    let mut lengths: Vec<usize> = parts.members.iter().map(Vec::len).collect();
    lengths.splice(3..4, [16 << 20, 512]);
    book.add(
        parts.cut(&lengths, packed).signed(),
        "ok-blob-of-two-frames",
        "PASS",
        "a blob above 16 MiB in two frames",
    );
}

fn digests(book: &mut Book) {
    let with_512 = |size: usize| {
        let mut content = Content::new();
        let config = content.put(EMPTY, b"{}");
        let layer = vec![b's'; size];
        content.put_as(&sha512(&layer), &layer);
        let mut descriptor = describe("x/layer", &layer);
        descriptor["digest"] = json!(sha512(&layer));
        let root = content.document(&image(&config, &[descriptor]));
        content.artifact(REPOSITORY, &["1"], &root);
        content
    };
    book.add(with_512(700).lay().each(stored).signed(), "ok-M3-sha512-layer", "PASS", "a layer under sha512");
    book.add(with_512(0).packed().signed(), "ok-M3-sha512-empty-layer", "PASS", "a sha512 layer without content");
    let mut content = Content::new();
    let config = content.put(EMPTY, b"{}");
    let document = image(&config, &[]).to_string();
    content.put_as(&sha512(document.as_bytes()), document.as_bytes());
    let mut root = describe(super::content::MANIFEST, document.as_bytes());
    root["digest"] = json!(sha512(document.as_bytes()));
    content.artifact(REPOSITORY, &["1"], &root);
    book.add(content.signed(), "ok-M3-sha512-document", "PASS", "an artifact under sha512");
    let scene = with_512(700).lay();
    // The last byte of the pax header alone: a cut inside the headers of a sha512 member.
    let mut lengths: Vec<usize> = scene.members.iter().map(Vec::len).collect();
    lengths.splice(3..4, [511, 1, lengths[3] - 512]);
    let scene = scene.cut(&lengths, |plain| if plain.len() < 64 { stored(plain) } else { packed(plain) });
    book.add(scene.signed(), "ok-M3-sha512-cut-inside-pax", "PASS", "a sha512 member is one with its pax header");
}

fn files(book: &mut Book) {
    book.add(with_list(), "ok-list", "PASS", "the list for sha256sum is there and right");
    for (name, comment, edit) in [
        ("list-empty", "an empty file counts as absent", (|scene| scene.put("sha256", b"")) as fn(&mut Scene)),
        ("extra-volume-empty", "an empty extra volume counts as absent", |scene| scene.put("0009.tar.zst", b"")),
        ("other-files", "files that are no part of a bundle", |scene| {
            scene.put("json.bak", b"x");
            scene.put("0001.tar.zst.partial", b"x");
            scene.put("1.tar.zst", b"x");
            scene.put("00001.tar.zst", b"x");
            scene.put("lock", b"x");
            scene.entries.push(Entry::File("pepper.0001.tar.zst".to_owned(), b"x".to_vec()));
            scene.entries.push(Entry::Directory("salt".to_owned()));
        }),
    ] {
        book.change(volumes(), &format!("ok-{name}"), "PASS", comment, edit);
    }
    for name in ["a", "0", "com10", "con-1", "a_b-c", "abcdefghijklmnopqrstuvwxyz-0123456789_abcdefghij"] {
        let content = Content { name: name.to_owned(), ..Content::salt() };
        book.add(content.signed(), &format!("ok-name-{name}"), "PASS", "a NAME at the bounds of its pattern");
    }
}

fn trust(book: &mut Book) {
    let base = Content::salt().packed();
    let all = [Key::of(1), Key::of(2), Key::of(3)];
    let three = base.clone().under(&all);
    book.add(three.signed(), "ok-three-of-three", "PASS", "three keys, all have signed");
    let manifest = base.manifest().to_string();
    let signed_by = |seeds: &[u8]| {
        let mut envelope = Envelope::over(manifest.as_bytes());
        let message = envelope.message();
        for seed in seeds {
            envelope.add(&Key::of(*seed).id(), &Key::of(*seed).sign(&message));
        }
        envelope
    };
    let with = |envelope: &Envelope| three.scene(manifest.as_bytes(), envelope.to_string().as_bytes());
    book.change(with(&signed_by(&[1, 3])), "ok-two-of-three", "PASS", "threshold 2, two have signed", |scene| {
        scene.threshold = Some(2);
    });
    book.change(with(&signed_by(&[2])), "ok-one-of-three", "PASS", "threshold 1, one has signed", |scene| {
        scene.threshold = Some(1);
    });
    let mut wrong = signed_by(&[1]);
    wrong.add(&Key::of(9).id(), &[0; 64]);
    wrong.add(&Key::of(8).id(), b"?");
    let one = |envelope: &Envelope| base.scene(manifest.as_bytes(), envelope.to_string().as_bytes());
    book.add(
        one(&wrong),
        "ok-S2-unknown-and-wrong",
        "PASS",
        "signatures under unknown keys count for nothing, wrong ones too",
    );
    let many: Vec<u8> = (1..=32).collect();
    book.add(one(&signed_by(&many)), "ok-S9-32-signatures", "PASS", "as many signatures as there may be");
    let mut long = signed_by(&[1]);
    long.add(&Key::of(9).id(), &vec![0xa5; 65_536]);
    book.add(one(&long), "ok-signature-of-64-kib", "PASS", "an unknown key's signature of the greatest length");
    book.add(one(&signed_by(&[1, 2])), "ok-S2-unknown-beside-known", "PASS", "an unknown key signed too");
}

//! The other forms of a bundle: streams and flat bundles (`spec/bundle.md`, forms).

use super::Book;
use super::content::{Content, MANIFEST, describe, index, seal, sha256, tar_header};
use super::curve::Key;
use super::frame::stored;
use super::good::volumes;
use super::scene::{Entry, Scene};
use serde_json::json;

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    streams(book);
    flat(book);
    of_no_bytes(book);
}

/// Returns the members of a stream, each with header, content and padding.
fn members(scene: &Scene) -> Vec<Vec<u8>> {
    let mut ends = vec!["sig.json".to_owned(), "json".to_owned()];
    let volumes = (1..4).map(|number| format!("{number:04}.tar.zst"));
    let is_there = |end: &String| {
        scene.entries.iter().any(|entry| matches!(entry, Entry::File(name, _) if *name == scene.path(end)))
    };
    ends.extend(volumes.filter(is_there));
    let member = |end: &String| {
        let content = scene.bytes(end);
        let mut member = tar_header(scene.path(end).as_bytes(), content.len(), b'0');
        member.extend(&content);
        member.resize(member.len().div_ceil(512) * 512, 0);
        member
    };
    ends.iter().map(member).collect()
}

type Members = fn(&mut Vec<Vec<u8>>);
type Bytes = fn(&mut Vec<u8>);

/// Returns the example in three volumes as a stream, with its members and its bytes changed.
fn stream(edit: Members, behind: Bytes) -> Scene {
    let mut scene = volumes();
    let mut members = members(&scene);
    edit(&mut members);
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 1024, 0);
    behind(&mut bytes);
    scene.entries = vec![Entry::File("salt.tar".to_owned(), bytes)];
    scene.form = Some("stream");
    scene.stream = Some("salt.tar".to_owned());
    scene
}

/// Returns a scene with its bundle as a stream. Other files stay.
pub fn streamed(mut scene: Scene) -> Scene {
    let mut bytes = members(&scene).concat();
    bytes.resize(bytes.len() + 1024, 0);
    let own = format!("{}.", scene.bundle);
    scene.entries.retain(|entry| !matches!(entry, Entry::File(name, _) if name.starts_with(&own)));
    scene.lay("salt.tar", &bytes);
    scene.form = Some("stream");
    scene.stream = Some("salt.tar".to_owned());
    scene
}

/// Returns a valid stream, for other vectors to extend.
pub fn whole_stream() -> Scene {
    stream(|_| {}, |_| {})
}

/// Returns the text of its manifest.
pub fn manifest_of_stream() -> String {
    String::from_utf8_lossy(&volumes().bytes("json")).into_owned()
}

fn streams(book: &mut Book) {
    let whole: Members = |_| {};
    let same: Bytes = |_| {};
    book.add(stream(whole, same), "ok-stream", "PASS", "a stream of three volumes");
    let edits: [(&str, &'static str, &str, Members); 14] = [
        ("B3-stream-signature-header", "FMT", "another mode in the first header", |m| m[0][106] = b'5'),
        ("B3-stream-manifest-header", "FMT", "another checksum in the second header", |m| m[1][150] ^= 1),
        ("B3-stream-manifest-padding", "FMT", "a byte in the padding of the manifest", |m| {
            if let Some(last) = m[1].last_mut() {
                *last = 1;
            }
        }),
        ("B3-stream-manifest-bit", "SIG", "one bit of the manifest", |m| m[1][700] ^= 1),
        ("B3-stream-volume-header", "INT", "another owner in the header of a volume, its checksum made to fit", |m| {
            m[3][112] = b'1';
            seal(&mut m[3][..512]);
        }),
        ("B3-stream-volume-padding", "INT", "a byte in the padding of a volume", |m| {
            if let Some(last) = m[3].last_mut() {
                *last = 1;
            }
        }),
        ("B3-stream-volume-bit", "INT", "one bit of a volume", |m| m[2][600] ^= 1),
        ("B7-stream-size-0", "FMT", "a signature file of no bytes", |m| {
            m[0].truncate(512);
            m[0][124..135].copy_from_slice(b"00000000000");
            seal(&mut m[0][..512]);
        }),
        ("B7-stream-signatures-above-2-mib", "FMT", "a header that says 2 MiB and 1", |m| {
            m[0][124..135].copy_from_slice(b"00010000001");
            seal(&mut m[0][..512]);
        }),
        ("B7-stream-manifest-above-64-mib", "FMT", "a header that says 64 MiB and 1", |m| {
            m[1][124..135].copy_from_slice(b"00400000001");
            seal(&mut m[1][..512]);
        }),
        ("B7-stream-manifest-in-base-256", "FMT", "a header that says 2^63", |m| {
            m[1][124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0]);
            seal(&mut m[1][..512]);
        }),
        ("B9-stream-manifest-first", "FMT", "the manifest before the signatures", |m| m.swap(0, 1)),
        ("B9-stream-volumes-swapped", "INT", "the first two volumes change places", |m| m.swap(2, 3)),
        ("B14-stream-without-a-volume", "INT", "the last volume is not there", |m| {
            m.pop();
        }),
    ];
    for (name, expect, comment, edit) in edits {
        book.add(stream(edit, same), name, expect, comment);
    }
    let ends: [(&str, &'static str, &str, Bytes); 10] = [
        ("B1-stream-empty", "FMT", "no byte at all", Vec::clear),
        ("B2-stream-within-first-header", "FMT", "it ends within the first header", |b| b.truncate(300)),
        ("B2-stream-within-signatures", "FMT", "it ends within the signature file", |b| b.truncate(600)),
        ("B2-stream-within-manifest", "FMT", "it ends within the manifest", |b| b.truncate(1800)),
        ("B2-stream-without-its-end", "INT", "it ends behind the last volume", |b| b.truncate(b.len() - 1024)),
        ("B2-stream-without-a-byte", "INT", "its last byte lacks", |b| b.truncate(b.len() - 1)),
        ("B3-stream-end", "INT", "a byte in its end", |b| {
            let place = b.len() - 700;
            b[place] = 1;
        }),
        ("B4-stream-and-byte", "FMT", "trailing data: a byte", |b| b.push(0)),
        ("B4-stream-and-tar-record", "FMT", "trailing data: filled to a record of 10,240", |b| {
            b.resize(b.len().div_ceil(10_240) * 10_240, 0);
        }),
        ("B4-stream-and-more-wrong", "INT", "trailing data behind a stream that is wrong within too", |b| {
            let place = b.len() - 1100;
            b[place] ^= 1;
            b.push(0);
        }),
    ];
    for (name, expect, comment, behind) in ends {
        book.add(stream(whole, behind), name, expect, comment);
    }
}

/// Returns the example in the flat form.
fn files() -> Scene {
    laid_flat(&Content::salt(), &[Key::of(1)])
}

/// Returns `content` in the flat form, signed by these keys.
pub fn laid_flat(content: &Content, keys: &[Key]) -> Scene {
    let stream = content.lay();
    let mut scene = stream.built(stored).under(keys).signed_with(|manifest| {
        manifest["form"] = json!("flat");
        manifest["frames"] = json!([]);
        manifest["volumes"] = json!([]);
    });
    scene.remove("0001.tar.zst");
    scene.form = Some("flat");
    for folder in ["salt.oci", "salt.oci/blobs", "salt.oci/blobs/sha256"] {
        scene.entries.push(Entry::Directory(folder.to_owned()));
    }
    // oci-layout and index.json are the content of the first two members.
    for (name, member) in [("oci-layout", &stream.members[0]), ("index.json", &stream.members[1])] {
        let size = member[124..135].iter().fold(0, |size, digit| size * 8 + usize::from(digit - b'0'));
        scene.entries.push(Entry::File(format!("salt.oci/{name}"), member[512..512 + size].to_vec()));
    }
    for (digest, bytes) in &content.blobs {
        scene.entries.push(Entry::File(format!("salt.oci/blobs/{}", digest.replace(':', "/")), bytes.clone()));
    }
    scene
}

/// Returns the content of the last blob's file.
fn last(scene: &mut Scene) -> &mut Vec<u8> {
    match scene.entries.last_mut() {
        Some(Entry::File(_, bytes)) => bytes,
        // The vector itself is wrong if the file is missing.
        _ => panic!("no file is the last entry"),
    }
}

fn flat(book: &mut Book) {
    type Edit = fn(&mut Scene);
    let put = |scene: &mut Scene, path: &str| scene.entries.push(Entry::File(path.to_owned(), b"x".to_vec()));
    book.add(files(), "ok-flat", "PASS", "form flat: the layout as files");
    book.change(files(), "ok-flat-empty-directory", "PASS", "blobs/sha512 may be there and empty", |scene| {
        scene.entries.push(Entry::Directory("salt.oci/blobs/sha512".to_owned()));
    });
    for (name, comment, path) in [
        ("extra-file", "a file that the manifest does not name", "salt.oci/more"),
        ("extra-algorithm", "a file beside the algorithms", "salt.oci/blobs/md5"),
        ("extra-blob", "a file beside the blobs", "salt.oci/blobs/sha256/.partial"),
        ("volume", "a volume beside it", "salt.0001.tar.zst"),
        ("list", "a list, which this form has not", "salt.sha256"),
    ] {
        book.change(files(), &format!("B14-flat-{name}"), "INT", comment, |scene| put(scene, path));
    }
    let edits: [(&str, &'static str, &str, Edit); 7] = [
        ("B2-flat-blob", "INT", "a blob's last byte lacks", |s| {
            last(s).pop();
        }),
        ("B3-flat-blob", "INT", "one bit of a blob", |s| last(s)[3] ^= 1),
        ("B4-flat-blob", "INT", "a byte behind a blob", |s| last(s).push(0)),
        ("B3-flat-index", "INT", "one bit of index.json", |s| {
            for entry in &mut s.entries {
                match entry {
                    Entry::File(name, bytes) if name == "salt.oci/index.json" => bytes[20] ^= 1,
                    _ => {}
                }
            }
        }),
        ("B14-flat-without-a-blob", "INT", "a blob is not there", |s| {
            s.entries.pop();
        }),
        ("B14-flat-without-its-directory", "INT", "there is no directory", |s| s.entries.truncate(2)),
        ("B17-flat-blob-is-a-link", "IO", "a link where a blob must be", |s| {
            if let Some(Entry::File(name, _)) = s.entries.pop() {
                s.entries.push(Entry::Link(name, "/etc/passwd".to_owned()));
            }
        }),
    ];
    for (name, expect, comment, edit) in edits {
        book.change(files(), name, expect, comment, edit);
    }
}

/// Adds a document without bytes in every form. It is refused by its size, before its digest is
/// checked.
fn of_no_bytes(book: &mut Book) {
    let child = |digest: &str| {
        let mut content = Content::new();
        let mut entry = describe(MANIFEST, b"");
        entry["digest"] = json!(digest);
        let root = content.document(&index(&[entry]));
        content.put_as(digest, b"");
        content.artifact("registry.example/notes/salt", &["1"], &root);
        content
    };
    let mut artifact = Content::new();
    let mut root = describe(MANIFEST, b"more");
    root["size"] = json!(4);
    artifact.put_as(&sha256(b"more"), b"");
    artifact.artifact("registry.example/notes/salt", &["1"], &root);
    for (name, comment, content) in [
        ("child", "an index's child of no bytes", child(&sha256(b""))),
        ("child-of-another-digest", "an index's child of no bytes under another digest", child(&sha256(b"another"))),
        ("artifact", "an artifact whose blob has no bytes", artifact),
    ] {
        book.add(content.signed(), &format!("M4-no-bytes-{name}"), "FMT", comment);
        let stream = streamed(content.signed());
        book.add(stream, &format!("M4-no-bytes-{name}-in-stream"), "FMT", &format!("{comment}, in a stream"));
        let flat = laid_flat(&content, &[Key::of(1)]);
        let mut lacking = flat.clone();
        lacking.entries.pop();
        book.add(flat, &format!("M4-no-bytes-{name}-in-flat"), "FMT", &format!("{comment}, in a file"));
        book.add(
            lacking,
            &format!("M4-no-bytes-{name}-in-no-file"),
            "FMT",
            &format!("{comment}, and its file is not there"),
        );
    }
}

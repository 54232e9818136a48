//! Tar streams that differ from the expected one: rows A1, A2, and content that a tar parser would
//! believe (`spec/tar-stream.md`).
//!
//! Everything has valid signatures, frames and sums. A reader compares and must refuse each with
//! INT.

use super::Book;
use super::content::{Content, EMPTY, Stream, describe, image, seal, sha512, tar_header};
use super::frame::{packed, stored};
use serde_json::json;

/// A change of a member's bytes.
type Bytes = fn(&mut Vec<u8>);

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    headers(book);
    names(book);
    computed(book);
    pax(book);
}

fn salt(edit: impl FnOnce(&mut Stream)) -> Stream {
    let mut stream = Content::salt().lay();
    edit(&mut stream);
    stream
}

fn headers(book: &mut Book) {
    type Edit = fn(&mut [u8]);
    let cases: [(&str, &str, Edit); 27] = [
        ("mode-755", "mode 0755", |h| h[100..107].copy_from_slice(b"0000755")),
        ("setuid", "mode 04755", |h| h[100..107].copy_from_slice(b"0004755")),
        ("mode-with-spaces", "mode as old tars write it", |h| h[100..108].copy_from_slice(b"   644 \0")),
        ("uid", "uid 1000", |h| h[108..115].copy_from_slice(b"0001750")),
        ("gid", "gid 1000", |h| h[116..123].copy_from_slice(b"0001750")),
        ("size-with-space", "a size that ends in a space", |h| h[135] = b' '),
        ("size-in-base-256", "a small size in base-256", |h| {
            h[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 19]);
        }),
        ("size-other", "a size one more, in the same block", |h| h[134] += 1),
        ("size-negative", "a negative size in base-256", |h| h[124..136].fill(0xff)),
        ("mtime-0", "mtime 0", |h| h[136..147].copy_from_slice(b"00000000000")),
        ("mtime-now", "another mtime", |h| h[136..147].copy_from_slice(b"15000000000")),
        ("typeflag-nul", "an old tar's regular file", |h| h[156] = 0),
        ("A1-hard-link", "a hard link to /etc/passwd", |h| {
            h[156] = b'1';
            h[157..168].copy_from_slice(b"/etc/passwd");
        }),
        ("A1-symbolic-link", "a symbolic link to /etc", |h| {
            h[156] = b'2';
            h[157..161].copy_from_slice(b"/etc");
        }),
        ("A1-character-device", "a character device", |h| h[156] = b'3'),
        ("A1-block-device", "a block device", |h| h[156] = b'4'),
        ("A1-directory", "a directory", |h| h[156] = b'5'),
        ("A1-fifo", "a FIFO", |h| h[156] = b'6'),
        ("A2-gnu-long-name", "a GNU long name", |h| h[156] = b'L'),
        ("A2-gnu-sparse", "a GNU sparse file", |h| h[156] = b'S'),
        ("A2-pax", "a pax header of its own", |h| h[156] = b'x'),
        ("A2-pax-global", "a global pax header", |h| h[156] = b'g'),
        ("gnu-magic", "the magic of GNU tar", |h| h[257..265].copy_from_slice(b"ustar  \0")),
        ("no-magic", "no magic: a tar of 1979", |h| h[257..265].fill(0)),
        ("uname", "a user's name", |h| h[265..269].copy_from_slice(b"root")),
        ("gname", "a group's name", |h| h[297..301].copy_from_slice(b"root")),
        ("device-numbers", "device numbers left empty", |h| h[329..345].fill(0)),
    ];
    for (name, comment, edit) in cases {
        let stream = salt(|s| {
            edit(&mut s.members[4][..512]);
            seal(&mut s.members[4][..512]);
        });
        let row = if name.starts_with('A') { String::new() } else { "tar-".to_owned() };
        book.add(stream.each(stored).signed(), &format!("{row}{name}"), "INT", comment);
    }
    for (name, comment, edit) in [
        ("checksum-wrong", "a header's checksum does not hold", (|h| h[153] ^= 1) as fn(&mut [u8])),
        ("checksum-ends-otherwise", "space before NUL", |h| h[154..156].copy_from_slice(b" \0")),
        ("checksum-of-seven-digits", "seven digits and NUL", |h| {
            let digits = h[148..154].to_vec();
            h[148] = b'0';
            h[149..155].copy_from_slice(&digits);
            h[155] = 0;
        }),
        ("behind-prefix", "a byte behind the prefix, the checksum made to fit", |h| {
            h[511] = b'x';
            seal(h);
        }),
    ] {
        let stream = salt(|s| edit(&mut s.members[4][..512]));
        book.add(stream.built(packed).signed(), &format!("tar-{name}"), "INT", comment);
    }
}

fn names(book: &mut Book) {
    for (name, comment, path) in [
        ("A1-absolute-path", "an absolute path", &b"/etc/cron.d/evil"[..]),
        ("A1-dot-dot", "a path out of the directory", b"../../evil"),
        ("A1-dot-dot-within", "a path out of the directory by way of blobs", b"blobs/../../evil"),
        ("A1-dot", "./ before the path", b"./index.json"),
        ("A1-overwrites-index", "a second index.json", b"index.json"),
        (
            "A1-other-blob",
            "the name of another blob",
            b"blobs/sha256/0000000000000000000000000000000000000000000000000000000000000000",
        ),
        ("A1-name-with-line-end", "a line end in the name", b"blobs/sha256/07ad\n"),
    ] {
        let stream = salt(|s| {
            s.members[4][..100].fill(0);
            s.members[4][..path.len()].copy_from_slice(path);
            seal(&mut s.members[4][..512]);
        });
        book.add(stream.built(packed).signed(), name, "INT", comment);
    }
    let prefixed = salt(|s| {
        let name = s.members[4][13..77].to_vec();
        s.members[4][..100].fill(0);
        s.members[4][..64].copy_from_slice(&name);
        s.members[4][345..357].copy_from_slice(b"blobs/sha256");
        seal(&mut s.members[4][..512]);
    });
    book.add(prefixed.built(packed).signed(), "A2-prefix", "INT", "the same path, cut into prefix and name");
}

fn computed(book: &mut Book) {
    type Edit = fn(&mut Stream);
    let replace = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        assert_eq!(from.len(), to.len(), "{from}: the size stays");
        move |s: &mut Stream| {
            let text = &mut s.members[1];
            let place = text.windows(from.len()).position(|window| window == from.as_bytes());
            let place = place.unwrap_or_else(|| panic!("{from}: in index.json"));
            text[place..place + from.len()].copy_from_slice(to.as_bytes());
        }
    };
    for (name, comment, from, to) in [
        ("tag", "index.json names another tag", "salt:1.0", "salt:1.1"),
        ("digest", "index.json names another digest", "0f5f7774", "0f5f7775"),
        ("media-type", "index.json has another media type", "image.manifest.v1", "image.manifest.v2"),
        ("schema-version", "index.json has another schemaVersion", "\"schemaVersion\":2", "\"schemaVersion\":3"),
        ("upper-case", "a member of index.json is spelt otherwise", "\"manifests\"", "\"Manifests\""),
    ] {
        book.add(salt(replace(from, to)).built(packed).signed(), &format!("tar-index-{name}"), "INT", comment);
    }
    let cases: [(&str, &str, Edit); 8] = [
        ("layout-version", "another version in oci-layout", |s| s.members[0][512 + 23] = b'2'),
        ("layout-padding", "a byte in the padding of oci-layout", |s| s.members[0][1000] = 1),
        ("index-padding", "a line end behind index.json", |s| s.members[1][512 + 415] = b'\n'),
        ("blob-padding", "a byte in the padding of a blob", |s| s.members[4][1023] = 1),
        ("first-members-swapped", "index.json before oci-layout", |s| s.members.swap(0, 1)),
        ("blobs-swapped", "two blobs have changed places", |s| s.members.swap(3, 4)),
        ("end", "a byte in the end", |s| s.end[1023] = 1),
        ("end-is-a-header", "a header in the end", |s| s.end[..512].copy_from_slice(&tar_header(b"evil", 0, b'0'))),
    ];
    for (name, comment, edit) in cases {
        book.add(salt(edit).built(stored).signed(), &format!("tar-{name}"), "INT", comment);
    }
    // The sums are correct: a blob is one byte longer or shorter, and its descriptor says so too.
    for (name, size) in [("one-more", 20), ("one-less", 18), ("0-for-512", 0)] {
        let layer = if size == 0 { vec![b'x'; 512] } else { b"Salt of the earth.\n".to_vec() };
        let mut content = Content::new();
        let config = content.put(EMPTY, b"{}");
        let mut descriptor = content.put("text/plain", &layer);
        descriptor["size"] = json!(if size == 0 { 511 } else { size });
        let root = content.document(&image(&config, &[descriptor.clone()]));
        content.artifact("registry.example/notes/salt", &["1"], &root);
        let scene = content.lay().each(stored).signed_with(|m| m["blobs"][1]["size"] = descriptor["size"].clone());
        book.add(scene, &format!("M4-size-{name}-everywhere"), "INT", "the sums are made to fit, the content does not");
    }
}

fn pax(book: &mut Book) {
    let layer = b"Salt of the earth.\n";
    let stream = || {
        let mut content = Content::new();
        let config = content.put(EMPTY, b"{}");
        let mut descriptor = describe("text/plain", layer);
        descriptor["digest"] = json!(sha512(layer));
        content.put_as(&sha512(layer), layer);
        let root = content.document(&image(&config, &[descriptor]));
        content.artifact("registry.example/notes/salt", &["1"], &root);
        content.lay()
    };
    let cases: [(&str, &str, Bytes); 9] = [
        ("name", "another name of the pax header", |m| {
            m[..16].copy_from_slice(b"PaxHeaders/salt\0");
            seal(&mut m[..512]);
        }),
        ("typeflag-global", "a global pax header", |m| {
            m[156] = b'g';
            seal(&mut m[..512]);
        }),
        ("path-other", "another path in the record", |m| m[512 + 151 - 2] ^= 1),
        ("record-without-line-end", "no line end behind the record", |m| m[512 + 150] = 0),
        ("second-record", "a size in pax beside the path", |m| {
            m[512 + 151..512 + 151 + 11].copy_from_slice(b"11 size=20\n");
            m[124..135].copy_from_slice(b"00000000242");
            seal(&mut m[..512]);
        }),
        ("padding", "a byte behind the record", |m| m[1023] = b'x'),
        ("size", "a pax header of 152 bytes", |m| {
            m[134] = b'0';
            m[133] = b'3';
            seal(&mut m[..512]);
        }),
        ("file-name", "the file's own header has another name", |m| {
            m[1024] ^= 1;
            seal(&mut m[1024..1536]);
        }),
        ("file-name-longer", "the file's own header has a directory in its name", |m| {
            let name = m[1024..1124].to_vec();
            m[1024..1030].copy_from_slice(b"blobs/");
            m[1030..1124].copy_from_slice(&name[..94]);
            seal(&mut m[1024..1536]);
        }),
    ];
    for (name, comment, edit) in cases {
        let mut stream = stream();
        let place = stream.content.blobs.iter().position(|(digest, _)| digest.starts_with("sha512")).unwrap_or(0) + 2;
        edit(&mut stream.members[place]);
        book.add(stream.built(packed).signed(), &format!("A2-pax-{name}"), "INT", comment);
    }
}

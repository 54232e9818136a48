//! Damage to the files of a valid bundle: rows B1 to B4, B8, B9, B13, B14, B16, B17
//! (`spec/bundle.md`).

use super::Book;
use super::content::Content;
use super::curve::Key;
use super::envelope::Envelope;
use super::frame::{compressed, packed, stored};
use super::good::{volumes, with_list};
use super::scene::{Entry, Scene};

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    not_a_bundle(book);
    documents(book);
    lengths(book);
    order(book);
    present(book);
    list(book);
    special(book);
}

/// Returns the example, packed.
pub fn packed_salt() -> Scene {
    Content::salt().signed()
}

/// Returns deterministic noise.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

fn not_a_bundle(book: &mut Book) {
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("one-byte", b"{".to_vec()),
        ("text", b"hello, packmule\n".to_vec()),
        ("elf", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0".to_vec()),
        ("noise", noise(4096)),
        ("nul", vec![0; 512]),
        ("array", b"[{}]".to_vec()),
        ("volume", packed_salt().bytes("0001.tar.zst")),
    ] {
        book.change(packed_salt(), &format!("B1-{name}"), "FMT", "the manifest's file is something else", |scene| {
            scene.put("json", &bytes);
        });
    }
    book.change(packed_salt(), "B1-no-manifest", "IO", "there is no manifest", |scene| scene.remove("json"));
    for (name, end, size, comment) in [
        ("manifest-of-64-mib-and-1", "json", (64 << 20) + 1, "a manifest above 64 MiB, by its size"),
        ("manifest-of-1-tib", "json", 1 << 40, "a sparse file of 1 TiB as manifest, by its size"),
        ("signatures-of-2-mib-and-1", "sig.json", (2 << 20) + 1, "a signature file above 2 MiB, by its size"),
        ("signatures-of-1-tib", "sig.json", 1 << 40, "a sparse file of 1 TiB as signature file, by its size"),
    ] {
        book.change(packed_salt(), &format!("B16-{name}"), "FMT", comment, |scene| {
            let path = scene.path(end);
            scene.entries.push(Entry::Grow(path, size));
        });
    }
    book.change(
        packed_salt(),
        "B16-volume-of-1-tib",
        "INT",
        "a sparse file of 1 TiB as volume, by its size",
        |scene| {
            let path = scene.path("0001.tar.zst");
            scene.entries.push(Entry::Grow(path, 1 << 40));
        },
    );
    book.change(packed_salt(), "B4-volume-and-1-gib", "INT", "1 GiB of NUL behind a volume", |scene| {
        let path = scene.path("0001.tar.zst");
        scene.entries.push(Entry::Grow(path, (1 << 30) + 1));
    });
}

type Edit = fn(&mut Scene);

fn edits(book: &mut Book, base: &dyn Fn() -> Scene, cases: &[(&str, &'static str, &str, Edit)]) {
    for (name, expect, comment, edit) in cases {
        book.change(base(), name, expect, comment, edit);
    }
}

fn documents(book: &mut Book) {
    edits(
        book,
        &packed_salt,
        &[
            ("B2-manifest-without-its-last-byte", "FMT", "does not end in }", |s| {
                s.edit("json", |b| b.truncate(b.len() - 1));
            }),
            ("B2-manifest-cut-behind-a-brace", "SIG", "cut so that it ends in }", |s| {
                s.edit("json", |b| b.truncate(b.iter().position(|byte| *byte == b'}').map_or(0, |at| at + 1)));
            }),
            ("B4-manifest-and-line-end", "FMT", "a line end behind the manifest", |s| {
                s.edit("json", |b| b.push(b'\n'));
            }),
            ("B4-manifest-and-brace", "SIG", "a brace behind the manifest", |s| s.edit("json", |b| b.push(b'}'))),
            ("B4-manifest-twice", "SIG", "the manifest behind the manifest", |s| {
                s.edit("json", |b| b.extend(b.clone()));
            }),
            ("B4-manifest-and-nul", "FMT", "a NUL behind the manifest", |s| s.edit("json", |b| b.push(0))),
            ("B4-byte-order-mark", "FMT", "a byte order mark before the manifest", |s| {
                s.edit("json", |b| *b = ["\u{feff}".as_bytes(), b].concat());
            }),
            ("B3-manifest-first-byte", "FMT", "the first byte is not {", |s| s.edit("json", |b| b[0] ^= 1)),
            ("B3-manifest-last-byte", "FMT", "the last byte is not }", |s| {
                s.edit("json", |b| {
                    let last = b.len() - 1;
                    b[last] ^= 0x80;
                });
            }),
            ("B3-manifest-bit", "SIG", "one bit in the middle of the manifest", |s| s.edit("json", |b| b[200] ^= 1)),
            ("B3-manifest-digit", "SIG", "another digit in the manifest", |s| {
                s.edit("json", |b| {
                    let at = b.len() - 3;
                    b[at] = if b[at] == b'1' { b'2' } else { b'1' };
                });
            }),
            ("B3-manifest-not-json-any-more", "SIG", "while the signature fails nothing is parsed", |s| {
                s.edit("json", |b| b[10] = b'{');
            }),
            ("B14-manifest-of-another-bundle", "SIG", "a manifest that others signatures are over", |s| {
                let other = Content::salt_with(|d| d["x"] = serde_json::json!(1)).signed().bytes("json");
                s.put("json", &other);
            }),
            ("S1-no-signature-file", "SIG", "there is no signature file", |s| s.remove("sig.json")),
            ("S1-signature-file-empty", "SIG", "an empty file counts as absent", |s| s.put("sig.json", b"")),
            (
                "S1-no-signature-file-and-no-volume",
                "SIG",
                "while the signature fails nothing behind it is looked at",
                |s| {
                    s.remove("sig.json");
                    s.remove("0001.tar.zst");
                },
            ),
        ],
    );
    // The signature is checked before anything else: here the manifest is not JSON.
    let base = Content::salt().packed();
    let (manifest, other) = (b"{nothing}", Key::of(2));
    let mut envelope = Envelope::over(manifest);
    let message = envelope.message();
    envelope.add(&other.id(), &other.sign(&message));
    let scene = base.scene(manifest, envelope.to_string().as_bytes());
    book.add(scene, "S2-unknown-key-over-nonsense", "TRUST", "a manifest that is no JSON under an unknown key");
    let renamed = Content { name: "pepper".to_owned(), ..Content::salt() };
    let mut scene = renamed.signed();
    for entry in &mut scene.entries {
        if let Entry::File(name, _) = entry {
            *name = name.replacen("pepper", "salt", 1);
        }
    }
    "salt".clone_into(&mut scene.bundle);
    book.add(scene, "B14-files-renamed", "FMT", "all files renamed: name is not the files'");
}

fn lengths(book: &mut Book) {
    let size = volumes().bytes("0002.tar.zst").len();
    for (name, at) in [("1", 1), ("9", 9), ("half", size / 2), ("all-but-1", size - 1)] {
        book.change(
            volumes(),
            &format!("B2-volume-cut-at-{name}"),
            "INT",
            "the second of three volumes is truncated",
            |scene| {
                scene.edit("0002.tar.zst", |bytes| bytes.truncate(at));
            },
        );
    }
    edits(
        book,
        &volumes,
        &[
            ("B2-volume-cut-at-0", "INT", "an empty volume counts as absent", |s| s.put("0002.tar.zst", b"")),
            ("B4-volume-and-1-byte", "INT", "a byte behind a volume", |s| s.edit("0002.tar.zst", |b| b.push(0))),
            ("B4-volume-and-frame", "INT", "an empty zstd frame behind a volume", |s| {
                s.edit("0003.tar.zst", |b| b.extend(stored(b"x").bytes));
            }),
            ("B4-volume-and-skippable-frame", "INT", "a skippable frame behind a volume", |s| {
                s.edit("0001.tar.zst", |b| b.extend(b"\x50\x2a\x4d\x18\x00\x00\x00\x00"));
            }),
            ("B4-volume-and-another", "INT", "another volume behind a volume", |s| {
                let next = s.bytes("0002.tar.zst");
                s.edit("0001.tar.zst", |b| b.extend(next));
            }),
            ("B2-last-volume-cut", "INT", "the last volume is truncated", |s| {
                s.edit("0003.tar.zst", |b| b.truncate(1040));
            }),
        ],
    );
}

fn order(book: &mut Book) {
    let each = || Content::salt().lay().each(stored).signed();
    let replace = |book: &mut Book, name: &str, comment: &str, order: &[usize]| {
        let frames = Content::salt().lay().each(stored).frames;
        book.change(each(), name, "INT", comment, |scene| {
            let bytes = order.iter().flat_map(|index| frames[*index].bytes.clone()).collect::<Vec<u8>>();
            scene.put("0001.tar.zst", &bytes);
        });
    };
    replace(book, "B8-frames-swapped", "two frames of the same size have changed places", &[0, 1, 2, 4, 3, 5]);
    replace(book, "B9-frame-duplicated", "a frame in the place of another of its size", &[0, 1, 2, 3, 3, 5]);
    replace(book, "B9-frame-twice", "a frame stands twice", &[0, 1, 2, 3, 3, 4, 5]);
    replace(book, "B9-frame-missing", "a frame is not there", &[0, 1, 2, 4, 5]);
    replace(book, "B9-frames-reversed", "all frames in reverse", &[5, 4, 3, 2, 1, 0]);
    let plain = Content::salt().lay().plain();
    book.change(packed_salt(), "B13-packed-anew", "INT", "the same content, compressed by another", |scene| {
        let end = stored(&[0; 1024]).bytes;
        scene.put("0001.tar.zst", &[compressed(&plain, 3).bytes, end].concat());
    });
    book.change(
        packed_salt(),
        "B13-stored-for-packed",
        "INT",
        "the same content, stored where it was packed",
        |scene| {
            let end = stored(&[0; 1024]).bytes;
            scene.put("0001.tar.zst", &[stored(&plain).bytes, end].concat());
        },
    );
    let scene = Content::salt().stored().signed();
    book.change(scene, "B13-packed-for-stored", "INT", "the same content, packed where it was stored", |scene| {
        let end = stored(&[0; 1024]).bytes;
        scene.put("0001.tar.zst", &[packed(&plain).bytes, end].concat());
    });
}

fn present(book: &mut Book) {
    edits(
        book,
        &volumes,
        &[
            ("B14-volume-1-missing", "INT", "the first volume is not there", |s| s.remove("0001.tar.zst")),
            ("B14-volume-2-missing", "INT", "the second volume is not there", |s| s.remove("0002.tar.zst")),
            ("B14-volume-3-missing", "INT", "the last volume is not there", |s| s.remove("0003.tar.zst")),
            ("B14-all-volumes-missing", "INT", "no volume is there", |s| {
                s.remove("0001.tar.zst");
                s.remove("0002.tar.zst");
                s.remove("0003.tar.zst");
            }),
            ("B14-volume-renamed", "INT", "the second volume under the fourth's name", |s| {
                let bytes = s.bytes("0002.tar.zst");
                s.remove("0002.tar.zst");
                s.put("0004.tar.zst", &bytes);
            }),
            ("B14-volumes-swapped", "INT", "the first two volumes have changed names", |s| {
                let (one, two) = (s.bytes("0001.tar.zst"), s.bytes("0002.tar.zst"));
                s.put("0001.tar.zst", &two);
                s.put("0002.tar.zst", &one);
            }),
            ("B14-extra-volume-4", "INT", "a fourth volume", |s| s.put("0004.tar.zst", b"x")),
            ("B14-extra-volume-0", "INT", "a volume numbered 0000", |s| s.put("0000.tar.zst", b"x")),
            ("B14-extra-volume-9999", "INT", "a volume numbered 9999", |s| s.put("9999.tar.zst", b"x")),
            ("B14-extra-volume-link", "INT", "a link under the name of a fourth volume", |s| {
                let path = s.path("0004.tar.zst");
                s.entries.push(Entry::Link(path, "nowhere".to_owned()));
            }),
            ("B14-extra-volume-directory", "INT", "a directory under the name of a fourth volume", |s| {
                let path = s.path("0004.tar.zst");
                s.entries.push(Entry::Directory(path));
            }),
        ],
    );
    let other =
        Content::salt_with(|d| d["layers"][0]["annotations"] = serde_json::json!({"a": "b"})).lay().each(stored);
    let other = other.in_volumes(&[2, 3, 1]).signed();
    for number in [1, 2] {
        book.change(
            volumes(),
            &format!("B14-volume-{number}-of-another-bundle"),
            "INT",
            "a volume of another bundle",
            |scene| {
                let end = format!("{number:04}.tar.zst");
                scene.put(&end, &other.bytes(&end));
            },
        );
    }
}

fn list(book: &mut Book) {
    edits(
        book,
        &with_list,
        &[
            ("list-digit", "INT", "another digit in the list", |s| s.edit("sha256", |b| b[0] ^= 1)),
            ("list-crlf", "INT", "lines that end in CR LF", |s| {
                s.edit("sha256", |b| *b = String::from_utf8_lossy(b).replace('\n', "\r\n").into_bytes());
            }),
            ("list-without-last-line-end", "INT", "no line end at the end", |s| {
                s.edit("sha256", |b| b.truncate(b.len() - 1));
            }),
            ("list-and-a-line", "INT", "one line more", |s| s.edit("sha256", |b| b.extend(b.clone()))),
            ("list-in-binary-mode", "INT", "an asterisk before the names", |s| {
                s.edit("sha256", |b| *b = String::from_utf8_lossy(b).replace("  ", " *").into_bytes());
            }),
            ("list-of-1-gib", "INT", "a list of 1 GiB, by its size", |s| {
                let path = s.path("sha256");
                s.entries.push(Entry::Grow(path, 1 << 30));
            }),
        ],
    );
}

fn special(book: &mut Book) {
    fn moved(scene: &mut Scene, end: &str) {
        let (path, bytes) = (scene.path(end), scene.bytes(end));
        scene.remove(end);
        scene.entries.push(Entry::File("elsewhere".to_owned(), bytes));
        scene.entries.push(Entry::Link(path, "elsewhere".to_owned()));
    }
    edits(
        book,
        &with_list,
        &[
            ("B17-manifest-link", "IO", "the manifest is a link to the right bytes", |s| moved(s, "json")),
            ("B17-signatures-link", "IO", "the signature file is a link to the right bytes", |s| moved(s, "sig.json")),
            ("B17-volume-link", "IO", "a volume is a link to the right bytes", |s| moved(s, "0002.tar.zst")),
            ("B17-list-link", "IO", "the list is a link to the right bytes", |s| moved(s, "sha256")),
            ("B17-signatures-fifo", "IO", "the signature file is a FIFO: no hang", |s| {
                s.remove("sig.json");
                let path = s.path("sig.json");
                s.entries.push(Entry::Fifo(path));
            }),
            ("B17-volume-fifo", "IO", "a volume is a FIFO: no hang", |s| {
                s.remove("0001.tar.zst");
                let path = s.path("0001.tar.zst");
                s.entries.push(Entry::Fifo(path));
            }),
            ("B17-signatures-directory", "IO", "the signature file is a directory", |s| {
                s.remove("sig.json");
                let path = s.path("sig.json");
                s.entries.push(Entry::Directory(path));
            }),
            ("B17-volume-directory", "IO", "a volume is a directory", |s| {
                s.remove("0003.tar.zst");
                let path = s.path("0003.tar.zst");
                s.entries.push(Entry::Directory(path));
            }),
            ("B17-list-directory", "IO", "the list is a directory", |s| {
                s.remove("sha256");
                let path = s.path("sha256");
                s.entries.push(Entry::Directory(path));
            }),
            (
                "B17-volume-link-and-flip",
                "INT",
                "a link, and a flipped bit in another volume: the lowest class wins",
                |s| {
                    moved(s, "0002.tar.zst");
                    s.edit("0001.tar.zst", |b| b[600] ^= 1);
                },
            ),
        ],
    );
}

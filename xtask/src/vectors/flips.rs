//! Changes of one bit in the volume of a valid bundle, or of content together with its checksum:
//! row B3.
//!
//! Covers each place that is computed differently, and each kind of content.
//! `tests/attacks/flips.rs` tests all bits.

use super::Book;
use super::content::Content;
use super::frame::stored;
use super::medium::packed_salt;

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    flips(book);
}

/// Adds single bits of a stored bundle: each place that is computed differently, and each kind of
/// content.
fn flips(book: &mut Book) {
    // The frame header has 10 bytes and the block header 3, so the stream starts at 13.
    let stream = |offset: usize| 13 + offset;
    let stored_places = [
        ("magic", 0, 0),
        ("descriptor", 4, 0),
        ("descriptor-unused-bit", 4, 4),
        ("window", 5, 3),
        ("content-size", 6, 0),
        ("block-header-last", 10, 0),
        ("block-header-size", 11, 2),
        ("header-name", stream(0), 5),
        ("header-mode", stream(106), 0),
        ("header-size", stream(134), 0),
        ("header-mtime", stream(146), 0),
        ("header-checksum", stream(148), 0),
        ("header-typeflag", stream(156), 1),
        ("header-linkname", stream(157), 0),
        ("header-magic", stream(262), 5),
        ("header-prefix", stream(345), 0),
        ("header-end", stream(511), 7),
        ("oci-layout", stream(512 + 25), 0),
        ("oci-layout-padding", stream(512 + 30), 0),
        ("index", stream(1536 + 100), 1),
        ("document", stream(2560 + 200), 0),
        ("config", stream(3584), 2),
        ("layer", stream(4608 + 18), 0),
        ("layer-padding", stream(5119), 0),
        ("checksum", stream(5120), 0),
        ("second-frame", stream(5120) + 4, 6),
        ("end", 5137 + 13 + 512, 0),
        ("end-checksum", 5137 + 1040, 7),
    ];
    for (name, at, bit) in stored_places {
        let scene = Content::salt().stored().signed();
        book.change(scene, &format!("B3-stored-{name}"), "INT", "one bit of a stored frame", |scene| {
            scene.edit("0001.tar.zst", |bytes| bytes[at] ^= 1 << bit);
        });
    }
    let length = packed_salt().bytes("0001.tar.zst").len() - 1041;
    for (name, at) in
        [("first", 0), ("descriptor", 4), ("content-size", 6), ("middle", length / 2), ("checksum", length - 1)]
    {
        book.change(packed_salt(), &format!("B3-packed-{name}"), "INT", "one bit of a packed frame", |scene| {
            scene.edit("0001.tar.zst", |bytes| bytes[at] ^= 1);
        });
    }
    // Content changed together with its checksum: only the blob's digest reveals it.
    for (name, at) in [("document", 2560 + 10), ("config", 3584), ("layer", 4608)] {
        let scene = Content::salt().stored().signed();
        book.change(
            scene,
            &format!("B3-stored-{name}-and-checksum"),
            "INT",
            "content changed, the checksum made to fit",
            |scene| {
                let mut plain = Content::salt().lay().plain();
                plain[at] ^= 1;
                scene.edit("0001.tar.zst", |bytes| *bytes = [stored(&plain).bytes, stored(&[0; 1024]).bytes].concat());
            },
        );
    }
}

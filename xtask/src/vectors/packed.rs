//! Packed frames with signed digests: unusual ones that must be accepted, and ones that break the
//! rules (`spec/frame.md`), B11.

use super::Book;
use super::content::{Built, Content, EMPTY, image};
use super::frame::{
    Frame, MAGIC, block, checksum, compressed, header, packed, packed_as, packed_under, run_blocks, stored,
};
use super::scene::Scene;

/// Makes the bytes of a frame, or the first part of them, from its content.
type Make<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// Returns the example with its members in one frame made by `frame`, and the end.
fn one(frame: impl Fn(&[u8]) -> Frame) -> Scene {
    Content::salt().lay().built(frame).signed()
}

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    headers(book);
    blocks(book);
    sizes(book);
    content(book);
}

fn headers(book: &mut Book) {
    let size = |plain: &[u8], count: usize| (plain.len() as u64).to_le_bytes()[..count].to_vec();
    // A content size of 2 bytes counts from 256.
    let two = |plain: &[u8]| size(&vec![0; plain.len() - 256], 2);
    let cases: [(&str, &'static str, &str, Make<'_>); 22] = [
        ("ok-packed-size-in-2-bytes", "PASS", "a content size of 2 bytes", &|p| {
            [&MAGIC[..], &[0x44, 0x38], &two(p)].concat()
        }),
        ("ok-packed-size-in-8-bytes", "PASS", "a content size of 8 bytes", &|p| {
            [&MAGIC[..], &[0xc4, 0x38], &size(p, 8)].concat()
        }),
        ("ok-packed-single-segment", "PASS", "single segment: no window byte", &|p| {
            [&MAGIC[..], &[0xa4], &size(p, 4)].concat()
        }),
        ("ok-packed-unused-bit", "PASS", "RFC 8878: the unused bit is not interpreted", &|p| {
            [&MAGIC[..], &[0x94, 0x38], &size(p, 4)].concat()
        }),
        ("ok-packed-window-of-16-mib", "PASS", "the largest window", &|p| {
            [&MAGIC[..], &[0x84, 0x70], &size(p, 4)].concat()
        }),
        ("B11-window-above-16-mib", "FMT", "a window of 18 MiB", &|p| {
            [&MAGIC[..], &[0x84, 0x71], &size(p, 4)].concat()
        }),
        ("B11-window-of-2-gib", "FMT", "a window of 2 GiB", &|p| [&MAGIC[..], &[0x84, 0xa8], &size(p, 4)].concat()),
        ("B11-window-largest", "FMT", "the largest window that can be written", &|p| {
            [&MAGIC[..], &[0x84, 0xff], &size(p, 4)].concat()
        }),
        ("B11-dictionary-1", "FMT", "a dictionary id of 1 byte", &|p| {
            [&MAGIC[..], &[0x85, 0x38, 7], &size(p, 4)].concat()
        }),
        ("B11-dictionary-2", "FMT", "a dictionary id of 2 bytes", &|p| {
            [&MAGIC[..], &[0x86, 0x38, 7, 0], &size(p, 4)].concat()
        }),
        ("B11-dictionary-4", "FMT", "a dictionary id of 4 bytes", &|p| {
            [&MAGIC[..], &[0x87, 0x38, 7, 0, 0, 0], &size(p, 4)].concat()
        }),
        ("B11-dictionary-0", "FMT", "a dictionary id field that holds 0", &|p| {
            [&MAGIC[..], &[0x85, 0x38, 0], &size(p, 4)].concat()
        }),
        ("B11-reserved-bit", "FMT", "the reserved bit is set", &|p| [&MAGIC[..], &[0x8c, 0x38], &size(p, 4)].concat()),
        ("B11-no-content-size", "FMT", "an undeclared content size", &|_| [&MAGIC[..], &[0x04, 0x38]].concat()),
        ("B11-content-size-one-more", "FMT", "the header says a byte more", &|p| header(0x84, p.len() + 1)),
        ("B11-content-size-one-less", "FMT", "the header says a byte less", &|p| header(0x84, p.len() - 1)),
        ("B11-content-size-0", "FMT", "the header says 0", &|_| header(0x84, 0)),
        ("B11-content-size-of-1-tib", "FMT", "the header says 1 TiB", &|_| {
            [&MAGIC[..], &[0xc4, 0x38], &(1_u64 << 40).to_le_bytes()].concat()
        }),
        ("B11-content-size-most", "FMT", "the header says 2^64 - 1", &|_| {
            [&MAGIC[..], &[0xc4, 0x38], &[0xff; 8]].concat()
        }),
        ("B11-magic", "FMT", "another magic", &|p| [&[0x29, 0xb5, 0x2f, 0xfd, 0x84, 0x38][..], &size(p, 4)].concat()),
        ("B11-magic-of-v0.7", "FMT", "the magic of an old zstd", &|p| {
            [&[0x27, 0xb5, 0x2f, 0xfd, 0x84, 0x38][..], &size(p, 4)].concat()
        }),
        ("B11-magicless", "FMT", "a frame without its magic", &|p| [&[0x84, 0x38][..], &size(p, 4)].concat()),
    ];
    for (name, expect, comment, make) in cases {
        book.add(one(|plain| packed_under(plain, &make(plain))), name, expect, comment);
    }
}

fn blocks(book: &mut Book) {
    let of = |make: &dyn Fn(&[u8]) -> Vec<u8>| one(|plain| packed_as(plain, make(plain)));
    let closed = |plain: &[u8], blocks: &[u8]| [&header(0x84, plain.len()), blocks, &checksum(plain)].concat();
    let cases: [(&str, &'static str, &str, Make<'_>); 14] = [
        ("ok-packed-empty-last-block", "PASS", "the last block is empty", &|p| {
            let mut blocks = run_blocks(p);
            let last = blocks.len() - 4;
            blocks[last] &= 0xfe;
            blocks.extend(block(true, 0, 0));
            closed(p, &blocks)
        }),
        ("ok-packed-empty-first-block", "PASS", "an empty block in front", &|p| {
            closed(p, &[&block(false, 0, 0)[..], &run_blocks(p)].concat())
        }),
        ("B11-no-checksum", "FMT", "no checksum", &|p| [header(0x80, p.len()), run_blocks(p)].concat()),
        ("B11-checksum", "FMT", "a wrong checksum, the content being right", &|p| {
            [&header(0x84, p.len())[..], &run_blocks(p), &[0; 4]].concat()
        }),
        ("B11-checksum-cut", "FMT", "ends inside the checksum", &|p| {
            let mut bytes = closed(p, &run_blocks(p));
            bytes.truncate(bytes.len() - 1);
            bytes
        }),
        ("B11-no-last-block", "FMT", "ends without a last block", &|p| {
            let mut blocks = run_blocks(p);
            let last = blocks.len() - 4;
            blocks[last] &= 0xfe;
            [header(0x84, p.len()), blocks].concat()
        }),
        ("B11-reserved-block", "FMT", "a block of the reserved type", &|p| {
            closed(p, &[&block(false, 3, 0)[..], &run_blocks(p)].concat())
        }),
        ("B11-byte-behind", "FMT", "a byte behind the frame", &|p| [closed(p, &run_blocks(p)), vec![0]].concat()),
        ("B11-frame-behind", "FMT", "an empty frame behind the frame", &|p| {
            [closed(p, &run_blocks(p)), [&header(0x84, 0)[..], &block(true, 0, 0), &checksum(b"")].concat()].concat()
        }),
        ("B11-skippable-behind", "FMT", "a skippable frame behind the frame", &|p| {
            [&closed(p, &run_blocks(p))[..], b"\x50\x2a\x4d\x18\x01\x00\x00\x00x"].concat()
        }),
        ("B11-skippable-before", "FMT", "a skippable frame before the frame", &|p| {
            [&b"\x50\x2a\x4d\x18\x01\x00\x00\x00x"[..], &closed(p, &run_blocks(p))].concat()
        }),
        ("B11-noise-in-compressed-block", "FMT", "a compressed block that is none", &|p| {
            closed(p, &[&block(true, 2, 40)[..], &[0xff; 40]].concat())
        }),
        ("B11-nothing", "FMT", "a frame of one byte", &|_| vec![0x28]),
        ("B11-text", "FMT", "a frame that is text", &|_| b"hello, packmule\n".to_vec()),
    ];
    for (name, expect, comment, make) in cases {
        book.add(of(make), name, expect, comment);
    }
}

fn sizes(book: &mut Book) {
    let bomb = |count: usize| {
        one(|plain| {
            let mut blocks = Vec::new();
            for _ in 0..count {
                blocks.extend(block(false, 1, 131_072));
                blocks.push(0);
            }
            blocks.extend(run_blocks(plain));
            packed_as(plain, [header(0x84, plain.len()), blocks, checksum(plain).to_vec()].concat())
        })
    };
    book.add(bomb(1), "B11-gives-more", "FMT", "128 KiB more than the header says");
    // Smaller than the stored frame would be, otherwise the manifest alone would be refused.
    book.add(bomb(850), "B11-bomb", "FMT", "106 MiB more than the header says");
    let fewer = |plain: &[u8]| {
        let bytes = [header(0x84, plain.len()), run_blocks(&plain[..4608]), checksum(plain).to_vec()].concat();
        packed_as(plain, bytes)
    };
    book.add(one(fewer), "B11-gives-less", "FMT", "512 bytes less than the header says");
    let mut two = Content::salt().lay().each(packed);
    two.frames[2].bytes.pop();
    let (plain, bytes) = (two.frames[2].plain.len(), two.frames[2].bytes.clone());
    two.frames[2].entry = super::frame::entry(plain, &bytes);
    book.add(two.signed(), "B11-runs-into-the-next-frame", "FMT", "its last byte stands in the next frame");
    large(book);
}

fn large(book: &mut Book) {
    let with = |size: usize, cut: Option<usize>| -> Built {
        let mut content = Content::new();
        let config = content.put(EMPTY, b"{}");
        let layer = content.put("x/layer", &vec![0; size]);
        let root = content.document(&image(&config, &[layer]));
        content.artifact("registry.example/notes/salt", &["1"], &root);
        let stream = content.lay();
        let mut lengths: Vec<usize> = stream.members.iter().map(Vec::len).collect();
        if let Some(cut) = cut {
            lengths.splice(3..4, [cut, lengths[3] - cut]);
        }
        stream.cut(&lengths, packed)
    };
    book.add(with(16 << 20, None).signed(), "B7-frame-above-16-mib", "FMT", "a packed frame of 16 MiB and 512");
    book.add(
        with(16 << 20, Some((16 << 20) + 1)).signed(),
        "B7-frame-of-16-mib-and-1",
        "FMT",
        "a packed frame of 16 MiB and 1",
    );
}

/// Adds frames that follow the rules, but have the wrong content.
fn content(book: &mut Book) {
    let other = |at: usize| {
        one(move |plain| {
            let mut other = plain.to_vec();
            other[at] ^= 1;
            packed(&other)
        })
    };
    for (name, at) in [
        ("header", 156),
        ("oci-layout", 520),
        ("index", 1600),
        ("document", 2600),
        ("config", 3585),
        ("config-padding", 3600),
        ("layer", 4608),
        ("last-byte", 5119),
    ] {
        book.add(other(at), &format!("packed-other-{name}"), "INT", "a good packed frame that holds another byte");
    }
    let zstd = one(|plain| {
        let mut other = plain.to_vec();
        other[4610] ^= 4;
        compressed(&other, 9)
    });
    book.add(zstd, "packed-other-by-zstd", "INT", "a good frame by libzstd that holds another byte");
    let mut swapped = Content::salt().lay().each(packed);
    let (one_plain, two_plain) = (swapped.frames[3].plain.clone(), swapped.frames[4].plain.clone());
    swapped.frames[3] = packed(&two_plain);
    swapped.frames[4] = packed(&one_plain);
    book.add(swapped.signed(), "packed-members-swapped", "INT", "two members have changed places, signed so");
    let mut stored_wrong = Content::salt().lay().each(stored);
    let mut layer = stored_wrong.frames[4].plain.clone();
    layer[512] ^= 1;
    stored_wrong.frames[4] = stored(&layer);
    book.add(stored_wrong.signed(), "stored-other-layer", "INT", "another layer with its right checksum, signed so");
    let mut marked = Content::salt().lay().each(stored);
    marked.frames[4].entry["digest"] = serde_json::json!(super::content::sha256(b"another"));
    book.add(marked.signed(), "stored-other-digest", "INT", "a stored frame whose signed digest is another's");
}

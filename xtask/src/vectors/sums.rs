//! Digests, numbers and sums in the manifest (`spec/manifest.md`, "Sums"): rows B7, B9, B10, M3,
//! M4.
//!
//! Each manifest here has a valid signature.

use super::Book;
use super::content::{Content, sha256, sha512};
use super::frame::packed;
use super::manifest::{base, edits, remove};
use serde_json::{Value, json};

/// Puts a value into a manifest.
type Put = fn(&mut Value, Value);

/// Adds all vectors of this module.
pub fn add(book: &mut Book) {
    digests(book);
    sums(book);
}

fn digests(book: &mut Book) {
    let hex = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    for (name, digest) in [
        ("upper-case", format!("sha256:{}", hex.to_uppercase())),
        ("63-digits", format!("sha256:{}", &hex[1..])),
        ("65-digits", format!("sha256:{hex}0")),
        ("path", "sha256:../../etc/passwd".to_owned()),
        ("md5", "md5:d41d8cd98f00b204e9800998ecf8427e".to_owned()),
        ("sha384", format!("sha384:{hex}{}", &hex[..32])),
        ("blake3", format!("blake3:{hex}")),
        ("sha512-of-64-digits", format!("sha512:{hex}")),
        ("without-algorithm", hex.to_owned()),
        ("algorithm-upper-case", format!("SHA256:{hex}")),
        ("space", format!("sha256: {}", &hex[1..])),
    ] {
        let scene = base().signed_with(|m| m["blobs"][1]["digest"] = json!(digest));
        book.add(scene, &format!("M3-digest-{name}"), "FMT", "a digest that is none, or of an unknown algorithm");
    }
    let long = json!(sha512(b"x"));
    let cases: [(&str, Put); 4] = [
        ("frame", |m, long| m["frames"][0]["digest"] = long),
        ("volume", |m, long| m["volumes"][0]["digest"] = long),
        ("base", |m, long| m["bases"] = json!([long])),
        ("previous", |m, long| {
            m["channel"] = json!("a");
            m["epoch"] = json!(0);
            m["sequence"] = json!(1);
            m["previous"] = long;
        }),
    ];
    for (name, edit) in cases {
        let scene = base().signed_with(|m| edit(m, long.clone()));
        book.add(scene, &format!("M3-sha512-of-{name}"), "FMT", "frames, volumes and bundles have sha256 digests");
    }
}

fn sums(book: &mut Book) {
    let numbers = [
        ("0", json!(0)),
        ("2-to-the-31", json!(1_u64 << 31)),
        ("2-to-the-53", json!(1_u64 << 53)),
        ("2-to-the-63", json!(1_u64 << 63)),
        ("most", json!(u64::MAX)),
        ("negative", json!(-1)),
    ];
    for (place, member) in [("frames", "plain"), ("frames", "size"), ("volumes", "size"), ("volumes", "frames")] {
        for (name, number) in &numbers {
            let scene = base().signed_with(|m| m[place][0][member] = number.clone());
            book.add(scene, &format!("B7-{place}-{member}-{name}"), "FMT", "a number that no sum allows");
        }
        let scene = base().signed_with(|m| m[place][0][member] = json!(m[place][0][member].as_u64().unwrap_or(0) + 1));
        book.add(scene, &format!("B7-{place}-{member}-one-more"), "FMT", "a number that no sum allows");
    }
    for (name, number) in &numbers[1..] {
        let scene = base().signed_with(|m| m["blobs"][2]["size"] = number.clone());
        book.add(scene, &format!("M4-blob-size-{name}"), "FMT", "a blob's size that no sum allows");
    }
    edits(
        book,
        &[
            ("M4-blob-size-0", "FMT", "a size of 0 for a blob of 19 bytes, the sums not made to fit", |m| {
                m["blobs"][2]["size"] = json!(0);
            }),
            ("M4-blob-size-one-more", "FMT", "20 for 19: the stream is as long, but the descriptor says 19", |m| {
                m["blobs"][2]["size"] = json!(20);
            }),
            ("M4-blob-size-one-less", "FMT", "18 for 19: the stream is as long, but the descriptor says 19", |m| {
                m["blobs"][2]["size"] = json!(18);
            }),
            ("B10-blob-sizes-overflow", "FMT", "sizes that add up to more than 64 bits in blocks of 512", |m| {
                for blob in 0..3 {
                    m["blobs"][blob]["size"] = json!((1_u64 << 53) - 1);
                }
            }),
            ("B9-frame-listed-twice", "FMT", "a frame is listed twice", |m| {
                m["frames"] = json!([m["frames"][0], m["frames"][0], m["frames"][1]]);
                m["volumes"][0]["frames"] = json!(3);
            }),
            ("B9-frame-not-listed", "FMT", "the end is not listed", |m| {
                m["frames"] = json!([m["frames"][0]]);
                m["volumes"][0]["frames"] = json!(1);
            }),
            ("B9-frames-swapped", "FMT", "the end stands first", |m| {
                m["frames"] = json!([m["frames"][1], m["frames"][0]]);
            }),
            ("B9-frames-empty", "FMT", "no frames", |m| m["frames"] = json!([])),
            ("B9-volumes-empty", "FMT", "no volumes", |m| m["volumes"] = json!([])),
            ("B9-frame-without-plain", "FMT", "an entry without plain", |m| remove(&mut m["frames"][1], "plain")),
            ("B9-frame-size-without-digest", "FMT", "a packed frame must have a digest", |m| {
                remove(&mut m["frames"][0], "digest");
            }),
            ("B9-frame-empty", "FMT", "an entry without members", |m| m["frames"][1] = json!({})),
            ("B10-volume-of-no-frames", "FMT", "a second volume without frames", |m| {
                let empty = json!({"digest": sha256(b""), "frames": 0, "size": 0});
                m["volumes"] = json!([m["volumes"][0], empty]);
            }),
            ("B10-volume-sizes-swapped", "FMT", "the sum is right, each volume's size is not", |m| {
                let size = m["volumes"][0]["size"].as_u64().unwrap_or(0);
                m["volumes"] = json!([
                    {"digest": sha256(b"1"), "frames": 1, "size": 1041},
                    {"digest": sha256(b"2"), "frames": 1, "size": size - 1041},
                ]);
            }),
        ],
    );
    let salt = Content::salt().lay();
    let misplaced: [(&str, &[usize], &str); 3] = [
        ("end-and-start", &[1500, 3620], "a frame holds the end of one member and the start of the next"),
        ("members-and-start", &[2100, 3020], "a frame holds two members and the start of a third"),
        ("part-and-next", &[1024, 512, 1024, 2560], "a frame holds the rest of a member and the next one"),
    ];
    for (name, lengths, comment) in misplaced {
        book.add(salt.cut(lengths, packed).signed(), &format!("B9-cut-{name}"), "FMT", comment);
    }
    ends(book);
}

fn ends(book: &mut Book) {
    let salt = Content::salt().lay();
    let mut with_end = salt.clone();
    let last = with_end.members.len() - 1;
    with_end.members[last].extend([0; 512]);
    with_end.end.truncate(512);
    book.add(with_end.each(packed).signed(), "B9-end-cut", "FMT", "half of the end in the frame before");
    let mut packed_end = salt.built(packed);
    packed_end.frames[1] = packed(&[0; 1024]);
    book.add(packed_end.signed(), "B9-end-packed", "FMT", "the end is not stored");
    let mut two_ends = salt.built(packed);
    two_ends.frames.truncate(1);
    two_ends.frames.extend([super::frame::stored(&[0; 512]), super::frame::stored(&[0; 512])]);
    book.add(two_ends.in_volumes(&[3]).signed(), "B9-end-of-two-frames", "FMT", "the end in two frames");
    let mut long = salt.built(packed);
    let rest: usize = 10_240 - salt.plain().len();
    long.frames[1] = super::frame::stored(&vec![0; rest]);
    book.add(long.signed(), "B9-end-filled-to-a-record", "FMT", "the end filled as GNU tar does");
    let mut none = salt.built(packed);
    none.frames.truncate(1);
    book.add(none.in_volumes(&[1]).signed(), "B9-no-end", "FMT", "a stream without an end");
    let fat = salt.each(packed).signed_with(|m| {
        let plain = m["frames"][2]["plain"].as_u64().unwrap_or(0);
        m["frames"][2]["size"] = json!(14 + plain + 3);
        let rest: u64 = m["volumes"][0]["size"].as_u64().unwrap_or(0);
        m["volumes"][0]["size"] = json!(rest + 14 + plain + 3);
    });
    book.add(fat, "B7-packed-as-large-as-stored", "FMT", "a packed frame that is not smaller than the stored one");
}

//! Frames as specified in `spec/frame.md`, and others that only resemble them.
//!
//! Most packed frames are assembled here from raw and run-length blocks, so that they are small and
//! do not depend on the version of a compressor.

use super::content::sha256;
use serde_json::{Value, json};
use xxhash_rust::xxh64::xxh64;

/// Start of every zstd frame.
pub const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Largest size of a block.
pub const BLOCK: usize = 131_072;

/// One frame: its content, its bytes, its entry in the manifest.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its part of the tar stream.
    pub plain: Vec<u8>,
    /// Bytes in the volume.
    pub bytes: Vec<u8>,
    /// Entry in `frames`.
    pub entry: Value,
}

fn little(number: usize) -> [u8; 8] {
    (number as u64).to_le_bytes()
}

/// Returns the lower half of XXH64.
pub fn checksum(plain: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh64(plain, 0).to_le_bytes();
    [a, b, c, d]
}

/// Returns a block header. Kinds: 0 raw, 1 run-length, 2 compressed, 3 reserved.
pub fn block(last: bool, kind: usize, size: usize) -> [u8; 3] {
    let [a, b, c, ..] = little(usize::from(last) + kind * 2 + size * 8);
    [a, b, c]
}

/// Returns a header with a content size of 4 bytes and a window of 128 KiB.
pub fn header(descriptor: u8, plain: usize) -> Vec<u8> {
    [&MAGIC[..], &[descriptor, 0x38], &little(plain)[..4]].concat()
}

/// Returns raw blocks of the largest size.
pub fn raw_blocks(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut blocks = plain.chunks(BLOCK).peekable();
    while let Some(content) = blocks.next() {
        out.extend(block(blocks.peek().is_none(), 0, content.len()));
        out.extend_from_slice(content);
    }
    out
}

/// Returns run-length blocks for runs of at least eight bytes, and raw blocks for the rest.
pub fn run_blocks(plain: &[u8]) -> Vec<u8> {
    let mut pieces: Vec<(usize, usize, bool)> = Vec::new();
    let (mut at, mut from) = (0, 0);
    while at < plain.len() {
        let run = plain[at..].iter().take(BLOCK).take_while(|byte| **byte == plain[at]).count();
        if run >= 8 {
            if from < at {
                pieces.push((from, at, false));
            }
            pieces.push((at, at + run, true));
            from = at + run;
        }
        at += run;
    }
    if from < plain.len() {
        pieces.push((from, plain.len(), false));
    }
    let mut out = Vec::new();
    let count = pieces.len();
    for (index, (from, to, run)) in pieces.into_iter().enumerate() {
        out.extend(block(index + 1 == count, usize::from(run), to - from));
        out.extend_from_slice(if run { &plain[from..=from] } else { &plain[from..to] });
    }
    out
}

/// Returns a stored frame.
pub fn stored(plain: &[u8]) -> Frame {
    let bytes = [header(0x84, plain.len()), raw_blocks(plain), checksum(plain).to_vec()].concat();
    Frame { plain: plain.to_vec(), bytes, entry: json!({ "plain": plain.len() }) }
}

/// Returns the entry of a packed frame with these bytes.
pub fn entry(plain: usize, bytes: &[u8]) -> Value {
    json!({ "digest": sha256(bytes), "plain": plain, "size": bytes.len() })
}

/// Returns a packed frame with any bytes.
pub fn packed_as(plain: &[u8], bytes: Vec<u8>) -> Frame {
    Frame { plain: plain.to_vec(), entry: entry(plain.len(), &bytes), bytes }
}

/// Returns a packed frame.
pub fn packed(plain: &[u8]) -> Frame {
    packed_as(plain, [header(0x84, plain.len()), run_blocks(plain), checksum(plain).to_vec()].concat())
}

/// Returns a packed frame with another header than ours.
pub fn packed_under(plain: &[u8], header: &[u8]) -> Frame {
    packed_as(plain, [header, &run_blocks(plain), &checksum(plain)].concat())
}

/// Returns a frame compressed by libzstd.
pub fn compressed(plain: &[u8], level: i32) -> Frame {
    use zstd::zstd_safe::CParameter;
    let packed = zstd::bulk::Compressor::new(level).and_then(|mut compressor| {
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        compressor.compress(plain)
    });
    // Fails only if memory runs out.
    packed_as(plain, packed.unwrap_or_else(|error| panic!("zstd: {error}")))
}

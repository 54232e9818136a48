//! Frames as `spec/frame.md` lays them out, and others that only look like them.
//!
//! Packed frames are mostly made by hand of raw and run-length blocks, so that they are small and depend on no
//! version of a compressor.

use super::content::sha256;
use serde_json::{Value, json};
use xxhash_rust::xxh64::xxh64;

/// What every zstd frame begins with.
pub const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The largest block.
pub const BLOCK: usize = 131_072;

/// One frame: what it holds, its bytes, its entry in the manifest.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its part of the tar stream.
    pub plain: Vec<u8>,
    /// The bytes in the volume.
    pub bytes: Vec<u8>,
    /// The entry in `frames`.
    pub entry: Value,
}

fn little(number: usize) -> [u8; 8] {
    (number as u64).to_le_bytes()
}

/// The low half of XXH64.
pub fn checksum(plain: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh64(plain, 0).to_le_bytes();
    [a, b, c, d]
}

/// A block header: 0 raw, 1 run-length, 2 compressed, 3 reserved.
pub fn block(last: bool, kind: usize, size: usize) -> [u8; 3] {
    let [a, b, c, ..] = little(usize::from(last) + kind * 2 + size * 8);
    [a, b, c]
}

/// A header with a content size of 4 bytes and a window of 128 KiB.
pub fn header(descriptor: u8, plain: usize) -> Vec<u8> {
    [&MAGIC[..], &[descriptor, 0x38], &little(plain)[..4]].concat()
}

/// Raw blocks of the largest size.
pub fn raw_blocks(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut blocks = plain.chunks(BLOCK).peekable();
    while let Some(content) = blocks.next() {
        out.extend(block(blocks.peek().is_none(), 0, content.len()));
        out.extend_from_slice(content);
    }
    out
}

/// Runs of eight and more as run-length blocks, the rest raw.
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

/// A stored frame.
pub fn stored(plain: &[u8]) -> Frame {
    let bytes = [header(0x84, plain.len()), raw_blocks(plain), checksum(plain).to_vec()].concat();
    Frame { plain: plain.to_vec(), bytes, entry: json!({ "plain": plain.len() }) }
}

/// The entry of a packed frame of these bytes.
pub fn entry(plain: usize, bytes: &[u8]) -> Value {
    json!({ "digest": sha256(bytes), "plain": plain, "size": bytes.len() })
}

/// A packed frame of these bytes, whatever they are.
pub fn packed_as(plain: &[u8], bytes: Vec<u8>) -> Frame {
    Frame { plain: plain.to_vec(), entry: entry(plain.len(), &bytes), bytes }
}

/// A packed frame.
pub fn packed(plain: &[u8]) -> Frame {
    packed_as(plain, [header(0x84, plain.len()), run_blocks(plain), checksum(plain).to_vec()].concat())
}

/// A packed frame under another header than ours.
pub fn packed_under(plain: &[u8], header: &[u8]) -> Frame {
    packed_as(plain, [header, &run_blocks(plain), &checksum(plain)].concat())
}

/// A frame by libzstd itself.
pub fn compressed(plain: &[u8], level: i32) -> Frame {
    use zstd::zstd_safe::CParameter;
    let packed = zstd::bulk::Compressor::new(level).and_then(|mut compressor| {
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        compressor.compress(plain)
    });
    // It fails only for want of memory.
    packed_as(plain, packed.unwrap_or_else(|error| panic!("zstd: {error}")))
}

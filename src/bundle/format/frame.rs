//! Frames: stored ones, computed byte for byte, and packed ones (`spec/frame.md`).
//!
//! | offset | length | stored frame |
//! |---|---|---|
//! | 0 | 6 | `28 B5 2F FD 84 38`: magic, descriptor (4-byte content size, checksum), window 128 KiB |
//! | 6 | 4 | content size, little endian |
//! | 10 | 3 | block header: last, raw, size |
//! | 13 | ≤ 131072 | the block; headers and blocks alternate |
//! | end − 4 | 4 | low half of the content's XXH64, little endian |
//!
//! A packed frame is decompressed only after its digest was checked.

use xxhash_rust::xxh64::Xxh64;
use zstd::zstd_safe::{self, CParameter, DParameter};

use crate::bundle::Error;
use crate::system::memory::Exhausted;

/// Maximum number of bytes of the tar stream in one frame. Limits the size of every buffer.
pub const MAX_PLAIN: u64 = 16 << 20;
/// Size of a full raw block, the largest that zstd allows.
pub const RAW_BLOCK: usize = 128 << 10;
/// Number of bytes before the first block.
pub const STORED_HEADER: usize = 10;
/// Number of bytes before each block.
pub const BLOCK_HEADER: usize = 3;
/// Number of bytes after the last block.
pub const CHECKSUM: usize = 4;
/// Window of packed frames, as a power of two: 16 MiB.
const WINDOW_LOG: u32 = 24;
/// Number of bytes of a frame that are tried at level 1 before it is packed.
const PROBE: usize = 256 << 10;

/// Returns the size of a stored frame that holds `plain` bytes.
pub const fn stored_size(plain: u64) -> u64 {
    (STORED_HEADER + CHECKSUM) as u64 + plain + BLOCK_HEADER as u64 * plain.div_ceil(RAW_BLOCK as u64)
}

/// Returns the first ten bytes of a stored frame.
pub fn stored_header(plain: u32) -> [u8; STORED_HEADER] {
    let mut header = [0x28, 0xb5, 0x2f, 0xfd, 0x84, 0x38, 0, 0, 0, 0];
    header[6..].copy_from_slice(&plain.to_le_bytes());
    header
}

/// Returns the header of a raw block of `length` bytes.
pub fn block_header(length: usize, last: bool) -> [u8; BLOCK_HEADER] {
    // At most 2^17 bytes, so that the three bytes hold it.
    let [low, middle, high, ..] = ((length as u64) << 3 | u64::from(last)).to_le_bytes();
    [low, middle, high]
}

/// Returns the checksum after the last block.
pub fn checksum(hasher: &Xxh64) -> [u8; CHECKSUM] {
    let [a, b, c, d, ..] = hasher.digest().to_le_bytes();
    [a, b, c, d]
}

/// Returns `plain` as a stored frame.
///
/// # Panics
/// If `plain` has more than [`MAX_PLAIN`] bytes.
pub fn store(plain: &[u8]) -> Vec<u8> {
    assert!(plain.len() as u64 <= MAX_PLAIN, "a frame holds at most 16 MiB");
    let mut frame = Vec::with_capacity(usize::try_from(stored_size(plain.len() as u64)).unwrap_or_default());
    frame.extend_from_slice(&stored_header(u32::try_from(plain.len()).unwrap_or(u32::MAX)));
    let mut hasher = Xxh64::new(0);
    let mut blocks = plain.chunks(RAW_BLOCK).peekable();
    while let Some(block) = blocks.next() {
        hasher.update(block);
        frame.extend_from_slice(&block_header(block.len(), blocks.peek().is_none()));
        frame.extend_from_slice(block);
    }
    frame.extend_from_slice(&checksum(&hasher));
    frame
}

fn compress(plain: &[u8], level: i32) -> Result<Vec<u8>, Exhausted> {
    // A new context for each frame, so that earlier frames cannot affect the bytes.
    let mut context = zstd_safe::CCtx::try_create().ok_or(Exhausted)?;
    for parameter in [
        CParameter::CompressionLevel(level),
        CParameter::WindowLog(WINDOW_LOG),
        CParameter::ChecksumFlag(true),
        CParameter::ContentSizeFlag(true),
        CParameter::DictIdFlag(false),
    ] {
        context.set_parameter(parameter).map_err(|_| Exhausted)?;
    }
    let mut packed = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    // There is room for the worst case, so only memory can run out.
    context.compress2(&mut packed, plain).map_err(|_| Exhausted)?;
    Ok(packed)
}

/// Returns `plain` as a packed frame at `level`, or `None` if packing does not save enough: the
/// first 256 KiB must shrink by 5 % at level 1, and then all of it by 5 %. Level 0 packs nothing.
///
/// # Errors
/// [`Exhausted`]: it is unknown whether packing saves enough, and the frame must not depend on
/// memory.
pub fn pack(plain: &[u8], level: i32) -> Result<Option<Vec<u8>>, Exhausted> {
    let saves = |packed: usize, plain: usize| packed <= plain - plain / 20;
    let probe = &plain[..plain.len().min(PROBE)];
    if level == 0 || !saves(compress(probe, 1)?.len(), probe.len()) {
        return Ok(None);
    }
    let packed = compress(plain, level)?;
    Ok(saves(packed.len(), plain.len()).then_some(packed))
}

/// Checks that the header of a packed frame follows the rules.
fn check_header(packed: &[u8], plain: u64) -> Result<(), &'static str> {
    let Some(&[0x28, 0xb5, 0x2f, 0xfd, descriptor]) = packed.first_chunk::<5>() else {
        return Err("it does not begin as a zstd frame");
    };
    if descriptor & 0b0000_1011 != 0 {
        return Err("it uses a dictionary or a reserved bit");
    }
    if descriptor & 0b0000_0100 == 0 {
        return Err("it has no checksum");
    }
    if descriptor & 0b0010_0000 == 0 {
        let window = packed.get(5).copied().unwrap_or(u8::MAX);
        let base = 1_u64 << (10 + u32::from(window >> 3));
        if base + base / 8 * u64::from(window & 7) > 1 << WINDOW_LOG {
            return Err("its window is above 16 MiB");
        }
    }
    if !matches!(zstd_safe::get_frame_content_size(packed), Ok(Some(size)) if size == plain) {
        return Err("its content size differs from the manifest's");
    }
    if zstd_safe::find_frame_compressed_size(packed) != Ok(packed.len()) {
        return Err("it does not end at its last byte");
    }
    Ok(())
}

/// Reason why a packed frame was not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// It breaks the rules of `spec/frame.md`.
    Misformed(&'static str),
    /// There was not enough memory.
    Exhausted,
}

impl Packed {
    /// Returns the error for the frame at a place.
    pub fn at(self, place: &str) -> Error {
        match self {
            Self::Misformed(problem) => Error::format(format!("{place}: packed frame breaks the rules: {problem}"))
                .help("the bundle was signed with this frame in it; ask whoever made it"),
            Self::Exhausted => Exhausted.into(),
        }
    }
}

/// Unpacks a packed frame whose digest was checked into `out`: exactly `plain` bytes.
///
/// # Errors
/// [`Packed`].
pub fn unpack(packed: &[u8], plain: u64, out: &mut Vec<u8>) -> Result<(), Packed> {
    check_header(packed, plain).map_err(Packed::Misformed)?;
    let size = usize::try_from(plain.min(MAX_PLAIN)).unwrap_or_default();
    out.clear();
    out.reserve_exact(size);
    let mut context = zstd_safe::DCtx::try_create().ok_or(Packed::Exhausted)?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(|_| Packed::Exhausted)?;
    match context.decompress(out, packed) {
        Ok(count) if count as u64 == plain => Ok(()),
        Ok(_) => Err(Packed::Misformed("its content is shorter than the manifest says")),
        Err(_) => Err(Packed::Misformed("it cannot be decompressed to what the manifest says")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zstd_cli(frame: &[u8]) -> Vec<u8> {
        zstd::stream::decode_all(frame).unwrap()
    }

    #[test]
    fn stored_frames_are_zstd_at_every_boundary() {
        for size in [1, 2, 511, 512, 513, RAW_BLOCK - 1, RAW_BLOCK, RAW_BLOCK + 1, 3 * RAW_BLOCK + 7] {
            let plain: Vec<u8> = (0..size).map(|index| u8::try_from(index % 251).unwrap()).collect();
            let frame = store(&plain);
            assert_eq!(frame.len() as u64, stored_size(size as u64), "{size}");
            assert_eq!(zstd_cli(&frame), plain, "{size}");
        }
    }

    #[test]
    fn packed_frames_round_trip_and_are_capped() {
        let plain = b"all work and no play makes jack a dull boy\n".repeat(9000);
        let packed = pack(&plain, 9).unwrap().unwrap();
        let mut out = Vec::new();
        unpack(&packed, plain.len() as u64, &mut out).unwrap();
        assert_eq!(out, plain);
        for wrong in [plain.len() as u64 - 1, plain.len() as u64 + 1] {
            assert!(unpack(&packed, wrong, &mut out).is_err());
        }
        let mut longer = packed.clone();
        longer.push(0);
        assert!(unpack(&longer, plain.len() as u64, &mut out).is_err());
        assert!(pack(&plain, 0).unwrap().is_none());
    }

    #[test]
    fn b8_a_window_of_more_than_16_mib_is_refused_by_the_header() {
        for (window, fits) in
            [(0x38, true), (0x6f, true), (0x70, true), (0x71, false), (0x77, false), (0x78, false), (0xff, false)]
        {
            let mut frame = store(b"abc");
            frame[5] = window;
            let expected = if fits { Ok(()) } else { Err("its window is above 16 MiB") };
            assert_eq!(check_header(&frame, 3), expected, "{window:#x}");
        }
    }

    #[test]
    fn content_that_does_not_shrink_is_not_packed() {
        let mut state = 1_u64;
        let noise: Vec<u8> = (0..300_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            })
            .collect();
        assert!(pack(&noise, 9).unwrap().is_none());
    }

    #[test]
    fn packed_is_what_saves_five_in_a_hundred() {
        // Zeros followed by noise: with more noise, the packed size grows byte by byte.
        let mut state = 1_u64;
        let noise: Vec<u8> = (0..2000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            })
            .collect();
        let mut met = [0; 3];
        for length in 1700..2000 {
            let mut plain = vec![0; 2000 - length];
            plain.extend_from_slice(&noise[..length]);
            let left = compress(&plain, 1).unwrap().len();
            if (1899..=1901).contains(&left) {
                met[left - 1899] += 1;
                assert_eq!(pack(&plain, 1).unwrap().is_some(), left <= 1900, "{left}");
            }
        }
        assert!(met.iter().all(|count| *count > 0), "{met:?}");
    }
}

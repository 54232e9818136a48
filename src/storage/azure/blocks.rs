//! The blocks of an upload: where each ends, and its id.
//!
//! Ids follow from the upload alone, so that a run needs no memory of an earlier one, and two
//! uploaders of the same content make the same blocks.

use base64ct::{Base64, Encoding as _};

use crate::oci::Digest;

/// Least size of a block, in bytes; the last one may be smaller.
pub(super) const LEAST: u64 = 16 << 20;
/// Number of blocks that an object is split into at most, below the service's 50,000.
const MOST: u64 = 45_000;

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Where it begins in the object.
    pub offset: u64,
    /// Its length, in bytes.
    pub length: u64,
    /// Its id, base64.
    pub id: String,
}

/// Splits an object of `size` bytes into blocks of at least `least` bytes, which end at one of
/// `ends` where one follows soon. `key` and `digest` name the upload.
pub(super) fn plan(size: u64, ends: &[u64], least: u64, key: &str, digest: Digest) -> Vec<Block> {
    let length = least.max(size.div_ceil(MOST));
    let name = Digest::sha256(format!("{digest} {key}").as_bytes());
    let mut blocks = Vec::new();
    let mut offset = 0;
    while offset < size {
        let aim = offset.saturating_add(length);
        let next = ends[ends.partition_point(|end| *end < aim)..].first().copied();
        // Not much larger: each block is held in memory.
        let end = next.filter(|end| *end <= aim.saturating_add(length / 8)).unwrap_or(aim).min(size);
        blocks.push(Block { offset, length: end - offset, id: id(&name, offset, end - offset) });
        offset = end;
    }
    blocks
}

/// Length of an id before it is encoded; all ids of an object must have the same length.
const ID: usize = 24;

/// Returns the id of a block: of its upload, place and length.
fn id(name: &Digest, offset: u64, length: u64) -> String {
    let mut bytes = [0; ID];
    bytes.iter_mut().zip(&name.raw()[..8]).for_each(|(byte, of_name)| *byte = *of_name);
    bytes[8..16].copy_from_slice(&offset.to_be_bytes());
    bytes[16..].copy_from_slice(&length.to_be_bytes());
    Base64::encode_string(&bytes)
}

/// Reports whether an id has the length of ours: others of the same object would be refused.
pub(super) fn fits(id: &str) -> bool {
    id.len() == ID / 3 * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn lengths(size: u64, ends: &[u64]) -> Vec<u64> {
        plan(size, ends, LEAST, "k", Digest::sha256(b"x")).iter().map(|block| block.length).collect()
    }

    #[test]
    fn blocks_end_where_frames_end_if_that_is_near() {
        assert_eq!(lengths(1, &[]), [1]);
        assert_eq!(lengths(16 * MIB, &[]), [16 * MIB]);
        assert_eq!(lengths(33 * MIB, &[]), [16 * MIB, 16 * MIB, MIB]);
        assert_eq!(lengths(40 * MIB, &[5 * MIB, 17 * MIB, 36 * MIB]), [17 * MIB, 16 * MIB, 7 * MIB]);
        assert_eq!(lengths(40 * MIB, &[19 * MIB]), [16 * MIB, 16 * MIB, 8 * MIB], "too far");
        assert_eq!(lengths(0, &[]), [0_u64; 0]);
    }

    #[test]
    fn t18_the_largest_object_has_few_enough_blocks_and_all_ids_differ() {
        let size = 4 << 40;
        let blocks = plan(size, &[], LEAST, "k", Digest::sha256(b"x"));
        assert!(blocks.len() as u64 <= MOST, "{}", blocks.len());
        assert_eq!(blocks.iter().map(|block| block.length).sum::<u64>(), size);
        let ids: std::collections::HashSet<_> = blocks.iter().map(|block| &block.id).collect();
        assert_eq!(ids.len(), blocks.len());
        assert!(blocks.iter().all(|block| fits(&block.id)));
    }

    #[test]
    fn t17_ids_follow_from_key_and_content_alone() {
        let ids = |key: &str, content: &[u8]| plan(40 * MIB, &[], LEAST, key, Digest::sha256(content));
        assert_eq!(ids("a", b"x"), ids("a", b"x"));
        assert!(ids("a", b"x")[0].id != ids("b", b"x")[0].id && ids("a", b"x")[0].id != ids("a", b"y")[0].id);
        let other = plan(40 * MIB, &[17 * MIB], LEAST, "a", Digest::sha256(b"x"));
        assert_ne!(other[0].id, ids("a", b"x")[0].id, "other ends, other blocks");
    }
}

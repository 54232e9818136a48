//! Blobs kept in memory while a bundle is read in one pass: documents, and blobs that may be one.
//!
//! Limits their total size; does not check their content.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::fault::differs;
use crate::bundle::Error;
use crate::oci::Digest;

/// Maximum number of bytes kept in memory: documents, and blobs that look like one.
pub const MAX_CACHED: u64 = 256 << 20;

/// Blobs that were read and kept.
#[derive(Debug, Default)]
pub struct BlobCache {
    blobs: HashMap<Digest, Arc<[u8]>>,
    bytes: u64,
    is_full: bool,
}

impl BlobCache {
    /// Keeps a blob if there is room.
    pub(in crate::bundle) fn add(&mut self, digest: Digest, content: Vec<u8>) {
        self.bytes += content.len() as u64;
        if self.bytes > MAX_CACHED {
            self.is_full = true;
        } else {
            self.blobs.insert(digest, Arc::from(content));
        }
    }

    /// Returns a blob if it was kept.
    pub(in crate::bundle) fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.blobs.get(digest).cloned()
    }

    /// Whether a blob was not kept because there was no room for it.
    pub(in crate::bundle) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Returns an error if a blob was not kept.
    pub(in crate::bundle) fn fault(&self) -> Option<Error> {
        self.is_full.then(too_many)
    }
}

/// Returns the error for a bundle whose documents exceed [`MAX_CACHED`].
pub fn too_many() -> Error {
    Error::format(differs("stream", format_args!("at most {MAX_CACHED} bytes of documents"), "more"))
        .help("write it to a disk and read it from there: tar x")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_kept_up_to_the_last_byte_of_room() {
        let digest = |number: u8| Digest::sha256(&[number]);
        let mut cache = BlobCache { bytes: MAX_CACHED - 3, ..BlobCache::default() };
        cache.add(digest(1), vec![1; 3]);
        assert!(cache.blobs.contains_key(&digest(1)) && cache.fault().is_none());
        cache.add(digest(2), Vec::new());
        assert!(cache.blobs.contains_key(&digest(2)) && cache.fault().is_none());
        for number in 3..5 {
            cache.add(digest(number), vec![1]);
            assert!(!cache.blobs.contains_key(&digest(number)) && cache.fault().is_some(), "{number}");
        }
    }
}

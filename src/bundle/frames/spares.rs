//! Large buffers that are used again. An allocator that gets them back from many threads keeps some for
//! each thread; a reader that stays would grow by that.

use std::sync::{Arc, Mutex};

use crate::base::lock::lock;

/// Smallest buffer that is worth keeping.
const LEAST: usize = 1 << 20;
/// Maximum number of buffers that are kept.
const MOST: usize = 8;

/// Buffers that nobody uses.
#[derive(Debug, Default)]
pub struct Spares(Mutex<Vec<Vec<u8>>>);

/// A buffer that goes back to where it came from.
#[derive(Debug)]
pub struct Spare {
    bytes: Vec<u8>,
    home: Arc<Spares>,
}

impl Spares {
    /// Returns an empty buffer with room for `size` bytes.
    pub fn take(self: &Arc<Self>, size: usize) -> Spare {
        let mut kept = lock(&self.0);
        let at = kept.iter().position(|bytes| bytes.capacity() >= size);
        let bytes = at.map(|at| kept.swap_remove(at));
        drop(kept);
        Spare { bytes: bytes.unwrap_or_else(|| Vec::with_capacity(size)), home: Arc::clone(self) }
    }
}

impl Spare {
    /// Returns the buffer for writing.
    pub const fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl std::ops::Deref for Spare {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut kept = lock(&self.home.0);
        if bytes.capacity() >= LEAST && kept.len() < MOST {
            bytes.clear();
            kept.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_used_again() {
        let spares: Arc<Spares> = Arc::default();
        let mut first = spares.take(LEAST);
        first.bytes().extend_from_slice(b"abc");
        let at = first.as_ptr();
        drop(first);
        drop(spares.take(LEAST - 1));
        let again = spares.take(LEAST);
        assert!(again.as_ptr() == at && again.is_empty());
        let other = spares.take(2 * LEAST);
        assert!(other.as_ptr() != at);
        drop((again, other, spares.take(10)));
        assert_eq!(lock(&spares.0).len(), 2, "small ones are not kept");
    }
}

//! The digest of content that is read for it.

use std::io::Read;

use super::stamp::Stamped;
use crate::content::Error;
use crate::flow::{Event, Flow};
use crate::oci::{Algorithm, Digest, Hasher};

/// Bytes that are read at a time.
pub(super) const CHUNK: usize = 256 << 10;

/// Digest and size of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hashed {
    /// Digest.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
}

/// Hashes a file.
///
/// # Errors
/// Those of [`Stamped::open`]; cancelled.
pub(super) fn hash(flow: &Flow, file: &Stamped) -> Result<Hashed, Error> {
    flow.event(Event::Stage { name: "hashing", bytes: file.size(), items: 0 });
    let mut reader = file.open(0)?;
    hash_all(flow, &mut reader, true)
}

/// Hashes everything that a reader gives. With `report`, reports the bytes.
///
/// # Errors
/// Those of the reader; cancelled.
pub(super) fn hash_all(flow: &Flow, reader: &mut dyn Read, report: bool) -> Result<Hashed, Error> {
    let (mut hasher, mut size) = (Hasher::new(Algorithm::Sha256), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        flow.check()?;
        let count = crate::content::checked::read_some(reader, &mut buffer)
            .map_err(|error| Error::from_io("content", error))?;
        if count == 0 {
            return Ok(Hashed { digest: hasher.finish(), size });
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
        if report {
            flow.event(Event::Bytes(count as u64));
        }
    }
}

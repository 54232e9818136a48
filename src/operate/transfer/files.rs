//! Files of a bundle at one place as content for another, and the names of all files that a bundle of
//! a name may have.

use std::io::{self, Read};
use std::sync::Arc;

use crate::bundle::Name;
use crate::bundle::format::manifest::Volume;
use crate::content::checked::Checked;
use crate::content::store::{Staged, Whole};
use crate::content::volumes::Volumes;
use crate::content::{self, Body};
use crate::oci::{Descriptor, Digest};

/// Media type of the descriptor that a file is checked against. It is never shown.
const BYTES: &str = "application/octet-stream";

/// Returns whether `file` belongs to a bundle of this name, in whatever form.
pub fn is_own(name: &Name, file: &str) -> bool {
    name.volume_number(file).is_some()
        || [name.manifest(), name.signatures(), name.checksums()].iter().any(|own| own == file)
        || file.strip_prefix(&name.flat()).is_some_and(|rest| rest.starts_with('/'))
}

/// A file at a place of volumes.
struct AtPlace {
    place: Arc<dyn Volumes>,
    file: String,
    size: u64,
    digest: Digest,
}

/// Returns the file `name` of `place` as a whole file for a store. `ends` are the ends of its frames.
pub(super) fn whole(place: &Arc<dyn Volumes>, name: String, volume: &Volume, ends: Vec<u64>) -> Whole {
    let Volume { size, digest, .. } = *volume;
    let body = AtPlace { place: Arc::clone(place), file: name.clone(), size, digest };
    Whole { name, size, digest, ends, body: Arc::new(body) }
}

impl Body for AtPlace {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        let reader = Reader { from: self, at: 0 };
        Ok(Box::new(Checked::new(reader, Descriptor::new(BYTES, self.digest, self.size))))
    }

    fn open_at(&self, offset: u64) -> Option<io::Result<Box<dyn Read + Send + '_>>> {
        Some(Ok(Box::new(Reader { from: self, at: offset })))
    }
}

impl Staged for AtPlace {
    /// Does nothing: the file is another bundle's, which stays.
    fn release(&self) -> Result<(), content::Error> {
        Ok(())
    }
}

struct Reader<'a> {
    from: &'a AtPlace,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.from.size.saturating_sub(self.at);
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if count > 0 {
            let read = self.from.place.read_at(&self.from.file, self.at, &mut buffer[..count]);
            read.map_err(content::Error::into_io)?;
        }
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_name_are_told_from_those_of_others() {
        let name = Name::new("b").unwrap();
        for own in ["b.json", "b.sig.json", "b.sha256", "b.0001.tar.zst", "b.0000.tar.zst", "b.oci/index.json"] {
            assert!(is_own(&name, own), "{own}");
        }
        for other in ["b", "b.oci", "b.1.tar.zst", "b.txt", "bb.json", "a/b.json", "b.oci2/x"] {
            assert!(!is_own(&name, other), "{other}");
        }
    }
}

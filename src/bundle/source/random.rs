//! A trusted bundle as a source of artifacts by name, documents and blobs.
//!
//! Blobs are read frame by frame ([`super::blob_reader`]); blobs that share a frame come from the
//! cache.

use std::io::Read;

use super::blob_reader::BlobReader;
use crate::bundle::format::tar::Tar;
use crate::bundle::frames::members::Cursor;
use crate::bundle::frames::random::RandomReader;
use crate::bundle::open::trusted::Trusted;
use crate::content::{Catalog, Error, Kind, Referrers, Source, TagList};
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};

impl Trusted {
    fn blob_of(&self, digest: Digest) -> Result<usize, Error> {
        self.blob_index(&digest).ok_or_else(|| {
            let absent = self.manifest().absent.iter().find(|absent| absent.digest == digest);
            let why = absent
                .map_or_else(String::new, |absent| format!(" (listed as absent: {:?})", absent.reason).to_lowercase());
            Error::new(Kind::Absent, format!("blob {digest}: not in bundle {}{why}", self.id()))
        })
    }
}

impl Source for Trusted {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let found = self.manifest().artifacts.iter().find(|artifact| {
            artifact.repository == reference.repository
                && match (&reference.digest, &reference.tag) {
                    (Some(digest), _) => artifact.digest == *digest,
                    (None, Some(tag)) => artifact.tags.contains(tag),
                    (None, None) => false,
                }
        });
        found.map(crate::oci::Artifact::descriptor).ok_or_else(|| {
            Error::new(Kind::Absent, format!("{reference}: not in bundle {}", self.id()))
                .help("list its contents with `packmule inspect`")
        })
    }

    fn document(&self, _: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        match self.carried_document(descriptor)? {
            // An import takes what is around the document, too: a byte there that is not signed
            // ends it.
            Some(document) => self.cache.amiss().map_or(Ok(document), |error| Err(error.into())),
            None => Err(Error::new(Kind::Absent, format!("manifest {}: not in the bundle", descriptor.digest))),
        }
    }

    fn blob(&self, _: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        let index = self.blob_of(descriptor.digest)?;
        let blob = &self.manifest().blobs[index];
        if let Some(flat) = self.flat() {
            return Ok(Box::new(flat.blob(&blob.digest, blob.size)?));
        }
        // A shared frame is read once for all its blobs.
        if self.is_shared(index) {
            return Ok(Box::new(self.shared(index)?));
        }
        let (offsets, member) = (self.offsets(), Tar::of_blob(index));
        let unit = offsets.unit_of(member);
        let pieces = RandomReader::new(offsets, self.volumes(), unit.frames.clone());
        let cursor = Cursor::new(&offsets.tar, unit.members.start, false);
        Ok(Box::new(BlobReader::new(pieces, cursor, member)))
    }

    fn position(&self, digest: &Digest) -> Option<u64> {
        self.blob_index(digest).filter(|&index| self.is_shared(index)).map(|index| index as u64)
    }

    fn holds(&self, _: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        Ok(self.blob_index(&descriptor.digest).is_some())
    }

    fn referrers(&self) -> Option<&dyn Referrers> {
        Some(self)
    }

    fn tags(&self) -> Option<&dyn TagList> {
        Some(self)
    }

    fn catalog(&self) -> Option<&dyn Catalog> {
        Some(self)
    }
}

impl Catalog for Trusted {
    fn artifacts(&self) -> Result<Vec<crate::oci::Artifact>, Error> {
        Ok(self.manifest().artifacts.clone())
    }

    fn size(&self, _: &Repository, digest: Digest) -> Result<Option<u64>, Error> {
        Ok(self.blob_index(&digest).map(|index| self.manifest().blobs[index].size))
    }
}

impl Referrers for Trusted {
    fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        let of =
            |artifact: &&crate::oci::Artifact| artifact.repository == *repository && artifact.subject == Some(subject);
        Ok(self.manifest().artifacts.iter().filter(of).map(crate::oci::Artifact::descriptor).collect())
    }
}

impl TagList for Trusted {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let here = self.manifest().artifacts.iter().filter(|artifact| artifact.repository == *repository);
        let mut tags: Vec<Tag> = here.flat_map(|artifact| artifact.tags.clone()).collect();
        tags.sort();
        Ok(tags)
    }
}

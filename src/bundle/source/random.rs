//! A trusted bundle as a source of artifacts by name, documents and blobs.
//!
//! Blobs are read frame by frame ([`super::blob_reader`]); blobs that share a frame come from the
//! cache.

use std::collections::HashSet;
use std::io::Read;

use super::blob_reader::BlobReader;
use crate::bundle::format::tar::Tar;
use crate::bundle::frames::members::Cursor;
use crate::bundle::frames::random::RandomReader;
use crate::bundle::open::trusted::Trusted;
use crate::content::{Catalog, Error, Holdings, Kind, Ranges, Referrers, Source, TagList};
use crate::oci::media_type::{Kind as Type, document_kind};
use crate::oci::{Absent, Artifact, Descriptor, Digest, Document, Reason, Reference, Repository};

impl Trusted {
    pub(super) fn blob_of(&self, digest: Digest) -> Result<usize, Error> {
        self.blob_index(&digest).ok_or_else(|| self.lacking(digest, self.absent(&digest)))
    }

    fn absent(&self, digest: &Digest) -> Option<&Absent> {
        let absent = &self.manifest().absent;
        absent.binary_search_by_key(&digest, |absent| &absent.digest).ok().map(|place| &absent[place])
    }

    /// Returns the error for a blob that the bundle does not carry, with the reason that it states.
    fn lacking(&self, digest: Digest, absent: Option<&Absent>) -> Error {
        let what = format!("blob {digest}: not in bundle {}", self.id());
        let Some(Absent { reason, .. }) = absent else { return Error::new(Kind::Absent, what) };
        let help = match reason {
            Reason::Base => "also select it from the bundle that it is a delta of, or name that one with --base",
            Reason::Foreign => "have the bundle made with --foreign",
            Reason::Missing | Reason::Platform => "have the bundle made with it",
        };
        let reason = format!("{reason:?}").to_lowercase();
        Error::new(Kind::Absent, format!("{what} (listed as absent: {reason})")).help(help)
    }

    /// Returns the descriptor of a carried document that an index of the repository refers to, such as
    /// a platform's manifest.
    fn below(&self, repository: &Repository, digest: Digest) -> Result<Option<Descriptor>, Error> {
        if self.blob_index(&digest).is_none() {
            return Ok(None);
        }
        let is_index = |one: &Descriptor| document_kind(&one.media_type) == Some(Type::Index);
        let mut open: Vec<Descriptor> = self.artifacts_of(repository).map(Artifact::descriptor).collect();
        let mut seen = HashSet::new();
        while let Some(descriptor) = open.pop() {
            if !is_index(&descriptor) || !seen.insert(descriptor.digest) {
                continue;
            }
            let Some(document) = self.carried_document(&descriptor)? else { continue };
            for child in document.manifests() {
                if child.digest == digest && document_kind(&child.media_type).is_some() {
                    return Ok(Some(Descriptor::new(&*child.media_type, digest, child.size)));
                }
                open.push(child.clone());
            }
        }
        Ok(None)
    }

    /// Opens the content of a blob by its place in `blobs`.
    fn blob_at(&self, index: usize) -> Result<Box<dyn Read + Send + '_>, Error> {
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
        let pieces = pieces.sparing(self.cache.spares());
        let cursor = Cursor::new(&offsets.tar, unit.members.start, false);
        Ok(Box::new(BlobReader::new(pieces, cursor, member)))
    }
}

impl Source for Trusted {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        let mut here = self.artifacts_of(&reference.repository);
        let found = here.find(|artifact| match (&reference.digest, &reference.tag) {
            (Some(digest), _) => artifact.digest == *digest,
            (None, Some(tag)) => artifact.tags.contains(tag),
            (None, None) => false,
        });
        let found = match (found, reference.digest) {
            (None, Some(digest)) => self.below(&reference.repository, digest)?,
            (found, _) => found.map(Artifact::descriptor),
        };
        found.ok_or_else(|| {
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
        self.blob_at(self.blob_of(descriptor.digest)?)
    }

    fn position(&self, digest: &Digest) -> Option<u64> {
        self.blob_index(digest).filter(|&index| self.is_shared(index)).map(|index| index as u64)
    }

    /// Looks in the manifest. The error for a blob that is listed as absent states the reason.
    fn holds(&self, _: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        let digest = descriptor.digest;
        match (self.blob_index(&digest), self.absent(&digest)) {
            (Some(_), _) => Ok(true),
            (None, None) => Ok(false),
            (None, listed) => Err(self.lacking(digest, listed)),
        }
    }

    fn is_one_store(&self) -> bool {
        true
    }

    fn ranges(&self) -> Option<&dyn Ranges> {
        Some(self)
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

    fn holdings(&self) -> Option<&dyn Holdings> {
        Some(self)
    }
}

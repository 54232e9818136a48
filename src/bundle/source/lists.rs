//! Lists of a trusted bundle as a source: repositories, tags, referrers.

use std::collections::BTreeSet;

use crate::bundle::format::offsets::Place;
use crate::bundle::format::tar::Tar;
use crate::bundle::open::trusted::Trusted;
use crate::bundle::source::shared::COPIED;
use crate::content::{Catalog, Error, Holdings, Referrers, TagList};
use crate::oci::{Artifact, Descriptor, Digest, Repository, Tag};

/// Number of bytes that a reader of stored frames holds.
const STORED: u64 = 1 << 20;

impl Trusted {
    pub(super) fn artifacts_of<'s>(&'s self, repository: &'s Repository) -> impl Iterator<Item = &'s Artifact> {
        self.manifest().artifacts.iter().filter(move |artifact| artifact.repository == *repository)
    }
}

impl Referrers for Trusted {
    fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, Error> {
        let mut list = Vec::new();
        for artifact in self.artifacts_of(repository).filter(|artifact| artifact.subject == Some(subject)) {
            let mut descriptor = artifact.descriptor();
            if let Some(document) = self.carried_document(&descriptor)? {
                descriptor.artifact_type = document.shown_artifact_type().map(ToOwned::to_owned);
                descriptor.annotations = document.annotations().cloned();
            }
            list.push(descriptor);
        }
        Ok(list)
    }
}

impl TagList for Trusted {
    fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        let mut tags: Vec<Tag> = self.artifacts_of(repository).flat_map(|artifact| artifact.tags.clone()).collect();
        tags.sort();
        Ok(tags)
    }
}

impl Catalog for Trusted {
    fn repositories(&self, host: Option<&str>) -> Result<Vec<Repository>, Error> {
        let all: BTreeSet<&Repository> =
            self.manifest().artifacts.iter().map(|artifact| &artifact.repository).collect();
        Ok(all.into_iter().filter(|one| host.is_none_or(|host| one.host() == host)).cloned().collect())
    }
}

impl Holdings for Trusted {
    fn artifacts(&self) -> Result<Vec<Artifact>, Error> {
        Ok(self.manifest().artifacts.clone())
    }

    fn size(&self, _: &Repository, digest: Digest) -> Result<Option<u64>, Error> {
        Ok(self.blob_index(&digest).map(|index| self.manifest().blobs[index].size))
    }

    fn memory(&self, _: &Repository, digest: Digest) -> u64 {
        let Some(index) = self.blob_index(&digest).filter(|_| self.flat().is_none()) else { return 0 };
        let (offsets, member) = (self.offsets(), Tar::of_blob(index));
        let frames = offsets.unit_of(member).frames.clone().map(|frame| offsets.place(frame));
        if self.is_shared(index) {
            let size = self.manifest().blobs[index].size;
            return if size <= COPIED { size } else { frames.map(|frame| frame.plain).sum() };
        }
        // A packed frame is held packed while it is unpacked.
        let held = |frame: Place| if frame.packed.is_some() { frame.size + frame.plain } else { STORED };
        frames.map(held).max().unwrap_or_default()
    }
}

//! The artifacts of a layout, for a server: its names, and entries that nothing names.

use std::collections::{BTreeMap, BTreeSet};

use super::Layout;
use crate::content::{Error, Holdings};
use crate::oci::media_type::document_kind;
use crate::oci::{Artifact, Digest, Repository, Tag};

impl Holdings for Layout {
    fn artifacts(&self) -> Result<Vec<Artifact>, Error> {
        let mut tags: BTreeMap<(&Repository, usize), BTreeSet<Tag>> = BTreeMap::new();
        for (place, entry) in self.entries.iter().enumerate() {
            self.check()?;
            // An entry of another type is a blob, not an artifact.
            if document_kind(&entry.descriptor.media_type).is_none() {
                continue;
            }
            for name in &entry.names {
                tags.entry((&name.repository, place)).or_default().extend(name.tag.clone());
            }
            if entry.names.is_empty() && self.read_document(&entry.descriptor)?.subject().is_none() {
                tags.entry((&self.repository, place)).or_default();
            }
        }
        let artifact = |((repository, place), tags): ((&Repository, usize), BTreeSet<Tag>)| {
            let descriptor = &self.entries[place].descriptor;
            Artifact {
                artifact_type: descriptor.artifact_type.clone(),
                digest: descriptor.digest,
                media_type: descriptor.media_type.clone(),
                original: None,
                repository: repository.clone(),
                size: descriptor.size,
                source: None,
                subject: None,
                tags: tags.into_iter().collect(),
            }
        };
        Ok(tags.into_iter().map(artifact).collect())
    }

    fn size(&self, _: &Repository, digest: Digest) -> Result<Option<u64>, Error> {
        let found = self.disk.blob(digest);
        let found =
            found.map_err(|error| Error::io(format!("layout {}: blob {digest}", self.path.display()), &error))?;
        Ok(found.map(|(_, size)| size))
    }
}

//! Manifests that an archive keeps: newer versions of docker save a whole OCI layout, in which the
//! manifest may be that of the registry.
//!
//! Such a manifest is used as it is if it names exactly the config and the layers that the archive
//! lists for an image. What the layout names and does not contain is passed over.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;

use super::index::Index;
use super::refusal::{Refusal, shown};
use super::saved::MAX_LIST;
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::media_type::{Kind, OCI_INDEX, document_kind};
use crate::oci::{Descriptor, Digest, Document};

/// Maximum number of manifests and indexes that are looked at.
const MAX_LOOKED: usize = 1 << 16;

/// The image manifests of an archive, by the digest of their config.
#[derive(Default)]
pub(super) struct Kept(HashMap<Digest, Vec<Document>>);

impl Kept {
    /// Reads the manifests that the layout in an archive names, also through indexes.
    ///
    /// # Errors
    /// [`Refusal`] for one whose content has another digest, and for too many.
    pub(super) fn read(file: &File, index: &Index) -> Result<Self, Refusal> {
        let mut kept = Self::default();
        if !index.has("oci-layout") || !index.has("index.json") {
            return Ok(kept);
        }
        let top = Document::parse(OCI_INDEX, index.content(file, "index.json", MAX_LIST.min(MAX_DOCUMENT))?);
        let mut next: VecDeque<Descriptor> =
            top.map_or_else(|_| VecDeque::new(), |top| top.manifests().to_vec().into());
        let mut seen = HashSet::new();
        while let Some(descriptor) = next.pop_front() {
            let digest = descriptor.digest;
            let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
            if document_kind(&descriptor.media_type).is_none() || !index.has(&name) || !seen.insert(digest) {
                continue;
            }
            if seen.len() > MAX_LOOKED {
                return Err(Refusal::new(format!("expected at most {MAX_LOOKED} manifests (limits exceeded)")));
            }
            let raw = index.content(file, &name, MAX_DOCUMENT)?;
            let found = Digest::of(digest.algorithm(), &raw);
            if found != digest {
                return Err(Refusal::new(format!("member {}: expected content {digest}, found {found}", shown(&name))));
            }
            let Ok(document) = Document::with_digest(&descriptor.media_type, digest, raw) else { continue };
            match (document.kind(), document.config()) {
                (Kind::Index, _) => next.extend(document.manifests().iter().cloned()),
                (Kind::Manifest, Some(config)) => kept.0.entry(config.digest).or_default().push(document),
                (Kind::Manifest, None) => {}
            }
        }
        Ok(kept)
    }

    /// Returns the manifest with this config and these layers, if there is one.
    pub(super) fn find(&self, config: &Descriptor, layers: &[&Descriptor]) -> Option<&Document> {
        let is_it = |document: &&Document| {
            let same = |one: &Descriptor, other: &Descriptor| one.digest == other.digest && one.size == other.size;
            document.config().is_some_and(|own| same(own, config))
                && document.layers().len() == layers.len()
                && document.layers().iter().zip(layers).all(|(own, layer)| same(own, layer))
        };
        self.0.get(&config.digest)?.iter().find(is_it)
    }
}

//! Reads manifests, or takes them from the cache.

use std::io::Read as _;
use std::sync::Arc;

use super::index::{Held, Index, Served};
use crate::content::Error;
use crate::content::checked::Checked;
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Document};

impl Index {
    /// Returns a manifest that was read before, if the repository has it. Does not block on
    /// reading, except of a directory entry; `None` if a place would have to ask another machine.
    pub(super) fn kept(&self, served: &Served, digest: Digest) -> Option<Arc<Document>> {
        let document = self.documents.get(&digest).filter(|_| self.is_quick(served))?;
        self.find(served, digest).ok()??;
        Some(document)
    }

    /// Reads a manifest of a repository and checks its digest. Returns `None` if the repository has
    /// no such content, or if that is not a manifest. Blocks.
    pub(super) fn document(&self, served: &Served, digest: Digest) -> Result<Option<Arc<Document>>, Error> {
        let Some(held) = self.find(served, digest)? else { return Ok(None) };
        if let Some(document) = self.documents.get(&digest) {
            return Ok(Some(document));
        }
        if held.size > MAX_DOCUMENT {
            return Ok(None);
        }
        let read = match self.media_type(&digest) {
            Some(media_type) => {
                let descriptor = Descriptor::new(media_type, digest, held.size);
                Some(held.source.document(&held.repository, &descriptor)?)
            }
            None => unlisted(&held, digest)?,
        };
        let Some(document) = read.map(Arc::new) else { return Ok(None) };
        self.documents.keep(&document);
        Ok(Some(document))
    }
}

/// Reads a manifest that only other manifests name, such as one of a platform. Only its content
/// says whether it is one.
fn unlisted(held: &Held, digest: Digest) -> Result<Option<Document>, Error> {
    let descriptor = Descriptor::new("application/octet-stream", digest, held.size);
    let mut raw = Vec::new();
    Checked::new(held.source.blob(&held.repository, &descriptor)?, descriptor)
        .read_to_end(&mut raw)
        .map_err(|error| Error::from_io(format!("manifest {digest}"), error))?;
    let document = Document::sniff(&raw).map(|media_type| Document::with_digest(&media_type, digest, raw));
    Ok(document.and_then(Result::ok))
}

//! Reads manifests, and keeps the ones read last.

use std::collections::{HashMap, VecDeque};
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use super::index::{Held, Index, Served};
use crate::base::lock::lock;
use crate::content::Error;
use crate::content::checked::Checked;
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Descriptor, Digest, Document};

/// Maximum number of bytes of manifests that are kept; parsed, they take a few times as much.
const ROOM: u64 = 16 << 20;

/// Manifests that were read.
#[derive(Default)]
pub(super) struct Cache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    documents: HashMap<Digest, Arc<Document>>,
    order: VecDeque<Digest>,
    bytes: u64,
}

impl Cache {
    fn get(&self, digest: &Digest) -> Option<Arc<Document>> {
        lock(&self.0).documents.get(digest).cloned()
    }

    /// Keeps a document; removes the oldest ones if there is no room.
    fn keep(&self, document: &Arc<Document>, room: u64) {
        let mut kept = lock(&self.0);
        if kept.documents.insert(document.digest(), Arc::clone(document)).is_some() {
            return;
        }
        kept.order.push_back(document.digest());
        kept.bytes += document.size();
        while kept.bytes > room {
            let Some(oldest) = kept.order.pop_front() else { break };
            if let Some(document) = kept.documents.remove(&oldest) {
                kept.bytes -= document.size();
            }
        }
    }
}

impl Index {
    /// Returns a manifest that was read before, if the repository has it. Does not block on
    /// reading, except of a directory entry.
    pub(super) fn kept(&self, served: &Served, digest: Digest) -> Option<Arc<Document>> {
        let document = self.documents.get(&digest)?;
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
        self.documents.keep(&document, ROOM);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::media_type::OCI_MANIFEST;

    #[test]
    fn the_oldest_manifests_make_room() {
        let cache = Cache::default();
        let document = |note: &str| {
            let config = serde_json::json!({"mediaType": "a/b", "digest": Digest::sha256(b"{}"), "size": 2});
            let json = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "annotations": {"n": note}});
            Arc::new(Document::parse(OCI_MANIFEST, json.to_string().into_bytes()).unwrap())
        };
        let all: Vec<_> = ["a", "b", "c"].map(document).into();
        let room = 2 * all[0].size();
        all.iter().for_each(|one| cache.keep(one, room));
        cache.keep(&all[2], room);
        let there: Vec<bool> = all.iter().map(|one| cache.get(&one.digest()).is_some()).collect();
        assert_eq!(there, [false, true, true]);
        assert_eq!(lock(&cache.0).bytes, room);
    }
}

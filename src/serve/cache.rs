//! Keeps the manifests that were read last.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use crate::base::lock::lock;
use crate::oci::{Digest, Document};

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
    /// Returns a document, if it is kept.
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<Document>> {
        lock(&self.0).documents.get(digest).cloned()
    }

    /// Keeps a document; removes the oldest ones if there is no room.
    pub(super) fn keep(&self, document: &Arc<Document>) {
        self.keep_in(document, ROOM);
    }

    fn keep_in(&self, document: &Arc<Document>, room: u64) {
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
        all.iter().for_each(|one| cache.keep_in(one, room));
        cache.keep_in(&all[2], room);
        let there: Vec<bool> = all.iter().map(|one| cache.get(&one.digest()).is_some()).collect();
        assert_eq!(there, [false, true, true]);
        assert_eq!(lock(&cache.0).bytes, room);
    }
}

//! The content of artifacts that are made of files: small bytes, files, and directories that are
//! packed while they are read.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::sync::Arc;

use super::stamp::Stamped;
use super::tree::Tree;
use crate::content::Error;
use crate::content::made::Content;
use crate::oci::Digest;

enum Held {
    Bytes(Arc<[u8]>),
    File(Stamped),
    Tree(u64, Tree),
}

/// Content by digest.
#[derive(Default)]
pub struct FileContent(HashMap<Digest, Held>);

impl FileContent {
    /// Adds bytes and returns their digest.
    pub(super) fn add_bytes(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        self.0.insert(digest, Held::Bytes(bytes.into()));
        digest
    }

    /// Adds a file.
    pub(super) fn add_file(&mut self, digest: Digest, file: Stamped) {
        self.0.insert(digest, Held::File(file));
    }

    /// Adds a directory that packs to `size` bytes.
    pub(super) fn add_tree(&mut self, digest: Digest, size: u64, tree: Tree) {
        self.0.insert(digest, Held::Tree(size, tree));
    }
}

impl Content for FileContent {
    fn size(&self, digest: Digest) -> Option<u64> {
        Some(match self.0.get(&digest)? {
            Held::Bytes(bytes) => bytes.len() as u64,
            Held::File(file) => file.size(),
            Held::Tree(size, _) => *size,
        })
    }

    fn open(&self, digest: Digest, offset: u64) -> Result<Option<Box<dyn Read + Send + '_>>, Error> {
        Ok(match self.0.get(&digest) {
            Some(Held::Bytes(bytes)) => {
                let mut reader = Cursor::new(&**bytes);
                reader.set_position(offset);
                Some(Box::new(reader))
            }
            Some(Held::File(file)) => Some(Box::new(file.open(offset)?)),
            Some(Held::Tree(_, tree)) if offset == 0 => Some(tree.packed()),
            None | Some(Held::Tree(..)) => None,
        })
    }
}

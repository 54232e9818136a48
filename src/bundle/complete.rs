//! Whether a bundle is complete: what its documents reach against what its manifest lists
//! (`spec/closure.md`).
//!
//! Documents come from whoever calls; no file is opened here.

use std::collections::HashMap;
use std::sync::Arc;

use super::Error;
use super::catalogue::Catalogue;
use super::reader::Trusted;
use crate::closure::{Closure, Role, WalkError, walk};
use crate::fault::Class;
use crate::flow::Flow;
use crate::oci::document::DocumentError;
use crate::oci::{Descriptor, Digest, Document, Reason};
use crate::signing::policy::Kinds;

/// The document of these bytes, whose digest was checked.
///
/// # Errors
/// [`Class::Integrity`] for wrong `data` in it, [`Class::Format`] for all else.
pub fn document(descriptor: &Descriptor, raw: impl Into<Arc<[u8]>>) -> Result<Document, Error> {
    Document::with_digest(&descriptor.media_type, descriptor.digest, raw).map_err(|error| {
        let class = if matches!(error, DocumentError::Data { .. }) { Class::Integrity } else { Class::Format };
        Error::new(class, error.to_string()).help("the bundle was signed with this document in it; ask who made it")
    })
}

impl Trusted {
    /// Reads every document and checks that what they reach is what the manifest carries and lists,
    /// no more and no less (`spec/closure.md`). Before the first large blob.
    ///
    /// # Errors
    /// [`Class::Format`], [`Class::Integrity`], [`Class::Io`].
    pub fn closure(&self, flow: &Flow) -> Result<Closure, Error> {
        self.closure_of(flow, |descriptor| self.carried_document(descriptor))
    }

    /// The same with documents that `fetch` gives.
    ///
    /// # Errors
    /// As [`Trusted::closure`], and those of `fetch`.
    pub(super) fn closure_of(
        &self,
        flow: &Flow,
        mut fetch: impl FnMut(&Descriptor) -> Result<Option<Document>, Error>,
    ) -> Result<Closure, Error> {
        let manifest = self.manifest();
        let mut kinds = Kinds::new(&self.admission.rules);
        let mut catalogue = self.catalogue.as_ref().map(|_| Catalogue::default());
        let closure = walk(&manifest.artifacts, |_, descriptor| {
            flow.check()?;
            let document = fetch(descriptor)?;
            if let Some(document) = &document {
                self.check_artifact(document)?;
                kinds.see(document);
                catalogue.iter_mut().for_each(|catalogue| catalogue.see(document));
            }
            Ok(document)
        })
        .map_err(|error| match error {
            WalkError::Fetch(error) => error,
            other => Error::format(other.to_string()),
        })?;
        let absent: HashMap<Digest, _> = manifest.absent.iter().map(|absent| (absent.digest, absent)).collect();
        for node in &closure.nodes {
            let digest = node.descriptor.digest;
            let listed = match (self.blob_index(&digest), absent.get(&digest)) {
                (Some(index), None) => manifest.blobs[index].size,
                (None, Some(absent)) => {
                    let fits = match absent.reason {
                        Reason::Base | Reason::Foreign => node.role == Role::Leaf,
                        Reason::Platform => node.role == Role::Document && !node.leaf,
                        Reason::Missing => true,
                    };
                    if !fits {
                        return Err(Error::format(format!("absent {digest}: its reason is not one for what it is")));
                    }
                    absent.size
                }
                _ => {
                    return Err(Error::format(format!(
                        "{digest}: reachable, but neither carried nor listed as absent"
                    )));
                }
            };
            if listed != node.descriptor.size {
                return Err(Error::format(format!(
                    "{digest}: expected {} bytes as its descriptor says, found {listed}",
                    node.descriptor.size
                )));
            }
        }
        let listed = manifest.blobs.len() + absent.len();
        if listed != closure.nodes.len() {
            let carried = manifest.blobs.iter().map(|blob| &blob.digest);
            let stray = carried.chain(absent.keys()).filter(|digest| closure.get(digest).is_none()).min();
            let stray = stray.map(ToString::to_string).unwrap_or_default();
            return Err(Error::format(format!("{stray}: listed in the manifest, but nothing refers to it")));
        }
        if let (Some(cell), Some(catalogue)) = (&self.catalogue, catalogue) {
            // Read once more, it says the same.
            let _ = cell.set(catalogue);
        }
        self.check_kinds(&kinds)?;
        Ok(closure)
    }

    /// What the manifest says of an artifact must be what the document says.
    fn check_artifact(&self, document: &Document) -> Result<(), Error> {
        let digest = document.digest();
        for artifact in self.manifest().artifacts.iter().filter(|artifact| artifact.digest == digest) {
            let same = artifact.artifact_type.as_deref() == document.artifact_type()
                && artifact.subject == document.subject().map(|subject| subject.digest);
            if !same {
                return Err(Error::format(format!(
                    "artifact {digest}: expected artifactType and subject as in its document"
                )));
            }
        }
        Ok(())
    }
}

//! Checks whether a bundle is complete: compares what its documents reach with what its manifest
//! lists (`spec/closure.md`).
//!
//! Callers provide the documents; no file is opened here.

use std::collections::HashMap;

use crate::base::fault::{differs, expects};
use crate::bundle::Error;
use crate::bundle::open::catalog::Catalogue;
use crate::bundle::open::trusted::Trusted;
use crate::bundle::source::blob_cache::MAX_CACHED;
use crate::closure::{Closure, Role, WalkError, walk};
use crate::flow::Flow;
use crate::oci::{Artifact, Descriptor, Digest, Document, Reason};
use crate::signing::policy::Kinds;

impl Trusted {
    /// Reads every document and checks that the manifest carries or lists exactly what they reach
    /// (`spec/closure.md`). Done before the first large blob.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Format`], [`crate::base::fault::Class::Integrity`], [`crate::base::fault::Class::Io`].
    pub fn closure(&self, flow: &Flow) -> Result<Closure, Error> {
        // Once, and once more if there are more documents than can be kept.
        let most = self.cache.read().saturating_add(self.offsets().tar.length().saturating_mul(2));
        self.closure_of(flow, |descriptor| {
            let document = self.carried_document(descriptor)?;
            if self.cache.read() > most { Err(scattered()) } else { Ok(document) }
        })
    }

    /// Like [`Trusted::closure`], but with documents from `fetch`.
    ///
    /// # Errors
    /// Those of [`Trusted::closure`] and of `fetch`.
    pub(in crate::bundle) fn closure_of(
        &self,
        flow: &Flow,
        mut fetch: impl FnMut(&Descriptor) -> Result<Option<Document>, Error>,
    ) -> Result<Closure, Error> {
        let manifest = self.manifest();
        // The manifest says the same about an artifact in every repository.
        let artifacts: HashMap<Digest, &Artifact> = manifest.artifacts.iter().map(|one| (one.digest, one)).collect();
        let mut kinds = Kinds::new(&self.admission.rules);
        let mut catalogue = self.catalogue.as_ref().map(|_| Catalogue::default());
        let closure = walk(&manifest.artifacts, |_, descriptor| {
            flow.check()?;
            let document = fetch(descriptor)?;
            if let Some(document) = &document {
                artifacts.get(&document.digest()).map_or(Ok(()), |artifact| check_artifact(document, artifact))?;
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
                        return Err(Error::format(format!("absent {digest}: its reason does not fit its kind")));
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
                return Err(Error::format(differs(
                    digest,
                    format_args!("{} bytes as its descriptor says", node.descriptor.size),
                    listed,
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
            // If it was set before, it says the same.
            let _ = cell.set(catalogue);
        }
        self.check_kinds(&kinds)?;
        Ok(closure)
    }
}

/// Checks that the manifest says the same about an artifact as its document.
fn check_artifact(document: &Document, artifact: &Artifact) -> Result<(), Error> {
    let is_same = artifact.artifact_type.as_deref() == document.artifact_type()
        && artifact.subject == document.subject().map(|subject| subject.digest);
    if is_same {
        return Ok(());
    }
    let digest = document.digest();
    Err(Error::format(expects(format_args!("artifact {digest}"), "artifactType and subject as in its document")))
}

/// Returns the error for a bundle whose documents would be read again and again.
fn scattered() -> Error {
    Error::format(differs(
        "documents",
        format_args!("at most {MAX_CACHED} bytes of them, or blobs in the order of their use"),
        "neither",
    ))
    .help("export it again with a current version, which writes them in this order")
}

//! An import of a part of the artifacts: what was selected, and what belongs to it.

use std::collections::BTreeSet;

use super::documents::Documents;
use super::request::{Request, Sides};
use crate::base::fault::Fault;
use crate::base::lock::lock;
use crate::content::Source;
use crate::decide::part::{Pick, take, with_referrers};
use crate::flow::Flow;
use crate::oci::media_type::document_kind;
use crate::oci::{Absent, Artifact, Descriptor, Digest};

/// Artifacts of a part, and their indexes among all.
pub struct Part {
    /// The indexes, ascending.
    pub numbers: Vec<usize>,
    /// The artifacts, with only the tags that were selected.
    pub artifacts: Vec<Artifact>,
    /// All content of these that is carried, as far as documents say; documents included.
    pub blobs: BTreeSet<Digest>,
}

/// Returns the part of `artifacts` that `picks` take from `source`.
///
/// # Errors
/// Class source for a pick that takes nothing; those of the source's documents.
pub fn select(
    flow: &Flow,
    source: &dyn Source,
    artifacts: &[Artifact],
    absent: &[Absent],
    picks: &[Pick],
) -> Result<Part, Fault> {
    let documents = Documents::new(source, Sides::BUNDLE);
    let taken = take(flow, artifacts, picks)?;
    let mut blobs = BTreeSet::new();
    let (numbers, artifacts) = with_referrers(artifacts, taken, |artifact| {
        flow.check()?;
        below(&documents, absent, artifact, &mut blobs)
    })?;
    Ok(Part { numbers, artifacts, blobs })
}

/// Returns the documents of an artifact, and adds all that it needs to `blobs`.
fn below(
    documents: &Documents,
    absent: &[Absent],
    artifact: &Artifact,
    blobs: &mut BTreeSet<Digest>,
) -> Result<Vec<Digest>, Fault> {
    let is_absent = |digest: &Digest| absent.binary_search_by_key(digest, |one| one.digest).is_ok();
    let (mut open, mut all) = (vec![artifact.descriptor()], Vec::new());
    while let Some(descriptor) = open.pop() {
        if is_absent(&descriptor.digest) || all.contains(&descriptor.digest) {
            continue;
        }
        let document = documents.get(&artifact.repository, &descriptor)?;
        all.push(descriptor.digest);
        blobs.insert(descriptor.digest);
        let carried = |leaf: &&Descriptor| !is_absent(&leaf.digest);
        blobs.extend(document.config().into_iter().chain(document.layers()).filter(carried).map(|leaf| leaf.digest));
        for child in document.manifests() {
            if document_kind(&child.media_type).is_some() {
                open.push(child.clone());
            } else if carried(&child) {
                blobs.insert(child.digest);
            }
        }
    }
    Ok(all)
}

/// Imports a part of the request's artifacts by `run`.
pub(super) fn run<T>(
    flow: &Flow,
    request: &Request,
    picks: &[Pick],
    run: impl FnOnce(&Request) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let part = select(flow, request.source, request.artifacts, request.absent, picks)?;
    let done = run(&Request { artifacts: &part.artifacts, select: &[], ..*request });
    if let Some(wanted) = request.wanted {
        lock(wanted).iter_mut().for_each(|missing| missing.artifact = part.numbers[missing.artifact]);
    }
    done
}

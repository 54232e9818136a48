//! The contents of a place, from its documents, as one side of a comparison. Its blobs are not
//! looked for.

pub mod there;

use std::io::Read;
use std::sync::Arc;

use super::images::Images;
use super::{Contents, Naming};
use crate::base::fault::{Class, Fault, differs};
use crate::closure::Role;
use crate::content::{Error, Kind, Referrers, Source, TagList, catalog};
use crate::decide::plan;
use crate::decide::select::{Selection, Wanted};
use crate::flow::{Flow, each};
use crate::oci::{Descriptor, Document, Reference, Repository};

/// Returns the contents of a place at and below `prefix` of `host`, by its catalog and tags, and its
/// images; names exclude the prefix.
///
/// # Errors
/// [`Class::Source`] if the place has no catalog or cannot be read; errors of [`plan::make`].
pub fn of_catalog(flow: &Flow, place: &Arc<dyn Source>, host: &str, prefix: &str) -> Result<(Contents, Images), Fault> {
    let at_source = |error: Error| error.into_fault(Class::Source);
    let repositories = catalog::below(&**place, Some(host), prefix).map_err(at_source)?;
    let lists = place.tags().ok_or_else(|| Fault::new(Class::Source, differs("place", "lists of tags", "none")))?;
    let tags = each(flow, &repositories, |repository| lists.tags(repository))?;
    let mut wanted = Vec::new();
    for (repository, tags) in repositories.iter().zip(tags) {
        let tags = match tags {
            Ok(tags) => tags,
            // A catalog may list repositories that no longer exist.
            Err(error) if error.class == Kind::Absent => continue,
            Err(error) => return Err(at_source(error)),
        };
        let artifacts = tags.into_iter().filter(|tag| !tag.is_referrers_fallback());
        wanted.extend(
            artifacts
                .map(|tag| Wanted::new(Reference { repository: repository.clone(), tag: Some(tag), digest: None })),
        );
    }
    let selection = Selection { wanted, ..Selection::default() };
    let below = format!("{prefix}/");
    of_place(flow, place, &selection, &|repository| {
        let path = repository.path();
        Ok(path.strip_prefix(&below).unwrap_or(path).to_owned())
    })
}

/// Returns the contents of `selection` at a place, and its images. Reads its documents; does not look for its
/// blobs.
///
/// # Errors
/// Errors of [`plan::make`] and of `name`.
pub fn of_place(
    flow: &Flow,
    place: &Arc<dyn Source>,
    selection: &Selection,
    name: &Naming,
) -> Result<(Contents, Images), Fault> {
    let mut contents = Contents { is_exact: true, ..Contents::default() };
    if selection.wanted.is_empty() {
        return Ok((contents, Images::default()));
    }
    let plan = plan::make(flow, &Listed(&**place), selection)?;
    contents.artifacts(flow, &plan.artifacts, name)?;
    // The place has them, whether or not a bundle can carry them.
    for (repository, digest) in &plan.left_behind {
        contents.name(&name(repository)?, *digest, &[]);
    }
    for blob in &plan.blobs {
        contents.blobs.insert(blob.descriptor.digest, blob.descriptor.size);
        if blob.role == Role::Document {
            contents.documents.insert(blob.descriptor.digest);
        }
    }
    let images = Images::new(Arc::clone(place), &plan.artifacts);
    Ok((contents, images))
}

/// A place whose blobs are assumed to exist.
struct Listed<'a>(&'a dyn Source);

impl Source for Listed<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.0.resolve(reference)
    }

    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        self.0.document(repository, descriptor)
    }

    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        self.0.blob(repository, descriptor)
    }

    fn holds(&self, _: &Repository, _: &Descriptor) -> Result<bool, Error> {
        Ok(true)
    }

    fn referrers(&self) -> Option<&dyn Referrers> {
        self.0.referrers()
    }

    fn tags(&self) -> Option<&dyn TagList> {
        self.0.tags()
    }
}

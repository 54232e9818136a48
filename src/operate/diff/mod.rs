//! Diff: which artifacts are new, gone or changed between two sides, and how many bytes a delta
//! carries; and (`there`) whether all of a bundle is at a place.
//!
//! A side is a bundle's manifest, which is not authenticated here, or a place. Nothing is written.

#[cfg(feature = "carry")]
pub mod images;
#[cfg(feature = "carry")]
pub mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::bundle::{Manifest, Trusted, Untrusted};
use crate::closure::Closure;
use crate::flow::Flow;
use crate::oci::{Artifact, Digest, Reason, Repository, Tag};

/// A name: a tag of a repository, or the digest of an artifact without tags.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Repository as it is compared; shared by all names of one artifact.
    pub repository: Arc<str>,
    /// Tag, if there is one.
    pub tag: Option<Tag>,
    // Digest of an artifact without tags.
    digest: Option<Arc<Digest>>,
}

/// Contents of one side.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    names: BTreeMap<Name, Arc<Digest>>,
    held: BTreeSet<(Arc<str>, Arc<Digest>)>,
    /// All blobs that it has or relies on, with their sizes in bytes.
    blobs: BTreeMap<Digest, u64>,
    /// Which of them are documents, which every bundle carries.
    documents: BTreeSet<Digest>,
    /// Whether all documents are known, not only those of artifacts.
    is_exact: bool,
}

/// How a name differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only on the new side.
    New(Arc<Digest>),
    /// Only on the old side.
    Gone(Arc<Digest>),
    /// It names something else.
    Changed {
        /// Digest on the old side.
        old: Arc<Digest>,
        /// Digest on the new side.
        new: Arc<Digest>,
    },
}

/// Sum over blobs, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Number of blobs.
    pub blobs: u64,
    /// Bytes of all blobs.
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, size: u64) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(size);
    }
}

/// Difference between two sides.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Changes, by name.
    pub changes: Vec<(Name, Change)>,
    /// Number of names that are the same on both sides.
    pub same: usize,
    /// Content of a bundle of the new side based on the old one: its documents, and the leaves that
    /// are missing on the old side.
    pub carried: Sum,
    /// Content that such a bundle leaves out.
    pub left_out: Sum,
    /// Whether `carried` counts all documents. Otherwise documents that the old side has may add to
    /// it.
    pub is_exact: bool,
}

impl Contents {
    fn name(&mut self, repository: &str, digest: Digest, tags: &[Tag]) {
        let (repository, digest): (Arc<str>, _) = (repository.into(), Arc::new(digest));
        self.held.insert((Arc::clone(&repository), Arc::clone(&digest)));
        let own = |tag: Option<Tag>| Name {
            digest: tag.is_none().then(|| Arc::clone(&digest)),
            repository: Arc::clone(&repository),
            tag,
        };
        if tags.is_empty() {
            self.names.insert(own(None), Arc::clone(&digest));
        }
        self.names.extend(tags.iter().map(|tag| (own(Some(tag.clone())), Arc::clone(&digest))));
    }

    fn artifacts(&mut self, flow: &Flow, artifacts: &[Artifact], name: &Naming) -> Result<(), Fault> {
        for artifact in artifacts {
            flow.check()?;
            self.name(&name(&artifact.repository)?, artifact.digest, &artifact.tags);
            self.documents.insert(artifact.digest);
        }
        Ok(())
    }

    /// Merges a later side into this one: its names take precedence, and everything else stays.
    pub fn extend(&mut self, later: Self) {
        self.names.extend(later.names);
        self.held.extend(later.held);
        self.blobs.extend(later.blobs);
        self.documents.extend(later.documents);
        self.is_exact |= later.is_exact;
    }
}

/// Returns the name of a repository used for comparison.
pub type Naming<'a> = dyn Fn(&Repository) -> Result<String, Fault> + 'a;

/// Returns the contents that a manifest lists; `closure` provides its documents, if they could be
/// read.
///
/// # Errors
/// Errors of `name`.
pub fn of_manifest(
    flow: &Flow,
    manifest: &Manifest,
    closure: Option<&Closure>,
    name: &Naming,
) -> Result<Contents, Fault> {
    let mut contents = Contents { is_exact: closure.is_some(), ..Contents::default() };
    contents.artifacts(flow, &manifest.artifacts, name)?;
    contents.blobs.extend(manifest.blobs.iter().map(|blob| (blob.digest, blob.size)));
    let relied_on = manifest.absent.iter().filter(|absent| absent.reason == Reason::Base);
    contents.blobs.extend(relied_on.map(|absent| (absent.digest, absent.size)));
    let documents = closure.into_iter().flat_map(Closure::documents).map(|node| node.descriptor.digest);
    contents.documents.extend(documents);
    Ok(contents)
}

/// Returns the contents of a bundle. Reads its documents if the volumes are next to it; they may be
/// missing.
///
/// # Errors
/// [`crate::base::fault::Class::Format`], [`crate::base::fault::Class::Cancelled`], errors of
/// `name`.
pub fn of_bundle(flow: &Flow, bundle: Untrusted, name: &Naming) -> Result<Contents, Fault> {
    of_assumed(flow, &bundle.assume()?, name)
}

fn of_assumed(flow: &Flow, bundle: &Trusted, name: &Naming) -> Result<Contents, Fault> {
    let is_whole = bundle.survey(flow).is_empty();
    let closure = is_whole.then(|| bundle.closure(flow).ok()).flatten();
    flow.check()?;
    of_manifest(flow, bundle.manifest(), closure.as_ref(), name)
}

/// Compares two sides.
///
/// # Errors
/// [`crate::base::fault::Class::Cancelled`].
pub fn compare(flow: &Flow, old: &Contents, new: &Contents) -> Result<Difference, Fault> {
    let mut changes = Vec::new();
    let mut same = 0;
    let holds = |side: &Contents, name: &Name, digest: &Arc<Digest>| {
        name.tag.is_none() && side.held.contains(&(Arc::clone(&name.repository), Arc::clone(digest)))
    };
    for (name, digest) in &new.names {
        flow.check()?;
        match old.names.get(name) {
            Some(before) if before == digest => same += 1,
            Some(before) => {
                let (old, new) = (Arc::clone(before), Arc::clone(digest));
                changes.push((name.clone(), Change::Changed { old, new }));
            }
            None if holds(old, name, digest) => same += 1,
            None => changes.push((name.clone(), Change::New(Arc::clone(digest)))),
        }
    }
    for (name, digest) in &old.names {
        flow.check()?;
        if !holds(new, name, digest) && !new.names.contains_key(name) {
            changes.push((name.clone(), Change::Gone(Arc::clone(digest))));
        }
    }
    changes.sort_by(|a, b| a.0.cmp(&b.0));
    let (mut carried, mut left_out) = (Sum::default(), Sum::default());
    for (digest, &size) in &new.blobs {
        let stays = old.blobs.contains_key(digest) && !new.documents.contains(digest);
        if stays { left_out.add(size) } else { carried.add(size) }
    }
    Ok(Difference { changes, same, carried, left_out, is_exact: new.is_exact })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{FixedClock, Silent};

    fn flow() -> Flow {
        Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), 1, 1)
    }

    fn digest(text: &str) -> Digest {
        Digest::sha256(text.as_bytes())
    }

    fn side(names: &[(&str, &str, &str)], blobs: &[(&str, u64)], documents: &[&str]) -> Contents {
        let mut contents = Contents::default();
        for (repository, tag, text) in names {
            let tags: Vec<Tag> = Tag::new(tag).into_iter().collect();
            contents.name(repository, digest(text), &tags);
        }
        contents.blobs.extend(blobs.iter().map(|(text, size)| (digest(text), *size)));
        contents.documents.extend(documents.iter().map(|text| digest(text)));
        contents
    }

    #[test]
    fn names_are_new_gone_changed_or_the_same() {
        let old = side(&[("a", "1", "x"), ("a", "2", "y"), ("b", "1", "z"), ("c", "", "r")], &[], &[]);
        let new =
            side(&[("a", "1", "x"), ("a", "2", "q"), ("d", "1", "z"), ("c", "now", "r"), ("a", "", "y")], &[], &[]);
        let found = compare(&flow(), &old, &new).unwrap();
        let shown: Vec<String> = (found.changes.iter())
            .map(|(name, change)| {
                let tag = name.tag.as_ref().map(ToString::to_string).unwrap_or_default();
                let word = match change {
                    Change::New(_) => "new",
                    Change::Gone(_) => "gone",
                    Change::Changed { .. } => "changed",
                };
                format!("{word} {}:{tag}", name.repository)
            })
            .collect();
        // An artifact that had a tag and is now only a digest, or the other way round, is still
        // there.
        assert_eq!(shown, ["changed a:2", "gone b:1", "new c:now", "new d:1"]);
        assert_eq!(found.same, 2);
        let same = |side| compare(&flow(), side, side).unwrap();
        assert!(same(&old).changes.is_empty() && same(&new).same == 5);
    }

    #[test]
    fn a_delta_carries_its_documents_and_the_leaves_that_lack() {
        let old = side(&[("a", "1", "m")], &[("m", 5), ("layer", 100), ("gone", 7)], &["m"]);
        let new =
            side(&[("a", "1", "m"), ("a", "2", "n")], &[("m", 5), ("n", 6), ("layer", 100), ("top", 30)], &["m", "n"]);
        let found = compare(&flow(), &old, &new).unwrap();
        assert_eq!((found.carried, found.left_out), (Sum { blobs: 3, bytes: 41 }, Sum { blobs: 1, bytes: 100 }));
    }
}

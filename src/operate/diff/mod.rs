//! Diff: which artifacts of one side are new, gone or changed against another, and in bytes what a delta carries; and
//! (`place::there`) whether all of a bundle is at a place.
//!
//! A side is a bundle's manifest, which nobody has authenticated here, or a place. Nothing is written.

#[cfg(feature = "carry")]
pub mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::fault::Fault;
use crate::bundle::{Manifest, Untrusted};
use crate::closure::Closure;
use crate::flow::Flow;
use crate::oci::{Artifact, Digest, Reason, Repository, Tag};

/// What a name is: a tag of a repository, or a digest in one that has no tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// As it is compared; all names of one artifact share it.
    pub repository: Arc<str>,
    /// The tag, if it has one.
    pub tag: Option<Tag>,
    // Of what has no tag: its own digest.
    digest: Option<Arc<Digest>>,
}

/// What one side holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    names: BTreeMap<Name, Arc<Digest>>,
    held: BTreeSet<(Arc<str>, Arc<Digest>)>,
    /// All blobs that it has or relies on, with their sizes in bytes.
    blobs: BTreeMap<Digest, u64>,
    /// Those of them that are documents, which every bundle carries.
    documents: BTreeSet<Digest>,
    /// Whether all documents are known, not only those of artifacts.
    is_exact: bool,
}

/// What became of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// On the new side alone.
    New(Arc<Digest>),
    /// On the old side alone.
    Gone(Arc<Digest>),
    /// It means something else.
    Changed {
        /// On the old side.
        old: Arc<Digest>,
        /// On the new side.
        new: Arc<Digest>,
    },
}

/// Blobs, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Sum {
    fn add(&mut self, size: u64) {
        self.blobs += 1;
        self.bytes = self.bytes.saturating_add(size);
    }
}

/// How two sides differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// By name.
    pub changes: Vec<(Name, Change)>,
    /// How many names mean the same on both sides.
    pub same: usize,
    /// What a bundle of the new side over the old one carries: its documents, and the leaves that the old one lacks.
    pub carried: Sum,
    /// What such a bundle leaves out.
    pub left_out: Sum,
    /// Whether `carried` counts all documents; else some that the old side has may come to it.
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

    /// Lays a later side over this one: what it names counts, what it lacks stays.
    pub fn extend(&mut self, later: Self) {
        self.names.extend(later.names);
        self.held.extend(later.held);
        self.blobs.extend(later.blobs);
        self.documents.extend(later.documents);
        self.is_exact |= later.is_exact;
    }
}

/// How a repository is called where sides are compared.
pub type Naming<'a> = dyn Fn(&Repository) -> Result<String, Fault> + 'a;

/// What a manifest says that a bundle holds; `closure` tells its documents, where they could be read.
///
/// # Errors
/// Those of `name`.
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

/// The same of a bundle: its volumes are read for the documents where they are beside it, and need not be.
///
/// # Errors
/// [`crate::base::fault::Class::Format`], [`crate::base::fault::Class::Cancelled`], those of `name`.
pub fn of_bundle(flow: &Flow, bundle: Untrusted, name: &Naming) -> Result<Contents, Fault> {
    let bundle = bundle.assume()?;
    let is_whole = bundle.survey(flow).is_empty();
    let closure = is_whole.then(|| bundle.closure(flow).ok()).flatten();
    flow.check()?;
    of_manifest(flow, bundle.manifest(), closure.as_ref(), name)
}

/// Compares.
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
        // What had a tag and is only a digest now, and the other way round, is there all the same.
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

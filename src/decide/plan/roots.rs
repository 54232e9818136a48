//! Turns selected references into documents: resolves them, fetches them, and applies the platform
//! filter.
//!
//! Handles one reference at a time; `gather` collects what the documents refer to.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::library::{Library, fault, refuse_unknown};
use super::platform::{Filter, cuts, is_whole, matches, rebuild, replaced, single};
use crate::base::fault::{Class, Fault, differs};
use crate::decide::select::{Filters, IndexMode, Selection, Wanted};
use crate::oci::media_type::Kind;
use crate::oci::{Digest, Document, Repository, Tag};

/// (index, child) pairs that a filter leaves out of sparse indexes.
pub type Cuts = Arc<HashSet<(Digest, Digest)>>;

/// One selected document.
pub struct Root {
    /// Source repository.
    pub origin: Repository,
    /// Repository that it is carried under.
    pub repository: Repository,
    /// Filters that select what to carry.
    pub filters: Arc<Filters>,
    /// Its tag.
    pub tag: Option<Tag>,
    /// Document to carry.
    pub document: Document,
    /// Digest at the source, if another document is carried instead.
    pub original: Option<Digest>,
    /// Children left out of its sparse indexes.
    pub cuts: Option<Cuts>,
    /// Indexes of the source that are replaced by new ones and not carried.
    pub replaced: Vec<Digest>,
    /// New documents, which the source does not have.
    pub made: Vec<Digest>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

impl Root {
    /// Returns `index` as a root next to this one: under the same repository, without a tag.
    fn kept(&self, index: Document, cuts: Option<Cuts>) -> Self {
        Self {
            origin: self.origin.clone(),
            repository: self.repository.clone(),
            filters: Arc::clone(&self.filters),
            tag: None,
            document: index,
            original: None,
            cuts,
            replaced: Vec::new(),
            made: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// Resolves `wanted` and applies the selection's filters. Returns the document to carry under its
/// name and, with [`IndexMode::Keep`], the index that a filter cut.
///
/// # Errors
/// [`Class::Source`] for errors of the source and documents that are refused, [`Class::Policy`] if
/// no platform matches or the tag is a list of referrers.
pub fn roots(library: &Library<'_>, selection: &Selection, wanted: &Wanted) -> Result<Vec<Root>, Fault> {
    let reference = &wanted.reference;
    let subject = reference.to_string();
    let mut descriptor = library.resolve(reference).map_err(|error| fault(&subject, error))?;
    if let Some(pinned) = reference.digest.filter(|pinned| *pinned != descriptor.digest) {
        let text = differs(subject, format_args!("digest {pinned}"), descriptor.digest);
        return Err(Fault::new(Class::Source, text));
    }
    // Drops parameters of the media type.
    if let Some((plain, _)) = descriptor.media_type.split_once(';') {
        descriptor.media_type = plain.trim_end().to_owned();
    }
    refuse_unknown(&descriptor).map_err(|error| {
        Fault::new(Class::Source, format!("{subject}: {error}")).help("name an image or an artifact of a current type")
    })?;
    let document = library.get(&reference.repository, &descriptor).map_err(|error| fault(&subject, error))?;
    let lists = |tag: Option<&Tag>| tag.is_some_and(Tag::is_referrers_fallback);
    if lists(wanted.tag()) || (document.kind() == Kind::Index && lists(reference.tag.as_ref())) {
        let text = differs(subject, "an artifact", "the fallback tag of a list of referrers");
        return Err(Fault::new(Class::Policy, text)
            .help("select what it refers to: its referrers are carried too, and the tag is set at the destination"));
    }
    let mut root = Root {
        origin: reference.repository.clone(),
        repository: wanted.repository().clone(),
        filters: Arc::clone(&wanted.filters),
        tag: wanted.tag().cloned(),
        document,
        original: wanted.original,
        cuts: None,
        replaced: Vec::new(),
        made: Vec::new(),
        warnings: Vec::new(),
    };
    if wanted.filters.platforms.is_empty() {
        return Ok(vec![root]);
    }
    let kept = filter(library, selection, &subject, &mut root)?;
    Ok(std::iter::once(root).chain(kept).collect())
}

/// Applies the platform filter to `root`. Returns the original index, if it is to be carried too.
fn filter(library: &Library<'_>, selection: &Selection, subject: &str, root: &mut Root) -> Result<Option<Root>, Fault> {
    let (origin, filters) = (root.origin.clone(), Arc::clone(&root.filters));
    let platforms = &filters.platforms;
    let filter = Filter {
        library,
        origin: &origin,
        platforms,
        lenient: selection.allow_partial,
        found: RefCell::new(BTreeSet::new()),
    };
    let asked = || platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let nothing = |found: &str| {
        Fault::new(Class::Policy, differs(subject, format_args!("platform {}", asked()), found))
            .help("ask for a platform that it has, or leave it out of the selection")
    };
    let old = root.document.clone();
    if old.kind() == Kind::Manifest {
        return match filter.mismatch(&old)? {
            Some(stated) => Err(nothing(&crate::base::fault::escape(&stated.to_string()))),
            None => Ok(None),
        };
    }
    let verdicts = filter.judge(&old, 1)?;
    if !matches(&verdicts) {
        let has: BTreeSet<String> = (old.manifests().iter().filter_map(|entry| entry.platform.as_ref()))
            .filter(|platform| !platform.is_unknown())
            .map(ToString::to_string)
            .collect();
        let has = has.into_iter().collect::<Vec<_>>().join(", ");
        let has = crate::base::fault::escape(&has);
        return Err(nothing(if has.is_empty() { "none" } else { &has }));
    }
    for platform in filter.not_found() {
        root.warnings.push(format!("{subject}: has nothing for platform {platform}"));
    }
    if is_whole(&verdicts) {
        return Ok(None);
    }
    let sparse = || {
        let mut left_out = HashSet::new();
        cuts(&old, &verdicts, &mut left_out);
        Some(Arc::new(left_out))
    };
    let kept = match selection.index {
        IndexMode::Sparse => {
            root.cuts = sparse();
            return Ok(None);
        }
        IndexMode::Rebuild => {
            replaced(&old, &verdicts, &mut root.replaced);
            None
        }
        IndexMode::Keep => Some(root.kept(old.clone(), sparse())),
    };
    root.original.get_or_insert(old.digest());
    let alone = (platforms.len() == 1).then(|| single(&old, &verdicts)).flatten();
    if let Some(descriptor) = alone {
        root.document = library
            .get(&origin, &descriptor)
            .map_err(|error| fault(&format!("manifest {}", descriptor.digest), error))?;
        return Ok(kept);
    }
    let mut made = Vec::new();
    let new = rebuild(&old, &verdicts, &mut made)?;
    made.push(new.clone());
    for document in made {
        root.made.push(document.digest());
        library.put(document);
    }
    root.document = new;
    Ok(kept)
}

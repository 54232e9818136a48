//! Gathers all artifacts and the documents below them, in waves: fetches documents, then queries
//! their referrers.
//!
//! Each wave runs in parallel and its results are processed in order, so the outcome does not
//! depend on timing. Leaves are not handled here.
//!
//! A referrer that its source names but that cannot be carried (of another type, gone, damaged, or
//! of another subject) costs only itself, with a warning. If the source could not be asked, that is
//! a failure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::ask::{Asked, Subject};
use super::item::{Item, Why, selected, subject};
use super::library::{Library, fault};
use super::platform::lacking;
use super::replaced::{warn_of_new_digest, warn_of_what_stays};
use super::roots::Root;
use crate::base::fault::{Class, Description, Fault, differs, escape};
use crate::closure::MAX_LEVELS;
use crate::content::{Error, Kind};
use crate::decide::select::{Filters, Referrers};
use crate::flow::{Flow, each};
use crate::oci::media_type::document_kind;
use crate::oci::{Artifact, Digest, Document, Repository, Tag};

/// Maximum number of levels of referrers.
pub const MAX_REFERRER_LEVELS: usize = 100;

/// Maximum length of an `artifactType` in a bundle, in bytes (`spec/manifest.md`).
const MAX_TYPE: usize = 255;

/// Everything that was gathered.
#[derive(Default)]
pub struct Gathered {
    /// Artifacts, by repository and digest.
    pub artifacts: BTreeMap<(String, Digest), Artifact>,
    /// Every carried document with the repository it comes from, in the order found. A document is
    /// listed once for each such repository.
    pub carried: Vec<(Repository, Digest)>,
    /// Digests in `carried`.
    pub digests: HashSet<Digest>,
    /// Documents that filters left out of sparse indexes.
    pub left_out: HashSet<Digest>,
    /// Documents that could not be obtained.
    pub missing: HashSet<Digest>,
    /// Referrers that exist at the source but cannot be carried, with the repository that they
    /// would be carried under.
    pub left_behind: BTreeSet<(Repository, Digest)>,
    /// Failures.
    pub faults: Vec<Fault>,
}

/// Repositories at the source that each artifact came from, by repository in the bundle and digest.
type Origins = HashMap<(String, Digest), BTreeSet<Repository>>;

/// Key of a visited document: source repository, repository it is carried under, digest, whether
/// children are cut, and filters.
type Visit = (Repository, Repository, Digest, bool, Arc<Filters>);

struct Gather<'a> {
    made: HashSet<Digest>,
    visited: HashSet<Visit>,
    originals: HashSet<(Repository, Digest)>,
    origins: Origins,
    failed: Vec<(Digest, Fault)>,
    flow: &'a Flow,
    // Warnings given, so that each is given once.
    warned: HashSet<String>,
    out: Gathered,
}

/// Gathers everything, starting from `roots`.
///
/// # Errors
/// Only [`Class::Cancelled`]; all other failures are in [`Gathered::faults`].
pub fn gather(flow: &Flow, library: &Library<'_>, roots: Vec<Root>) -> Result<Gathered, Fault> {
    let mut asked = Asked::new(library);
    roots.iter().for_each(|root| warn_of_new_digest(flow, root));
    warn_of_what_stays(flow, &mut asked, &roots)?;
    let mut gather = Gather {
        made: roots.iter().flat_map(|root| root.made.iter().copied()).collect(),
        visited: HashSet::new(),
        originals: HashSet::new(),
        origins: Origins::new(),
        failed: Vec::new(),
        flow,
        warned: HashSet::new(),
        out: Gathered::default(),
    };
    let mut wave: Vec<Item> = roots.into_iter().map(selected).collect();
    while !wave.is_empty() {
        let documents = each(flow, &wave, |item| library.get(&item.origin, &item.descriptor))?;
        let mut next = Vec::new();
        let mut news = Vec::new();
        for (item, document) in wave.into_iter().zip(documents) {
            flow.check()?;
            match document {
                Ok(document) => gather.take(item, &document, &mut next, &mut news),
                Err(error) => gather.lost(&item, error),
            }
        }
        let askable: Vec<Subject> = news.iter().map(subject).collect();
        gather.out.faults.extend(asked.ask(flow, &askable)?);
        for item in &news {
            flow.check()?;
            gather.referrers(item, &asked, &mut next);
        }
        wave = next;
    }
    let mut out = gather.out;
    name_sources(&mut out.artifacts, &gather.origins);
    for (digest, fault) in gather.failed {
        // Another repository may have had it.
        if !out.digests.contains(&digest) {
            out.missing.insert(digest);
            out.faults.push(fault);
        }
    }
    out.left_out.retain(|digest| !out.digests.contains(digest));
    out.left_behind.retain(|(repository, digest)| !out.artifacts.contains_key(&(repository.to_string(), *digest)));
    Ok(out)
}

impl Gather<'_> {
    fn fail(&mut self, class: Class, text: impl Into<Description>, help: &str) {
        self.out.faults.push(Fault::new(class, text).help(help));
    }

    /// Leaves the referrer of `item` behind, and warns of it. `exists` states whether it is at the
    /// source.
    fn leave(&mut self, item: &Item, why: &str, exists: bool) {
        let digest = item.descriptor.digest;
        let text = format!("{}: left out: {why}", item.told());
        if self.warned.insert(text.clone()) {
            self.flow.warn(text);
        }
        if exists {
            self.out.left_behind.insert((item.repository.clone(), digest));
        }
    }

    fn take(&mut self, item: Item, document: &Document, next: &mut Vec<Item>, news: &mut Vec<Item>) {
        let digest = document.digest();
        if let Why::Refers(subject) = &item.why {
            // The list may not state the type.
            if item.descriptor.artifact_type.is_none() && !item.filters.referrers.takes(document.shown_artifact_type())
            {
                return;
            }
            if document.subject().map(|own| own.digest) != Some(*subject) {
                // Not a referrer, so nothing is left behind.
                self.leave(&item, "it does not refer to it", false);
                return;
            }
        }
        if !matches!(item.why, Why::Child(_)) && !self.register(&item, document) {
            return;
        }
        let key =
            (item.origin.clone(), item.repository.clone(), digest, item.cuts.is_some(), Arc::clone(&item.filters));
        if !self.visited.insert(key) {
            return;
        }
        if self.originals.insert((item.origin.clone(), digest)) {
            self.out.carried.push((item.origin.clone(), digest));
        }
        self.out.digests.insert(digest);
        for child in document.manifests().iter().filter(|child| document_kind(&child.media_type).is_some()) {
            if item.cuts.as_ref().is_some_and(|cuts| cuts.contains(&(digest, child.digest))) {
                self.out.left_out.insert(child.digest);
            } else if item.depth < MAX_LEVELS {
                // The closure walk refuses deeper ones.
                let why = Why::Child(digest);
                next.push(Item { descriptor: child.clone(), why, depth: item.depth + 1, ..item.clone() });
            }
        }
        if !self.made.contains(&digest) {
            news.push(item);
        }
    }

    /// Adds the document as an artifact, or adds its tag to the existing artifact. Returns `false`
    /// if a bundle cannot state its type.
    fn register(&mut self, item: &Item, document: &Document) -> bool {
        let digest = document.digest();
        let stated = document.artifact_type().unwrap_or_default();
        if stated.len() > MAX_TYPE || stated.contains(char::is_control) {
            let odd = differs(
                "",
                format_args!("an artifactType of at most {MAX_TYPE} bytes without control characters"),
                format_args!("{:?}", escape(stated)),
            );
            if item.is_selected() {
                let text = odd.within(format_args!("manifest {digest} of {}", item.origin));
                self.fail(Class::Source, text, "leave it out of the selection");
            } else {
                self.leave(item, &odd.to_string(), true);
            }
            return false;
        }
        let key = (item.repository.to_string(), digest);
        self.origins.entry(key.clone()).or_default().insert(item.origin.clone());
        let artifact = self.out.artifacts.entry(key).or_insert_with(|| Artifact {
            artifact_type: document.artifact_type().map(ToOwned::to_owned),
            digest,
            media_type: document.media_type().to_owned(),
            original: None,
            repository: item.repository.clone(),
            size: document.size(),
            source: None,
            subject: document.subject().map(|subject| subject.digest),
            tags: Vec::new(),
        });
        let (tag, original) = match &item.why {
            Why::Selected { tag, original } => (tag.as_ref(), *original),
            Why::Cosign(_, tag) => (Some(tag), None),
            Why::Refers(_) | Why::Child(_) => (None, None),
        };
        // Sorted and unique.
        if let Some(tag) = tag
            && let Err(place) = artifact.tags.binary_search(tag)
        {
            artifact.tags.insert(place, tag.clone());
        }
        // If it is reached from two indexes, the lower digest counts, in any order.
        artifact.original = artifact.original.into_iter().chain(original).min();
        true
    }

    fn lost(&mut self, item: &Item, error: Error) {
        let digest = item.descriptor.digest;
        let subject = format!("manifest {digest}");
        match item.why {
            Why::Child(index) => {
                let fault = match error.class {
                    Kind::Absent => lacking(&item.descriptor, &item.origin, index),
                    _ => fault(&subject, error),
                };
                self.failed.push((digest, fault));
            }
            Why::Selected { .. } => self.out.faults.push(fault(&subject, error)),
            Why::Refers(_) | Why::Cosign(..) if error.class == Kind::Absent => {
                self.leave(item, "it is listed there, but not found", false);
            }
            Why::Refers(_) | Why::Cosign(..) if matches!(error.class, Kind::Mismatch | Kind::Refused) => {
                self.leave(item, &error.what, true);
            }
            Why::Refers(_) | Why::Cosign(..) => {
                let mut fault = fault(&format!("{subject}, which refers to an artifact of {}", item.origin), error);
                fault.help.get_or_insert_with(|| "carry the artifacts without it: `--referrers none`".to_owned());
                self.out.faults.push(fault);
            }
        }
    }

    fn referrers(&mut self, item: &Item, asked: &Asked<'_>, next: &mut Vec<Item>) {
        let which = &item.filters.referrers;
        if *which == Referrers::None {
            return;
        }
        let digest = item.descriptor.digest;
        let mut found = Vec::new();
        for descriptor in asked.referrers(&item.origin, digest) {
            let stated = descriptor.artifact_type.as_deref();
            if stated.is_some() && !which.takes(stated) {
                continue;
            }
            found.push((descriptor.clone(), Why::Refers(digest)));
        }
        // They may have been queried for another filter.
        let cosign = if *which == Referrers::All { asked.cosign(&item.origin, digest) } else { &[] };
        for (tag, descriptor) in cosign {
            found.push((descriptor.clone(), Why::Cosign(digest, tag.clone())));
        }
        if !found.is_empty() && item.level >= MAX_REFERRER_LEVELS {
            let text = differs(
                format_args!("manifest {digest}"),
                format_args!("at most {MAX_REFERRER_LEVELS} levels of referrers in {}", item.origin),
                "more",
            );
            self.fail(Class::Source, text, "carry the artifacts without their referrers: `--referrers none`");
            return;
        }
        next.extend(found.into_iter().map(|(descriptor, why)| Item {
            origin: item.origin.clone(),
            repository: item.repository.clone(),
            filters: Arc::clone(&item.filters),
            descriptor,
            why,
            depth: 1,
            level: item.level + 1,
            cuts: None,
        }));
    }
}

/// States where each artifact came from that is carried under another repository's name only. Of
/// several, the first counts, in any order.
fn name_sources(artifacts: &mut BTreeMap<(String, Digest), Artifact>, origins: &Origins) {
    for (key, artifact) in artifacts {
        let came = origins.get(key).filter(|came| !came.contains(&artifact.repository));
        artifact.source = came.and_then(|came| came.first()).cloned();
    }
}

/// Returns a fault for each (repository, tag) that two artifacts claim.
pub fn tag_conflicts(artifacts: &BTreeMap<(String, Digest), Artifact>) -> Vec<Fault> {
    let mut claims: HashMap<(&str, &Tag), Digest> = HashMap::new();
    let mut faults = Vec::new();
    for ((repository, digest), artifact) in artifacts {
        for tag in &artifact.tags {
            if let Some(other) = claims.insert((repository, tag), *digest) {
                let text =
                    differs(format_args!("{repository}:{tag}"), "one manifest", format_args!("{other} and {digest}"));
                faults.push(
                    Fault::new(Class::Policy, text).help("select one of them, or give one another name with `as=`"),
                );
            }
        }
    }
    faults
}

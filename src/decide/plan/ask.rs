//! Referrers of documents: the source's lists of referrers and cosign's tags, each queried once.
//! A repository's tags are listed if that takes one page, or for many digests at most as many pages as
//! single queries would take; otherwise cosign's tags are queried one by one.
//!
//! Collects answers only; `gather` decides which referrers to carry. Cosign's tags
//! (`sha256-<hex>.sig`, `.att`, `.sbom`) state no type before they are fetched, so they are carried
//! only with [`Referrers::All`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::library::{Library, fault};
use crate::base::fault::{Class, Fault, differs};
use crate::content::{Error, Kind};
use crate::decide::select::{Filters, Referrers};
use crate::flow::{Event, Flow, each};
use crate::oci::{Descriptor, Digest, Reference, Repository, Tag, cosign};

/// Maximum number of referrers of one subject.
pub const MAX_REFERRERS: usize = 10_000;

/// Number of single queries for tags of a repository, up to which only one page of its tags is read.
const FEW: usize = 32;

const NONE: &str = "carry the artifacts without their referrers: `--referrers none`";

/// A document whose referrers are queried.
pub struct Subject {
    /// Repository at the source.
    pub repository: Repository,
    /// Its digest.
    pub digest: Digest,
    /// Filters of its artifact.
    pub filters: Arc<Filters>,
}

/// The lookups of tags in one repository so far.
#[derive(Default)]
struct Lookups {
    /// Single queries that were due.
    single: usize,
    /// Pages that were allowed for the last list, which was too long; 0 before the first.
    pages: usize,
    /// Whether the list could not be obtained.
    has_no_list: bool,
}

/// Answers collected so far.
pub struct Asked<'a> {
    library: &'a Library<'a>,
    lists: HashMap<(Repository, Digest), Vec<Descriptor>>,
    // `None`: the source gives no list of tags, so tags are queried one by one.
    tags: HashMap<Repository, Option<HashSet<Tag>>>,
    lookups: HashMap<Repository, Lookups>,
    cosign: HashMap<(Repository, Digest), Vec<(Tag, Descriptor)>>,
}

impl<'a> Asked<'a> {
    /// Returns an empty set of answers.
    pub fn new(library: &'a Library<'a>) -> Self {
        Self { library, lists: HashMap::new(), tags: HashMap::new(), lookups: HashMap::new(), cosign: HashMap::new() }
    }

    /// Returns the referrers of a subject that was queried.
    pub fn referrers(&self, repository: &Repository, subject: Digest) -> &[Descriptor] {
        self.lists.get(&(repository.clone(), subject)).map_or(&[], Vec::as_slice)
    }

    /// Returns cosign's tags of a document that was queried, with the descriptors they name.
    pub fn cosign(&self, repository: &Repository, subject: Digest) -> &[(Tag, Descriptor)] {
        self.cosign.get(&(repository.clone(), subject)).map_or(&[], Vec::as_slice)
    }

    /// Queries everything that the filters of `items` need and that was not queried before. Returns
    /// the failures.
    ///
    /// # Errors
    /// [`Class::Cancelled`].
    pub fn ask(&mut self, flow: &Flow, items: &[Subject]) -> Result<Vec<Fault>, Fault> {
        let mut faults = Vec::new();
        let some: Vec<&Subject> = items.iter().filter(|item| item.filters.referrers != Referrers::None).collect();
        let all: Vec<&Subject> = items.iter().filter(|item| item.filters.referrers == Referrers::All).collect();
        self.ask_tags(flow, &some)?;
        self.ask_lists(flow, &some, &mut faults)?;
        self.ask_cosign(flow, &all, &mut faults)?;
        Ok(faults)
    }

    fn ask_lists(&mut self, flow: &Flow, items: &[&Subject], faults: &mut Vec<Fault>) -> Result<(), Fault> {
        let Some(place) = self.library.source().referrers() else { return Ok(()) };
        let mut seen = HashSet::new();
        let keys = items.iter().map(|item| (item.repository.clone(), item.digest));
        let keys: Vec<_> = keys.filter(|key| !self.lists.contains_key(key) && seen.insert(key.clone())).collect();
        let answers = each(flow, &keys, |(repository, digest)| {
            let known = self.tags.get(repository).and_then(Option::as_ref);
            // The list of tags shows which fallback tags exist.
            if known.is_some_and(|tags| !tags.contains(&Tag::referrers_fallback(*digest))) {
                place.referrers_without_tag(repository, *digest)
            } else {
                place.referrers(repository, *digest)
            }
        })?;
        for (key, answer) in keys.into_iter().zip(answers) {
            let subject = format!("referrers of {} in {}", key.1, key.0);
            let list = match answer {
                Ok(list) if list.len() > MAX_REFERRERS => {
                    let text = differs(subject, format_args!("at most {MAX_REFERRERS}"), list.len());
                    faults.push(Fault::new(Class::Source, text).help(NONE));
                    Vec::new()
                }
                Ok(list) => list,
                Err(error) => {
                    faults.push(not_obtained(&subject, error).help(NONE));
                    Vec::new()
                }
            };
            self.lists.insert(key, list);
        }
        Ok(())
    }

    fn ask_cosign(&mut self, flow: &Flow, items: &[&Subject], faults: &mut Vec<Fault>) -> Result<(), Fault> {
        let mut seen = HashSet::new();
        let mut probes: Vec<(Digest, Reference)> = Vec::new();
        for Subject { repository, digest, .. } in items {
            let key = (repository.clone(), *digest);
            if self.cosign.contains_key(&key) || !seen.insert(key) {
                continue;
            }
            let list = self.tags.get(repository).and_then(Option::as_ref);
            for tag in cosign::ENDINGS.iter().filter_map(|ending| cosign::tag(*digest, ending)) {
                if list.is_none_or(|list| list.contains(&tag)) {
                    let reference = Reference { repository: repository.clone(), tag: Some(tag), digest: None };
                    probes.push((*digest, reference));
                }
            }
        }
        let library = self.library;
        let answers = each(flow, &probes, |(_, reference)| library.resolve(reference))?;
        for ((digest, reference), answer) in probes.into_iter().zip(answers) {
            match answer {
                Ok(descriptor) => {
                    let found = self.cosign.entry((reference.repository, digest)).or_default();
                    found.extend(reference.tag.map(|tag| (tag, descriptor)));
                }
                // The list of tags is stale.
                Err(Error { class: Kind::Absent, .. })
                    if matches!(self.tags.get(&reference.repository), Some(Some(_))) =>
                {
                    flow.warn(format!("{reference}, for {digest}: left out: it is listed there, but not found"));
                }
                Err(Error { class: Kind::Absent, .. }) => {}
                Err(error) => faults.push(not_obtained(&reference.to_string(), error)),
            }
        }
        for key in seen {
            self.cosign.entry(key).or_default();
        }
        Ok(())
    }

    /// Lists the tags of repositories where that takes fewer requests than a query for each tag.
    fn ask_tags(&mut self, flow: &Flow, items: &[&Subject]) -> Result<(), Fault> {
        let mut due: BTreeMap<&Repository, usize> = BTreeMap::new();
        let mut seen = HashSet::new();
        for item in items {
            let key = (item.repository.clone(), item.digest);
            let is_new = !self.lists.contains_key(&key) && seen.insert(key);
            if is_new && !matches!(self.tags.get(&item.repository), Some(Some(_))) {
                let all = item.filters.referrers == Referrers::All;
                *due.entry(&item.repository).or_default() += if all { cosign::ENDINGS.len() + 1 } else { 1 };
            }
        }
        let mut new: Vec<(Repository, usize)> = Vec::new();
        for (repository, due) in due {
            let lookups = self.lookups.entry(repository.clone()).or_default();
            lookups.single += due;
            let pages = if lookups.single > FEW { lookups.single.div_ceil(flow.jobs.max(1)) } else { 1 };
            // A list that was too long is read again only if it may be much longer now.
            if !lookups.has_no_list && pages >= lookups.pages * 4 {
                lookups.pages = pages;
                new.push((repository.clone(), pages));
            }
        }
        let place = self.library.source().tags();
        // Single queries run side by side, pages only one after the other.
        let answers = each(flow, &new, |(repository, pages)| match place {
            Some(place) => place.tags_within(repository, *pages),
            None => Ok(None),
        })?;
        for ((repository, _), answer) in new.into_iter().zip(answers) {
            let list = match answer {
                Ok(list) => list.map(HashSet::from_iter),
                Err(Error { class: Kind::Cancelled, .. }) => return Err(crate::flow::Cancelled.into()),
                // A source that does not list its tags may still serve them.
                Err(error) => {
                    self.lookups.entry(repository.clone()).or_default().has_no_list = true;
                    flow.event(Event::Detail(format!("{}; asking for single tags instead", error.what)));
                    None
                }
            };
            self.tags.insert(repository, list);
        }
        Ok(())
    }
}

fn not_obtained(subject: &str, error: Error) -> Fault {
    let mut fault = fault(subject, error);
    fault.help.get_or_insert_with(|| NONE.to_owned());
    fault
}

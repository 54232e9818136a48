//! Copy: from any source to any destination while both can be reached, with an export's plan and an
//! import's push.
//!
//! Content passes through memory, never through a file. An artifact that the destination has under
//! the same tag, and that can have no referrers at the source, is skipped after one query to each
//! side. Does not depend on registries or terminals.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Read;

use crate::base::fault::{Class, Fault, differs};
use crate::content::{Destination, Error, Source, TagList};
use crate::decide::plan::{self, Resolved};
use crate::decide::route::Route;
use crate::decide::select::{Referrers, Selection, Wanted};
use crate::flow::{Event, Flow, each};
use crate::oci::media_type::is_former_document;
use crate::oci::{Descriptor, Digest, Document, Reference, Repository, Tag};
use crate::operate::import::{self, Done, Imported, Landed, NoCheck, Sides, TagConflict};

/// Content to copy, and options.
pub struct Request<'a> {
    /// Selection at the source.
    pub selection: Selection,
    /// Names below the destination for the single selected artifact; a name without a tag sets
    /// none. If empty, `route` gives the names.
    pub names: Vec<(Repository, Option<Tag>)>,
    /// Maps names of the source to names at the destination.
    pub route: &'a Route,
    /// Whether both sides are the same place, so that blobs can be mounted.
    pub is_one_place: bool,
    /// How to treat tags that name something else at the destination.
    pub tag_conflict: TagConflict,
    /// Whether to record failures of the destination per artifact and continue with the others.
    pub keep_going: bool,
    /// Whether to change nothing.
    pub dry_run: bool,
    /// Fault classes of the two sides.
    pub sides: Sides,
}

/// Copies the selection. Returns the outcome of each artifact, starting with those that were
/// already there.
///
/// # Errors
/// Errors of [`plan::make`] and [`import::run`]; [`Class::Usage`] if `names` would apply to more
/// than one artifact.
pub fn run(
    flow: &Flow,
    source: &dyn Source,
    destination: &dyn Destination,
    request: &Request,
) -> Result<Imported, Fault> {
    let source = Glance { place: source, resolved: Resolved::default() };
    let mut selection = request.selection.clone();
    if !request.names.is_empty() {
        selection.wanted = named(&source, &selection.wanted, &request.names)?;
    }
    flow.event(Event::Stage { name: "comparing tags", bytes: 0, items: selection.wanted.len() as u64 });
    let same = look(flow, &source, destination, request, &selection)?;
    let (old, new) = selection.wanted.into_iter().zip(same).partition::<Vec<_>, _>(|(_, same)| same.is_some());
    let mut present: Vec<Done> = old.into_iter().filter_map(|(_, same)| same).collect();
    selection.wanted = new.into_iter().map(|(wanted, _)| wanted).collect();
    if selection.wanted.is_empty() && !present.is_empty() {
        return Ok(Imported { artifacts: present, ..Imported::default() });
    }
    let plan = match plan::make(flow, &source, &selection) {
        Ok(plan) => plan,
        Err(fault) if fault.class == Class::Cancelled => return Err(fault),
        // Faults of both sides are reported in one list.
        Err(fault) => {
            let mut faults = vec![fault];
            faults.extend(closed(flow, destination, request, &selection)?);
            return Err(
                Fault::from_list(faults).unwrap_or_else(|| Fault::new(Class::Bug, "a plan failed without a fault"))
            );
        }
    };
    let planned = Planned {
        source: source.place,
        origins: plan.blobs.into_iter().map(|blob| (blob.descriptor.digest, blob.origin)).collect(),
        documents: plan.documents,
    };
    let done = import::run(
        flow,
        &import::Request {
            source: &planned,
            destination,
            check: &NoCheck,
            artifacts: &plan.artifacts,
            absent: &plan.absent,
            route: request.route,
            tag_conflict: request.tag_conflict,
            tag_book: None,
            keep_going: request.keep_going,
            dry_run: request.dry_run,
            sides: request.sides,
            select: &[],
            goal: import::Goal::Whole,
            referrers: &Referrers::All,
            siblings: request.is_one_place.then_some(&planned.origins),
            wanted: None,
            ledger: None,
        },
    )?;
    present.extend(done.artifacts);
    Ok(Imported { artifacts: present, ..done })
}

/// Returns the single selected artifact under each name, pinned to its current digest.
fn named(source: &dyn Source, wanted: &[Wanted], names: &[(Repository, Option<Tag>)]) -> Result<Vec<Wanted>, Fault> {
    let [one] = wanted else {
        let what = differs("--as", "one selected artifact", wanted.len());
        return Err(Fault::new(Class::Usage, what).help("select one, or name many with --map"));
    };
    let at_source = |error: Error| error.into_fault(Class::Source);
    let digest = source.resolve(&one.reference).map_err(at_source)?.digest;
    let under = |(repository, tag): &(Repository, Option<Tag>)| {
        // By digest only if no tag is wanted: otherwise the source's tag would be carried.
        let kept = tag.as_ref().and(one.reference.tag.clone());
        let reference = Reference { digest: Some(digest), tag: kept, ..one.reference.clone() };
        Wanted { reference, as_name: Some((repository.clone(), tag.clone())), ..one.clone() }
    };
    Ok(names.iter().map(under).collect())
}

/// Returns, for each wanted reference, its outcome if nothing is left to do: its tag names the same
/// digest at the destination, and nothing refers to it at the source. Otherwise, or if this cannot
/// be determined, `None`: the plan then handles it.
fn look(
    flow: &Flow,
    source: &dyn Source,
    destination: &dyn Destination,
    request: &Request,
    selection: &Selection,
) -> Result<Vec<Option<Done>>, Fault> {
    let same = each(flow, &selection.wanted, |wanted| {
        // With a platform filter, the result may differ from the manifest that the tag names.
        if !wanted.filters.platforms.is_empty() {
            return None;
        }
        let there = request.route.destination(wanted.repository()).ok()?;
        let tag = wanted.tag()?;
        let digest = source.resolve(&wanted.reference).ok()?.digest;
        let now = destination.tag_like(&there, tag, digest).ok()??;
        flow.event(Event::Item(wanted.reference.to_string()));
        (now == digest).then(|| Done {
            repository: wanted.repository().clone(),
            destination: there,
            digest,
            tags: vec![tag.clone()],
            kept: Vec::new(),
            landed: Landed::Present,
            plan: import::Planned::default(),
        })
    })?;
    let is_alone = |wanted: &Wanted| wanted.filters.referrers == Referrers::None;
    let found = selection.wanted.iter().zip(&same).filter_map(|(wanted, same)| Some((wanted, same.as_ref()?)));
    let found = found.filter(|(wanted, _)| !is_alone(wanted));
    let places: HashMap<&Repository, Digest> =
        found.map(|(wanted, same)| (&wanted.reference.repository, same.digest)).collect();
    let places: Vec<(&Repository, Digest)> = places.into_iter().collect();
    // No more pages of tags than requests that the plan would make for the artifacts.
    let mut selected: HashMap<&Repository, usize> = HashMap::new();
    selection.wanted.iter().for_each(|wanted| *selected.entry(&wanted.reference.repository).or_default() += 1);
    let bare = each(flow, &places, |(place, digest)| {
        let pages = selected.get(place).copied().unwrap_or(1);
        has_no_referrers(source, place, *digest, pages).unwrap_or(false)
    })?;
    let bare: HashSet<&Repository> =
        places.iter().zip(bare).filter(|(_, bare)| *bare).map(|((place, _), _)| *place).collect();
    let keep = |(wanted, same): (&Wanted, Option<Done>)| {
        same.filter(|_| is_alone(wanted) || bare.contains(&wanted.reference.repository))
    };
    Ok(selection.wanted.iter().zip(same).map(keep).collect())
}

/// Returns the faults for selected repositories that the destination does not allow to be written.
fn closed(
    flow: &Flow,
    destination: &dyn Destination,
    request: &Request,
    selection: &Selection,
) -> Result<Vec<Fault>, Fault> {
    let Some(rights) = destination.rights().filter(|_| !request.dry_run) else { return Ok(Vec::new()) };
    let names = selection.wanted.iter().filter_map(|wanted| request.route.destination(wanted.repository()).ok());
    let names: Vec<Repository> = names.collect::<BTreeSet<_>>().into_iter().collect();
    let refused = each(flow, &names, |name| rights.may_push(name).err());
    rights.release();
    let refused = refused?;
    Ok(refused.into_iter().flatten().map(|error| error.into_fault(request.sides.destination)).collect())
}

/// Returns whether nothing in the repository refers to anything: no tag belongs to a digest, and
/// lists exist only as tags. `false` if the tags are on more than `pages` pages.
fn has_no_referrers(source: &dyn Source, repository: &Repository, digest: Digest, pages: usize) -> Result<bool, Error> {
    let (Some(lists), Some(tags)) = (source.referrers(), source.tags()) else { return Ok(false) };
    let of_a_digest = |tag: &Tag| ["sha256-", "sha512-"].iter().any(|start| tag.as_str().starts_with(start));
    let Some(all) = tags.tags_within(repository, pages)? else { return Ok(false) };
    Ok(!all.iter().any(of_a_digest) && lists.only_tags(repository, digest)?)
}

/// The source during planning. Resolved references are cached and blobs are assumed to exist, except
/// manifests of former types; a missing blob is noticed when it is fetched, before anything is
/// tagged.
struct Glance<'a> {
    place: &'a dyn Source,
    resolved: Resolved,
}

impl Source for Glance<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.resolved.get(self.place, reference)
    }

    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        self.place.document(repository, descriptor)
    }

    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        self.place.blob(repository, descriptor)
    }

    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        if is_former_document(&descriptor.media_type) { self.place.holds(repository, descriptor) } else { Ok(true) }
    }

    fn referrers(&self) -> Option<&dyn crate::content::Referrers> {
        self.place.referrers()
    }

    fn tags(&self) -> Option<&dyn TagList> {
        self.place.tags()
    }
}

/// The source of an import: the plan's documents, and blobs from the repositories where the plan found them.
struct Planned<'a> {
    source: &'a dyn Source,
    documents: HashMap<Digest, Document>,
    origins: HashMap<Digest, Repository>,
}

impl Planned<'_> {
    fn origin<'s>(&'s self, repository: &'s Repository, digest: Digest) -> &'s Repository {
        self.origins.get(&digest).unwrap_or(repository)
    }
}

impl Source for Planned<'_> {
    fn resolve(&self, reference: &Reference) -> Result<Descriptor, Error> {
        self.source.resolve(reference)
    }

    fn document(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Document, Error> {
        match self.documents.get(&descriptor.digest) {
            Some(document) => Ok(document.clone()),
            None => self.source.document(self.origin(repository, descriptor.digest), descriptor),
        }
    }

    fn blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        self.source.blob(self.origin(repository, descriptor.digest), descriptor)
    }

    fn holds(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, Error> {
        self.source.holds(self.origin(repository, descriptor.digest), descriptor)
    }
}

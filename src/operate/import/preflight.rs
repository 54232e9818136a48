//! Checks before the first push: what the tags of the destination name, which content it has, which
//! base content is missing there (`bases`), and whether the login may push.
//!
//! Only queries and lists. The only changes are a mount of base content, which sends nothing, and
//! the upload sessions that show the rights of the login. A tag that names what the bundle names says
//! that all of that is there; only then is nothing below it asked for.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

use crate::base::fault::{Class, Fault, differs};
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::Event;
use crate::oci::{Absent, Descriptor, Digest, Reason, Repository, Tag};
use crate::receipt::How;

use super::context::Context;
use super::new_names::NewNames;
use super::request::TagConflict;
use super::work::{Job, Needs, Work, flat};
use super::{bases, presence};

/// Documents that are at the destination with all that is below them.
type Whole<'a> = Mutex<HashSet<(&'a Repository, Digest)>>;

/// Looks at every artifact and fills in its needs.
///
/// Without `keep_going`, everything that prevents the import is one fault, with `more` that was found
/// before. An artifact that was incomplete at export, and still is at the destination, fails on its
/// own either way.
pub(super) fn look(context: &Context, work: &Work, more: Vec<Fault>) -> Result<(), Fault> {
    let (names, whole) = (NewNames::default(), Whole::default());
    // Whether the subject of an untagged artifact is there is known once all tags were asked for.
    let (tagged, others): (Vec<&Job>, Vec<&Job>) = work.jobs.iter().partition(|job| !job.artifact.tags.is_empty());
    for jobs in [tagged, others] {
        context.workers.each(&jobs, |job| {
            let mut found = Needs::default();
            let (mut faults, names_it) = tags(context, &names, job, &mut found)?;
            if names_it.is_some() {
                let look = Look { context, work, names: &names, whole: &whole, job };
                faults.extend(look.documents(names_it == Some(true), &mut found)?);
            }
            found.is_known = true;
            *lock(&job.needs) = found;
            if let Some(fault) = Fault::from_list(faults) {
                job.fail(fault);
            }
            context.flow.event(Event::Item(job.repository.to_string()));
            Ok(())
        })?;
    }
    // Otherwise the check of rights tells.
    if context.request.dry_run {
        for job in &work.jobs {
            names.unmade(&job.repository).into_iter().for_each(|fault| job.fail(fault));
        }
    }
    bases::look(context, work)?;
    let going = context.request.keep_going;
    if going || (more.is_empty() && work.jobs.iter().all(|job| lock(&job.failed).is_none())) {
        presence::look(context, work, &names)?;
    }
    rights(context, work)?;
    if going {
        return Fault::from_list(more).map_or(Ok(()), Err);
    }
    let failed = work.jobs.iter().filter_map(|job| lock(&job.failed).clone());
    let faults = failed.flat_map(flat).filter(|fault| fault.class != Class::Partial);
    Fault::from_list(more.into_iter().flat_map(flat).chain(faults).collect()).map_or(Ok(()), Err)
}

/// Queries once, for each repository that will be written, whether the login may push.
fn rights(context: &Context, work: &Work) -> Result<(), Fault> {
    let Some(rights) = context.destination.rights().filter(|_| !context.request.dry_run) else { return Ok(()) };
    let mut written: BTreeMap<&Repository, (Vec<&Job>, Option<Descriptor>)> = BTreeMap::new();
    // In the order in which blobs are sent, so that the upload that a check opens is used soon.
    let known = lock(&work.there.known);
    let mut sent: HashSet<Digest> = HashSet::new();
    for job in work.jobs.iter().filter(|job| !job.is_out()) {
        let needs = lock(&job.needs);
        if needs.documents.is_empty() && needs.tags.is_empty() {
            continue;
        }
        let (jobs, first) = written.entry(&job.repository).or_default();
        jobs.push(job);
        for leaf in needs.leaves.iter().filter(|leaf| !known.contains_key(&leaf.digest)) {
            if !context.request.goal.has(&leaf.digest) {
                continue;
            }
            // A blob of several repositories is sent to one of them and mounted in the others.
            if sent.insert(leaf.digest) && first.as_ref().is_none_or(|first| first.size < leaf.size) {
                *first = Some(leaf.clone());
            }
        }
    }
    drop(known);
    let written: Vec<_> = written.into_iter().collect();
    context.workers.each(&written, |(repository, (jobs, first))| {
        context.workers.check()?;
        let answer = match first {
            Some(first) => rights.may_send(repository, first).map(|is_there| is_there.then_some(first)),
            None => rights.may_push(repository).map(|()| None),
        };
        let fault = match answer {
            Ok(None) => return Ok(()),
            Ok(Some(first)) => {
                context.notes.add(repository, first, How::Found);
                lock(&work.there.known).entry(first.digest).or_insert_with(|| (*repository).clone());
                work.there.found.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                for job in jobs {
                    let mut needs = lock(&job.needs);
                    let (there, missing): (Vec<_>, Vec<_>) =
                        std::mem::take(&mut needs.leaves).into_iter().partition(|leaf| leaf.digest == first.digest);
                    needs.found.extend(there);
                    needs.leaves = missing;
                }
                return Ok(());
            }
            Err(error) => context.at_destination(error),
        };
        if fault.class == Class::Cancelled {
            return Err(fault);
        }
        for job in jobs {
            job.fail(fault.clone());
        }
        Ok(())
    })
}

/// Records a destination's error as a fault of the job; cancellation ends the run.
fn noted(context: &Context, faults: &mut Vec<Fault>, error: Error) -> Result<(), Fault> {
    let fault = context.at_destination(error);
    if fault.class == Class::Cancelled {
        return Err(fault);
    }
    faults.push(fault);
    Ok(())
}

/// Whether the place would not let something be read, and can be asked whether it may be written.
fn is_refusal(context: &Context, error: &Error) -> bool {
    let can_ask = context.destination.rights().is_some() && !context.request.dry_run;
    can_ask && matches!(error.class, Kind::Denied | Kind::Refused)
}

/// The look at one job's documents.
struct Look<'a, 'w> {
    context: &'a Context<'a>,
    work: &'w Work<'w>,
    names: &'a NewNames,
    whole: &'a Whole<'w>,
    job: &'w Job<'w>,
}

impl Look<'_, '_> {
    /// Finds out which documents are missing. `names_it`: a tag there names the artifact.
    fn documents(&self, names_it: bool, found: &mut Needs) -> Result<Vec<Fault>, Fault> {
        let (context, job) = (self.context, self.job);
        let (mut faults, root) = (Vec::new(), job.artifact.digest);
        let keeps_whole = context.destination.keeps_whole();
        // An artifact that was not carried has no document to compare with.
        let is_carried = self.work.shapes.contains_key(&root);
        let mut asked = None;
        if keeps_whole && is_carried {
            let is_there = if names_it || self.is_listed() {
                Ok(true)
            } else if self.is_new()? {
                Ok(false)
            } else {
                context.destination.has_manifest(&job.repository, root)
            };
            match is_there {
                Ok(true) => {
                    found.implied += (job.documents.len() as u64).saturating_sub(1);
                    let all = job.documents.iter().map(|digest| (&job.repository, *digest));
                    lock(self.whole).extend(all);
                    return Ok(faults);
                }
                Ok(false) => self.names.learn(context, &job.repository).map(drop)?,
                // It may be there, and a rule of the place keep it from whoever asks: it is put once more, if it may be.
                Err(error) if is_refusal(context, &error) => {}
                Err(error) => {
                    noted(context, &mut faults, error)?;
                    return Ok(faults);
                }
            }
            asked = Some(root);
        }
        for &digest in job.missing.iter().chain(&job.documents) {
            context.workers.check()?;
            let is_missing = asked == Some(digest) || self.is_new()?;
            match if is_missing { Ok(false) } else { context.destination.has_manifest(&job.repository, digest) } {
                Ok(true) if keeps_whole => continue,
                Ok(true) => match is_whole(context, self.work, job, digest) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) => {
                        noted(context, &mut faults, error)?;
                        return Ok(faults);
                    }
                },
                Ok(false) => {}
                Err(error) if is_refusal(context, &error) => {}
                Err(error) => {
                    // One failure is enough; the next query would report it again.
                    noted(context, &mut faults, error)?;
                    return Ok(faults);
                }
            }
            let Some(shape) = self.work.shapes.get(&digest) else {
                faults.push(incomplete(job, "manifest", digest));
                continue;
            };
            found.documents.push(digest);
            for leaf in &shape.leaves {
                match self.work.absent.get(&leaf.digest) {
                    None => found.leaves.push(leaf.clone()),
                    Some(absent) => faults.extend(not_carried(context, job, leaf, absent, found)?),
                }
            }
        }
        Ok(faults)
    }

    /// Returns whether the repository is known not to exist.
    fn is_new(&self) -> Result<bool, Fault> {
        self.context.workers.check()?;
        Ok(self.names.is_new(&self.job.repository))
    }

    /// Returns whether the list of referrers of its subject, which is there, names the artifact. With
    /// a ledger that is not enough, since every manifest is read back then.
    fn is_listed(&self) -> bool {
        let (Some(subject), Some(lists)) = (self.job.artifact.subject, self.context.destination.lists()) else {
            return false;
        };
        let is_asked = self.job.artifact.tags.is_empty()
            && self.context.request.ledger.is_none()
            && lock(self.whole).contains(&(&self.job.repository, subject));
        // What fails is told when the list is written.
        is_asked && lists.listed(&self.job.repository, subject).is_ok_and(|all| all.contains(&self.job.artifact.digest))
    }
}

/// Returns whether the leaves of an existing document are there, except those that no bundle has to
/// carry. The documents below it are checked separately.
fn is_whole(context: &Context, work: &Work, job: &Job, digest: Digest) -> Result<bool, Error> {
    let Some(shape) = work.shapes.get(&digest) else { return Ok(true) };
    for leaf in &shape.leaves {
        let may_lack = work.absent.get(&leaf.digest).is_some_and(|absent| absent.reason == Reason::Foreign);
        if !may_lack && !context.destination.has_blob(&job.repository, leaf)? {
            return Ok(false);
        }
        if !may_lack {
            context.notes.add(&job.repository, leaf, How::Found);
        }
    }
    Ok(true)
}

fn incomplete(job: &Job, what: &str, digest: Digest) -> Fault {
    let repository = &job.artifact.repository;
    Fault::new(
        Class::Partial,
        format!("artifact {repository}@{}: {what} {digest} was missing at export", job.artifact.digest),
    )
    .help("export it again when the source has it")
}

fn not_carried(
    context: &Context,
    job: &Job,
    leaf: &Descriptor,
    absent: &Absent,
    found: &mut Needs,
) -> Result<Vec<Fault>, Fault> {
    let mut faults = Vec::new();
    context.workers.check()?;
    match absent.reason {
        Reason::Foreign => return Ok(faults),
        Reason::Base => {
            found.bases.push(leaf.clone());
            return Ok(faults);
        }
        Reason::Missing | Reason::Platform => {}
    }
    match context.destination.has_blob(&job.repository, leaf) {
        Ok(true) => return Ok(faults),
        Ok(false) => {}
        Err(error) => {
            noted(context, &mut faults, error)?;
            return Ok(faults);
        }
    }
    faults.push(incomplete(job, "blob", leaf.digest));
    Ok(faults)
}

/// Returns the fault of a tag that names something else; `known` is what this importer set it to.
pub(super) fn conflict(context: &Context, job: &Job, tag: &Tag, now: Digest, known: &[Digest]) -> Fault {
    let (place, own) = (format_args!("{}:{tag}", job.repository), job.artifact.digest);
    if context.request.tag_conflict != TagConflict::Advance {
        let what = differs(format_args!("tag exists: {place}"), format_args!("{own} or none"), now);
        return Fault::new(Class::Policy, what)
            .help("move it with --tag-conflict move, or leave it with --tag-conflict keep");
    }
    let what = match known {
        [] => differs(
            format_args!("tag exists: {place}"),
            format_args!("{own}, none, or one that this importer set"),
            format_args!("{now}, which it does not know"),
        ),
        known => {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            differs(
                format_args!("tag moved by somebody else: {place}"),
                format_args!("{}, which this importer set", known.join(" or ")),
                now,
            )
        }
    };
    Fault::new(Class::Policy, what)
        .help("find out who set it; then move it once with --tag-conflict move, or leave it with --tag-conflict keep")
}

/// Looks at the tags. Returns the faults, and whether a tag names the artifact already: `None` if the
/// destination failed.
fn tags(
    context: &Context,
    names: &NewNames,
    job: &Job,
    found: &mut Needs,
) -> Result<(Vec<Fault>, Option<bool>), Fault> {
    let (mut faults, mut names_it) = (Vec::new(), false);
    let way = context.request.tag_conflict;
    for tag in &job.artifact.tags {
        context.workers.check()?;
        let now = if names.is_new(&job.repository) {
            Ok(None)
        } else {
            context.destination.tag_like(&job.repository, tag, job.artifact.digest)
        };
        let now = match now {
            Ok(now) => now,
            // Whatever it names, it is to be moved.
            Err(error) if is_refusal(context, &error) && way == TagConflict::Move => None,
            Err(error) => {
                noted(context, &mut faults, error)?;
                return Ok((faults, None));
            }
        };
        let Some(now) = now else {
            names.learn(context, &job.repository)?;
            found.tags.push(tag.clone());
            continue;
        };
        if now == job.artifact.digest {
            names_it = true;
            continue;
        }
        match way {
            TagConflict::Fail => {
                faults.push(conflict(context, job, tag, now, &[]));
                continue;
            }
            TagConflict::Keep => {
                found.kept.push(tag.clone());
                continue;
            }
            TagConflict::Advance => {
                let known = set_before(context, job, tag);
                if !known.contains(&now) {
                    faults.push(conflict(context, job, tag, now, &known));
                    continue;
                }
            }
            TagConflict::Move => {}
        }
        found.moved.insert(tag.clone(), now);
        found.tags.push(tag.clone());
    }
    Ok((faults, Some(names_it)))
}

/// Returns the digests that this importer set the tag to, if it knows the tag.
pub(super) fn set_before(context: &Context, job: &Job, tag: &Tag) -> Vec<Digest> {
    context.request.tag_book.map_or_else(Vec::new, |book| book.digests(&job.repository, tag))
}

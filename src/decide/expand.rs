//! Selectors that stand for many references: tags that match filters, and repositories that a
//! registry lists. Asks a source for its lists; decides nothing else.

use crate::base::fault::{Class, Fault};
use crate::content::{Error, Kind, Source, catalog};
use crate::decide::selector::{Nothing, Selector, Source as Selected, TagFilter, glob};
use crate::flow::Flow;
use crate::oci::{Reference, Repository, Tag};

/// Returns whether a selector stands for what a source lists.
pub const fn is_open(selector: &Selector) -> bool {
    matches!(selector.source, Selected::Tags { .. } | Selected::Repositories { .. })
}

/// Returns the references that a selector of tags or repositories stands for at `source`. For other
/// selectors there are none.
///
/// # Errors
/// Class source if it matches nothing, or if `latest=` finds no versions; those of the source.
pub fn expand(flow: &Flow, source: &dyn Source, selector: &Selector) -> Result<Vec<Reference>, Fault> {
    match &selector.source {
        Selected::Tags { repository, glob } => {
            let filter = selector.tags.compile(glob.as_deref())?;
            let listed = tags(source, repository).map_err(|error| at(selector, error))?;
            let count = listed.len();
            let taken = filter.take(listed).map_err(|nothing| nothing_taken(selector, nothing, count))?;
            Ok(taken.into_iter().map(|tag| named(repository, tag)).collect())
        }
        Selected::Repositories { host, pattern, glob } => {
            let filter = selector.tags.compile(glob.as_deref())?;
            let found = repositories(source, selector, host, pattern)?;
            in_repositories(flow, source, selector, &filter, &found)
        }
        _ => Ok(Vec::new()),
    }
}

/// Returns the tags of all repositories that `filter` takes. A repository without any is warned of.
fn in_repositories(
    flow: &Flow,
    source: &dyn Source,
    selector: &Selector,
    filter: &TagFilter,
    found: &[Repository],
) -> Result<Vec<Reference>, Fault> {
    let mut all = Vec::new();
    let mut faults = Vec::new();
    for repository in found {
        flow.check()?;
        let listed = match tags(source, repository) {
            Ok(listed) => listed,
            // A catalog may list repositories that are empty by now.
            Err(error) if error.class == Kind::Absent => Vec::new(),
            Err(error) => {
                faults.push(at(selector, error));
                continue;
            }
        };
        match filter.take(listed) {
            Ok(taken) => all.extend(taken.into_iter().map(|tag| named(repository, tag))),
            Err(Nothing::NoVersions) => flow.warn(format!("{selector}: {repository}: no tag is a version: left out")),
            Err(Nothing::NoMatch) => flow.warn(format!("{selector}: {repository}: no tag matches: left out")),
        }
    }
    if let Some(fault) = Fault::from_list(faults) {
        return Err(fault);
    }
    if all.is_empty() {
        return Err(nothing_taken(selector, Nothing::NoMatch, 0));
    }
    Ok(all)
}

fn repositories(source: &dyn Source, selector: &Selector, host: &str, pattern: &str) -> Result<Vec<Repository>, Fault> {
    let (prefix, matcher) = match pattern.strip_suffix('*').map(|front| front.trim_end_matches('/')) {
        // `ns/*` stands for everything below, at any depth.
        Some(front) if !glob::is_glob(front) && (front.is_empty() || pattern.ends_with("/*")) => (front, None),
        _ => ("", Some(glob::compile(pattern, true)?)),
    };
    let mut all = catalog::below(source, Some(host), prefix).map_err(|error| at(selector, error))?;
    all.retain(|one| {
        (prefix.is_empty() || one.path() != prefix) && matcher.as_ref().is_none_or(|glob| glob.is_match(one.path()))
    });
    if all.is_empty() {
        let what = format!("{selector}: expected repositories of {host} that match {pattern}, found none");
        return Err(Fault::new(Class::Source, what).help(format!("list them with `packmule ls {host}`")));
    }
    Ok(all)
}

fn named(repository: &Repository, tag: Tag) -> Reference {
    Reference { repository: repository.clone(), tag: Some(tag), digest: None }
}

fn tags(source: &dyn Source, repository: &Repository) -> Result<Vec<Tag>, Error> {
    let list = source.tags().ok_or_else(|| {
        Error::new(Kind::Refused, format!("{repository}: expected a list of tags, found a source without one"))
            .help("name each tag")
    })?;
    list.tags(repository)
}

fn at(selector: &Selector, error: Error) -> Fault {
    let mut fault = error.into_fault(Class::Source);
    if fault.class != Class::Cancelled {
        fault.what = format!("{selector}: {}", fault.what);
    }
    fault
}

fn nothing_taken(selector: &Selector, nothing: Nothing, count: usize) -> Fault {
    let (what, help) = match nothing {
        Nothing::NoMatch => (
            format!("{selector}: expected tags that match, found none among {count}"),
            "list the tags with `packmule ls HOST/REPO`, and change the pattern",
        ),
        Nothing::NoVersions => (
            format!("{selector}: expected tags that are versions for latest=, found none"),
            "name the tags, or leave out latest=",
        ),
    };
    Fault::new(Class::Source, what).help(help)
}

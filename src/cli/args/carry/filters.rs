//! The keys of a selector that change what is taken: filters of tags, platforms and referrers, and
//! another name. Asks no source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::fault::{Class, Fault};
use crate::decide::select::{Filters, Referrers, Wanted};
use crate::decide::selector::{Selector, has_tag};
use crate::oci::{Platform, Reference, Repository, Tag};

/// Applies the filters of tags to what is selected in a layout or bundle.
///
/// # Errors
/// Class source if nothing is left.
pub fn filtered(selector: &Selector, all: Vec<Wanted>) -> Result<Vec<Wanted>, Fault> {
    if selector.tags.is_empty() {
        return Ok(all);
    }
    let filter = selector.tags.compile(None)?;
    let mut repositories: BTreeMap<Repository, Vec<Tag>> = BTreeMap::new();
    for wanted in &all {
        let tags = repositories.entry(wanted.reference.repository.clone()).or_default();
        tags.extend(wanted.reference.tag.clone());
    }
    // Each repository has its own newest versions.
    let mut taken: BTreeSet<(Repository, Tag)> = BTreeSet::new();
    for (repository, tags) in repositories {
        let tags = filter.take(tags).unwrap_or_default();
        taken.extend(tags.into_iter().map(|tag| (repository.clone(), tag)));
    }
    if taken.is_empty() {
        let what = format!("{selector}: expected tags that match, found none");
        return Err(Fault::new(Class::Source, what).help("change the filters, or list the tags with `packmule ls`"));
    }
    let is_taken = |wanted: &Wanted| {
        let tag = wanted.reference.tag.clone();
        tag.is_some_and(|tag| taken.contains(&(wanted.reference.repository.clone(), tag)))
    };
    Ok(all.into_iter().filter(is_taken).collect())
}

/// Returns the filters of one selector: its own keys, or else the options in `all`.
///
/// # Errors
/// Class usage.
pub fn filters_of(selector: &Selector, all: &Arc<Filters>) -> Result<Arc<Filters>, Fault> {
    if selector.platforms.is_empty() && selector.referrers.is_empty() {
        return Ok(Arc::clone(all));
    }
    let mut own = Filters::clone(all);
    if !selector.platforms.is_empty() {
        let platform = |text: &String| {
            text.parse::<Platform>()
                .map_err(|error| Fault::usage(format!("selector {selector}: {error}"), "write platform=OS/ARCH"))
        };
        own.platforms = selector.platforms.iter().map(platform).collect::<Result<_, _>>()?;
    }
    if !selector.referrers.is_empty() {
        own.referrers = Referrers::parse(&format!("selector {selector}: referrers"), &selector.referrers)?;
    }
    Ok(Arc::new(own))
}

/// Applies `,as=REPO[:TAG]`.
///
/// # Errors
/// Class usage.
pub fn renamed(wanted: Wanted, selector: &Selector) -> Result<Wanted, Fault> {
    let Some(name) = &selector.rename else { return Ok(wanted) };
    let wrong = |error: crate::oci::reference::ReferenceError| {
        Fault::usage(error.to_string(), "write as=HOST/REPO or as=HOST/REPO:TAG")
    };
    let reference: Reference = name.parse().map_err(wrong)?;
    let (repository, tag): (Repository, Option<Tag>) = (reference.repository, reference.tag.filter(|_| has_tag(name)));
    Ok(Wanted { as_name: Some((repository, tag)), ..wanted })
}

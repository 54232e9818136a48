//! Removes a bundle from a container, or what runs that did not end left there.

use std::collections::BTreeMap;

use super::list::{self, Listed, State};
use super::upload::at_destination;
use crate::base::fault::{Class, Fault};
use crate::bundle::Name;
use crate::content::Error;
use crate::flow::{Event, Flow};
use crate::storage::{Container, Needs, Object, Unfinished};

/// Objects and parts that are removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Objects, in the order in which they go, with their sizes in bytes.
    pub objects: Vec<(String, u64)>,
    /// Parts of uploads that were not completed.
    pub parts: Vec<Unfinished>,
}

impl Removed {
    /// Returns the number of bytes, as far as known.
    pub fn bytes(&self) -> u64 {
        let parts = self.parts.iter().filter_map(|part| part.size);
        self.objects.iter().map(|(_, size)| size).chain(&parts.collect::<Vec<_>>()).sum()
    }
}

/// Removes the bundle `name`, manifest first, with all parts of uploads of its files.
///
/// # Errors
/// [`Class::Destination`] if there is none, or the container refuses.
pub fn bundle(flow: &Flow, container: &dyn Container, name: &Name) -> Result<Removed, Fault> {
    check(flow, container)?;
    let mut files = BTreeMap::new();
    let mut take = |object: Object| {
        if super::is_own(name, &object.name) {
            files.insert(object.name, object.size);
        }
    };
    let stem = format!("{name}.");
    container.list(&stem, &mut take).map_err(at_destination)?;
    let mut parts = container.unfinished(&stem).map_err(at_destination)?;
    parts.retain(|part| super::is_own(name, &part.name));
    if files.is_empty() && parts.is_empty() {
        let what = format!("{}: expected a bundle, found none", container.shown(name.as_str()));
        return Err(Fault::new(Class::Destination, what).help("list the container with `packmule ls`"));
    }
    let removed = Removed { objects: ordered(files, &name.manifest()), parts };
    perform(flow, container, &removed)?;
    Ok(removed)
}

/// Removes the parts of uploads that were not completed, and the files of bundles that have no
/// manifest. A run that is writing there at this time would be disturbed. With `dry_run`, only
/// returns them.
///
/// # Errors
/// [`Class::Source`], [`Class::Destination`].
pub fn incomplete(flow: &Flow, container: &dyn Container, dry_run: bool) -> Result<Removed, Fault> {
    if !dry_run {
        check(flow, container)?;
    }
    let listing = list::run(flow, container, "")?;
    let without = listing.bundles.into_iter().filter(|listed| listed.state == State::NoManifest);
    let objects = without.flat_map(|Listed { name, files, .. }| ordered(files, &format!("{name}.json"))).collect();
    let removed = Removed { objects, parts: listing.unfinished };
    if !dry_run {
        perform(flow, container, &removed)?;
    }
    Ok(removed)
}

fn check(flow: &Flow, container: &dyn Container) -> Result<(), Fault> {
    let needs = Needs { list: true, remove: true, ..Needs::default() };
    container.check_rights(needs, flow).map_err(at_destination)
}

/// Returns the files with the manifest first: without it there is no bundle.
fn ordered(mut files: BTreeMap<String, u64>, manifest: &str) -> Vec<(String, u64)> {
    let first = files.remove_entry(manifest);
    first.into_iter().chain(files).collect()
}

fn perform(flow: &Flow, container: &dyn Container, removed: &Removed) -> Result<(), Fault> {
    let items = removed.objects.len() + removed.parts.len();
    flow.event(Event::Stage { name: "removing", bytes: 0, items: items as u64 });
    let done = |name: &str| -> Result<(), Error> {
        flow.event(Event::Item(name.to_owned()));
        Ok(flow.check()?)
    };
    for (name, _) in &removed.objects {
        container.remove(name).and_then(|()| done(name)).map_err(at_destination)?;
    }
    for part in &removed.parts {
        container.discard(part).and_then(|()| done(&part.name)).map_err(at_destination)?;
    }
    Ok(())
}

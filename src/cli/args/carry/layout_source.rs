//! Layouts as sources: opens those that selectors name, and finds what is selected in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::decide::select::Wanted;
use crate::flow::Flow;
use crate::layout::{Entry, Layout, Standing};
use crate::oci::{Reference, Tag};

/// The layouts of a run, each opened once.
#[derive(Default)]
pub struct Layouts(Vec<(PathBuf, Arc<Layout>)>);

impl Layouts {
    /// Opens a layout, unless it is open already, and returns its index.
    ///
    /// # Errors
    /// Those of [`Layout::open`].
    pub fn open(&mut self, dir: &Path, session: &Session<'_>) -> Result<(usize, &Layout), Fault> {
        let path = session.path(dir);
        let number = match self.0.iter().position(|(opened, _)| *opened == path) {
            Some(number) => number,
            None => {
                let layout = Layout::open(&path)?.in_flow(&session.flow);
                self.0.push((path, Arc::new(layout)));
                self.0.len() - 1
            }
        };
        Ok((number, &self.0[number].1))
    }

    /// Returns the layout with an index.
    pub fn get(&self, number: usize) -> Option<&Layout> {
        self.0.get(number).map(|(_, layout)| &**layout)
    }

    /// Returns the layouts with their paths.
    pub fn into_inner(self) -> Vec<(PathBuf, Arc<Layout>)> {
        self.0
    }
}

/// Maximum number of unusual names listed; the others are counted.
const NAMED: usize = 20;

/// Warns of names in a layout that are neither tag nor reference, among the entries that `name`
/// selects. Such an entry keeps only its digest and its other names.
pub fn warn_of_names(layout: &Layout, dir: &Path, name: Option<&str>, session: &Session<'_>) {
    let digest = name.and_then(|name| layout.find(Some(name)).ok()).map(|entry| entry.descriptor.digest);
    let odd: Vec<_> = layout.odd_names().filter(|(_, of)| name.is_none() || digest == Some(*of)).collect();
    let shown = dir.display();
    for (raw, digest) in odd.iter().take(NAMED) {
        session.flow.warn(format!(
            "layout {shown}: entry {digest}: expected a tag or a reference as its name, found {raw:?}: taken without that name"
        ));
    }
    let selected = layout.entries().iter().filter(|entry| name.is_none() || digest == Some(entry.descriptor.digest));
    for entry in selected.filter(|entry| entry.standing == Standing::Unclear) {
        let digest = entry.descriptor.digest;
        session.flow.warn(format!(
            "layout {shown}: entry {digest}: attached to an image that the layout does not tell: taken without a name"
        ));
    }
    if odd.len() > NAMED {
        session.flow.warn(format!("layout {shown}: {} more names are neither tag nor reference", odd.len() - NAMED));
    }
}

/// Returns what a selector of a layout selects: one entry, or all of them.
///
/// # Errors
/// Class source for an entry that is missing or cannot be read; class cancelled.
pub fn in_layout(flow: &Flow, layout: &Layout, name: Option<&str>) -> Result<Vec<Wanted>, Fault> {
    let wanted = |entry: &Entry, names: &[&Reference]| -> Vec<Wanted> {
        if names.is_empty() {
            let reference =
                Reference { repository: layout.repository().clone(), tag: None, digest: Some(entry.descriptor.digest) };
            return vec![Wanted::new(reference)];
        }
        let pinned = names.iter().map(|&name| Reference { digest: Some(entry.descriptor.digest), ..name.clone() });
        pinned.map(Wanted::new).collect()
    };
    if let Some(name) = name {
        let entry = layout.find(Some(name)).map_err(|error| error.into_fault(Class::Source))?;
        let all = wanted(entry, &entry.names.iter().collect::<Vec<_>>());
        let named: Vec<Wanted> =
            all.iter().filter(|one| one.reference.to_string().starts_with(name)).cloned().collect();
        return Ok(if named.is_empty() { all } else { named });
    }
    let at_source = |error: crate::content::Error| error.into_fault(Class::Source);
    let mut all = Vec::new();
    for entry in layout.entries() {
        flow.check()?;
        if !layout.travels(entry).map_err(at_source)? {
            // No artifact may have the name of a list of referrers.
            let is_good = |name: &&Reference| !name.tag.as_ref().is_some_and(Tag::is_referrers_fallback);
            all.extend(wanted(entry, &entry.names.iter().filter(is_good).collect::<Vec<_>>()));
        }
    }
    for list in layout.lists_of_nothing().map_err(at_source)? {
        let digest = list.descriptor.digest;
        flow.warn(format!("entry {digest}: left out: a list of referrers whose subject is not in the layout"));
    }
    Ok(all)
}

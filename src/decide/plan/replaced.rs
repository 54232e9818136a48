//! Warnings about indexes that a platform filter replaces by new ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ask::{Asked, Subject};
use super::roots::Root;
use crate::base::fault::Fault;
use crate::decide::select::Filters;
use crate::flow::Flow;
use crate::oci::{Digest, Repository};

/// Warns that a filtered index has another digest.
pub(super) fn warn_of_new_digest(flow: &Flow, root: &Root) {
    let Some(original) = root.original else { return };
    let tag = root.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
    let advice =
        if root.replaced.is_empty() { "it travels next to the new one" } else { "keep it too with `--index keep`" };
    flow.warn(format!(
        "{}{tag}: the platform filter replaces index {original} by {}: what is pinned to the old digest does not find the new one; {advice}",
        root.repository,
        root.document.digest()
    ));
}

/// Warns about referrers of indexes that are replaced by new ones.
pub(super) fn warn_of_what_stays(flow: &Flow, asked: &mut Asked<'_>, roots: &[Root]) -> Result<(), Fault> {
    let mut gone: BTreeMap<(Repository, Digest), &Arc<Filters>> = BTreeMap::new();
    for root in roots {
        for digest in &root.replaced {
            gone.entry((root.origin.clone(), *digest)).or_insert(&root.filters);
        }
    }
    let of = |((repository, digest), filters): (&(Repository, Digest), &&Arc<Filters>)| Subject {
        repository: repository.clone(),
        digest: *digest,
        filters: Arc::clone(filters),
    };
    let items: Vec<Subject> = gone.iter().map(of).collect();
    for fault in asked.ask(flow, &items)? {
        flow.warn(fault.what);
    }
    for ((origin, digest), filters) in gone {
        let listed = asked.referrers(&origin, digest).iter();
        let count = listed.filter(|one| filters.referrers.takes(one.artifact_type.as_deref())).count()
            + asked.cosign(&origin, digest).len();
        if count > 0 {
            flow.warn(format!(
                "index {digest} of {origin}: {count} of its referrers and signatures are left out with it; carry them with `--index keep`"
            ));
        }
    }
    Ok(())
}

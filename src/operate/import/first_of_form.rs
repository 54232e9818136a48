//! The artifacts that are sent first: the smallest of each form of manifests, so that a destination
//! that does not take a form says so before everything else was sent.
//!
//! Only chooses; what is sent for them need not be sent again.

use std::collections::BTreeSet;

use super::context::Context;
use super::work::{Form, Job, Shape, Work};
use crate::base::lock::lock;

/// Returns the jobs to begin with; none if that gains nothing, or if the source has an order of its
/// own.
pub(super) fn choose<'w>(context: &Context, work: &'w Work<'w>) -> Vec<&'w Job<'w>> {
    if context.source.passing().is_some() || !context.destination.keeps_whole() {
        return Vec::new();
    }
    let mut all: Vec<(u64, &Job, Vec<&Shape>)> = Vec::new();
    for job in work.jobs.iter().filter(|job| !job.is_out() && job.original.is_none()) {
        let needs = lock(&job.needs);
        let shapes: Vec<&Shape> = needs.documents.iter().filter_map(|digest| work.shapes.get(digest)).collect();
        if !shapes.is_empty() && shapes.iter().all(|shape| !shape.is_sparse) {
            all.push((needs.leaves.iter().map(|leaf| leaf.size).sum(), job, shapes));
        }
    }
    if all.len() < 2 {
        return Vec::new();
    }
    all.sort_by_key(|(bytes, job, _)| (*bytes, job.number));
    let mut tried: BTreeSet<Form> = BTreeSet::new();
    let mut chosen = Vec::new();
    for (_, job, shapes) in all {
        let mut is_new = false;
        for shape in shapes {
            is_new |= tried.insert(shape.form());
        }
        if is_new {
            chosen.push(job);
        }
    }
    chosen
}

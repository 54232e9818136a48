//! Text and JSON of the plan of an import or a copy.

use serde_json::{Value, json};

use crate::cli::progress::size as show;
use crate::operate::import::{Planned, Sum};

/// Returns the line about one artifact of a dry run; empty if there is nothing to do for it.
pub fn line(plan: &Planned) -> String {
    let mut parts = Vec::new();
    if plan.sent > 0 {
        parts.push(format!("{} blobs to send ({})", plan.sent, show(plan.bytes)));
    }
    let counted = [(plan.mounted, "to mount"), (plan.found, "there")];
    parts.extend(counted.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    if plan.manifests > 0 {
        parts.push(format!("{} manifests", plan.manifests));
    }
    parts.extend(plan.moved.iter().map(|(tag, from)| format!("{tag} moves from {from}")));
    if parts.is_empty() { String::new() } else { format!("         {}\n", parts.join(", ")) }
}

/// Returns the line about the whole plan.
pub fn sum_line(sum: &Sum) -> String {
    let requests = if sum.requests > 0 { format!(", about {} requests", sum.requests) } else { String::new() };
    format!(
        "plan       {} blobs to send ({}), {} to mount, {} manifests, {} implied, {} tags{requests}\n",
        sum.sent,
        show(sum.bytes),
        sum.mounted,
        sum.manifests,
        sum.implied,
        sum.tags
    )
}

/// Returns the plan for one artifact for programs.
pub fn as_json(plan: &Planned) -> Value {
    let moved: Vec<Value> = plan.moved.iter().map(|(tag, from)| json!({ "tag": tag, "from": from })).collect();
    json!({
        "send": { "blobs": plan.sent, "bytes": plan.bytes, "manifests": plan.manifests }, "mount": plan.mounted,
        "skip": { "blobs": plan.found, "manifests": plan.implied }, "tags": plan.tags, "moved": moved,
    })
}

/// Returns the whole plan for programs.
pub fn sum_as_json(sum: &Sum) -> Value {
    json!({
        "blobs": sum.sent, "bytes": sum.bytes, "mounts": sum.mounted, "manifests": sum.manifests,
        "implied": sum.implied, "tags": sum.tags, "requests": sum.requests,
    })
}

//! The outcome of an export, for people and programs.

use serde_json::json;

use crate::base::fault::{Class, Fault, escape};
use crate::bundle::Manifest;
use crate::bundle::format::manifest::Form;
use crate::bundle::format::notes::Notes;
use crate::cli::output::Outcome;
use crate::cli::progress::size as show;
use crate::decide::plan::{Plan, Summary};
use crate::oci::Reason;
use crate::operate::export;

/// Returns the outcome of an export that wrote a bundle. `partial` are the faults that were
/// allowed.
pub(super) fn told(
    done: &export::Outcome,
    partial: &[Fault],
    (resumed, read_back): (bool, bool),
    keyids: &[&str],
) -> Outcome {
    let manifest = &done.manifest;
    let bytes = done.bytes;
    let content: u64 = manifest.blobs.iter().map(|blob| blob.size).sum();
    let place = match manifest.form {
        Form::Volumes => format!("in {} volumes ({})", manifest.volumes.len(), show(bytes)),
        Form::Flat => format!("as files in {}", manifest.name.flat()),
    };
    let mut text = format!(
        "exported   {}: {} artifacts, {} blobs ({}) {place}\nbundle id  {}\n",
        manifest.name,
        manifest.artifacts.len(),
        manifest.blobs.len(),
        show(content),
        done.id
    );
    if let (Some(channel), Some(epoch), Some(sequence)) = (&manifest.channel, manifest.epoch, manifest.sequence) {
        let expires = manifest.expires.map(|moment| format!(", expires {moment}")).unwrap_or_default();
        text.push_str(&format!("channel    {channel} {epoch}/{sequence}{expires}\n"));
    }
    text.push_str(&left_out(manifest));
    let notes = manifest.annotations.iter().flat_map(Notes::iter);
    let from: Vec<&str> = notes.filter(|(key, _)| *key == export::FROM).flat_map(|(_, ids)| ids.split(' ')).collect();
    from.iter().for_each(|id| text.push_str(&format!("from       bundle {id}\n")));
    if keyids.is_empty() {
        text.push_str("signed     by nobody yet: use `packmule sign`\n");
    }
    if !read_back {
        text.push_str("read back  no (--no-read-back): verify it before it travels\n");
    }
    let mut result = json!({
        "id": done.id, "name": manifest.name, "artifacts": manifest.artifacts, "absent": manifest.absent,
        "bases": manifest.bases,
        "blobs": manifest.blobs.len(), "content": content, "volumes": manifest.volumes, "bytes": bytes,
        "files": done.files, "signatures": keyids.len(), "keyids": keyids, "resumed": resumed,
        "read_back": read_back,
    });
    if !from.is_empty() {
        result["from"] = json!(from);
    }
    if manifest.channel.is_some() {
        result["channel"] = json!({
            "channel": manifest.channel, "epoch": manifest.epoch, "sequence": manifest.sequence,
            "previous": manifest.previous, "expires": manifest.expires,
        });
    }
    let outcome = Outcome::new(text, result);
    let missing = manifest.absent.iter().filter(|absent| absent.reason == Reason::Missing).count();
    if missing == 0 && partial.is_empty() {
        return outcome;
    }
    let what = format!("{missing} blobs and {} references could not be fetched; the manifest says so", partial.len());
    let mut fault = Fault::new(Class::Partial, what)
        .help("the rest of the bundle is usable; export again when the source is complete");
    fault.others.extend_from_slice(partial);
    fault.others.extend(done.left_out.iter().map(|what| Fault::new(Class::Source, what.clone())));
    outcome.failed(fault)
}

/// Returns the line about content that the bases have and the bundle leaves out.
fn left_out(manifest: &Manifest) -> String {
    let left: Vec<u64> = manifest.absent.iter().filter(|one| one.reason == Reason::Base).map(|one| one.size).collect();
    if left.is_empty() {
        return String::new();
    }
    let bases = if manifest.bases.len() == 1 { "the base has" } else { "the bases have" };
    format!("left out   {} blobs ({}) that {bases}\n", left.len(), show(left.iter().sum()))
}

/// Returns the outcome of `--dry-run`.
pub(super) fn planned(plan: &Plan, volume_size: Option<u64>) -> Outcome {
    let mut summary: Summary = plan.summary();
    summary.artifacts.sort_by_key(|one| std::cmp::Reverse(one.bytes));
    let mut text = String::new();
    for artifact in &summary.artifacts {
        let tags: String = artifact.tags.iter().map(|tag| format!(":{tag}")).collect();
        let kind = artifact.artifact_type.as_deref().map(|kind| format!("  {}", escape(kind))).unwrap_or_default();
        text.push_str(&format!(
            "{}{tags}@{}  {} ({} shared){kind}\n",
            artifact.repository,
            artifact.digest,
            show(artifact.bytes),
            show(artifact.shared)
        ));
        if let Some(original) = artifact.original {
            text.push_str(&format!("  reduced to fewer platforms, before: {original}\n"));
        }
        if let Some(source) = &artifact.source {
            text.push_str(&format!("  named by this export; it comes from {source}\n"));
        }
    }
    text.push_str(&format!(
        "would carry {} artifacts: {} blobs, {} after deduplication of {}\n",
        summary.artifacts.len(),
        summary.blobs,
        show(summary.bytes),
        show(summary.bytes_unshared)
    ));
    if summary.absent > 0 {
        text.push_str(&format!("not carried {} blobs ({})\n", summary.absent, show(summary.absent_bytes)));
    }
    let mut result = json!(summary);
    if let Some(size) = volume_size {
        let volumes = plan.volumes(size);
        text.push_str(&format!("volumes     at most {volumes}\n"));
        result["volumes"] = json!(volumes);
    }
    Outcome::new(text, result)
}

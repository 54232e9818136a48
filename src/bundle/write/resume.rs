//! Files that an unfinished run leaves next to its volumes: `NAME.plan.partial`, canonical JSON
//! that pins every digest, origin, option and the version, and `NAME.docs.partial`, the documents
//! one after another in the plan's order. A later run resumes from them even if tags have moved.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

use super::input::{Input, InputBlob};
use super::output::Output;
use crate::bundle::time::Moment;
use crate::bundle::volumes::files::fault;
use crate::bundle::volumes::local::read_capped;
use crate::bundle::{ChannelPosition, Error, Name};
use crate::content::store::Store;
use crate::flow::Flow;
use crate::oci::{Absent, Artifact, Descriptor, Digest, Document, Repository};

/// Maximum sizes of the plan and of the documents that are read again, in bytes.
const MAX_PLAN: u64 = 256 << 20;
const MAX_DOCS: u64 = 4 << 30;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Plan {
    absent: Vec<Absent>,
    annotations: BTreeMap<String, String>,
    artifacts: Vec<Artifact>,
    bases: Vec<Digest>,
    blobs: Vec<Pinned>,
    created: Moment,
    level: i32,
    name: Name,
    request: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "standing")]
    channel: Option<ChannelPosition>,
    tool: String,
    volume_size: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pinned {
    digest: Digest,
    document: bool,
    media_type: String,
    repository: Repository,
    size: u64,
    small: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    urls: Option<Vec<String>>,
}

fn plan(input: &Input) -> Vec<u8> {
    let blobs = input.blobs.iter().map(|blob| Pinned {
        digest: blob.descriptor.digest,
        document: blob.document.is_some(),
        media_type: blob.descriptor.media_type.clone(),
        repository: blob.repository.clone(),
        size: blob.descriptor.size,
        small: blob.small,
        urls: blob.descriptor.urls.clone(),
    });
    let plan = Plan {
        absent: input.absent.clone(),
        annotations: input.annotations.clone(),
        artifacts: input.artifacts.clone(),
        bases: input.bases.clone(),
        blobs: blobs.collect(),
        created: input.created,
        level: input.level,
        name: input.name.clone(),
        request: input.request.clone(),
        channel: input.channel.clone(),
        tool: input.tool.clone(),
        volume_size: input.volume_size.to_string(),
    };
    // Serialising these structs cannot fail: every key is a string and writing goes to memory.
    serde_json::to_vec(&plan).unwrap_or_default()
}

fn read(plan: &[u8], docs: &[u8]) -> Option<Input> {
    let plan: Plan = serde_json::from_slice(plan).ok()?;
    let mut blobs = Vec::with_capacity(plan.blobs.len());
    let mut at = 0;
    for pinned in plan.blobs {
        let document = if pinned.document {
            let end = usize::try_from(pinned.size).ok().and_then(|size| size.checked_add(at))?;
            let raw = docs.get(at..end).filter(|raw| Digest::of(pinned.digest.algorithm(), raw) == pinned.digest)?;
            let document = Document::with_digest(&pinned.media_type, pinned.digest, raw).ok()?;
            at = end;
            Some(document)
        } else {
            None
        };
        let mut descriptor = Descriptor::new(pinned.media_type, pinned.digest, pinned.size);
        descriptor.urls = pinned.urls;
        blobs.push(InputBlob { descriptor, repository: pinned.repository, document, small: pinned.small });
    }
    (at == docs.len()).then_some(Input {
        name: plan.name,
        created: plan.created,
        tool: plan.tool,
        artifacts: plan.artifacts,
        blobs,
        absent: plan.absent,
        bases: plan.bases,
        channel: plan.channel,
        annotations: plan.annotations,
        volume_size: plan.volume_size.parse().ok()?,
        level: plan.level,
        request: plan.request,
    })
}

/// Returns the input of the unfinished run in `output`, if there is one that can be read.
///
/// # Errors
/// [`crate::base::fault::Class::Io`].
pub fn pending(output: &Output) -> Result<Option<Input>, Error> {
    let Some(plan) = read_capped(&output.plan(), MAX_PLAN)? else { return Ok(None) };
    let docs = read_capped(&output.docs(), MAX_DOCS)?.unwrap_or_default();
    Ok(read(&plan, &docs).filter(|input| input.name == *output.name()))
}

/// Like [`pending`], but only for a run that was requested by `request` and started by `tool`,
/// which continues whatever the tags name now. Warns if another unfinished run is dropped.
///
/// # Errors
/// [`crate::base::fault::Class::Io`].
pub fn resume(flow: &Flow, output: &Output, request: &str, tool: &str) -> Result<Option<Input>, Error> {
    let found = pending(output)?;
    let same = found.filter(|input| input.request == request && input.tool == tool);
    if same.is_none() && output.plan().exists() {
        warn(flow, output);
    }
    Ok(same)
}

fn warn(flow: &Flow, output: &Output) {
    flow.warn(format!(
        "{}: an unfinished export of another request is dropped; this one starts from the beginning",
        output.name()
    ));
}

/// Resumes the unfinished run of exactly this input, or removes any other and pins this one.
///
/// # Errors
/// [`crate::base::fault::Class::Io`].
pub fn begin(flow: &Flow, output: &Output, input: &Input) -> Result<(), Error> {
    let bytes = plan(input);
    let found = read_capped(&output.plan(), MAX_PLAN)?;
    if found.as_ref() == Some(&bytes) {
        return Ok(());
    }
    if found.is_some() {
        warn(flow, output);
        undo_renames(output)?;
    }
    clear(output)?;
    let docs: Vec<u8> = input
        .blobs
        .iter()
        .filter_map(|blob| blob.document.as_ref())
        .flat_map(|document| document.raw().to_vec())
        .collect();
    let written = super::own_file::create(&output.docs()).and_then(|mut file| {
        file.write_all(&docs)?;
        // The plan pins them, and must not be durable without them.
        file.sync_all()
    });
    written.map_err(|error| super::own_file::write_error(&output.docs(), &error))?;
    // With a temporary name: if the plan exists, it and the documents are complete.
    output.put(&format!("{}.plan.partial", output.name()), &bytes)
}

/// Replaces the pinned input by one with a leaf less; the documents are the same.
///
/// # Errors
/// [`crate::base::fault::Class::Io`].
pub fn pin(output: &Output, input: &Input) -> Result<(), Error> {
    output.put(&format!("{}.plan.partial", output.name()), &plan(input))
}

/// Gives volumes that a killed run had already renamed their unfinished names back. If there is a
/// manifest, no volume was renamed, and those of the old bundle are not touched.
///
/// # Errors
/// [`crate::base::fault::Class::Io`].
pub fn undo_renames(output: &Output) -> Result<(), Error> {
    if output.has_manifest() {
        return Ok(());
    }
    if output.flat().exists() && !output.partial_flat().exists() {
        output.rename(&output.flat(), &output.partial_flat())?;
    }
    for number in output.volumes()? {
        let partial = output.partial_volume(number);
        if !partial.exists() {
            output.rename(&output.path(&output.name().volume(number)), &partial)?;
        }
    }
    Ok(())
}

/// Removes all unfinished files, also those in the store.
///
/// # Errors
/// [`crate::base::fault::Class::Io`].
pub fn clear(output: &Output) -> Result<(), Error> {
    let pinned = output.path(&format!("{}.plan.partial.new.partial", output.name()));
    let sent = output.path(&format!("{}.sent.partial.new.partial", output.name()));
    for path in [output.journal(), output.plan(), output.docs(), pinned, output.sent(), sent] {
        output.remove(&path)?;
    }
    // Files for another store are written here first.
    Store::clear(output).map_err(fault)?;
    if output.is_store() { Ok(()) } else { output.store().clear().map_err(fault) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Name;

    #[test]
    fn what_a_killed_run_had_renamed_is_unfinished_again() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::open(dir.path(), &Name::new("b").unwrap(), false).unwrap();
        let put = |file: &str, text: &str| std::fs::write(dir.path().join(file), text).unwrap();
        let read = |file: &str| std::fs::read_to_string(dir.path().join(file)).ok();
        put("b.0001.tar.zst", "first");
        put("b.0002.tar.zst", "old");
        put("b.0002.tar.zst.partial", "second");
        std::fs::create_dir(dir.path().join("b.oci")).unwrap();
        // Next to a manifest they belong to its bundle.
        put("b.json", "{");
        undo_renames(&output).unwrap();
        assert_eq!(read("b.0001.tar.zst").as_deref(), Some("first"));
        assert!(output.flat().exists() && !output.partial_flat().exists());
        std::fs::remove_file(dir.path().join("b.json")).unwrap();
        undo_renames(&output).unwrap();
        assert_eq!(read("b.0001.tar.zst"), None);
        assert_eq!(read("b.0001.tar.zst.partial").as_deref(), Some("first"));
        assert_eq!(read("b.0002.tar.zst").as_deref(), Some("old"));
        assert_eq!(read("b.0002.tar.zst.partial").as_deref(), Some("second"));
        assert!(!output.flat().exists() && output.partial_flat().exists());
        // Next to an unfinished one it belongs to the old bundle.
        put("b.oci.partial/kept", "new");
        std::fs::create_dir(dir.path().join("b.oci")).unwrap();
        undo_renames(&output).unwrap();
        assert!(output.flat().exists());
        assert_eq!(read("b.oci.partial/kept").as_deref(), Some("new"));
        assert_eq!(unfinished(&output), [1, 2]);
        clear(&output).unwrap();
        assert!(unfinished(&output).is_empty() && !output.partial_flat().exists());
    }

    #[derive(Default)]
    struct Warnings(std::sync::atomic::AtomicUsize);

    impl crate::flow::Events for Warnings {
        fn event(&self, event: crate::flow::Event) {
            let is_warning = matches!(event, crate::flow::Event::Warning(_));
            self.0.fetch_add(usize::from(is_warning), std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn only_of_a_run_that_is_dropped_something_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::open(dir.path(), &Name::new("b").unwrap(), false).unwrap();
        let warnings = std::sync::Arc::new(Warnings::default());
        let events = std::sync::Arc::clone(&warnings) as std::sync::Arc<dyn crate::flow::Events>;
        let flow = Flow::new(events, std::sync::Arc::new(crate::flow::FixedClock::default()), 1, 1);
        for expected in [0, 1] {
            assert!(resume(&flow, &output, "request", "tool").unwrap().is_none());
            assert_eq!(warnings.0.load(std::sync::atomic::Ordering::Relaxed), expected);
            std::fs::write(output.plan(), "of another").unwrap();
        }
    }

    fn unfinished(output: &Output) -> Vec<usize> {
        output.partial_volumes().unwrap()
    }
}

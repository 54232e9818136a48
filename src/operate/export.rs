//! Export: writes a plan and its content into a bundle.
//!
//! The output is opened before any network access ([`Output::open`]). An unfinished run of the same
//! request is resumed instead of making a new plan ([`pending`]). The bundle writer does the rest.
//! Selecting, signing and user output are not done here.

use std::collections::BTreeMap;

use crate::base::fault::{Class, Fault, expects};
use crate::bundle::format::manifest::Form;
use crate::bundle::time::Moment;
use crate::bundle::write::flat;
use crate::bundle::write::{self as writer, DEFAULT_VOLUME, Input, InputBlob};
use crate::bundle::write::{ReadBack, Sign};
use crate::bundle::{ChannelPosition, Manifest, Output};
use crate::closure::Role;
use crate::content::Source;
use crate::decide::plan::Plan;
use crate::flow::Flow;
use crate::oci::Digest;

/// Default zstd level.
pub const DEFAULT_LEVEL: i32 = 9;

/// Start of the names of annotations that only the exporter sets.
pub const RESERVED: &str = "packmule.";

/// Annotation with the ids of the bundles that artifacts were taken from.
pub const FROM: &str = "packmule.from";

/// Returns the annotation that states the bundles that artifacts are taken from; none for no bundles.
pub fn from(bundles: &[Digest]) -> Option<(String, String)> {
    let ids: Vec<String> = bundles.iter().map(ToString::to_string).collect();
    (!ids.is_empty()).then(|| (FROM.to_owned(), ids.join(" ")))
}

/// Settings for writing a plan.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `created` of the manifest.
    pub created: Moment,
    /// `packmule VERSION`.
    pub tool: String,
    /// Position in a channel, if any.
    pub standing: Option<ChannelPosition>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Maximum size of a volume in bytes; [`u64::MAX`] means a single volume. See
    /// [`DEFAULT_VOLUME`].
    pub volume_size: u64,
    /// zstd level; 0 stores everything uncompressed.
    pub level: i32,
    /// The user's request in a fixed form: everything that determines the output, except the time.
    /// An unfinished run with the same text is resumed.
    pub request: String,
}

impl Settings {
    /// Returns the default settings for a run of `tool` with the given `request`.
    pub const fn new(created: Moment, tool: String, request: String) -> Self {
        let (volume_size, level) = (DEFAULT_VOLUME, DEFAULT_LEVEL);
        Self { created, tool, standing: None, annotations: BTreeMap::new(), volume_size, level, request }
    }
}

/// Result of an export.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The bundle id.
    pub id: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// File names, manifest first.
    pub files: Vec<String>,
    /// Bytes of all volumes, or of all blobs if the content is flat.
    pub bytes: u64,
    /// Content left out while writing, with reasons; empty unless it was allowed.
    pub left_out: Vec<String>,
}

/// Returns the input of an unfinished run of the same request and tool. [`run`] continues it even
/// if tags have moved since. An unfinished run of another request causes a warning, and is dropped
/// when the new one begins.
///
/// # Errors
/// [`Class::Io`].
pub fn pending(flow: &Flow, output: &Output, settings: &Settings) -> Result<Option<Input>, Fault> {
    crate::bundle::write::resume::resume(flow, output, &settings.request, &settings.tool)
}

/// Returns the writer's input for a plan.
///
/// # Errors
/// [`Class::Bug`] if the plan is missing a document that it carries.
pub fn input(output: &Output, plan: Plan, settings: &Settings) -> Result<Input, Fault> {
    let mut documents = plan.documents;
    let mut blobs = Vec::with_capacity(plan.blobs.len());
    for blob in plan.blobs {
        let digest = blob.descriptor.digest;
        let document = documents.remove(&digest);
        if blob.role == Role::Document && document.is_none() {
            return Err(Fault::new(Class::Bug, expects(format_args!("manifest {digest}"), "to be in the plan")));
        }
        let (descriptor, repository, small) = (blob.descriptor, blob.origin, blob.small);
        blobs.push(InputBlob { descriptor, repository, document, small });
    }
    Ok(Input {
        name: output.name().clone(),
        created: settings.created,
        tool: settings.tool.clone(),
        artifacts: plan.artifacts,
        blobs,
        absent: plan.absent,
        bases: plan.bases,
        channel: settings.standing.clone(),
        annotations: settings.annotations.clone(),
        volume_size: settings.volume_size,
        level: settings.level,
        request: settings.request.clone(),
    })
}

/// How to write the bundle.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether to leave out, as missing, a leaf that is wrong or gone twice.
    pub leave_out: bool,
    /// Form of the content: volumes or flat.
    pub form: Form,
}

/// Writes the bundle. `sign` makes `NAME.sig.json` from the manifest's bytes. `read_back` checks
/// the written volumes ([`crate::bundle::write::read_back`]); `None` skips that. With
/// [`Manner::leave_out`], a leaf that is wrong or gone twice becomes missing instead of ending the
/// run.
///
/// # Errors
/// [`Class::Source`] for content that cannot be obtained or is wrong twice, [`Class::Io`],
/// [`Class::Usage`], [`Class::Cancelled`]. No file then has its final name, and the same request
/// can be resumed.
pub fn run(
    flow: &Flow,
    source: &dyn Source,
    output: &Output,
    input: &Input,
    sign: &Sign<'_>,
    read_back: Option<&ReadBack<'_>>,
    manner: Manner,
) -> Result<Outcome, Fault> {
    let Manner { leave_out, form } = manner;
    let options = writer::Options { sign, read_back, leave_out };
    let written = match form {
        Form::Volumes => writer::write(flow, source, output, input, options)?,
        Form::Flat => flat::write(flow, source, output, input, options)?,
    };
    let bytes = match form {
        Form::Volumes => written.manifest.volumes.iter().map(|volume| volume.size).sum(),
        Form::Flat => written.manifest.blobs.iter().map(|blob| blob.size).sum(),
    };
    let writer::Written { id, manifest, files, left_out, .. } = written;
    Ok(Outcome { id, manifest, files, bytes, left_out })
}

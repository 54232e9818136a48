//! Export: a plan and its source become a bundle.
//!
//! The output is opened before anything is asked of a network ([`Output::open`]), an unfinished run
//! of the same request is taken up in place of a new plan ([`pending`]), and the rest is the
//! bundle writer's. Selecting, signing and telling the user are not done here.

use std::collections::BTreeMap;

use crate::base::fault::{Class, Fault};
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

/// zstd's level unless another is asked for.
pub const DEFAULT_LEVEL: i32 = 9;

/// How the plan is written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `created` of the manifest.
    pub created: Moment,
    /// `packmule VERSION`.
    pub tool: String,
    /// Its place in a channel.
    pub standing: Option<ChannelPosition>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// The most bytes of a volume; [`u64::MAX`]: one volume. See [`DEFAULT_VOLUME`].
    pub volume_size: u64,
    /// zstd's level; 0 stores all.
    pub level: i32,
    /// What the user asked for, in a fixed form: everything that decides what is written, without
    /// the time. The same text takes up an unfinished run.
    pub request: String,
}

impl Settings {
    /// The defaults, for a run of `tool` that was asked for by `request`.
    pub const fn new(created: Moment, tool: String, request: String) -> Self {
        let (volume_size, level) = (DEFAULT_VOLUME, DEFAULT_LEVEL);
        Self { created, tool, standing: None, annotations: BTreeMap::new(), volume_size, level, request }
    }
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The bundle id.
    pub id: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// Names of the files, manifest first.
    pub files: Vec<String>,
    /// Bytes of all volumes.
    pub bytes: u64,
    /// What was left out while writing, and why; nothing unless it was allowed.
    pub left_out: Vec<String>,
}

/// The input of an unfinished run of the same request and tool: [`run`] takes it and goes on, though
/// tags moved since. An unfinished run of another request is told of by a warning, and dropped when
/// the new one begins.
///
/// # Errors
/// [`Class::Io`].
pub fn pending(flow: &Flow, output: &Output, settings: &Settings) -> Result<Option<Input>, Fault> {
    crate::bundle::write::resume::resume(flow, output, &settings.request, &settings.tool)
}

/// The writer's input of a plan.
///
/// # Errors
/// [`Class::Bug`] where the plan lacks a document that it carries.
pub fn input(output: &Output, plan: Plan, settings: &Settings) -> Result<Input, Fault> {
    let mut documents = plan.documents;
    let mut blobs = Vec::with_capacity(plan.blobs.len());
    for blob in plan.blobs {
        let digest = blob.descriptor.digest;
        let document = documents.remove(&digest);
        if blob.role == Role::Document && document.is_none() {
            return Err(Fault::new(Class::Bug, format!("manifest {digest}: expected to be in the plan")));
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

/// How it is written.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// A leaf that is wrong or gone twice is left out, as missing.
    pub leave_out: bool,
    /// How the content lies there.
    pub form: Form,
}

/// Writes the bundle. `sign` makes `NAME.sig.json` from the manifest's bytes; `read_back` checks the
/// written volumes ([`crate::bundle::write::read_back`]), `None` leaves that out. With [`Manner::leave_out`] a leaf
/// that is wrong or gone twice becomes missing in place of ending the run.
///
/// # Errors
/// [`Class::Source`] for what cannot be had or is wrong twice, [`Class::Io`], [`Class::Usage`],
/// [`Class::Cancelled`]: nothing then has a final name, and the same request goes on.
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

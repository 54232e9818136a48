//! Bundles as sources: opens those that selectors name, each under TRUST, and finds what is selected
//! in them.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::fault::{Class, Fault, differs, escape};
use crate::bundle::Trusted;
use crate::cli::Session;
use crate::cli::args::bundle::{Opened, find, open};
use crate::cli::args::trust::Whom;
use crate::decide::select::Wanted;
use crate::oci::{Artifact, Digest, Reference, Tag};
use crate::operate::freshness::Side;
use crate::operate::import::checks::BundleCheck;

/// The bundles of a run, each opened once.
#[derive(Default)]
pub struct Bundles(Vec<(PathBuf, Arc<Trusted>)>);

impl Bundles {
    /// Opens a bundle, unless it is open already, and returns its index. Its order in its channel is
    /// judged as at `unpack`: compared with the records that exist, and not kept.
    ///
    /// # Errors
    /// Class usage without trust, also for a stream; those of `verify` for the files, the manifest
    /// and the documents.
    pub fn open(
        &mut self,
        text: &str,
        (whom, init): (&Whom, bool),
        session: &Session<'_>,
    ) -> Result<(usize, &Trusted), Fault> {
        let path = find(text, session).unwrap_or_else(|_| text.into());
        let number = match self.0.iter().position(|(opened, _)| *opened == path) {
            Some(number) => number,
            None => {
                let trust = whom.read(init, Side::Look, session)?;
                let (bundle, _) = trust.authenticate(open(text, session).map(Opened::from), session)?;
                BundleCheck::open(&bundle, &session.flow)?;
                self.0.push((path, Arc::new(bundle)));
                self.0.len() - 1
            }
        };
        Ok((number, &self.0[number].1))
    }

    /// Returns the bundle with an index.
    pub fn get(&self, number: usize) -> Option<&Trusted> {
        self.0.get(number).map(|(_, bundle)| &**bundle)
    }

    /// Returns whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the bundles with their paths.
    pub fn into_inner(self) -> Vec<(PathBuf, Arc<Trusted>)> {
        self.0
    }
}

/// Returns what a selector means in a bundle: the artifact that `name` names, or all of them. A
/// referrer without a tag whose subject is in the bundle is not selected itself; it travels with the
/// subject.
///
/// # Errors
/// Class usage for a name that is neither a reference nor a digest; class source if it names nothing.
pub fn in_bundle(bundle: &Trusted, name: Option<&str>) -> Result<Vec<Wanted>, Fault> {
    let artifacts = &bundle.manifest().artifacts;
    let wanted = |artifact: &Artifact, tag: Option<&Tag>| {
        let (repository, digest) = (artifact.repository.clone(), Some(artifact.digest));
        let reference = Reference { repository, tag: tag.cloned(), digest };
        Wanted { original: artifact.original, ..Wanted::new(reference) }
    };
    let Some(name) = name else {
        let travels = |artifact: &Artifact| {
            artifact.tags.is_empty() && artifact.subject.is_some_and(|subject| bundle.blob_index(&subject).is_some())
        };
        let own = artifacts.iter().filter(|artifact| !travels(artifact));
        return Ok(own
            .flat_map(|artifact| {
                let untagged = artifact.tags.is_empty().then(|| wanted(artifact, None));
                untagged.into_iter().chain(artifact.tags.iter().map(|tag| wanted(artifact, Some(tag))))
            })
            .collect());
    };
    let found: Vec<Wanted> = match name.trim_start_matches('@').parse::<Digest>() {
        Ok(digest) => artifacts
            .iter()
            .filter(|artifact| artifact.digest == digest)
            .map(|artifact| wanted(artifact, None))
            .collect(),
        Err(_) => {
            let reference: Reference = name.parse().map_err(|error: crate::oci::reference::ReferenceError| {
                Fault::usage(error.to_string(), "write bundle:BUNDLE:HOST/REPO:TAG, or a digest for REF")
            })?;
            let is_named = |artifact: &&Artifact| {
                artifact.repository == reference.repository
                    && reference.digest.is_none_or(|digest| artifact.digest == digest)
                    && reference.tag.as_ref().is_none_or(|tag| artifact.tags.contains(tag))
            };
            artifacts.iter().filter(is_named).map(|artifact| wanted(artifact, reference.tag.as_ref())).collect()
        }
    };
    if found.is_empty() {
        let (shown, id) = (escape(name), bundle.id());
        return Err(Fault::new(
            Class::Source,
            differs(format_args!("bundle {id}"), format_args!("an artifact {shown}"), "none"),
        )
        .help("list its contents with `packmule inspect`"));
    }
    Ok(found)
}

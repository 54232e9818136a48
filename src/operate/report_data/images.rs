//! Configs of single images, read from a bundle for people: a bounded number of small ones.
//!
//! A config that cannot be read is unknown, never a fault.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Read as _;

use crate::bundle::Trusted;
use crate::bundle::open::catalog::Entry;
use crate::content::Source as _;
use crate::content::checked::Checked;
use crate::flow::Flow;
use crate::oci::image::{MAX_CONFIG, is_image_config};
use crate::oci::{Artifact, Descriptor, Digest, ImageFacts};

/// Maximum number of configs that are read.
const MOST: usize = 500;

/// Reads configs of images from a bundle whose documents were read.
pub struct Configs<'a> {
    bundle: Option<&'a Trusted>,
    left: Cell<usize>,
}

impl<'a> Configs<'a> {
    /// Returns a reader; without a bundle, all configs are unknown.
    pub const fn of(bundle: Option<&'a Trusted>) -> Self {
        Self { bundle, left: Cell::new(MOST) }
    }

    /// Returns the statements of an artifact's own config, if it is a single image whose config the
    /// bundle carries.
    pub fn read(&self, artifact: &Artifact) -> Option<ImageFacts> {
        let bundle = self.bundle?;
        let Entry { config, leaves, .. } = bundle.catalogue()?.get(&artifact.digest)?;
        let media_type = config.as_deref().filter(|kind| is_image_config(kind))?;
        // The config precedes the layers.
        let (digest, size) = leaves.first().copied().filter(|(_, size)| *size <= MAX_CONFIG)?;
        self.left.set(self.left.get().checked_sub(1)?);
        let config = Descriptor::new(media_type, digest, size);
        let mut bytes = Vec::new();
        let content = bundle.blob(&artifact.repository, &config).ok()?;
        Checked::new(content, config).read_to_end(&mut bytes).ok()?;
        ImageFacts::read(&bytes)
    }
}

/// Returns the statements of all configs, by manifest; empty if not all documents can be read.
pub fn all(bundle: &Trusted, flow: &Flow) -> HashMap<Digest, ImageFacts> {
    if !bundle.survey(flow).is_empty() || bundle.closure(flow).is_err() {
        return HashMap::new();
    }
    let configs = Configs::of(Some(bundle));
    let artifacts = bundle.manifest().artifacts.iter();
    artifacts.filter_map(|artifact| Some((artifact.digest, configs.read(artifact)?))).collect()
}

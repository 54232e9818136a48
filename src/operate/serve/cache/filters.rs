//! Checks what a rule admits: tags, artifact types, platforms, referrers.

use std::io::Read as _;

use serde::Deserialize;

use super::Cache;
use super::attached::is_attached;
use crate::content::checked::Checked;
use crate::content::{Error, Source as _};
use crate::oci::image::is_image_config;
use crate::oci::{Descriptor, Document, Platform, Tag};
use crate::serve::Covered;

/// Maximum size in bytes of a config that is read for its platform.
const MAX_CONFIG: u64 = 4 << 20;

/// The platform in the config of an image.
#[derive(Deserialize)]
struct Config {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Cache {
    /// Returns whether the rule admits a tag.
    pub(super) fn admits_tag(&self, covered: &Covered, tag: &Tag) -> bool {
        let filter = &self.rule(covered).filter;
        if is_attached(tag) { filter.referrers } else { filter.tags.admit(tag.as_str()) }
    }

    /// Returns whether the rule admits a manifest. May fetch the config of an image.
    pub(super) fn admits(&self, covered: &Covered, document: &Document) -> Result<bool, Error> {
        let filter = &self.rule(covered).filter;
        if document.subject().is_some() && !filter.referrers {
            return Ok(false);
        }
        let config = document.config();
        let kind = document.artifact_type().or(config.map(|config| config.media_type.as_str()));
        if kind.is_some_and(|kind| !filter.types.admit(kind)) {
            return Ok(false);
        }
        let Some(config) = config.filter(|config| is_image_config(&config.media_type)) else { return Ok(true) };
        if filter.platforms.is_empty() || document.subject().is_some() {
            return Ok(true);
        }
        let Some(platform) = self.platform(covered, config)? else { return Ok(false) };
        Ok(filter.platforms.iter().any(|admitted| platform.matches(admitted)))
    }

    /// Returns the platform that a config states.
    fn platform(&self, covered: &Covered, config: &Descriptor) -> Result<Option<Platform>, Error> {
        let Some(store) = self.store.as_ref().filter(|_| config.size <= MAX_CONFIG) else { return Ok(None) };
        let subject = || format!("blob {}", config.digest);
        let mut bytes = Vec::new();
        if store.size(config.digest).is_some() {
            let read = Checked::new(store.blob(&covered.upstream, config)?, config.clone()).read_to_end(&mut bytes);
            read.map_err(|error| Error::from_io(subject(), error))?;
        } else if let Some(source) = self.source(covered) {
            let content = source.blob(&covered.upstream, config)?;
            let read = Checked::new(content, config.clone()).read_to_end(&mut bytes);
            read.map_err(|error| Error::from_io(subject(), error))?;
            let mut incoming = store.begin(config.digest, config.size)?;
            incoming.write(&bytes)?;
            incoming.publish()?;
        }
        let Ok(Config { os, architecture, variant }) = serde_json::from_slice(&bytes) else { return Ok(None) };
        let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
        Ok(format!("{os}/{architecture}{variant}").parse().ok())
    }
}

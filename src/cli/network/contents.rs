//! The content of a registry as one side of `diff`.

use std::sync::Arc;

use super::{Network, registries};
use crate::base::fault::Fault;
use crate::cli::Session;
use crate::content::Source;
use crate::operate::diff::Contents;
use crate::operate::diff::images::Images;
use crate::operate::diff::place::of_catalog;

impl Network {
    /// Reads the content of the registry at and below `prefix`; names exclude the prefix.
    ///
    /// # Errors
    /// Class usage, source.
    pub fn contents(&self, host: &str, prefix: &str, session: &Session<'_>) -> Result<(Contents, Images), Fault> {
        let place: Arc<dyn Source> = Arc::new(registries::open(self, session)?);
        of_catalog(&session.flow, &place, host, prefix)
    }
}

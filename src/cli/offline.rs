//! The network options of a build without a network: no options, and one refusal for every call.

use super::args::container::Address;
use super::output::Outcome;
use super::session::Session;
use crate::base::fault::Fault;
use crate::content::{Destination, Source};
use crate::operate::diff::Contents;

/// No options.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Network {}

#[allow(clippy::unused_self, reason = "same signatures as in the build with a network")]
impl Network {
    /// Refuses.
    ///
    /// # Errors
    /// Class usage, always.
    pub fn source(&self, _: &Session<'_>) -> Result<Box<dyn Source>, Fault> {
        Err(Self::none())
    }

    /// Refuses.
    ///
    /// # Errors
    /// Class usage, always.
    pub fn destination(&self, _: &Session<'_>) -> Result<Box<dyn Destination>, Fault> {
        Err(Self::none())
    }

    /// Refuses.
    ///
    /// # Errors
    /// Class usage, always.
    pub fn contents(&self, _: &str, _: &str, _: &Session<'_>) -> Result<Contents, Fault> {
        Err(Self::none())
    }

    /// Refuses.
    ///
    /// # Errors
    /// Class usage, always.
    pub fn listing(&self, _: &str, _: bool, _: &Session<'_>) -> Result<Outcome, Fault> {
        Err(Self::none())
    }

    /// Refuses.
    ///
    /// # Errors
    /// Class usage, always.
    pub fn bundles(&self, _: &Address, _: &Session<'_>) -> Result<Outcome, Fault> {
        Err(Self::none())
    }

    fn none() -> Fault {
        Fault::usage("registry: this build has no network", "use oci:DIR")
    }
}

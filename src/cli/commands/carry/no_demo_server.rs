//! The server of `demo` in a build without a network: there is none.

use crate::base::fault::Fault;
use crate::cli::Session;

/// A server that cannot exist.
pub enum DemoServer {}

impl DemoServer {
    /// Returns `None`.
    ///
    /// # Errors
    /// None.
    #[allow(clippy::unnecessary_wraps, reason = "same signatures as in the build with a network")]
    pub fn begin(_: &Session<'_>, _: &[&str]) -> Result<Option<Self>, Fault> {
        Ok(None)
    }

    /// Cannot be called.
    pub fn address(&self) -> String {
        match *self {}
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn stop(self) -> Result<(), Fault> {
        match self {}
    }
}

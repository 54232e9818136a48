//! Keys that sign the tally of a shard, for builds that do not sign: none.

use crate::base::fault::Fault;
use crate::cli::world::World;
use crate::signing::Envelope;

/// No options.
#[derive(clap::Args, Debug)]
pub struct Signing {}

/// No keys.
#[derive(Debug)]
pub struct Keys;

#[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "same signatures as in the build that signs")]
impl Signing {
    /// Returns no keys.
    ///
    /// # Errors
    /// None.
    pub const fn load(&self, _: &mut World) -> Result<Keys, Fault> {
        Ok(Keys)
    }
}

#[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "same signatures as in the build that signs")]
impl Keys {
    /// Returns whether there are none.
    pub const fn is_empty(&self) -> bool {
        true
    }

    /// Returns no signatures.
    ///
    /// # Errors
    /// None.
    pub fn sign(&self, statement: Vec<u8>) -> Result<Envelope, Fault> {
        Ok(Envelope::new(statement))
    }
}

//! Bundles in containers, for builds without a network: one refusal.

use std::path::PathBuf;
use std::sync::Arc;

use super::Session;
use super::args::container::Address;
use crate::base::fault::Fault;
use crate::bundle::Name;
use crate::content::volumes::Volumes;

/// Refuses.
///
/// # Errors
/// Class usage, always.
pub fn volumes(address: &Address, name: &Name, _: &Session<'_>) -> Result<Arc<dyn Volumes>, Fault> {
    let what = format!("bundle {address}/{name}: this build has no network");
    Err(Fault::usage(what, "use `packmule download` of a full build, then verify the files here"))
}

/// Refuses.
///
/// # Errors
/// Class usage, always.
pub fn volumes_confined(
    address: &Address,
    name: &Name,
    _: &[PathBuf],
    session: &Session<'_>,
) -> Result<Arc<dyn Volumes>, Fault> {
    volumes(address, name, session)
}

/// Refuses.
///
/// # Errors
/// Class usage, always.
#[cfg(feature = "carry")]
pub fn store(
    address: &Address,
    name: &Name,
    _: (bool, bool),
    session: &Session<'_>,
) -> Result<Box<dyn crate::content::store::Store>, Fault> {
    volumes(address, name, session)
        .and_then(|_| Err(Fault::usage("container: this build has no network", "use -o DIR")))
}

/// Refuses.
///
/// # Errors
/// Class usage, always.
#[cfg(feature = "carry")]
pub fn manifest(address: &Address, name: &Name, session: &Session<'_>) -> Result<Option<Vec<u8>>, Fault> {
    volumes(address, name, session).map(|_| None)
}

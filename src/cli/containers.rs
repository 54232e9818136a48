//! Bundles in containers for the commands that read bundles.
//!
//! A confined command reads through another process, which has the configuration, the secrets and
//! the network, and never parses a bundle.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::Session;
use super::args::container::Address;
use super::confine::confine;
use super::network::containers;
use crate::base::fault::{Class, Fault};
use crate::bundle::Name;
use crate::content::Error;
use crate::content::store::Store;
use crate::content::volumes::Volumes;
use crate::operate::transfer::upload;
use crate::program::companion;
use crate::storage::Needs;
use crate::storage::piped::PipedVolumes;
use crate::system::pipe;

/// Name of the command that the other process runs.
pub const READER: &str = "container-reader";

/// Opens the files of the bundle `name` in a container.
///
/// # Errors
/// Class usage; class source if the container refuses.
pub fn volumes(address: &Address, name: &Name, session: &Session<'_>) -> Result<Arc<dyn Volumes>, Fault> {
    let container = containers::open(&session.reach.network(), address, session)?;
    let needs = Needs { read: true, list: true, ..Needs::default() };
    container.check_rights(needs, &session.flow).map_err(|error| error.into_fault(Class::Source))?;
    Ok(upload::files(container, name, &session.flow))
}

/// Opens the files of a bundle like [`volumes`], and confines this process to what it needs and to
/// `beside`. The files come from another process.
///
/// # Errors
/// Those of [`volumes`].
pub fn volumes_confined(
    address: &Address,
    name: &Name,
    beside: &[PathBuf],
    session: &Session<'_>,
) -> Result<Arc<dyn Volumes>, Fault> {
    if !session.world.is_one_command() {
        return volumes(address, name, session);
    }
    let mut words: Vec<OsString> = vec!["--progress".into(), "none".into()];
    words.extend(["--jobs".into(), session.flow.jobs.to_string().into()]);
    words.extend([READER.into(), address.to_string().into(), name.as_str().into()]);
    for file in session.reach.network().config.files {
        words.extend(["--config".into(), session.path(&file).into()]);
    }
    let started = session.world.own_program().and_then(|program| companion::start(&program, words));
    let companion = started.map_err(|error| {
        let what = format!("{address}: expected to start a second process that reads it, found {error}");
        Fault::new(Class::Io, what).help("allow the process more threads and memory, or use `packmule download` first")
    })?;
    confine(session, beside);
    let opened = PipedVolumes::open(Box::new(companion.to), pipe::of_process(companion.from), session.flow.clone());
    Ok(Arc::new(opened.map_err(|error| error.into_fault(Class::Source))?))
}

/// Returns the store of a new bundle in a container. With `overwrite` another bundle of the name is
/// replaced; one that `is_new` refuses it before any work otherwise.
///
/// # Errors
/// Class usage; class destination if the container refuses.
pub fn store(
    address: &Address,
    name: &Name,
    (overwrite, is_new): (bool, bool),
    session: &Session<'_>,
) -> Result<Box<dyn Store>, Fault> {
    let container = containers::open(&session.reach.network(), address, session)?;
    let at_destination = |error: Error| error.into_fault(Class::Destination);
    let needs = Needs { read: true, list: true, write: true, ..Needs::default() };
    container.check_rights(needs, &session.flow).map_err(at_destination)?;
    let store = upload::store(container, name, overwrite, &session.flow).quiet();
    if is_new {
        store.check().map_err(at_destination)?;
    }
    Ok(Box::new(store))
}

/// Returns the manifest of a bundle in a container, if there is one.
///
/// # Errors
/// Class usage; class destination if the container refuses.
pub fn manifest(address: &Address, name: &Name, session: &Session<'_>) -> Result<Option<Vec<u8>>, Fault> {
    let container = containers::open(&session.reach.network(), address, session)?;
    upload::manifest(&*container, name)
}

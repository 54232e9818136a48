//! Opens a container by its address: finds its table in the configuration, and the kind of store.

use std::path::Path;
use std::sync::Arc;

use super::Network;
use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::args::container::Address;
use crate::storage::Container;
use crate::storage::local::LocalContainer;

/// Opens the container at `address`. Makes no request yet.
///
/// # Errors
/// Class usage for an address or configuration that does not fit; class io for a directory that does
/// not exist.
pub fn open(network: &Network, address: &Address, session: &Session<'_>) -> Result<Arc<dyn Container>, Fault> {
    let _ = network;
    match address {
        Address::Url(url) if is_directory(url) => directory(url, "", session),
        Address::Table { .. } | Address::Url(_) => {
            Err(Fault::usage(format!("container {address}: not supported in this version"), "use file:///DIR"))
        }
    }
}

fn is_directory(url: &str) -> bool {
    url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file://"))
}

/// Opens a directory: the longest part of the path that exists, so that a folder in it need not.
fn directory(url: &str, prefix: &str, session: &Session<'_>) -> Result<Arc<dyn Container>, Fault> {
    let path = url.get(7..).unwrap_or_default();
    if !path.starts_with('/') {
        let what = format!("container {url}: expected an absolute path, found another one");
        return Err(Fault::usage(what, "write file:///DIR, with three slashes"));
    }
    let opened = LocalContainer::open(&session.path(Path::new(path)), prefix);
    Ok(Arc::new(opened.map_err(|error| error.into_fault(Class::Io))?))
}

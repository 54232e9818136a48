//! Places of pipelines as containers and as bundles.

use std::sync::Arc;

use crate::base::fault::{Class, Fault};
use crate::bundle::Name;
use crate::cli::Session;
use crate::cli::args::container::Address;
use crate::cli::args::place::Bundle;
use crate::cli::network::config::pipelines::Place;
use crate::cli::network::{Network, containers};
use crate::storage::Container;
use crate::storage::local::LocalContainer;

/// Opens a place of bundles. Makes no request yet.
///
/// # Errors
/// Class usage for a configuration that does not fit; class io for a directory that is not there.
pub fn container(place: &Place, network: &Network, session: &Session<'_>) -> Result<Arc<dyn Container>, Fault> {
    match place {
        Place::Storage(name) => containers::open(network, &address(name), session),
        Place::Directory(dir) => {
            let opened = LocalContainer::open(&session.path(dir), "");
            Ok(Arc::new(opened.map_err(|error| error.into_fault(Class::Io))?))
        }
    }
}

/// Returns the address of a storage table.
pub fn address(name: &str) -> Address {
    Address::Table { name: name.to_owned(), prefix: String::new() }
}

/// Returns a bundle at a place.
pub fn bundle(place: &Place, name: &Name) -> Bundle {
    match place {
        Place::Storage(table) => Bundle::Container(address(table), name.clone()),
        Place::Directory(dir) => Bundle::Named { dir: dir.clone(), name: name.as_str().to_owned() },
    }
}

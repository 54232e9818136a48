//! Opens a container by its address: finds its table in the configuration, the secret that the table
//! names, and the kind of store.

use std::path::Path;
use std::sync::Arc;

use super::Network;
use super::config::Config;
use super::config::storage::{Provider, Storage, longest};
use super::registries;
use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::args::container::Address;
use crate::content::{Error, Kind};
use crate::network::access::Access;
use crate::network::clients::Clients;
use crate::network::rate::Limits;
use crate::storage::Container;
use crate::storage::azure::{self, Azure, Opening};
use crate::storage::local::LocalContainer;

/// Opens the container at `address`. Makes no request yet.
///
/// # Errors
/// Class usage for an address or a configuration that does not fit; class io for a directory that does
/// not exist.
pub fn open(network: &Network, address: &Address, session: &Session<'_>) -> Result<Arc<dyn Container>, Fault> {
    if let Address::Url(url) = address
        && let Some(path) = directory_of(url)
    {
        return directory(address, path, "", session);
    }
    let config = Arc::new(network.config.load(session.world)?);
    let (table, url) = found(&config, address)?;
    if let Some(path) = table.as_ref().and_then(|table| directory_of(&table.url)) {
        let prefix = url.get(table.as_ref().map_or(0, |table| table.url.len())..).unwrap_or_default();
        return directory(address, path, prefix.trim_matches('/'), session);
    }
    let unusable = |error: Error| error.classed(|kind| if kind == Kind::Policy { Class::Usage } else { Class::Source });
    let clients = registries::clients(network, session, Arc::clone(&config))?;
    let opening = |access| -> Result<Opening, Fault> {
        Ok(Opening {
            access,
            clients: Arc::new(Clients::new(Arc::new(clients)).map_err(unusable)?),
            limits: Arc::new(Limits::new(network.limit_rate)),
            retries: network.retries.unwrap_or(registries::RETRIES),
        })
    };
    match Provider::of(&url) {
        Some(Provider::Azure) => {
            let (access, url) = match table {
                None => (Access::Anonymous, url),
                Some(table) => {
                    let table = Storage { url, ..table };
                    let sources = registries::sources(network, session, Arc::clone(&config))?;
                    let (access, cloud) = sources.access(&table).map_err(unusable)?;
                    (access, table.address(&cloud))
                }
            };
            let place = azure::Address::parse(&url).map_err(unusable)?;
            let opened = Azure::open(place, opening(access)?, session.flow.clone()).map_err(unusable)?;
            Ok(Arc::new(opened))
        }
        _ => {
            Err(Fault::usage(format!("container {address}: not supported in this version"), "use Azure or file:///DIR"))
        }
    }
}

/// Returns the table of an address, if there is one, and the whole address.
fn found(config: &Config, address: &Address) -> Result<(Option<Storage>, String), Fault> {
    match address {
        Address::Url(url) => {
            let tables = config.storage.iter().map(|(name, table)| (name.as_str(), table.url.as_str()));
            let table = longest(url, tables).and_then(|name| config.storage.get(name));
            Ok((table.cloned(), url.clone()))
        }
        Address::Table { name, prefix } => {
            let Some(table) = config.storage.get(name) else {
                let known: Vec<&str> = config.storage.keys().map(String::as_str).collect();
                let help = if known.is_empty() {
                    format!("add [storage.{name}] to the configuration, or name the file with --config")
                } else {
                    format!("the configuration has {}", known.join(", "))
                };
                return Err(Fault::usage(format!("container {address}: expected [storage.{name}], found none"), help));
            };
            let url = if prefix.is_empty() { table.url.clone() } else { format!("{}/{prefix}", table.url) };
            Ok((Some(table.clone()), url))
        }
    }
}

/// Returns the path of a directory's address.
fn directory_of(url: &str) -> Option<&str> {
    let is_file = url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("file://"));
    if is_file { url.get(7..) } else { None }
}

fn directory(address: &Address, path: &str, prefix: &str, session: &Session<'_>) -> Result<Arc<dyn Container>, Fault> {
    if !path.starts_with('/') {
        let what = format!("container {address}: expected an absolute path, found another one");
        return Err(Fault::usage(what, "write file:///DIR, with three slashes"));
    }
    let opened = LocalContainer::open(&session.path(Path::new(path)), prefix);
    Ok(Arc::new(opened.map_err(|error| error.into_fault(Class::Io))?))
}

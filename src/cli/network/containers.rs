//! Opens a container by its address: finds its table in the configuration, the secret that the table
//! names, and the kind of store.

use std::path::Path;
use std::sync::Arc;

use super::Network;
use super::buckets::{Place, open_gcs, open_s3};
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
use crate::network::runtime::Runtime;
use crate::storage::azure::{self, Azure, Opening};
use crate::storage::local::LocalContainer;
use crate::storage::{self, Container};

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
    let clients = Arc::new(Clients::new(Arc::new(clients)).map_err(unusable)?);
    let limits = Arc::new(Limits::new(network.limit_rate));
    let retries = network.retries.unwrap_or(registries::RETRIES);
    let provider = Provider::of(&url);
    let table = table.map(|table| Storage { url: url.clone(), ..table });
    let (access, url) = match &table {
        // What everyone may read, or what the machine itself has access to.
        None if provider == Some(Provider::Azure) => (Access::Anonymous, url),
        None => (Access::Machine, url),
        Some(table) => {
            let sources = registries::sources(network, session, Arc::clone(&config))?;
            let (access, cloud) = sources.access(table).map_err(unusable)?;
            (access, table.address(&cloud))
        }
    };
    let opened: Result<Arc<dyn Container>, Error> = match provider {
        Some(Provider::Azure) => azure::Address::parse(&url)
            .and_then(|place| Azure::open(place, Opening { access, clients, limits, retries }, session.flow.clone()))
            .map(|opened| Arc::new(opened) as Arc<dyn Container>),
        Some(provider @ (Provider::S3 | Provider::Google)) => {
            let mut place = Place::parse(&url);
            if let Some(Storage { region, endpoint, path_style, .. }) = table {
                place = Place { region, endpoint, path_style, ..place };
            }
            let runtime = Arc::new(Runtime::new(session.flow.clone()).map_err(unusable)?);
            let network = storage::Network { clients, runtime, limits, retries };
            let open = if provider == Provider::S3 { open_s3 } else { open_gcs };
            open(place, access, &network, session).map(|opened| Arc::new(opened) as Arc<dyn Container>)
        }
        // Directories were opened above.
        Some(Provider::Directory) | None => {
            return Err(Fault::usage(format!("container {address}: expected an address, found none"), "correct it"));
        }
    };
    opened.map_err(unusable)
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

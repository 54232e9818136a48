//! A bucket, and what it needs of the network.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use reqwest::Url;

use super::exchange::Exchange;
use super::names::Names;
use super::paced::Meter;
use super::service::Service;
use super::store::Product;
use crate::content::Error;
use crate::network::clients::Clients;
use crate::network::origin;
use crate::network::pace::Pace;
use crate::network::rate::Limits;
use crate::network::runtime::Runtime;
use crate::network::secrets::Secrets;
use crate::storage::budget::Budget;

/// Bytes of parts that are in memory at once, for all uploads of a bucket, where parts are small
/// enough.
pub(super) const BUDGET: u64 = 128 << 20;

/// Parts of the network that all buckets of a run share.
#[derive(Clone)]
pub struct Network {
    /// The HTTP clients.
    pub clients: Arc<Clients>,
    /// The runtime, with the flow of the run.
    pub runtime: Arc<Runtime>,
    /// The limits in bytes per second.
    pub limits: Arc<Limits>,
    /// Number of retries of a step, unless the host has its own.
    pub retries: u32,
}

/// Where a bucket is.
pub(in crate::storage) struct Place {
    /// Its address in messages: `s3://BUCKET`.
    pub shown: String,
    /// Its address on the network, with the bucket.
    pub address: Url,
    /// The prefix that names are relative to.
    pub prefix: String,
    /// Directory of the journals of uploads.
    pub journals: Option<PathBuf>,
}

/// A bucket, or the part of one below a prefix.
pub struct Bucket {
    pub(super) exchange: Exchange,
    pub(super) names: Names,
    pub(super) address: Url,
    pub(super) journals: Option<PathBuf>,
    /// Memory for parts.
    pub(super) memory: Arc<Budget>,
    secrets: Arc<Secrets>,
}

impl Bucket {
    /// Makes the bucket at `place`. Asks nothing yet.
    pub(in crate::storage) fn new(place: Place, product: Box<dyn Product>, network: &Network) -> Result<Self, Error> {
        let home = origin::authority(&place.address);
        let own = network.clients.host(&home)?;
        let flow = network.runtime.flow.clone();
        let rates = network.limits.of(&home, own.limit_rate);
        let service = Service { clients: Arc::clone(&network.clients), meter: Meter { rates, flow: flow.clone() } };
        let exchange = Exchange {
            product,
            service,
            runtime: Arc::clone(&network.runtime),
            home,
            retries: own.retries.unwrap_or(network.retries),
            pace: Pace::new(own.concurrency.unwrap_or(flow.jobs.max(8))),
            opened: Mutex::default(),
        };
        let names = Names::new(&place.shown, &place.prefix);
        let secrets = Arc::clone(&network.clients.settings().secrets);
        let memory = Budget::new(BUDGET);
        Ok(Self { exchange, names, address: place.address, journals: place.journals, memory, secrets })
    }

    /// Removes secrets from an error: a server may answer with what it was sent.
    pub(super) fn clean<T>(&self, outcome: Result<T, impl Into<Error>>) -> Result<T, Error> {
        outcome.map_err(|error| self.secrets.out_of(error.into()))
    }
}

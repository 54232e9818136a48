//! Opened containers: with secrets that change, and with their events and waits.

use std::sync::{Arc, Mutex};

use packmule::content::Error;
use packmule::flow::{Event, Flow};
use packmule::network::access::Access;
use packmule::network::clients::Clients;
use packmule::network::secret_source::SecretSource;
use packmule::network::settings::ClientSettings;
use packmule::storage::azure::{Address, Azure, Opening};
use zeroize::Zeroizing;

use crate::azurite::Emulated;
use crate::hosts::{Counting, Heard, address};

/// Secrets that are given one after the other: the next one each time it is read again.
pub struct Given {
    texts: Vec<String>,
    at: Mutex<usize>,
}

impl Given {
    pub fn new(texts: &[&str]) -> Arc<Self> {
        Arc::new(Self { texts: texts.iter().map(|text| (*text).to_owned()).collect(), at: Mutex::default() })
    }

    /// Returns how often a secret was read again.
    pub fn renewals(&self) -> usize {
        *self.at.lock().unwrap()
    }
}

impl SecretSource for Given {
    fn read(&self, again: bool) -> Result<Zeroizing<String>, Error> {
        let mut at = self.at.lock().unwrap();
        *at += usize::from(again);
        Ok(Zeroizing::new(self.texts[(*at).min(self.texts.len() - 1)].clone()))
    }
}

/// An opened container with its waits and events.
pub struct Opened {
    pub container: Azure,
    pub heard: Arc<Heard>,
    pub clock: Arc<Counting>,
    pub flow: Flow,
}

impl Opened {
    /// Returns all warnings and details so far, as one text.
    pub fn told(&self) -> String {
        let text = |event: &Event| match event {
            Event::Warning(text) | Event::Detail(text) => Some(text.clone()),
            _ => None,
        };
        self.heard.0.lock().unwrap().iter().filter_map(text).collect::<Vec<_>>().join("\n")
    }
}

/// Opens a container at `address`; blocks have 64 KiB.
pub fn open(address: &str, access: Access, settings: ClientSettings) -> Result<Opened, Error> {
    let (heard, clock) = (Arc::new(Heard::default()), Arc::new(Counting::new(false)));
    let flow = Flow::new(heard.clone(), clock.clone(), 3, 2);
    let clients = Arc::new(Clients::new(Arc::new(settings))?);
    let opening = Opening { access, clients, limits: Arc::default(), retries: 3 };
    let container = Azure::open(Address::parse(address)?, opening, flow.clone())?.with_block_size(64 << 10);
    Ok(Opened { container, heard, clock, flow })
}

/// Opens a container with a signature.
pub fn signed(address: &str, sas: &str) -> Opened {
    open(address, Access::Sas(Given::new(&[sas])), ClientSettings::default()).unwrap()
}

/// A container of the emulator, to be opened in several ways.
pub struct Site(Emulated);

impl std::ops::Deref for Site {
    type Target = Emulated;

    fn deref(&self) -> &Emulated {
        &self.0
    }
}

impl Site {
    /// Makes a container that no other test uses; `None` without an emulator.
    pub fn new() -> Option<Self> {
        Emulated::new(address).map(Self)
    }

    /// Opens the container with the account's key.
    pub fn by_key(&self) -> Opened {
        open(&self.address(), Access::AccountKey(Given::new(&[&self.key])), ClientSettings::default()).unwrap()
    }

    /// Opens the part of the container below `prefix` with a signature.
    pub fn by_sas(&self, prefix: &str, sas: &str) -> Opened {
        signed(&format!("{}/{prefix}", self.address()), sas)
    }
}

//! A fresh container in the emulator, and signatures for it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use packmule::base::time::Moment;
use packmule::content::Error;
use packmule::flow::{Event, Flow};
use packmule::network::access::Access;
use packmule::network::clients::Clients;
use packmule::network::secret_source::SecretSource;
use packmule::network::settings::ClientSettings;
use packmule::storage::azure::{Address, Azure, Opening};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::hosts::{Counting, Heard, address};

/// Version of the signatures.
const VERSION: &str = "2021-12-02";

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

/// A container of the emulator.
pub struct Site {
    host: String,
    account: String,
    pub key: String,
    container: String,
}

impl Site {
    /// Makes a container that no other test uses; `None` without an emulator.
    pub fn new() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let host = address("PACKMULE_TEST_AZURITE")?;
        let (account, key) = (address("PACKMULE_TEST_AZURITE_ACCOUNT")?, address("PACKMULE_TEST_AZURITE_KEY")?);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let container = format!("t{nanos}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let site = Self { host, account, key, container };
        let made = site.request("PUT", "?restype=container", &site.account_sas("b", "sco", "rwdlac", ""), b"");
        assert!(made.starts_with("HTTP/1.1 201"), "{made}");
        Some(site)
    }

    pub fn address(&self) -> String {
        format!("http://{}/{}/{}", self.host, self.account, self.container)
    }

    /// Sends a request about the container itself, or an object and query in `rest`.
    pub fn request(&self, method: &str, rest: &str, sas: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let joint = if rest.contains('?') { '&' } else { '?' };
        let path = format!("/{}/{}{rest}{joint}{sas}", self.account, self.container);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nx-ms-version: {VERSION}\r\nx-ms-blob-type: BlockBlob\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn sign(&self, text: &str) -> String {
        let key = Base64::decode_vec(&self.key).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(text.as_bytes());
        let text = Base64::encode_string(&mac.finalize().into_bytes());
        text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
    }

    /// Returns a signature for the container with these rights, for an hour.
    pub fn sas(&self, rights: &str) -> String {
        self.sas_until(rights, &hours(1), "")
    }

    /// Returns a signature that ends at `end`; `addresses` may be empty.
    pub fn sas_until(&self, rights: &str, end: &str, addresses: &str) -> String {
        let resource = format!("/blob/{}/{}", self.account, self.container);
        let text = format!("{rights}\n\n{end}\n{resource}\n\n{addresses}\n\n{VERSION}\nc\n\n\n\n\n\n\n");
        let sip = if addresses.is_empty() { String::new() } else { format!("&sip={addresses}") };
        format!("sv={VERSION}&sr=c&sp={rights}&se={end}{sip}&sig={}", self.sign(&text))
    }

    /// Returns a signature for the account, for an hour.
    pub fn account_sas(&self, services: &str, types: &str, rights: &str, protocols: &str) -> String {
        let end = hours(1);
        let text = format!("{}\n{rights}\n{services}\n{types}\n\n{end}\n\n{protocols}\n{VERSION}\n\n", self.account);
        let spr = if protocols.is_empty() { String::new() } else { format!("&spr={protocols}") };
        format!("sv={VERSION}&ss={services}&srt={types}&sp={rights}&se={end}{spr}&sig={}", self.sign(&text))
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

/// Returns the time in `hours` from now, as signatures have it.
pub fn hours(hours: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    Moment::from_unix(now + hours * 3600).unwrap().to_string()
}

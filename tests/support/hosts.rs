//! Shared by the tests: addresses from the environment, a flow with a real clock, content.
//!
//! Contains no assertions.

use std::io::{self, Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use packmule::content::{Body, Error, Source};
use packmule::flow::{Clock, Event, Events, Flow};
use packmule::network::settings::ClientSettings;
use packmule::oci::{Descriptor, Digest, Document, Repository, media_type};
use packmule::registry::{Credential, Registries, Settings};

use super::server::{Reply, reply};

/// Returns a registry's address, or `None` after printing a notice.
pub fn address(name: &str) -> Option<String> {
    let found = std::env::var(name).ok().filter(|value| !value.is_empty());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is not set");
        eprintln!("SKIP: {name} is not set; run `cargo xtask test`");
    }
    found
}

/// A clock that counts its waits, and really waits only if it is `real`.
pub struct Counting {
    start: Instant,
    real: bool,
    slept: Mutex<Duration>,
}

impl Clock for Counting {
    fn unix(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs().cast_signed())
    }
    fn elapsed(&self) -> Duration {
        self.start.elapsed() + if self.real { Duration::ZERO } else { *self.slept.lock().unwrap() }
    }
    fn sleep(&self, time: Duration) {
        *self.slept.lock().unwrap() += time;
        if self.real {
            std::thread::sleep(time);
        }
    }
}

impl Counting {
    /// Returns a clock that starts now.
    pub fn new(real: bool) -> Self {
        Self { start: Instant::now(), real, slept: Mutex::default() }
    }

    /// Returns the total time that was to be waited.
    pub fn slept(&self) -> Duration {
        *self.slept.lock().unwrap()
    }
}

/// Stores all events.
#[derive(Default)]
pub struct Heard(pub Mutex<Vec<Event>>);

impl Events for Heard {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

/// A client with its waits and events.
pub struct Client {
    pub registries: Registries,
    pub clock: Arc<Counting>,
    pub heard: Arc<Heard>,
    pub flow: Flow,
}

/// A client with these `settings`.
pub fn client(settings: Settings) -> Client {
    clocked(settings, false)
}

/// A client that really waits, since other writers take real time.
pub fn waiting() -> Client {
    clocked(Settings::default(), true)
}

fn clocked(settings: Settings, real: bool) -> Client {
    let clock = Arc::new(Counting::new(real));
    let heard = Arc::new(Heard::default());
    let flow = Flow::new(heard.clone(), clock.clone(), 4, 2);
    Client { registries: Registries::new(settings, flow.clone()).unwrap(), clock, heard, flow }
}

/// Settings without a login that connect so.
pub fn connecting(clients: ClientSettings) -> Settings {
    Settings { clients: Arc::new(clients), ..Settings::default() }
}

/// A client without a login.
pub fn anonymous() -> Client {
    client(Settings::default())
}

/// Settings with one login for every host.
pub fn login(user: &str, password: &str) -> Settings {
    let (user, password) = (user.to_owned(), password.to_owned());
    Settings {
        credentials: Box::new(move |_, _| Ok(Some(Credential::password(user.clone(), password.clone())))),
        ..Settings::default()
    }
}

/// Returns a repository that no other test uses.
pub fn fresh(host: &str, name: &str) -> Repository {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    Repository::new(host, &format!("t{nanos}-{number}/{name}")).unwrap()
}

/// Content in memory that can be opened again.
pub struct Bytes(pub Vec<u8>);

impl Body for Bytes {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(Cursor::new(self.0.clone())))
    }
}

impl Bytes {
    /// Returns its descriptor.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new("application/octet-stream", Digest::sha256(&self.0), self.0.len() as u64)
    }
}

/// Returns `size` bytes that do not repeat soon.
pub fn content(size: usize, mut seed: u64) -> Bytes {
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&seed.to_be_bytes());
    }
    bytes.truncate(size);
    Bytes(bytes)
}

/// Reads a whole blob through the check that every consumer uses.
pub fn read(registries: &Registries, repository: &Repository, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    let mut reader = packmule::content::checked::Checked::new(registries.blob(repository, blob)?, blob.clone());
    let mut out = Vec::new();
    reader.read_to_end(&mut out).map_err(|error| Error::from_io("blob", error))?;
    Ok(out)
}

/// A manifest with one layer.
pub fn manifest(config: &Descriptor, layer: &Descriptor, subject: Option<&Descriptor>) -> Document {
    let mut value = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST, "artifactType": "application/vnd.test",
        "config": config, "layers": [layer], "annotations": {"who": "test"},
    });
    if let Some(subject) = subject {
        value["subject"] = serde_json::to_value(subject).unwrap();
    }
    Document::parse(media_type::OCI_MANIFEST, serde_json::to_vec(&value).unwrap()).unwrap()
}

/// A manifest that a small server returns for every path.
pub fn manifest_reply() -> Reply {
    let config = Bytes(b"{}".to_vec()).descriptor();
    let document = manifest(&config, &config, None);
    reply(200, document.raw()).with("Content-Type", document.media_type())
}

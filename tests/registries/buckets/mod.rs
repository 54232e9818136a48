//! Buckets of S3 and Google Cloud Storage: against rclone, which checks signatures and checksums, against moto, which
//! pages its lists, against a fake of Google's XML interface, and through a proxy that breaks requests.

mod access;
mod faults;
mod google;
mod resumed;
mod stores;
mod strangers;
mod watching;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use packmule::content::Error;
use packmule::flow::Flow;
use packmule::network::clients::Clients;
use packmule::network::rate::Limits;
use packmule::network::runtime::Runtime;
use packmule::network::secret_source::SecretSource;
use packmule::network::settings::ClientSettings;
use packmule::storage::{Bucket, Network, s3};
use zeroize::Zeroizing;

use super::hosts::{Counting, Heard, address};
use super::proxy;

/// User of the strict store.
const USER: &str = "mule";

/// A secret that is the same always, or another when it is read again.
pub struct Secret(pub String, pub String);

impl SecretSource for Secret {
    fn read(&self, again: bool) -> Result<Zeroizing<String>, Error> {
        Ok(Zeroizing::new(if again { self.1.clone() } else { self.0.clone() }))
    }
}

pub fn secret(text: &str) -> Arc<dyn SecretSource> {
    Arc::new(Secret(text.to_owned(), text.to_owned()))
}

/// A network with its waits and events.
pub struct Net {
    pub network: Network,
    pub clock: Arc<Counting>,
    pub heard: Arc<Heard>,
}

/// Returns a network whose waits take no time.
pub fn net(retries: u32) -> Net {
    // Servers on a busy machine are slow.
    let idle = Duration::from_secs(120);
    limited(retries, None, ClientSettings { idle, ..ClientSettings::default() })
}

pub fn limited(retries: u32, limit: Option<u64>, settings: ClientSettings) -> Net {
    let clock = Arc::new(Counting::new(limit.is_some()));
    let heard = Arc::new(Heard::default());
    let flow = Flow::new(heard.clone(), clock.clone(), 4, 2);
    let network = Network {
        clients: Arc::new(Clients::new(Arc::new(settings)).unwrap()),
        runtime: Arc::new(Runtime::new(flow).unwrap()),
        limits: Arc::new(Limits::new(limit)),
        retries,
    };
    Net { network, clock, heard }
}

impl Net {
    /// Opens a bucket below a prefix.
    pub fn open(&self, settings: s3::Settings) -> Bucket {
        s3::open(settings, &self.network).unwrap()
    }
}

/// An S3 service.
#[derive(Clone)]
pub struct Store {
    pub host: String,
    pub bucket: String,
    pub id: String,
    pub secret: String,
}

impl Store {
    /// Returns rclone's server.
    pub fn strict() -> Option<Self> {
        let host = address("PACKMULE_TEST_S3")?;
        let bucket = address("PACKMULE_TEST_S3_BUCKET")?;
        Some(Self { host, bucket, id: USER.to_owned(), secret: address("PACKMULE_TEST_S3_SECRET")? })
    }

    /// Returns moto's server, with a bucket of this name.
    pub fn paging(bucket: &str) -> Option<Self> {
        let host = address("PACKMULE_TEST_MOTO")?;
        let put = format!("PUT /{bucket} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let reply = proxy::exchange(&host, put.as_bytes(), false).unwrap();
        assert!(matches!(reply.status, 200 | 409), "{}", reply.status);
        Some(Self { host, bucket: bucket.to_owned(), id: "id".to_owned(), secret: "any".to_owned() })
    }

    /// Returns settings for a fresh prefix.
    pub fn settings(&self, journals: Option<PathBuf>) -> s3::Settings {
        s3::Settings {
            bucket: self.bucket.clone(),
            prefix: fresh(),
            region: None,
            endpoint: Some(format!("http://{}", self.host).parse().unwrap()),
            path_style: None,
            access: s3::Access::Keys { id: secret(&self.id), secret: secret(&self.secret), session: None },
            journals,
        }
    }

    /// Returns the store at another address.
    pub fn at(&self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self.clone() }
    }
}

/// Returns a prefix that no other test uses.
pub fn fresh() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("t{nanos}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

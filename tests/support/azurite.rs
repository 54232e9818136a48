//! A fresh container in the emulator of Azure's blob storage, and signatures for it, made by hand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Encoding as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use packmule::base::time::Moment;
use sha2::Sha256;

/// Version of the signatures.
const VERSION: &str = "2021-12-02";

/// A container of the emulator.
pub struct Emulated {
    host: String,
    account: String,
    pub key: String,
    container: String,
}

impl Emulated {
    /// Makes a container that no other test uses; `None` without an emulator. `var` finds its
    /// variables.
    pub fn new(var: impl Fn(&str) -> Option<String>) -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let host = var("PACKMULE_TEST_AZURITE")?;
        let (account, key) = (var("PACKMULE_TEST_AZURITE_ACCOUNT")?, var("PACKMULE_TEST_AZURITE_KEY")?);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let container = format!("t{nanos}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let made = Self { host, account, key, container };
        let answer = made.request("PUT", "?restype=container", &made.account_sas("b", "sco", "rwdlac", ""), b"");
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        Some(made)
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
        self.sas_until(rights, &hours(1))
    }

    /// Returns a signature that ends at `end`.
    pub fn sas_until(&self, rights: &str, end: &str) -> String {
        let resource = format!("/blob/{}/{}", self.account, self.container);
        let text = format!("{rights}\n\n{end}\n{resource}\n\n\n\n{VERSION}\nc\n\n\n\n\n\n\n");
        format!("sv={VERSION}&sr=c&sp={rights}&se={end}&sig={}", self.sign(&text))
    }

    /// Returns a signature for the account, for an hour.
    pub fn account_sas(&self, services: &str, types: &str, rights: &str, protocols: &str) -> String {
        let end = hours(1);
        let text = format!("{}\n{rights}\n{services}\n{types}\n\n{end}\n\n{protocols}\n{VERSION}\n\n", self.account);
        let spr = if protocols.is_empty() { String::new() } else { format!("&spr={protocols}") };
        format!("sv={VERSION}&ss={services}&srt={types}&sp={rights}&se={end}{spr}&sig={}", self.sign(&text))
    }
}

/// Returns the time in `hours` from now, as signatures have it.
pub fn hours(hours: i64) -> String {
    minutes(hours * 60)
}

/// Returns the time in `minutes` from now, as signatures have it.
pub fn minutes(minutes: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    Moment::from_unix(now + minutes * 60).unwrap().to_string()
}

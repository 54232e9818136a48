//! The credential of a container: its secret now, and requests signed with it.
//!
//! Reads the secret again when it is about to end or was refused. Sends nothing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use base64ct::{Base64, Encoding as _};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use zeroize::Zeroizing;

use super::refusal::Login;
use super::sas::Sas;
use super::shared_key;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::Flow;
use crate::network::access::Access;
use crate::network::secret_source::SecretSource;
use crate::network::secrets::Secrets;

/// Version of the service's interface.
const VERSION: &str = "2021-12-02";
/// Seconds before the end of a signature at which it is read again.
const SOON: i64 = 60;
/// Least time between two readings because the end is near.
const PAUSE: Duration = Duration::from_secs(20);

/// The secret that requests are signed with.
#[derive(Clone)]
pub(super) enum Secret {
    Nothing,
    Sas(Arc<Sas>),
    Key(Arc<Zeroizing<Vec<u8>>>),
    Token(Arc<Zeroizing<String>>),
}

impl Secret {
    /// Returns its kind, for messages.
    pub fn login(&self) -> Login<'_> {
        match self {
            Self::Nothing => Login::Nobody,
            Self::Sas(sas) => Login::Sas(sas),
            Self::Key(_) => Login::Key,
            Self::Token(_) => Login::Token,
        }
    }
}

/// The text that was read, and what it is.
struct Known {
    text: Zeroizing<String>,
    secret: Secret,
    /// When it was read because the one before was about to end.
    renewed: Option<Duration>,
}

/// Signs requests for one account.
pub(super) struct Signer {
    access: Access,
    account: String,
    /// Account and container, for messages.
    place: String,
    secrets: Arc<Secrets>,
    known: Mutex<Option<Known>>,
}

impl Signer {
    /// Makes a signer; reads nothing yet.
    ///
    /// # Errors
    /// [`Kind::Policy`] for an access that the service does not know.
    pub fn new(access: Access, account: &str, place: &str, secrets: Arc<Secrets>) -> Result<Self, Error> {
        match access {
            Access::Anonymous | Access::Sas(_) | Access::AccountKey(_) | Access::Bearer(_) => {}
            Access::Machine | Access::AccessKey { .. } | Access::Profile(_) | Access::ServiceAccount(_) => {
                let what = format!(
                    "storage {place}: expected a signature, an account key or an identity, found another login"
                );
                return Err(
                    Error::new(Kind::Policy, what).help("give the container's table sas or a credential of Azure")
                );
            }
        }
        Ok(Self { access, account: account.to_owned(), place: place.to_owned(), secrets, known: Mutex::default() })
    }

    fn source(&self) -> Option<&Arc<dyn SecretSource>> {
        match &self.access {
            Access::Sas(source) | Access::AccountKey(source) | Access::Bearer(source) => Some(source),
            _ => None,
        }
    }

    /// Reports whether there is a secret that can be read again.
    pub fn can_renew(&self) -> bool {
        self.source().is_some()
    }

    /// Returns what requests are signed with. With `again`, reads it from its source again.
    ///
    /// # Errors
    /// Those of the source; [`Kind::Policy`] if it has something else.
    pub fn secret(&self, flow: &Flow, again: bool) -> Result<Secret, Error> {
        let Some(source) = self.source() else { return Ok(Secret::Nothing) };
        let mut known = lock(&self.known);
        let mut renewed = known.as_ref().and_then(|known| known.renewed);
        let mut text = source.read(again)?;
        let mut secret = self.understood(known.as_ref(), &text)?;
        let now = flow.clock().elapsed();
        let ends = if let Secret::Sas(sas) = &secret { sas.ends } else { None };
        let ends_soon = ends.is_some_and(|ends| ends <= flow.clock().unix() + SOON);
        if ends_soon && !again && renewed.is_none_or(|renewed| now >= renewed + PAUSE) {
            text = source.read(true)?;
            secret = self.understood(known.as_ref(), &text)?;
            renewed = Some(now);
        }
        *known = Some(Known { text, secret: secret.clone(), renewed });
        Ok(secret)
    }

    /// Returns what a text is, without parsing it again if it is known.
    fn understood(&self, known: Option<&Known>, text: &Zeroizing<String>) -> Result<Secret, Error> {
        if let Some(known) = known.filter(|known| known.text == *text) {
            return Ok(known.secret.clone());
        }
        let of_place = |error: Error| Error { what: format!("storage {}: {}", self.place, error.what), ..error };
        Ok(match &self.access {
            Access::Sas(_) => {
                let sas = Sas::parse(text).map_err(of_place)?;
                self.secrets.token(&sas.signature);
                Secret::Sas(Arc::new(sas))
            }
            Access::AccountKey(_) => {
                let text = text.trim();
                self.secrets.secret(text);
                let key = Base64::decode_vec(text).ok().filter(|key| !key.is_empty()).ok_or_else(|| {
                    let what = format!("storage {}: account key: expected base64, found something else", self.place);
                    Error::new(Kind::Policy, what).help("store one of the account's two keys, as the portal shows it")
                })?;
                Secret::Key(Arc::new(Zeroizing::new(key)))
            }
            _ => {
                self.secrets.token(text.trim());
                Secret::Token(Arc::new(Zeroizing::new(text.trim().to_owned())))
            }
        })
    }

    /// Adds the headers that every request has, and signs it with `secret`.
    ///
    /// # Errors
    /// [`Kind::Policy`] for a secret that no request can hold.
    pub fn sign(
        &self,
        secret: &Secret,
        method: &Method,
        url: &mut Url,
        headers: &mut HeaderMap,
        length: u64,
        now: i64,
    ) -> Result<(), Error> {
        let now = UNIX_EPOCH + Duration::from_secs(u64::try_from(now).unwrap_or(0));
        headers.insert("x-ms-version", HeaderValue::from_static(VERSION));
        if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(now)) {
            headers.insert("x-ms-date", date);
        }
        let value = match secret {
            Secret::Nothing => return Ok(()),
            Secret::Sas(sas) => {
                let query = match url.query() {
                    Some(query) => format!("{query}&{}", sas.query()),
                    None => sas.query().to_owned(),
                };
                url.set_query(Some(&query));
                return Ok(());
            }
            Secret::Key(key) => shared_key::authorization(&self.account, key, method, url, headers, length),
            Secret::Token(token) => Some(format!("Bearer {}", token.as_str())),
        };
        let mut value = value.and_then(|value| HeaderValue::from_str(&value).ok()).ok_or_else(|| {
            let what = format!("storage {}: expected a key or token of printable characters, found others", self.place);
            Error::new(Kind::Policy, what).help("store it again, without anything before or after it")
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(())
    }
}

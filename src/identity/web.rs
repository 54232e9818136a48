//! Sends the requests for tokens and secrets, and tries again what may pass.
//!
//! Follows no redirect: what is sent here is a secret for one host.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, Url};
use zeroize::Zeroizing;

use crate::content::{Error, Kind};
use crate::flow::Flow;
use crate::network::clients::Clients;
use crate::network::retry::{self, Trouble};
use crate::network::runtime::{Runtime, Stop};
use crate::network::settings::HostSettings;
use crate::network::{fate, origin};

/// Most bytes of an answer.
const MOST: usize = 256 << 10;
/// Longest time to wait for the connection to a metadata service, which is on this machine or next to it.
const NEAR: Duration = Duration::from_secs(5);

/// A request.
pub(super) struct Ask {
    method: Method,
    url: Url,
    headers: Vec<(&'static str, HeaderValue)>,
    body: Option<Zeroizing<String>>,
    near: bool,
}

impl Ask {
    /// Makes a request that sends a form.
    pub fn post(url: Url, form: Zeroizing<String>) -> Self {
        Self { method: Method::POST, body: Some(form), ..Self::with(url, Vec::new()) }
    }

    /// Makes a request with a header.
    pub fn get(url: Url, name: &'static str, value: HeaderValue) -> Self {
        Self::with(url, vec![(name, value)])
    }

    /// Makes a request with headers.
    fn with(url: Url, headers: Vec<(&'static str, HeaderValue)>) -> Self {
        Self { method: Method::GET, url, headers, body: None, near: false }
    }

    /// Makes a request with a header to a metadata service: without a proxy. One that does not answer is not tried
    /// again, since most machines have none.
    pub fn near(url: Url, name: &'static str, value: HeaderValue) -> Self {
        Self { near: true, ..Self::get(url, name, value) }
    }
}

/// An answer.
pub(super) struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Zeroizing<Vec<u8>>,
}

/// Makes the body of a form.
pub(super) fn form(fields: &[(&str, &str)]) -> Zeroizing<String> {
    let mut form = Zeroizing::new(String::new());
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                form.push(char::from(byte));
            } else {
                form.push('%');
                form.push_str(&crate::oci::digest::encode_hex(&[byte]));
            }
        }
    }
    form
}

/// Is told of every secret, so that the caller can hide it.
type Told = Box<dyn Fn(&str) + Send + Sync>;

/// The way to login authorities, metadata services and vaults.
pub struct Web {
    clients: Arc<Clients>,
    runtime: Runtime,
    retries: u32,
    told: Told,
}

impl Web {
    /// Makes it. `told` is called with every secret.
    ///
    /// # Errors
    /// [`Kind::Io`] if the system starts no threads.
    pub fn new(
        clients: Arc<Clients>,
        flow: Flow,
        retries: u32,
        told: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Ok(Self { clients, runtime: Runtime::new(flow)?, retries, told: Box::new(told) })
    }

    /// Returns the flow of the run.
    pub(super) fn flow(&self) -> &Flow {
        &self.runtime.flow
    }

    /// Returns the seconds since 1970.
    pub(super) fn now(&self) -> i64 {
        self.flow().clock().unix()
    }

    /// Notes a secret, so that no text shows it.
    pub(super) fn learn(&self, secret: &str) {
        self.clients.settings().secrets.token(secret);
        (self.told)(secret);
    }

    /// Sends a request and returns the answer, whatever its status. Tries again what may pass.
    ///
    /// # Errors
    /// [`Kind::Failed`] if there is no answer, or only one that asks to come later.
    pub(super) fn ask(&self, subject: &str, ask: &Ask) -> Result<Answer, Error> {
        let ended = (|| {
            let mut done = 0;
            loop {
                let trouble = match self.once(subject, ask) {
                    Ok(answer) => return Ok(answer),
                    Err(trouble) => trouble,
                };
                if !trouble.again || done >= self.retries {
                    return Err(trouble.error);
                }
                retry::pause(self.flow(), retry::before(done, trouble.after))?;
                done += 1;
            }
        })();
        ended.map_err(|error| self.clients.settings().secrets.out_of(error))
    }

    fn once(&self, subject: &str, ask: &Ask) -> Result<Answer, Trouble> {
        let name = origin::named(&ask.url);
        let own = if ask.near {
            Arc::new(HostSettings { proxy: Some(String::new()), ..HostSettings::default() })
        } else {
            self.clients.host(&name)?
        };
        // Settings for near addresses must not share the client of a host with the same name.
        let owner = if ask.near { "metadata service" } else { &name };
        let client = self.clients.home(owner, &own, &ask.url, false)?;
        let mut request = client.request(ask.method.clone(), ask.url.clone()).header(ACCEPT, "application/json");
        for (name, value) in &ask.headers {
            request = request.header(*name, value.clone());
        }
        if let Some(body) = &ask.body {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.as_str().to_owned());
        }
        let idle = if ask.near { NEAR } else { self.clients.settings().idle };
        let stopped = |stop| match stop {
            Stop::Cancelled => Trouble::last(crate::flow::Cancelled.into()),
            Stop::Idle(time) => {
                let error = Error::new(Kind::Failed, format!("{subject}: no data for {} s", time.as_secs()));
                if ask.near { Trouble::last(error) } else { Trouble::passing(error) }
            }
        };
        let broken = |error: &reqwest::Error| {
            let (fate, text) = fate::look(error);
            let error = Error::new(Kind::Failed, format!("{subject}: {}", crate::base::fault::escape(&text)));
            match fate {
                fate::Fate::Certificate => Trouble::last(error.help("trust its certificate authority with --ca")),
                fate::Fate::Never | fate::Fate::NotTls => Trouble::last(error),
                _ if ask.near => Trouble::last(error),
                _ => Trouble::passing(error),
            }
        };
        let response = self.runtime.wait(idle, request.send()).map_err(stopped)?.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let after = retry::retry_after(response.headers(), self.now());
        // A metadata service says so while it is updated.
        if retry::passes(status) || ask.near && matches!(status, 404 | 410) {
            let error = Error::new(Kind::Failed, format!("{subject}: status {status}"));
            return Err(Trouble { after, status: Some(status), ..Trouble::passing(error) });
        }
        let body = self.runtime.wait(self.clients.settings().idle, whole(response)).map_err(stopped)?;
        let body = body.map_err(|error| broken(&error))?.ok_or_else(|| {
            Trouble::last(Error::new(Kind::Failed, format!("{subject}: expected at most {MOST} bytes, found more")))
        })?;
        Ok(Answer { status, body })
    }
}

/// Reads an answer; `None` if it is too long.
async fn whole(mut response: Response) -> reqwest::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > MOST {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_escape_their_values() {
        assert_eq!(form(&[("a", "x y&z=1"), ("b", "ä~")]).as_str(), "a=x%20y%26z%3d1&b=%c3%a4~");
    }
}

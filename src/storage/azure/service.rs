//! Requests to one account: sent, signed, repeated where that may help.
//!
//! Retries by class: a refused login is read again and tried once more; 408, 429 and 5xx are tried
//! again after a wait, as long as the service asks for; broken connections too. Redirects are not
//! followed, since the service sends none.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::address::Address;
use super::refusal::Refusal;
use super::signer::{Secret, Signer};
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::flow::{Event, Flow};
use crate::network::access::Access;
use crate::network::clients::Clients;
use crate::network::fate::{Fate, look};
use crate::network::pace::Pace;
use crate::network::rate::{Limits, Rate};
use crate::network::retry::{self, Trouble};
use crate::network::runtime::{Runtime, Stop};
use crate::network::settings::HostSettings;
use crate::network::upload_body::channel;

/// Maximum size of the body of a refusal.
const SMALL: u64 = 64 << 10;
/// Size of the pieces in which a body is sent, in bytes.
const PIECE: usize = 256 << 10;
/// Minimum rate of a body as a whole, in bytes per second.
const SLOWEST: u64 = 1 << 10;

/// One request.
pub(super) struct Call {
    pub method: Method,
    /// Without a signature.
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Subject of the request, for errors.
    pub subject: String,
}

impl Call {
    /// Makes a request without headers or body.
    pub fn new(method: Method, url: Url, subject: impl Into<String>) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new(), subject: subject.into() }
    }

    /// Adds a header. Ignores a value that no header can hold; all are our own or came in a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Adds a parameter to the query.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// A whole answer of success.
pub(super) struct Answer {
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A request that failed.
pub(super) struct Failure {
    pub trouble: Trouble,
    /// Code of the service; empty if there was no answer.
    pub code: String,
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, code: String::new() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Trouble::last(error).into()
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.trouble.error
    }
}

impl Failure {
    /// Reports whether the request may have been carried out anyway.
    pub fn is_unsure(&self) -> bool {
        self.trouble.again && self.trouble.status.is_none_or(|status| status >= 500)
    }
}

/// One account, as one container needs it.
pub(super) struct Service {
    pub address: Address,
    pub runtime: Runtime,
    clients: Arc<Clients>,
    own: Arc<HostSettings>,
    signer: Signer,
    pace: Pace,
    rates: Vec<Arc<Rate>>,
    retries: u32,
    place: String,
}

impl Service {
    /// Makes the service of a container. Does not connect yet.
    ///
    /// # Errors
    /// [`Kind::Policy`] for an access or host settings that cannot be used, [`Kind::Io`] if no
    /// thread can be started.
    pub fn new(
        address: Address,
        access: Access,
        clients: Arc<Clients>,
        flow: Flow,
        limits: &Limits,
        retries: u32,
    ) -> Result<Self, Error> {
        let host = address.host();
        let own = clients.host(&host)?;
        let place = address.name();
        let signer = Signer::new(access, &address.account, &place, Arc::clone(&clients.settings().secrets))?;
        Ok(Self {
            pace: Pace::new(own.concurrency.unwrap_or(flow.jobs.max(8))),
            rates: limits.of(&host, own.limit_rate),
            retries: own.retries.unwrap_or(retries),
            runtime: Runtime::new(flow)?,
            address,
            clients,
            own,
            signer,
            place,
        })
    }

    /// Returns the flow of the run.
    pub fn flow(&self) -> &Flow {
        &self.runtime.flow
    }

    /// Makes an error with the name of the container.
    pub fn error(&self, kind: Kind, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("storage {}: {what}", self.place))
    }

    /// Returns the secret that requests are signed with now.
    ///
    /// # Errors
    /// Those of its source.
    pub fn secret(&self) -> Result<Secret, Error> {
        self.signer.secret(self.flow(), false)
    }

    /// Returns the bytes per second that are allowed, if they are limited.
    pub fn limit(&self) -> Option<u64> {
        // A piece is what passes in a quarter of a second.
        self.rates.iter().map(|rate| rate.piece() * 4).min()
    }

    /// Sends a request until it succeeds or no try is left, and reads the answer, of at most `cap`
    /// bytes.
    pub fn ask(&self, call: &Call, cap: u64) -> Result<Answer, Failure> {
        self.tried(|again| {
            let response = self.once(call, again)?;
            self.whole(response, cap, &call.subject)
        })
    }

    /// Calls `step` until it succeeds or no try is left. Its argument says whether to read the secret
    /// again.
    pub fn tried<T>(&self, mut step: impl FnMut(bool) -> Result<T, Failure>) -> Result<T, Failure> {
        let (mut done, mut renew, mut has_renewed) = (0, false, false);
        loop {
            let mut failure = match step(renew) {
                Ok(found) => {
                    self.pace.well(self.flow(), &format_args!("storage {}", self.place));
                    return Ok(found);
                }
                Err(failure) => failure,
            };
            renew = false;
            let is_denied = matches!(failure.trouble.status, Some(401 | 403));
            if is_denied && !has_renewed && self.signer.can_renew() {
                (renew, has_renewed) = (true, true);
                let what = format!("{}; reading the secret again", failure.trouble.error.what);
                self.flow().event(Event::Detail(what));
                continue;
            }
            if !failure.trouble.again {
                return Err(failure);
            }
            if done >= self.retries {
                if done > 0 {
                    let what = &mut failure.trouble.error.what;
                    what.push_str(&format!(" (tried {} times)", done + 1));
                }
                return Err(failure);
            }
            let wait = retry::before(done, failure.trouble.after);
            done += 1;
            let (what, most) = (&failure.trouble.error.what, self.retries);
            let text = format!("{what}; trying again in {} ms ({done} of {most})", wait.as_millis());
            self.flow().event(Event::Detail(text));
            retry::pause(self.flow(), wait)?;
        }
    }

    /// Sends a request once. Returns the response of a success whose body is not read yet.
    pub fn once(&self, call: &Call, again: bool) -> Result<Response, Failure> {
        self.pace.hold(self.flow())?;
        let secret = self.signer.secret(self.flow(), again)?;
        let (mut url, mut headers) = (call.url.clone(), call.headers.clone());
        let now = self.flow().clock().unix();
        self.signer.sign(&secret, &call.method, &mut url, &mut headers, call.body.len() as u64, now)?;
        let client = self.clients.home(&self.address.host(), &self.own, &call.url, false)?;
        let response = self.sent(&client, call, url, headers)?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response, &call.subject, &secret))
    }

    fn sent(&self, client: &Client, call: &Call, url: Url, headers: HeaderMap) -> Result<Response, Failure> {
        let subject = &call.subject;
        let idle = self.clients.settings().idle;
        let mut built = client.request(call.method.clone(), url).headers(headers);
        let stopped = |stop| Failure::from(self.stopped(subject, stop));
        let broken = |error: reqwest::Error| Failure::from(self.broken(subject, &error));
        if call.body.len() <= PIECE {
            self.spend(call.body.len() as u64)?;
            // Without a length the service refuses an empty body.
            if call.method == Method::PUT {
                built = built.header(CONTENT_LENGTH, call.body.len()).body(call.body.clone());
            }
            let _permit = self.pace.enter(self.flow()).map_err(|_| stopped(Stop::Cancelled))?;
            return self.runtime.wait(idle, built.send()).map_err(stopped)?.map_err(broken);
        }
        let length = call.body.len() as u64;
        let _permit = self.pace.enter(self.flow()).map_err(|_| stopped(Stop::Cancelled))?;
        let (sender, body) = channel(length);
        let mut answer = self.runtime.handle().spawn(built.header(CONTENT_LENGTH, length).body(body).send());
        let most = usize::try_from(self.rates.iter().map(|rate| rate.piece()).min().unwrap_or(u64::MAX));
        let most = most.unwrap_or(PIECE).min(PIECE);
        let mut rest = call.body.clone();
        while !rest.is_empty() && !answer.is_finished() {
            let piece = rest.split_to(most.min(rest.len()));
            let sent = match self.spend(piece.len() as u64) {
                Ok(()) => self.runtime.wait(idle, sender.send(piece)).map_err(stopped),
                Err(error) => Err(error.into()),
            };
            match sent {
                Ok(Ok(())) => {}
                // A response came early, or the connection broke.
                Ok(Err(_)) => break,
                Err(failure) => {
                    answer.abort();
                    return Err(failure);
                }
            }
        }
        drop(sender);
        // The service may first store what it received.
        let patience = idle + Duration::from_secs(length >> 24);
        match self.runtime.wait(patience, &mut answer) {
            Ok(Ok(sent)) => sent.map_err(broken),
            Ok(Err(_)) => Err(Trouble::passing(self.error(Kind::Failed, format_args!("{subject}: broke off"))).into()),
            Err(stop) => {
                answer.abort();
                Err(stopped(stop))
            }
        }
    }

    fn spend(&self, bytes: u64) -> Result<(), Error> {
        self.rates.iter().try_for_each(|rate| rate.take(self.flow(), bytes))
    }

    /// Calls `each` with the pieces of a body, under the time and rate limits, until it ends.
    pub fn pieces(
        &self,
        response: &mut Response,
        subject: &str,
        each: &mut dyn FnMut(Bytes) -> Result<(), Error>,
    ) -> Result<(), Failure> {
        let idle = self.clients.settings().idle;
        let (mut waited, mut bytes) = (Duration::ZERO, 0);
        loop {
            let begun = self.flow().clock().elapsed();
            let chunk = self.runtime.wait(idle, response.chunk()).map_err(|stop| self.stopped(subject, stop))?;
            waited += self.flow().clock().elapsed().saturating_sub(begun);
            let Some(chunk) = chunk.map_err(|error| self.broken(subject, &error))? else { return Ok(()) };
            bytes += chunk.len() as u64;
            if waited > idle * 2 + Duration::from_secs(bytes / SLOWEST) {
                let seconds = waited.as_secs();
                let what = format_args!("{subject}: {bytes} bytes in {seconds} s, expected {SLOWEST} a second");
                return Err(Trouble::passing(self.error(Kind::Failed, what)).into());
            }
            self.spend(chunk.len() as u64)?;
            each(chunk)?;
        }
    }

    /// Reads a whole answer of at most `cap` bytes.
    pub fn whole(&self, mut response: Response, cap: u64, subject: &str) -> Result<Answer, Failure> {
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        self.pieces(&mut response, subject, &mut |chunk| {
            if (body.len() + chunk.len()) as u64 > cap {
                let what = format_args!("{subject}: expected at most {cap} bytes, found more");
                return Err(self.error(Kind::Mismatch, what));
            }
            body.extend_from_slice(&chunk);
            Ok(())
        })?;
        Ok(Answer { headers, body: body.freeze() })
    }

    /// Converts a refusal. Lowers the pace if it asks to slow down.
    fn refused(&self, response: Response, subject: &str, secret: &Secret) -> Failure {
        let (status, headers) = (response.status(), response.headers());
        let now = self.flow().clock().unix();
        let after = retry::retry_after(headers, now);
        let code = headers.get("x-ms-error-code").and_then(|code| code.to_str().ok()).unwrap_or_default().to_owned();
        // The rest is read, so that the connection can be used again; the code says it all.
        drop(self.whole(response, SMALL, subject));
        let number = status.as_u16();
        if number == 429 || number == 503 {
            self.pace.slower(self.flow(), &format_args!("storage {}", self.place), number, after);
        }
        if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            let what = format_args!("{subject}: proxy: login refused or missing, status 407");
            let help = "put the login for the proxy into its address";
            return self.error(Kind::Failed, what).help(help).into();
        }
        let login = secret.login();
        let error = Refusal { place: &self.place, subject, status: number, code: &code, login, now }.error();
        // The connection garbled what was sent.
        let again = retry::passes(number) || code == "Md5Mismatch";
        Failure { trouble: Trouble { error, again, after, status: Some(number) }, code }
    }

    fn stopped(&self, subject: &str, stop: Stop) -> Trouble {
        match stop {
            Stop::Cancelled => Trouble::last(crate::flow::Cancelled.into()),
            Stop::Idle(time) => {
                Trouble::passing(self.error(Kind::Failed, format_args!("{subject}: no data for {} s", time.as_secs())))
            }
        }
    }

    /// Converts a failed connection.
    fn broken(&self, subject: &str, error: &reqwest::Error) -> Trouble {
        let (fate, text) = look(error);
        let (text, host) = (escape(&text), self.address.host());
        let failed = |what: &str| self.error(Kind::Failed, format_args!("{subject}: {what}: {text}"));
        match fate {
            Fate::Never => Trouble::last(failed("cannot be sent")),
            Fate::Certificate => Trouble::last(
                failed("expected a valid certificate, found")
                    .help(format!("give the CA that signed it with --ca FILE, or name the host in --insecure {host}")),
            ),
            Fate::Alert { .. } => {
                Trouble::last(failed("TLS ended").help(format!("{host} must speak TLS 1.2 or later")))
            }
            Fate::NotTls => Trouble::last(failed("no TLS").help("correct the address, or the proxy before it")),
            Fate::Proxy { wants_login } => {
                let failure =
                    failed("proxy").help("check the proxy's address and its login, or name the host in NO_PROXY");
                if wants_login { Trouble::last(failure) } else { Trouble::passing(failure) }
            }
            Fate::HungUp | Fate::Closed | Fate::Passing | Fate::Http2 { .. } => {
                let stage = if error.is_connect() { "no connection" } else { "connection lost" };
                Trouble::passing(failed(stage).help(format!("check that {host} can be reached from here")))
            }
        }
    }
}

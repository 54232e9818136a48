//! One registry: one exchange with redirects followed by hand, and whole questions with logins and
//! retries around it.
//!
//! The only file that hands an `Authorization` to an address, and only to the registry's own.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, Url};

use super::clients::Clients;
use super::headers;
use super::origin;
use super::pace::Pace;
use super::rate::Rate;
use super::response::Answer;
use super::retry::{self, Trouble};
use super::runtime::{Engine, Stop};
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::oci::Digest;
use crate::registry::api::referrers_list::Listings;
use crate::registry::api::upload::Session;
use crate::registry::auth::authorization::{Auth, Scopes};
use crate::registry::rules::Rules;
use crate::registry::settings::{HostSettings, Settings};

/// Redirects followed in one exchange.
pub(in crate::registry) const MOST_HOPS: usize = 5;
/// Largest error body or token that is read.
pub(in crate::registry) const SMALL: u64 = 64 << 10;

/// Bytes a second, over the whole of a body, below which a peer is not waited for.
const SLOWEST: u64 = 1 << 10;

/// How a body came so far, by the time that was spent waiting for it alone.
#[derive(Default)]
pub(in crate::registry) struct Drip {
    waited: Duration,
    bytes: u64,
}

/// What belongs to one digest in one repository.
pub(in crate::registry) type ByDigest<T> = Mutex<HashMap<(String, Digest), T>>;

/// One question.
#[derive(Clone)]
pub(in crate::registry) struct Call {
    /// Method.
    pub method: Method,
    /// Address.
    pub url: Url,
    /// Headers, without `Authorization`.
    pub headers: HeaderMap,
    /// A small body, if any.
    pub body: Option<Bytes>,
    /// What the login must permit; `None`: asked without any.
    pub scopes: Option<Scopes>,
    /// What it is about, for errors.
    pub subject: String,
}

impl Call {
    /// A question without body.
    pub fn new(method: Method, url: Url, scopes: Scopes, subject: impl Into<String>) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: None, scopes: Some(scopes), subject: subject.into() }
    }

    /// A question that no login goes with, wherever it leads.
    pub fn without_login(method: Method, url: Url, subject: impl Into<String>) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: None, scopes: None, subject: subject.into() }
    }

    /// With a header; a value that cannot be one is left out (only our own texts come here).
    pub fn header(mut self, name: reqwest::header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }
}

/// Held by whoever finds something out.
type Turn = Arc<Mutex<()>>;

/// One registry.
pub(in crate::registry) struct Host {
    /// As references name it.
    pub name: String,
    pub engine: Arc<Engine>,
    pub settings: Arc<Settings>,
    /// What it wants differently.
    pub own: Arc<HostSettings>,
    /// What follows from both.
    pub rules: Rules,
    pub auth: Auth,
    pub pace: Pace,
    pub clients: Arc<Clients>,
    /// Upload sessions that a refused mount opened.
    pub sessions: ByDigest<Session>,
    /// The lists of referrers that this run has to do with, by repository and subject; each locked by whoever changes it.
    pub listings: Mutex<Listings>,
    /// Its first address that answered.
    pub base: Mutex<Option<Url>>,
    /// When all pings had failed, and how: a list of artifacts does not wait for each.
    pub down: Mutex<Option<(Duration, Error)>>,
    /// First parts of repositories' paths where no path leads to a list of referrers.
    pub no_referrers: Mutex<HashSet<String>>,
    /// Held by whoever finds out.
    pub finding_out: Turn,
    /// Certificates that were refused, by host, as a text.
    pub examined: Mutex<HashMap<String, String>>,
    /// Failures of HTTP/2.
    pub h2_failures: AtomicU32,
    /// HTTP/1.1 only, since HTTP/2 failed.
    pub old: AtomicBool,
    rates: Vec<Arc<Rate>>,
    warned: Mutex<HashSet<String>>,
}

impl Host {
    /// The registry that references name `name`. Asks nothing yet.
    pub fn new(name: &str, engine: Arc<Engine>, settings: Arc<Settings>, clients: Arc<Clients>) -> Result<Self, Error> {
        let own = clients.host(name)?;
        let rules = Rules::new(name, &settings, &own)?;
        let rates = settings.limits.of(name, rules.limit_rate);
        Ok(Self {
            name: name.to_owned(),
            pace: Pace::new(rules.concurrency.unwrap_or(engine.flow.jobs.max(8))),
            engine,
            settings,
            clients,
            own,
            rules,
            rates,
            auth: Auth::default(),
            base: Mutex::default(),
            down: Mutex::default(),
            warned: Mutex::default(),
            no_referrers: Mutex::default(),
            finding_out: Turn::default(),
            sessions: Mutex::default(),
            listings: Mutex::default(),
            examined: Mutex::default(),
            h2_failures: AtomicU32::default(),
            old: AtomicBool::default(),
        })
    }

    /// Waits for an answer, as one of those who may at this time.
    pub fn wait<F: Future>(&self, idle: Duration, future: F) -> Result<F::Output, Stop> {
        let _permit = self.pace.enter(&self.engine.flow).map_err(|_| Stop::Cancelled)?;
        self.engine.wait(idle, future)
    }

    /// Waits until `bytes` more may have gone.
    pub fn spend(&self, bytes: u64) -> Result<(), Error> {
        self.rates.iter().try_for_each(|rate| rate.take(&self.engine.flow, bytes))
    }

    /// The largest piece that a limit of the rate lets go at once.
    pub fn piece(&self) -> u64 {
        self.rates.iter().map(|rate| rate.piece()).min().unwrap_or(u64::MAX)
    }

    /// A failed wait as trouble.
    pub fn stopped(&self, subject: &str, stop: Stop) -> Trouble {
        match stop {
            Stop::Cancelled => Trouble::last(crate::flow::Cancelled.into()),
            Stop::Idle(time) => {
                retry::failed(format!("registry {}: {subject}: nothing came for {} s", self.name, time.as_secs()))
            }
        }
    }

    /// A new error about this registry.
    pub fn error(&self, kind: Kind, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("registry {}: {what}", self.name))
    }

    /// A client for an address; `trusted`: it was named as one that may have the login.
    pub fn client(&self, url: &Url, trusted: bool) -> Result<Client, Error> {
        let old = self.old.load(Ordering::Relaxed);
        if self.rules.is_home(url) {
            self.clients.home(&self.name, &self.own, url, old)
        } else {
            self.clients.elsewhere(url, trusted, old)
        }
    }

    /// One exchange: the call, and its redirects, where its method is one that may be sent again. The
    /// login goes to the registry's own origin, and once left out on a hop it never comes back.
    pub fn exchange(&self, call: &Call, authorization: Option<&HeaderValue>) -> Result<Response, Trouble> {
        let mut url = call.url.clone();
        let home = self.base()?;
        let mut authorization = authorization.filter(|_| origin::same(&home, &url));
        let reads = call.method == Method::GET || call.method == Method::HEAD;
        for _ in 0..=MOST_HOPS {
            self.pace.hold(&self.engine.flow)?;
            let mut request =
                self.client(&url, false)?.request(call.method.clone(), url.clone()).headers(call.headers.clone());
            if let Some(value) = authorization {
                request = request.header(AUTHORIZATION, value);
            }
            if let Some(body) = &call.body {
                self.spend(body.len() as u64)?;
                request = request.body(body.clone());
            }
            let response = self
                .wait(self.settings.idle, request.send())
                .map_err(|stop| self.stopped(&call.subject, stop))?
                .map_err(|error| self.broken(&url, &call.subject, &error))?;
            self.warn(response.headers());
            self.refused_by_proxy(&url, &call.subject, response.status())?;
            // The others turn a PUT into a GET.
            let follows = match response.status().as_u16() {
                307 | 308 => true,
                301..=303 => reads,
                _ => false,
            };
            let Some(location) = response.headers().get(LOCATION).filter(|_| follows) else { return Ok(response) };
            let next = self.hop(&url, location, &call.subject)?;
            if !origin::same(&url, &next) {
                authorization = None;
            }
            url = next;
        }
        Err(self.too_many_hops(&call.subject))
    }

    /// The end of a chain of redirects.
    pub fn too_many_hops(&self, subject: &str) -> Trouble {
        Trouble::last(self.error(Kind::Failed, format_args!("{subject}: more than {MOST_HOPS} redirects")))
    }

    /// Where a `Location` leads, if it may be followed.
    pub fn hop(&self, from: &Url, location: &HeaderValue, subject: &str) -> Result<Url, Error> {
        headers::hop(from, location.as_bytes())
            .map_err(|(kind, what)| self.error(kind, format_args!("{subject}: redirected to {what}")))
    }

    /// One try of a call: logs in where asked to, and once anew where a login no longer holds.
    pub fn send(&self, call: &Call) -> Result<Response, Trouble> {
        let response = match &call.scopes {
            None => self.exchange(call, None)?,
            Some(scopes) => {
                let authorization = self.authorization(scopes)?;
                let response = self.exchange(call, authorization.as_ref())?;
                if self.renew(&response, scopes, authorization.as_ref()) {
                    self.exchange(call, self.authorization(scopes)?.as_ref())?
                } else {
                    response
                }
            }
        };
        if retry::passes(response.status().as_u16()) {
            return Err(self.troubled(response, &call.subject));
        }
        self.pace.well(&self.engine.flow, &self.name);
        Ok(response)
    }

    /// A call whose body will be streamed; tried until it is answered.
    pub fn open(&self, call: &Call) -> Result<Response, Error> {
        let mut tries = self.tries();
        loop {
            match self.send(call) {
                Ok(response) => return Ok(response),
                Err(trouble) => tries.again(trouble)?,
            }
        }
    }

    /// A call with its whole answer, whose body may have `cap` bytes; tried until it is there.
    pub fn ask(&self, call: &Call, cap: u64) -> Result<Answer, Error> {
        let mut tries = self.tries();
        loop {
            let answer = self.send(call).and_then(|response| self.whole(response, cap, &call.subject));
            let answer = answer.and_then(|answer| self.plain(&answer, &call.subject).map(|()| answer));
            match answer {
                Ok(answer) => return Ok(answer),
                Err(trouble) => tries.again(trouble)?,
            }
        }
    }

    /// Reads an answer's body, at most `cap` bytes of a good one and [`SMALL`] of another.
    pub fn whole(&self, mut response: Response, cap: u64, subject: &str) -> Result<Answer, Trouble> {
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let good = status.is_success();
        let cap = if good { cap } else { SMALL };
        let mut body = BytesMut::new();
        let url = response.url().clone();
        let mut drip = Drip::default();
        loop {
            let chunk = self.chunk(&mut response, &mut drip, subject)?;
            match chunk {
                Ok(Some(chunk)) if (body.len() + chunk.len()) as u64 > cap => {
                    if good {
                        let what = format_args!("{subject}: expected at most {cap} bytes, found more");
                        return Err(Trouble::last(self.error(Kind::Mismatch, what)));
                    }
                    break;
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Err(error) if good => return Err(self.broken(&url, subject, &error)),
                // The end; of a refusal the status says enough.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }

    /// The next bytes of an answer, with their time and share of the rate.
    pub fn chunk(
        &self,
        response: &mut Response,
        drip: &mut Drip,
        subject: &str,
    ) -> Result<reqwest::Result<Option<Bytes>>, Trouble> {
        let permit = self.pace.enter(&self.engine.flow).map_err(|_| self.stopped(subject, Stop::Cancelled))?;
        let begun = self.engine.flow.clock().elapsed();
        let chunk = self.engine.wait(self.settings.idle, response.chunk());
        drop(permit);
        let chunk = chunk.map_err(|stop| self.stopped(subject, stop))?;
        drip.waited += self.engine.flow.clock().elapsed().saturating_sub(begun);
        if let Ok(Some(bytes)) = &chunk {
            drip.bytes += bytes.len() as u64;
            if drip.waited > self.settings.idle * 2 + Duration::from_secs(drip.bytes / SLOWEST) {
                let (bytes, waited) = (drip.bytes, drip.waited.as_secs());
                let what = format_args!("{subject}: {bytes} bytes in {waited} s, expected {SLOWEST} a second");
                return Err(Trouble::passing(self.error(Kind::Failed, what)));
            }
            self.spend(bytes.len() as u64)?;
        }
        Ok(chunk)
    }

    /// A status that may pass, as trouble; one that says that it is too much makes us slower.
    pub fn troubled(&self, response: Response, subject: &str) -> Trouble {
        let after = retry::retry_after(response.headers(), self.engine.flow.clock().unix());
        let status = response.status().as_u16();
        if status == 429 || (status == 503 && after.is_some()) {
            self.pace.slower(&self.engine.flow, &self.name, status, after);
        }
        match self.whole(response, SMALL, subject) {
            Ok(answer) => Trouble { error: self.refusal(&answer, subject), again: true, after },
            Err(trouble) => trouble,
        }
    }

    /// The error that an unexpected answer is; where our own rule kept a login back, it says so.
    pub fn refusal(&self, answer: &Answer, subject: &str) -> Error {
        let error = answer.refusal(&self.name, subject);
        match self.auth.withheld() {
            Some(realm) if error.kind == Kind::Denied => {
                let what = format!("{}; its token server is {realm}, which was given no login", error.what);
                Error::new(Kind::Policy, what).help(format!(
                    "if {realm} may have it, say so with --realm {}={realm}; another port is another server",
                    self.rules.login_host
                ))
            }
            _ => error,
        }
    }

    /// Shows each `Warning` once.
    pub fn warn(&self, headers: &HeaderMap) {
        for value in headers.get_all(reqwest::header::WARNING) {
            let Ok(text) = value.to_str() else { continue };
            let text = text
                .split_once('"')
                .map_or(text, |(_, quoted)| quoted.rsplit_once('"').map_or(quoted, |(text, _)| text));
            self.warn_once(text);
        }
    }

    /// Warns, once of each text.
    pub fn warn_once(&self, text: &str) {
        let mut warned = lock(&self.warned);
        // A server that warns of something new each time is not listened to for ever.
        if warned.len() < 100 && warned.insert(text.to_owned()) {
            self.engine.flow.warn(format!("registry {}: {}", self.name, escape(text)));
        }
    }

    /// The longest wait for the answer to a body of `size` bytes: a registry may hash and move it
    /// first, at 16 MiB a second at least.
    pub fn patience(&self, size: u64) -> Duration {
        self.settings.idle + Duration::from_secs(size >> 24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{FixedClock, Flow, Silent};

    #[test]
    fn hops_never_leave_tls_nor_carry_logins() {
        let settings = Arc::new(Settings::default());
        let clients = Arc::new(Clients::new(Arc::clone(&settings)).unwrap());
        let flow = Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), 1, 1);
        let engine = Arc::new(Engine::new(flow).unwrap());
        let host = Host::new("example.org", engine, settings, clients).unwrap();
        let hop = |from: &str, to: &str| {
            let location = HeaderValue::from_str(to).unwrap();
            host.hop(&Url::parse(from).unwrap(), &location, "blob")
                .map(|url| url.to_string())
                .map_err(|error| error.kind)
        };
        assert_eq!(hop("https://a/x", "/y?z=1"), Ok("https://a/y?z=1".to_owned()));
        assert_eq!(hop("http://a/x", "https://u:p@b/y"), Ok("https://b/y".to_owned()));
        assert_eq!(hop("http://a/x", "//b/y"), Ok("http://b/y".to_owned()));
        for to in ["http://a/x", "http://b/x", "ftp://a/x", "https://169.254.169.254/"] {
            assert_eq!(hop("https://a/x", to), Err(Kind::Policy), "{to}");
        }
        for to in ["file:///etc/passwd", "http://", "data:x"] {
            assert_eq!(hop("https://a/x", to), Err(Kind::Failed), "{to}");
        }
    }
}

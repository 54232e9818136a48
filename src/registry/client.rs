//! One registry: its endpoint, one exchange with redirects followed by hand, and whole questions
//! with logins and retries around it.
//!
//! The only file that hands an `Authorization` to an address, and only to the registry's own.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, Method, Response, StatusCode, Url};

use super::answer::{self, Answer, Fate};
use super::auth::{Auth, Scopes};
use super::engine::{Engine, Stop};
use super::origin;
use super::retry::{self, Tries, Trouble};
use super::settings::Settings;
use crate::content::{Error, Kind};
use crate::fault::escape;
use crate::oci::{Digest, Repository};

/// Redirects followed in one exchange.
const MOST_HOPS: usize = 5;
/// How long a registry that did not answer counts as down without being asked again.
const DOWN_FOR: Duration = Duration::from_secs(30);
/// A whole answer, or the least piece of a blob, may take so many idle times.
const DRIPS: u32 = 20;
/// Largest error body or token that is read.
pub(super) const SMALL: u64 = 64 << 10;

/// What belongs to one digest in one repository.
pub(super) type ByDigest<T> = Mutex<HashMap<(String, Digest), T>>;

/// The HTTP clients of a run: one that checks certificates, one that does not.
pub(super) struct Clients {
    strict: Client,
    lax: Client,
}

/// One question.
#[derive(Clone)]
pub(super) struct Call {
    /// Method.
    pub method: Method,
    /// Address.
    pub url: Url,
    /// Headers, without `Authorization`.
    pub headers: HeaderMap,
    /// A small body, if any.
    pub body: Option<Bytes>,
    /// What the login must permit.
    pub scopes: Scopes,
    /// What it is about, for errors.
    pub subject: String,
}

impl Call {
    /// A question without body.
    pub fn new(method: Method, url: Url, scopes: Scopes, subject: impl Into<String>) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: None, scopes, subject: subject.into() }
    }

    /// With a header; a value that cannot be one is left out (only our own texts come here).
    pub fn header(mut self, name: reqwest::header::HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }
}

/// Held by whoever changes one fallback tag.
type Turn = Arc<Mutex<()>>;

/// One registry.
pub(super) struct Host {
    /// As references name it.
    pub name: String,
    pub engine: Arc<Engine>,
    pub settings: Arc<Settings>,
    pub auth: Auth,
    /// Upload sessions that a refused mount opened.
    pub sessions: ByDigest<Url>,
    /// One lock a fallback tag.
    pub fallbacks: ByDigest<Turn>,
    clients: Arc<Clients>,
    base: Mutex<Option<Url>>,
    /// When all pings had failed, and how: a list of artifacts does not wait for each.
    down: Mutex<Option<(Duration, Error)>>,
    warned: Mutex<HashSet<String>>,
}

/// The lock's content; a panic elsewhere leaves nothing half done here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clients {
    /// Builds both.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let mut roots = Vec::new();
        for pem in &settings.ca {
            let found = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
            if found.is_empty() {
                return Err(Error::new(Kind::Policy, "CA file: expected PEM certificates, found none")
                    .help("give a file with BEGIN CERTIFICATE blocks to --ca"));
            }
            roots.extend(found);
        }
        let build = |lax: bool, own_only: bool| -> reqwest::Result<Client> {
            let mut builder = Client::builder()
                .user_agent(&settings.user_agent)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .connect_timeout(settings.connect)
                .http2_initial_stream_window_size(1 << 20)
                .no_proxy();
            let except = settings.proxies.except.as_deref().and_then(reqwest::NoProxy::from_string);
            if let Some(proxy) = &settings.proxies.https {
                builder = builder.proxy(reqwest::Proxy::https(proxy)?.no_proxy(except.clone()));
            }
            if let Some(proxy) = &settings.proxies.http {
                builder = builder.proxy(reqwest::Proxy::http(proxy)?.no_proxy(except));
            }
            builder = if own_only {
                builder.tls_certs_only(roots.iter().cloned())
            } else {
                builder.tls_certs_merge(roots.iter().cloned())
            };
            builder.tls_danger_accept_invalid_certs(lax).build()
        };
        // A machine without any system roots still has plain http and --ca.
        let strict = build(false, false).or_else(|_| build(false, true));
        let lax = build(true, false).or_else(|_| build(true, true));
        match (strict, lax) {
            (Ok(strict), Ok(lax)) => Ok(Self { strict, lax }),
            (Err(error), _) | (_, Err(error)) => {
                let text = escape(&error.without_url().to_string());
                Err(Error::new(Kind::Policy, format!("http client: {text}")).help("check --ca and the proxy settings"))
            }
        }
    }
}

impl Host {
    /// The registry that references name `name`. Asks nothing yet.
    pub fn new(name: &str, engine: Arc<Engine>, settings: Arc<Settings>, clients: Arc<Clients>) -> Self {
        Self {
            name: name.to_owned(),
            engine,
            settings,
            clients,
            auth: Auth::default(),
            base: Mutex::default(),
            down: Mutex::default(),
            warned: Mutex::default(),
            sessions: Mutex::default(),
            fallbacks: Mutex::default(),
        }
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

    /// A client for an address: only a host named insecure gets the one that checks nothing.
    pub fn client(&self, url: &Url) -> &Client {
        let authority = origin::authority(url);
        let lax =
            self.settings.insecure.iter().any(|host| *host == authority || *host == url.host_str().unwrap_or_default());
        if lax { &self.clients.lax } else { &self.clients.strict }
    }

    /// The address of `path` below a repository; the first call pings.
    pub fn at(&self, repository: &Repository, path: &str) -> Result<Url, Error> {
        let base = self.base()?;
        let text = format!("/v2/{}/{path}", repository.path());
        base.join(&text).map_err(|_| self.error(Kind::Refused, format_args!("{text:?} is not a path")))
    }

    /// Scheme, host and port, found by a ping on the first call.
    pub fn base(&self) -> Result<Url, Error> {
        let mut base = lock(&self.base);
        if let Some(known) = &*base {
            return Ok(known.clone());
        }
        let now = || self.engine.flow.clock().elapsed();
        let mut down = lock(&self.down);
        if let Some((since, error)) = &*down
            && now().saturating_sub(*since) < DOWN_FOR
        {
            return Err(error.clone());
        }
        let mut tries = Tries::new(&self.engine.flow, self.settings.retries);
        loop {
            match self.ping() {
                Ok(found) => return Ok(base.insert(found).clone()),
                Err(trouble) => {
                    tries.again(trouble).inspect_err(|error| *down = Some((now(), error.clone())))?;
                }
            }
        }
    }

    fn ping(&self) -> Result<Url, Trouble> {
        let named = self.settings.plain_http.contains(&self.name);
        let schemes: &[&str] = match (named, origin::is_loopback(&self.name)) {
            (true, _) => &["http"],
            (false, true) => &["https", "http"],
            (false, false) => &["https"],
        };
        for (index, scheme) in schemes.iter().enumerate() {
            let url = Url::parse(&format!("{scheme}://{}/v2/", origin::endpoint(&self.name)))
                .map_err(|_| self.error(Kind::Refused, "not a host name"))?;
            let sent = self.client(&url).get(url.clone()).send();
            let response =
                match self.engine.wait(self.settings.idle, sent).map_err(|stop| self.stopped("ping", stop))? {
                    Ok(response) => response,
                    Err(error) if index + 1 < schemes.len() && answer::fate(&error) == Fate::NotTls => continue,
                    Err(error) => return Err(answer::broken(&self.name, "ping", &error)),
                };
            self.warn(response.headers());
            if retry::passes(response.status().as_u16()) {
                return Err(self.troubled(response, "ping"));
            }
            if response.status() == StatusCode::UNAUTHORIZED {
                self.auth.learn(response.headers());
            }
            return Ok(url);
        }
        Err(retry::failed(format!("registry {}: no connection", self.name)))
    }

    /// One exchange: the call, and its redirects where it is a GET or HEAD. The login goes to the
    /// registry's own origin, and once left out on a hop it never comes back.
    pub fn exchange(&self, call: &Call, authorization: Option<&HeaderValue>) -> Result<Response, Trouble> {
        let mut url = call.url.clone();
        let home = self.base()?;
        let mut authorization = authorization.filter(|_| origin::same(&home, &url));
        for _ in 0..=MOST_HOPS {
            let mut request = self.client(&url).request(call.method.clone(), url.clone()).headers(call.headers.clone());
            if let Some(value) = authorization {
                request = request.header(AUTHORIZATION, value);
            }
            if let Some(body) = &call.body {
                request = request.body(body.clone());
            }
            let response = self
                .engine
                .wait(self.settings.idle, request.send())
                .map_err(|stop| self.stopped(&call.subject, stop))?
                .map_err(|error| answer::broken(&self.name, &call.subject, &error))?;
            self.warn(response.headers());
            let follows = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
                && (call.method == Method::GET || call.method == Method::HEAD);
            let Some(location) = response.headers().get(LOCATION).filter(|_| follows) else { return Ok(response) };
            let next = self.hop(&url, location, &call.subject)?;
            if !origin::same(&url, &next) {
                authorization = None;
            }
            url = next;
        }
        Err(Trouble::last(self.error(Kind::Failed, format_args!("{}: more than {MOST_HOPS} redirects", call.subject))))
    }

    /// Where a `Location` leads, if it may be followed.
    pub fn hop(&self, from: &Url, location: &HeaderValue, subject: &str) -> Result<Url, Error> {
        let wrong = |kind, what: &str| self.error(kind, format_args!("{subject}: redirected to {what}"));
        let next = location.to_str().ok().and_then(|text| from.join(text).ok());
        let Some(mut next) = next.filter(reqwest::Url::has_host) else {
            return Err(wrong(Kind::Failed, "something that is no address"));
        };
        // A login in an address would be sent as one.
        let _ = next.set_username("");
        let _ = next.set_password(None);
        match (from.scheme(), next.scheme()) {
            ("http", "http") | (_, "https") => {}
            _ => return Err(wrong(Kind::Policy, &format!("{} from https", escape(next.scheme())))),
        }
        if origin::is_forbidden(&next) {
            return Err(wrong(Kind::Policy, "a link-local or metadata address"));
        }
        Ok(next)
    }

    /// One try of a call: logs in where asked to, and once anew where a login no longer holds.
    pub fn send(&self, call: &Call) -> Result<Response, Trouble> {
        let mut authorization = self.authorization(&call.scopes)?;
        let mut response = self.exchange(call, authorization.as_ref())?;
        if self.renew(&response, &call.scopes, authorization.as_ref()) {
            authorization = self.authorization(&call.scopes)?;
            response = self.exchange(call, authorization.as_ref())?;
        }
        if retry::passes(response.status().as_u16()) {
            return Err(self.troubled(response, &call.subject));
        }
        Ok(response)
    }

    /// A call whose body will be streamed; tried until it is answered.
    pub fn open(&self, call: &Call) -> Result<Response, Error> {
        let mut tries = Tries::new(&self.engine.flow, self.settings.retries);
        loop {
            match self.send(call) {
                Ok(response) => return Ok(response),
                Err(trouble) => tries.again(trouble)?,
            }
        }
    }

    /// A call with its whole answer, whose body may have `cap` bytes; tried until it is there.
    pub fn ask(&self, call: &Call, cap: u64) -> Result<Answer, Error> {
        let mut tries = Tries::new(&self.engine.flow, self.settings.retries);
        loop {
            match self.send(call).and_then(|response| self.whole(response, cap, &call.subject)) {
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
        let begun = self.engine.flow.clock().elapsed();
        loop {
            // Idle never, and never at its end either.
            if self.is_dripping(begun) {
                return Err(retry::failed(format!(
                    "registry {}: {subject}: expected the whole answer within {} s, found {} bytes",
                    self.name,
                    self.patience_for_an_answer().as_secs(),
                    body.len()
                )));
            }
            let chunk =
                self.engine.wait(self.settings.idle, response.chunk()).map_err(|stop| self.stopped(subject, stop))?;
            match chunk {
                Ok(Some(chunk)) if (body.len() + chunk.len()) as u64 > cap => {
                    if good {
                        let what = format_args!("{subject}: expected at most {cap} bytes, found more");
                        return Err(Trouble::last(self.error(Kind::Mismatch, what)));
                    }
                    break;
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Err(error) if good => return Err(answer::broken(&self.name, subject, &error)),
                // The end; of a refusal the status says enough.
                Ok(None) | Err(_) => break,
            }
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }

    fn patience_for_an_answer(&self) -> Duration {
        self.settings.idle.saturating_mul(DRIPS)
    }

    /// Whether something that began at `begun` takes longer than any honest server does.
    pub fn is_dripping(&self, begun: Duration) -> bool {
        self.engine.flow.clock().elapsed().saturating_sub(begun) > self.patience_for_an_answer()
    }

    /// A status that may pass, as trouble.
    pub fn troubled(&self, response: Response, subject: &str) -> Trouble {
        let after = retry::retry_after(response.headers(), self.engine.flow.clock().unix());
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
                Error::new(Kind::Policy, what)
                    .help(format!("if {realm} may have it, say so with --realm {}={realm}", self.name))
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
            let mut warned = lock(&self.warned);
            // A server that warns of something new each time is not listened to for ever.
            if warned.len() < 100 && warned.insert(text.to_owned()) {
                self.engine.flow.warn(format!("registry {}: {}", self.name, escape(text)));
            }
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
    use crate::flow::{Clock, Flow, Silent};

    struct Still;

    impl Clock for Still {
        fn unix(&self) -> i64 {
            0
        }
        fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
        fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn hops_never_leave_tls_nor_carry_logins() {
        let settings = Settings::default();
        let clients = Arc::new(Clients::new(&settings).unwrap());
        let flow = Flow::new(Arc::new(Silent), Arc::new(Still), 1, 1);
        let host = Host::new("example.org", Arc::new(Engine::new(flow).unwrap()), Arc::new(settings), clients);
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

//! HTTP exchanges with one registry, with explicit handling of redirects.
//!
//! Sends an `Authorization` only to the registry's own address. Callers provide the login and
//! decide whether to retry.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, Url};

use super::headers::{self, Challenge};
use super::health::Health;
use super::request::{Authorization, Request};
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::Flow;
use crate::network::clients::Clients;
use crate::network::fate::Fate;
use crate::network::origin;
use crate::network::pace::Pace;
use crate::network::rate::Rate;
use crate::network::retry::{self, Trouble};
use crate::network::runtime::{Runtime, Stop};
use crate::network::settings::HostSettings;
use crate::registry::rules::Rules;
use crate::registry::settings::Settings;

/// Maximum number of redirects followed in one exchange.
pub(in crate::registry) const MOST_HOPS: usize = 5;

/// HTTP state of one registry: its settings, and what is known about its server.
pub(in crate::registry) struct Http {
    /// Name of the registry in references.
    pub name: String,
    pub runtime: Arc<Runtime>,
    pub settings: Arc<Settings>,
    /// Settings of this registry.
    pub own: Arc<HostSettings>,
    /// Rules that follow from `settings` and `own`.
    pub rules: Rules,
    pub pace: Pace,
    /// Whether it answers.
    pub health: Health,
    pub clients: Arc<Clients>,
    /// The first address that answered.
    pub base: Mutex<Option<Url>>,
    /// Time and error of the last failed ping with all its retries, so that not every artifact
    /// waits for it again.
    pub down: Mutex<Option<(Duration, Error)>>,
    /// Descriptions of refused certificates, by host.
    pub examined: Mutex<HashMap<String, String>>,
    /// Reasons, if found, why connections were closed as soon as they were made, by host.
    pub alerts: Mutex<HashMap<String, Option<(Fate, String)>>>,
    /// Number of HTTP/2 failures.
    pub h2_failures: AtomicU32,
    /// Whether to use only HTTP/1.1, because HTTP/2 failed.
    pub old: AtomicBool,
    /// Authentication that the registry asks for.
    challenge: Mutex<Option<Challenge>>,
    rates: Vec<Arc<Rate>>,
    warned: Mutex<HashSet<String>>,
}

impl Http {
    /// Makes the client for the registry that is called `name` in references. Does not connect yet.
    pub fn new(
        name: &str,
        runtime: Arc<Runtime>,
        settings: Arc<Settings>,
        clients: Arc<Clients>,
    ) -> Result<Self, Error> {
        let own = clients.host(name)?;
        let rules = Rules::new(name, &settings, &own, &(settings.homes)(name))?;
        let rates = settings.limits.of(name, rules.limit_rate);
        Ok(Self {
            name: name.to_owned(),
            pace: Pace::new(rules.concurrency.unwrap_or(runtime.flow.jobs.max(8))),
            health: Health::default(),
            runtime,
            settings,
            clients,
            own,
            rules,
            rates,
            base: Mutex::default(),
            challenge: Mutex::default(),
            down: Mutex::default(),
            warned: Mutex::default(),
            examined: Mutex::default(),
            alerts: Mutex::default(),
            h2_failures: AtomicU32::default(),
            old: AtomicBool::default(),
        })
    }

    /// Returns the flow of the run.
    pub fn flow(&self) -> &Flow {
        &self.runtime.flow
    }

    /// Waits for a permit for this registry, then for `future`, for at most `idle`.
    pub fn wait<F: Future>(&self, idle: Duration, future: F) -> Result<F::Output, Stop> {
        let _permit = self.pace.enter(self.flow()).map_err(|_| Stop::Cancelled)?;
        self.runtime.wait(idle, future)
    }

    /// Waits until the rate limits allow `bytes` more.
    pub fn spend(&self, bytes: u64) -> Result<(), Error> {
        self.rates.iter().try_for_each(|rate| rate.take(self.flow(), bytes))
    }

    /// Returns the size of the largest piece to send at once under the rate limits.
    pub fn piece(&self) -> u64 {
        self.rates.iter().map(|rate| rate.piece()).min().unwrap_or(u64::MAX)
    }

    /// Notes an answer as it should be: more may be asked at once, and tries are worth it.
    pub fn well(&self) {
        self.pace.well(self.flow(), &self.name);
        self.health.well();
    }

    /// Converts a failed wait to [`Trouble`].
    pub fn stopped(&self, subject: &str, stop: Stop) -> Trouble {
        match stop {
            Stop::Cancelled => Trouble::last(crate::flow::Cancelled.into()),
            Stop::Idle(time) => {
                retry::failed(format!("registry {}: {subject}: no data for {} s", self.name, time.as_secs()))
            }
        }
    }

    /// Makes an error with the name of this registry.
    pub fn error(&self, kind: Kind, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("registry {}: {what}", self.name))
    }

    /// Returns the client for an address. `trusted` means that the settings allow it to receive the
    /// login.
    pub fn client(&self, url: &Url, trusted: bool) -> Result<Client, Error> {
        let old = self.old.load(Ordering::Relaxed);
        if self.rules.is_home(url) {
            self.clients.home(&self.name, &self.own, url, old)
        } else {
            self.clients.elsewhere(url, trusted, old)
        }
    }

    /// Sends one request and follows its redirects: 307 and 308 for any method, 301 to 303 only for
    /// GET and HEAD. Sends the login only to the registry's own origin, and no longer after a hop
    /// to another origin.
    pub fn exchange(&self, request: &Request, authorization: Option<&Authorization>) -> Result<Response, Trouble> {
        let mut url = request.url.clone();
        let mut login = authorization.and_then(|authorization| authorization.at(&url));
        let reads = request.method == Method::GET || request.method == Method::HEAD;
        for _ in 0..=MOST_HOPS {
            self.admit()?;
            let mut built =
                self.client(&url, false)?.request(request.method.clone(), url.clone()).headers(request.headers.clone());
            if let Some(value) = login {
                built = built.header(AUTHORIZATION, value);
            }
            if let Some(body) = &request.body {
                self.spend(body.len() as u64)?;
                built = built.body(body.clone());
            }
            let response = self
                .wait(self.settings.clients.idle, built.send())
                .map_err(|stop| self.stopped(&request.subject, stop))?
                .map_err(|error| self.broken(&url, &request.subject, &error))?;
            self.warn(response.headers());
            self.refused_by_proxy(&url, &request.subject, response.status())?;
            // 301 to 303 would turn a PUT into a GET.
            let follows = match response.status().as_u16() {
                307 | 308 => true,
                301..=303 => reads,
                _ => false,
            };
            let Some(location) = response.headers().get(LOCATION).filter(|_| follows) else { return Ok(response) };
            let next = self.hop(&url, location, &request.subject)?;
            if !origin::same(&url, &next) {
                login = None;
            }
            url = next;
        }
        Err(self.too_many_hops(&request.subject))
    }

    /// Returns the error for too many redirects.
    pub fn too_many_hops(&self, subject: &str) -> Trouble {
        Trouble::last(self.error(Kind::Failed, format_args!("{subject}: more than {MOST_HOPS} redirects")))
    }

    /// Resolves the `Location` of a redirect, if it may be followed.
    pub fn hop(&self, from: &Url, location: &HeaderValue, subject: &str) -> Result<Url, Error> {
        headers::hop(from, location.as_bytes()).map_err(|refused| self.misnamed(subject, "Location", refused))
    }

    /// Resolves the `Location` of an upload session, if it may be followed.
    pub fn session(&self, from: &Url, location: &HeaderValue, subject: &str) -> Result<Url, Error> {
        headers::session(from, location.as_bytes()).map_err(|refused| self.misnamed(subject, "Location", refused))
    }

    /// Returns the error for an address in `header` that is not followed.
    pub fn misnamed(&self, subject: &str, header: &str, (kind, what): (Kind, String)) -> Error {
        self.error(kind, format_args!("{subject}: the registry named {what}, in {header}")).help(format!(
            "if a proxy is in front of {}, let it set Host and X-Forwarded-Proto, or set the registry's own address (http.host)",
            self.name
        ))
    }

    /// Stores the best challenge of a 401, if it has one: Bearer before Basic.
    pub fn learn(&self, headers: &HeaderMap) {
        let found = headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .fold(None, |best, next| match (best, next) {
                (Some(bearer @ Challenge::Bearer { .. }), _) => Some(bearer),
                (_, next) => Some(next),
            });
        if found.is_some() {
            *lock(&self.challenge) = found;
        }
    }

    /// Returns the challenge of the registry, if it has sent one.
    pub fn challenge(&self) -> Option<Challenge> {
        lock(&self.challenge).clone()
    }

    /// Reports each `Warning` header once.
    pub fn warn(&self, headers: &HeaderMap) {
        for value in headers.get_all(reqwest::header::WARNING) {
            let Ok(text) = value.to_str() else { continue };
            let text = text
                .split_once('"')
                .map_or(text, |(_, quoted)| quoted.rsplit_once('"').map_or(quoted, |(text, _)| text));
            self.warn_once(text);
        }
    }

    /// Emits a warning, once for each text.
    pub fn warn_once(&self, text: &str) {
        let mut warned = lock(&self.warned);
        // Limits the warnings of a server that sends a new text each time.
        if warned.len() < 100 && warned.insert(text.to_owned()) {
            self.flow().warn(format!("registry {}: {}", self.name, escape(text)));
        }
    }

    /// Returns the maximum time to wait for the response to a body of `size` bytes. The registry
    /// may first hash and move it, at 16 MiB per second or faster.
    pub fn patience(&self, size: u64) -> Duration {
        self.settings.clients.idle + Duration::from_secs(size >> 24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{FixedClock, Silent};

    fn http() -> Http {
        let settings = Arc::new(Settings::default());
        let clients = Arc::new(Clients::new(Arc::clone(&settings.clients)).unwrap());
        let flow = Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), 1, 1);
        Http::new("example.org", Arc::new(Runtime::new(flow).unwrap()), settings, clients).unwrap()
    }

    #[test]
    fn the_first_bearer_of_several_headers_wins() {
        let http = http();
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"x\""));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"https://one/\""));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"https://two/\""));
        http.learn(&headers);
        let Some(Challenge::Bearer { realm, .. }) = http.challenge() else { panic!() };
        assert_eq!(realm.as_str(), "https://one/");
    }

    #[test]
    fn hops_never_leave_tls_nor_carry_logins() {
        let http = http();
        let hop = |from: &str, to: &str| {
            let location = HeaderValue::from_str(to).unwrap();
            http.hop(&Url::parse(from).unwrap(), &location, "blob")
                .map(|url| url.to_string())
                .map_err(|error| error.class)
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

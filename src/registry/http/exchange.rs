//! One registry as HTTP sees it: one exchange, with redirects followed by hand.
//!
//! The only file that hands an `Authorization` to an address, and only to the registry's own. What a login is, and whether
//! another try may do, is decided above.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, Url};

use super::clients::Clients;
use super::fate::Fate;
use super::headers::{self, Challenge};
use super::health::Health;
use super::origin;
use super::pace::Pace;
use super::rate::Rate;
use super::request::{Authorization, Request};
use super::retry::{self, Trouble};
use super::runtime::{Runtime, Stop};
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::Flow;
use crate::registry::rules::Rules;
use crate::registry::settings::{HostSettings, Settings};

/// Redirects followed in one exchange.
pub(in crate::registry) const MOST_HOPS: usize = 5;

/// One registry as HTTP sees it: what is known of its server, and how it is asked.
pub(in crate::registry) struct Http {
    /// As references name it.
    pub name: String,
    pub runtime: Arc<Runtime>,
    pub settings: Arc<Settings>,
    /// What it wants differently.
    pub own: Arc<HostSettings>,
    /// What follows from both.
    pub rules: Rules,
    pub pace: Pace,
    /// Whether it answers.
    pub health: Health,
    pub clients: Arc<Clients>,
    /// Its first address that answered.
    pub base: Mutex<Option<Url>>,
    /// When all pings had failed, and how: a list of artifacts does not wait for each.
    pub down: Mutex<Option<(Duration, Error)>>,
    /// Certificates that were refused, by host, as a text.
    pub examined: Mutex<HashMap<String, String>>,
    /// Why connections were closed as soon as they were made, by host, where that could be found out.
    pub alerts: Mutex<HashMap<String, Option<(Fate, String)>>>,
    /// Failures of HTTP/2.
    pub h2_failures: AtomicU32,
    /// HTTP/1.1 only, since HTTP/2 failed.
    pub old: AtomicBool,
    /// How it wants to be logged in at.
    challenge: Mutex<Option<Challenge>>,
    rates: Vec<Arc<Rate>>,
    warned: Mutex<HashSet<String>>,
}

impl Http {
    /// Makes the client of the registry that references name `name`. Asks nothing yet.
    pub fn new(
        name: &str,
        runtime: Arc<Runtime>,
        settings: Arc<Settings>,
        clients: Arc<Clients>,
    ) -> Result<Self, Error> {
        let own = clients.host(name)?;
        let rules = Rules::new(name, &settings, &own)?;
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

    /// Waits for an answer, when this registry may be asked once more.
    pub fn wait<F: Future>(&self, idle: Duration, future: F) -> Result<F::Output, Stop> {
        let _permit = self.pace.enter(self.flow()).map_err(|_| Stop::Cancelled)?;
        self.runtime.wait(idle, future)
    }

    /// Waits until the limits of the rate admit `bytes` more.
    pub fn spend(&self, bytes: u64) -> Result<(), Error> {
        self.rates.iter().try_for_each(|rate| rate.take(self.flow(), bytes))
    }

    /// Returns the largest piece that the limits of the rate admit at once.
    pub fn piece(&self) -> u64 {
        self.rates.iter().map(|rate| rate.piece()).min().unwrap_or(u64::MAX)
    }

    /// Notes an answer as it should be: more may be asked at once, and tries are worth it.
    pub fn well(&self) {
        self.pace.well(self.flow(), &self.name);
        self.health.well();
    }

    /// Turns a failed wait into trouble.
    pub fn stopped(&self, subject: &str, stop: Stop) -> Trouble {
        match stop {
            Stop::Cancelled => Trouble::last(crate::flow::Cancelled.into()),
            Stop::Idle(time) => {
                retry::failed(format!("registry {}: {subject}: nothing came for {} s", self.name, time.as_secs()))
            }
        }
    }

    /// Makes an error about this registry.
    pub fn error(&self, kind: Kind, what: impl std::fmt::Display) -> Error {
        Error::new(kind, format!("registry {}: {what}", self.name))
    }

    /// Returns the client for an address; `trusted`: it was named as one that may have the login.
    pub fn client(&self, url: &Url, trusted: bool) -> Result<Client, Error> {
        let old = self.old.load(Ordering::Relaxed);
        if self.rules.is_home(url) {
            self.clients.home(&self.name, &self.own, url, old)
        } else {
            self.clients.elsewhere(url, trusted, old)
        }
    }

    /// Sends one request and follows its redirects, where its method is one that may be sent again. The
    /// login goes to the registry's own origin, and once left out on a hop it never comes back.
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
                .wait(self.settings.idle, built.send())
                .map_err(|stop| self.stopped(&request.subject, stop))?
                .map_err(|error| self.broken(&url, &request.subject, &error))?;
            self.warn(response.headers());
            self.refused_by_proxy(&url, &request.subject, response.status())?;
            // The others turn a PUT into a GET.
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

    /// Returns where a `Location` leads, if it may be followed.
    pub fn hop(&self, from: &Url, location: &HeaderValue, subject: &str) -> Result<Url, Error> {
        headers::hop(from, location.as_bytes())
            .map_err(|(kind, what)| self.error(kind, format_args!("{subject}: redirected to {what}")))
    }

    /// Takes over the best challenge of a 401, if it has one: Bearer before Basic.
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

    /// Returns how the registry has asked for a login, if it has.
    pub fn challenge(&self) -> Option<Challenge> {
        lock(&self.challenge).clone()
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
            self.flow().warn(format!("registry {}: {}", self.name, escape(text)));
        }
    }

    /// Returns the longest wait for the answer to a body of `size` bytes: a registry may hash and move it
    /// first, at 16 MiB a second at least.
    pub fn patience(&self, size: u64) -> Duration {
        self.settings.idle + Duration::from_secs(size >> 24)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{FixedClock, Silent};

    fn http() -> Http {
        let settings = Arc::new(Settings::default());
        let clients = Arc::new(Clients::new(Arc::clone(&settings)).unwrap());
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

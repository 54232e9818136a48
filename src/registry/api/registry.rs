//! One registry: sends calls, with logins and retries.
//!
//! Does not know the calls of the distribution protocol; the other files of this module make them.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use reqwest::{Response, StatusCode, Url};

use super::call::Call;
use super::listing::Listings;
use super::session::{Kept, Session};
use super::ways::Ways;
use crate::base::fault::Reason;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::network::clients::Clients;
use crate::network::retry::{self, Trouble};
use crate::network::runtime::Runtime;
use crate::oci::{Descriptor, Digest, Repository};
use crate::registry::auth::authorization::Auth;
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::exchange::Http;
use crate::registry::http::response::Answer;
use crate::registry::settings::Settings;

/// One registry.
pub(in crate::registry) struct Registry {
    /// HTTP state.
    pub http: Http,
    /// Logins and tokens.
    pub auth: Auth,
    /// Upload sessions opened by refused mounts, by repository path and blob digest.
    pub sessions: Mutex<HashMap<(String, Digest), Session>>,
    /// Upload sessions opened to check the rights of the login, by repository: the first upload
    /// there uses them.
    pub kept: Mutex<HashMap<Repository, Kept>>,
    /// Paths of repositories that the registry said it did not have, or without any tag.
    pub fresh: Mutex<HashSet<String>>,
    /// Whether it refused a mount of a repository's blob into the same repository.
    pub no_own_mounts: AtomicBool,
    /// Blobs that were asked for and missing, by path of the repository, until they are sent.
    pub missing: Mutex<HashSet<(String, Digest)>>,
    /// Lists of referrers that this run uses, by repository and subject; each is locked while it is
    /// changed.
    pub listings: Mutex<Listings>,
    /// First path components of repositories that have no referrers API.
    pub no_referrers: Mutex<HashSet<String>>,
    /// The ways of sending content that it accepted before.
    pub ways: Mutex<Ways>,
    /// Content that this run stored by PUT: path of the repository, and the digest that the answer named.
    put: Mutex<HashSet<(String, Digest)>>,
    /// Whether the referrers API, or its absence, has answered in this run.
    pub referrers_answered: Mutex<bool>,
    /// Answers of the referrers API that were only used to find out whether there is one, by
    /// repository and subject.
    pub peeked: Mutex<HashMap<(Repository, Digest), Vec<Descriptor>>>,
}

impl Registry {
    /// Makes the client for the registry that is called `name` in references. Does not connect yet.
    pub fn new(
        name: &str,
        runtime: Arc<Runtime>,
        settings: Arc<Settings>,
        clients: Arc<Clients>,
    ) -> Result<Self, Error> {
        Ok(Self {
            http: Http::new(name, runtime, settings, clients)?,
            auth: Auth::default(),
            sessions: Mutex::default(),
            kept: Mutex::default(),
            fresh: Mutex::default(),
            no_own_mounts: AtomicBool::default(),
            missing: Mutex::default(),
            listings: Mutex::default(),
            no_referrers: Mutex::default(),
            ways: Mutex::default(),
            put: Mutex::default(),
            referrers_answered: Mutex::default(),
            peeked: Mutex::default(),
        })
    }

    /// Returns the address of `path` below a repository. The first call pings the registry.
    pub fn at(&self, repository: &Repository, path: &str) -> Result<Url, Error> {
        let base = self.http.base()?;
        let text = format!("/v2/{}{}/{path}", self.http.rules.prefix, repository.path());
        base.join(&text).map_err(|_| self.http.error(Kind::Refused, format_args!("{text:?} is not a valid path")))
    }

    /// Sends a call once, with a login if the registry asks for one. Sends it again if a login has
    /// expired.
    pub fn send(&self, call: &Call) -> Result<Response, Trouble> {
        let response = match &call.scopes {
            None => self.http.exchange(&call.request, None)?,
            Some(scopes) => {
                let authorization = self.auth.authorization(&self.http, scopes)?;
                let response = self.http.exchange(&call.request, authorization.as_ref())?;
                if self.auth.renew(&self.http, &response, scopes, authorization.as_ref()) {
                    self.send_again(call, scopes)?
                } else {
                    response
                }
            }
        };
        if retry::passes(response.status().as_u16()) {
            return Err(self.http.troubled(response, &call.request.subject));
        }
        self.http.well();
        Ok(response)
    }

    /// Sends a call with the login that a 401 asked for.
    fn send_again(&self, call: &Call, scopes: &Scopes) -> Result<Response, Trouble> {
        let authorization = self.auth.authorization(&self.http, scopes).inspect_err(|_| self.auth.narrow(scopes))?;
        let response = self.http.exchange(&call.request, authorization.as_ref())?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.auth.narrow(scopes);
        }
        Ok(response)
    }

    /// Sends a call once, only with a login that is known already, and ignores how it ends.
    pub fn send_aside(&self, call: &Call) {
        let Some(scopes) = &call.scopes else { return };
        if let Ok(authorization) = self.auth.authorization(&self.http, scopes) {
            let _ = self.http.exchange(&call.request, authorization.as_ref());
        }
    }

    /// Sends a call, with retries, until it is answered. The caller reads the body.
    pub fn open(&self, call: &Call) -> Result<Response, Error> {
        let mut tries = self.http.tries();
        loop {
            match self.send(call) {
                Ok(response) => return Ok(response),
                Err(trouble) => tries.again(trouble)?,
            }
        }
    }

    /// Sends a HEAD. `None` where it failed with anything but 404, which says little: servers and the storage that they
    /// redirect to may answer HEAD differently from GET, which is to be asked then.
    pub fn head(&self, call: &Call) -> Result<Option<Response>, Error> {
        let mut tries = self.http.tries();
        loop {
            match self.send(call) {
                Ok(response) if response.status().is_success() || response.status() == StatusCode::NOT_FOUND => {
                    return Ok(Some(response));
                }
                Ok(_) => return Ok(None),
                Err(Trouble { status: Some(status), .. }) if !retry::is_limit(status) => return Ok(None),
                Err(trouble) => tries.again(trouble)?,
            }
        }
    }

    /// Notes that the answer to a PUT named the digest of what was sent.
    pub fn note_put(&self, repository: &Repository, digest: Digest) {
        lock(&self.put).insert((repository.path().to_owned(), digest));
    }

    /// Returns whether the answer to a PUT of this run named the digest.
    pub fn was_put(&self, repository: &Repository, digest: Digest) -> bool {
        lock(&self.put).contains(&(repository.path().to_owned(), digest))
    }

    /// Returns the error of a read, with its reason where the registry refuses to give what it took in this run: some rule
    /// of its own (a scan, a quarantine) stands in the way.
    pub fn after_put(&self, repository: &Repository, digest: Digest, error: Error) -> Error {
        if matches!(error.class, Kind::Denied | Kind::Refused) && self.was_put(repository, digest) {
            return error.reason(Reason::Unreadable);
        }
        error
    }

    /// Sends a call, with retries, until it has the complete response, with a body of at most `cap`
    /// bytes.
    pub fn ask(&self, call: &Call, cap: u64) -> Result<Answer, Error> {
        let mut tries = self.http.tries();
        loop {
            let answer = self.send(call).and_then(|response| self.http.whole(response, cap, &call.request.subject));
            let answer = answer.and_then(|answer| self.http.plain(&answer, &call.request.subject).map(|()| answer));
            match answer {
                Ok(answer) => return Ok(answer),
                Err(trouble) => tries.again(trouble)?,
            }
        }
    }

    /// Returns the error for an unexpected response. Mentions a login that our own rule withheld.
    pub fn refusal(&self, answer: &Answer, subject: &str) -> Error {
        self.auth.refusal(&self.http, answer, subject)
    }
}

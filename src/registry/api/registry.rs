//! One registry: whole questions, with logins and retries.
//!
//! Knows no question of the distribution protocol; the files next to it ask them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use reqwest::{Response, StatusCode, Url};

use super::call::Call;
use super::listing::Listings;
use super::session::Session;
use super::ways::Ways;
use crate::base::fault::Reason;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::oci::{Digest, Repository};
use crate::registry::auth::authorization::Auth;
use crate::registry::http::clients::Clients;
use crate::registry::http::exchange::Http;
use crate::registry::http::response::Answer;
use crate::registry::http::retry::{self, Trouble};
use crate::registry::http::runtime::Runtime;
use crate::registry::settings::Settings;

/// One registry.
pub(in crate::registry) struct Registry {
    /// How requests are exchanged with it.
    pub http: Http,
    /// What is known of its logins.
    pub auth: Auth,
    /// Upload sessions that a refused mount opened, by path of the repository and digest of the blob.
    pub sessions: Mutex<HashMap<(String, Digest), Session>>,
    /// The lists of referrers that this run has to do with, by repository and subject; each locked by whoever changes it.
    pub listings: Mutex<Listings>,
    /// First parts of repositories' paths where no path leads to a list of referrers.
    pub no_referrers: Mutex<HashSet<String>>,
    /// Held by whoever finds out whether there are lists of referrers.
    pub finding_out: Mutex<()>,
    /// How content goes up here, as far as that is known.
    pub ways: Mutex<Ways>,
    /// What a PUT of this run stored, by path of the repository and the digest that its answer named.
    put: Mutex<HashSet<(String, Digest)>>,
}

impl Registry {
    /// Makes the client of the registry that references name `name`. Asks nothing yet.
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
            listings: Mutex::default(),
            no_referrers: Mutex::default(),
            finding_out: Mutex::default(),
            ways: Mutex::default(),
            put: Mutex::default(),
        })
    }

    /// Returns the address of `path` below a repository; the first call pings.
    pub fn at(&self, repository: &Repository, path: &str) -> Result<Url, Error> {
        let base = self.http.base()?;
        let text = format!("/v2/{}{}/{path}", self.http.rules.prefix, repository.path());
        base.join(&text).map_err(|_| self.http.error(Kind::Refused, format_args!("{text:?} is not a path")))
    }

    /// Sends a call once: logs in where asked to, and once more where a login no longer holds.
    pub fn send(&self, call: &Call) -> Result<Response, Trouble> {
        let response = match &call.scopes {
            None => self.http.exchange(&call.request, None)?,
            Some(scopes) => {
                let authorization = self.auth.authorization(&self.http, scopes)?;
                let response = self.http.exchange(&call.request, authorization.as_ref())?;
                if self.auth.renew(&self.http, &response, scopes, authorization.as_ref()) {
                    self.http.exchange(&call.request, self.auth.authorization(&self.http, scopes)?.as_ref())?
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

    /// Sends a call until it is answered; the body of the answer is read by the caller.
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
    /// redirect to answer HEAD otherwise than GET, which is then to be asked.
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

    /// Sends a call until its whole answer is there, whose body may have `cap` bytes.
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

    /// Returns the error for an unexpected answer; it says so where our own rule kept a login back.
    pub fn refusal(&self, answer: &Answer, subject: &str) -> Error {
        self.auth.refusal(&self.http, answer, subject)
    }
}

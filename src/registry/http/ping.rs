//! Finds the address of a registry: the first of its endpoints that answers.
//!
//! Tries https before http, and http only if it is allowed and the server does not speak TLS.

use std::time::Duration;

use reqwest::{StatusCode, Url};

use super::exchange::Http;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::network::fate::{Fate, look};
use crate::network::retry::{self, Trouble};

/// Time for which a registry that did not answer counts as down.
const DOWN_FOR: Duration = Duration::from_secs(30);

impl Http {
    /// Returns the registry's scheme, host and port. The first call finds them with a ping.
    pub fn base(&self) -> Result<Url, Error> {
        let mut base = lock(&self.base);
        if let Some(known) = &*base {
            return Ok(known.clone());
        }
        let now = || self.flow().clock().elapsed();
        let mut down = lock(&self.down);
        if let Some((since, error)) = &*down
            && now().saturating_sub(*since) < DOWN_FOR
        {
            return Err(error.clone());
        }
        let mut tries = self.tries();
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
        self.pace.hold(self.flow())?;
        for (index, endpoint) in self.rules.endpoints.iter().enumerate() {
            let url = endpoint.join("/v2/").map_err(|_| self.error(Kind::Refused, "not a host name"))?;
            let sent = self.client(&url, false)?.get(url.clone()).send();
            let response =
                match self.wait(self.settings.clients.idle, sent).map_err(|stop| self.stopped("ping", stop))? {
                    Ok(response) => response,
                    Err(error)
                        if index + 1 < self.rules.endpoints.len()
                            && matches!(look(&error).0, Fate::NotTls | Fate::HungUp) =>
                    {
                        continue;
                    }
                    Err(error) => return Err(self.broken(&url, "ping", &error)),
                };
            self.warn(response.headers());
            self.refused_by_proxy(&url, "ping", response.status())?;
            if retry::passes(response.status().as_u16()) {
                return Err(self.troubled(response, "ping"));
            }
            self.health.answered();
            if response.status() == StatusCode::UNAUTHORIZED {
                self.learn(response.headers());
            }
            return Ok(url);
        }
        Err(retry::failed(format!("registry {}: no connection", self.name)))
    }
}

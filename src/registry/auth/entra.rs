//! Exchanges the token of an identity in Microsoft's cloud for an identity token of the registry, as Azure Container
//! Registry does it: `POST /oauth2/exchange`, next to its token server.
//!
//! The caller has made sure that the token server may receive the login.

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::authorization::{Auth, Exchanged};
use super::form::form;
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::Kind;
use crate::network::origin;
use crate::network::retry::Trouble;
use crate::registry::http::exchange::Http;

/// Most exchanged tokens that are kept: one for each credential of a registry.
const MOST: usize = 16;

/// Answer of the exchange.
#[derive(Deserialize)]
struct Given {
    refresh_token: Option<String>,
}

impl Auth {
    /// Returns the registry's identity token for the token of an identity. Asks only once for each.
    pub(super) fn exchange(
        &self,
        http: &Http,
        realm: &Url,
        service: Option<&str>,
        token: &Zeroizing<String>,
    ) -> Result<Zeroizing<String>, Trouble> {
        // Locked while it is asked for: all transfers need the same answer.
        let mut known = lock(&self.exchanged);
        if let Some(known) = known.iter().find(|known| known.given == *token) {
            return Ok(known.got.clone());
        }
        let authority = escape(&origin::authority(realm));
        let subject = format!("exchange of the identity's token at {authority}");
        let wrong = |what: &str| Trouble::last(http.error(Kind::Failed, format_args!("{subject}: {what}")));
        let mut url = realm.clone();
        url.set_query(None);
        url.path_segments_mut().map_err(|()| wrong("expected an address"))?.pop().push("exchange");
        let body = form(&[
            ("grant_type", "access_token"),
            ("service", service.unwrap_or(&http.rules.login_host)),
            ("access_token", token),
        ]);
        let request = http
            .client(&url, true)?
            .request(Method::POST, url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.as_str().to_owned());
        let answer = self.ask(http, request, &url, &subject).map_err(|mut trouble| {
            match trouble.status {
                Some(404 | 405) => {
                    trouble.error.help = Some(
                        "identities log in only at Azure Container Registry; use another credential here".to_owned(),
                    );
                }
                Some(401 | 403) => {
                    trouble.error.help = Some(
                        "grant the identity AcrPull or AcrPush at the registry, and check its cloud and tenant"
                            .to_owned(),
                    );
                }
                _ => {}
            }
            trouble
        })?;
        let given: Given =
            serde_json::from_slice(&answer.body).map_err(|_| wrong("expected JSON, found something else"))?;
        let got = given.refresh_token.filter(|token| !token.is_empty()).map(Zeroizing::new);
        let got = got.ok_or_else(|| wrong("the answer holds no token"))?;
        http.settings.clients.secrets.token(&got);
        if known.len() >= MOST {
            known.remove(0);
        }
        known.push(Exchanged { given: token.clone(), got: got.clone() });
        Ok(got)
    }

    /// Forgets what the registry gave for a token, since it was refused.
    pub(super) fn forget(&self, token: &Zeroizing<String>) {
        lock(&self.exchanged).retain(|known| known.given != *token);
    }
}

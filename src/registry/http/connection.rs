//! Failed connections: the error to report, and fallbacks such as HTTP/1.1 for later requests.
//!
//! Reads a refused certificate over a connection that sends only `HEAD /v2/`. Never falls back to
//! plain http.

use std::sync::atomic::Ordering;

use reqwest::{StatusCode, Url};

use super::exchange::Http;
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::Kind;
use crate::flow::Event;
use crate::network::certificate;
use crate::network::fate::{Fate, look};
use crate::network::retry::Trouble;

/// Number of HTTP/2 failures after which a registry is contacted with HTTP/1.1.
const MOST_H2: u32 = 2;

impl Http {
    /// Converts a failed exchange with `url` to [`Trouble`].
    pub fn broken(&self, url: &Url, subject: &str, error: &reqwest::Error) -> Trouble {
        let (mut fate, mut text) = look(error);
        if fate == Fate::Closed
            && url.scheme() == "https"
            && let Some(alert) = self.alerted(url)
        {
            (fate, text) = alert;
        }
        let text = escape(&text);
        let failed = |what: std::fmt::Arguments<'_>| self.error(Kind::Failed, what);
        let place = if self.rules.is_home(url) { self.name.clone() } else { crate::network::origin::named(url) };
        // An address that is not the registry's own comes from a response or a descriptor.
        let is_named = place != self.name;
        let at = if is_named { format!(" at {}, which the registry named", escape(&place)) } else { String::new() };
        let named = || {
            format!(
                "check that {} can be reached from here; if it is the registry's own, inner address, let its proxy set Host and X-Forwarded-Proto, or set http.host",
                escape(&place)
            )
        };
        match fate {
            Fate::Never => Trouble::last(failed(format_args!("{subject}: {text}"))),
            Fate::Proxy { wants_login } => self.proxy_refused(url, subject, &text, wants_login),
            Fate::Certificate => {
                let seen = self.examined(url);
                let what = format_args!("expected a valid certificate{at}, found: {text}{seen}");
                Trouble::last(
                    failed(what).help(format!(
                        "give the CA that signed it with --ca FILE, or name the host in --insecure {place}"
                    )),
                )
            }
            Fate::Alert { wants_certificate } => {
                let help = if wants_certificate && self.own.client.is_none() {
                    format!("{place} asks for a client certificate: name one that it knows in its settings")
                } else {
                    format!("{place} must speak TLS 1.2 or later and accept our certificate")
                };
                Trouble::last(failed(format_args!("{subject}: TLS ended{at}: {text}")).help(help))
            }
            Fate::NotTls => {
                let failure = failed(format_args!("{subject}: no TLS{at}: {text}"));
                let plain = format!("if {place} speaks plain http, allow it with --plain-http {place}");
                Trouble::last(failure.help(if is_named { named() } else { plain }))
            }
            Fate::HungUp | Fate::Closed | Fate::Passing | Fate::Http2 { .. } => {
                if let Fate::Http2 { wants_http1 } = fate {
                    self.less_http2(&text, wants_http1);
                }
                let stage = if error.is_connect() { "no connection" } else { "connection lost" };
                let by = match self.clients.proxy(&self.own, url).filter(|_| error.is_connect()) {
                    Some(proxy) => format!(" through proxy {proxy}"),
                    None => String::new(),
                };
                let failure = failed(format_args!("{subject}: {stage}{at}{by}: {text}"));
                let own = || "check that the registry runs and can be reached from here".to_owned();
                Trouble::passing(failure.help(if is_named { named() } else { own() }))
            }
        }
    }

    fn proxy_refused(&self, url: &Url, subject: &str, text: &str, wants_login: bool) -> Trouble {
        let proxy = self.clients.proxy(&self.own, url).unwrap_or_else(|| "of the system".to_owned());
        let failure = self.error(Kind::Failed, format_args!("{subject}: proxy {proxy}: {text}")).help(if wants_login {
            format!("put the login for {proxy} into the proxy address")
        } else {
            format!("check {proxy}, or name the host in NO_PROXY")
        });
        if wants_login { Trouble::last(failure) } else { Trouble::passing(failure) }
    }

    /// Returns an error if a proxy refused the request (status 407) in place of the registry.
    pub fn refused_by_proxy(&self, url: &Url, subject: &str, status: StatusCode) -> Result<(), Trouble> {
        if status != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Ok(());
        }
        Err(self.proxy_refused(url, subject, "login refused or missing, status 407", true))
    }

    /// Switches to HTTP/1.1 if HTTP/2 fails repeatedly, or if the server asks for it.
    fn less_http2(&self, text: &str, wants_http1: bool) {
        let failures = self.h2_failures.fetch_add(1, Ordering::Relaxed) + 1;
        if (failures >= MOST_H2 || wants_http1) && !self.old.swap(true, Ordering::Relaxed) {
            self.flow().event(Event::Detail(format!(
                "registry {}: HTTP/2 fails ({}); continuing with HTTP/1.1",
                self.name,
                escape(text)
            )));
        }
    }

    /// Returns a description of the certificate at `url` for the error text; empty if it cannot be
    /// read. Looks only once per host.
    fn examined(&self, url: &Url) -> String {
        let key = crate::network::origin::authority(url);
        if let Some(known) = lock(&self.examined).get(&key) {
            return known.clone();
        }
        let seen = self.certificate_at(url).map_or_else(String::new, |names| {
            format!("; it is for {:?}, signed by {:?}", escape(&names.subject), escape(&names.issuer))
        });
        lock(&self.examined).insert(key, seen.clone());
        seen
    }

    /// Returns the TLS alert that explains a connection that was closed as soon as it was made:
    /// with TLS 1.3 a server refuses a missing client certificate only after the handshake. Looks
    /// only once per host.
    fn alerted(&self, url: &Url) -> Option<(Fate, String)> {
        let key = crate::network::origin::authority(url);
        if let Some(known) = lock(&self.alerts).get(&key) {
            return known.clone();
        }
        let asked = || {
            let url = url.join("/v2/").ok()?;
            let client = self.clients.looking(&self.name, &self.own, true).ok()?;
            let error = self.runtime.wait(self.settings.clients.idle, client.head(url).send()).ok()?.err()?;
            let (fate, text) = look(&error);
            matches!(fate, Fate::Alert { .. }).then_some((fate, text))
        };
        // If we have a certificate, this check, which presents none, would give a misleading alert.
        let alert = if self.own.client.is_none() { asked() } else { None };
        lock(&self.alerts).insert(key, alert.clone());
        alert
    }

    fn certificate_at(&self, url: &Url) -> Option<certificate::Names> {
        let url = url.join("/v2/").ok()?;
        let client = self.clients.looking(&self.name, &self.own, false).ok()?;
        let response = self.runtime.wait(self.settings.clients.idle, client.head(url).send()).ok()?.ok()?;
        let info = response.extensions().get::<reqwest::tls::TlsInfo>()?;
        certificate::names(info.peer_certificate()?)
    }
}

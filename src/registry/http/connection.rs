//! Connections that fail: whose fault it is, in words, and what is done otherwise from then on.
//!
//! A certificate that is refused is looked at, by a connection that sends nothing but `HEAD /v2/`.
//! Never turns to plain http by itself.

use std::error::Error as _;
use std::sync::atomic::Ordering;

use reqwest::{StatusCode, Url};

use super::certificate;
use super::exchange::Http;
use super::retry::Trouble;
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::Kind;
use crate::flow::Event;

/// Failures of HTTP/2 after which a registry is spoken to by HTTP/1.1.
const MOST_H2: u32 = 2;

/// What is wrong with a connection, for choosing what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Fate {
    /// The certificate is not accepted.
    Certificate,
    /// The other side ended TLS: its version, or our certificate.
    Alert,
    /// The other side does not speak TLS.
    NotTls,
    /// HTTP/2 broke.
    Http2,
    /// The proxy refused.
    Proxy,
    /// Anything else; may pass.
    Passing,
    /// The request cannot be made.
    Never,
}

/// The fate of a failed connection, and the innermost text of its error.
pub(in crate::registry) fn look(error: &reqwest::Error) -> (Fate, String) {
    let mut texts: Vec<String> = Vec::new();
    let mut broke = false;
    let mut cause = error.source();
    while let Some(one) = cause {
        if let Some(io) = one.downcast_ref::<std::io::Error>() {
            use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
            broke |= matches!(io.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted);
        }
        texts.push(one.to_string());
        cause = one.source();
    }
    let text = texts.last().cloned().filter(|text| !text.is_empty());
    let text = text.unwrap_or_else(|| if error.is_timeout() { "timed out" } else { "broke off" }.to_owned());
    if error.is_builder() {
        return (Fate::Never, text);
    }
    // rustls, hyper and h2 are not direct dependencies; these are the texts of their errors.
    let any = |parts: &[&str]| texts.iter().any(|text| parts.iter().any(|part| text.contains(part)));
    let fate = if any(&["tunnel error"]) {
        Fate::Proxy
    } else if any(&["peer certificate", "certificate not valid"]) {
        Fate::Certificate
    } else if any(&["fatal alert", "peer is incompatible"]) {
        Fate::Alert
    } else if any(&["corrupt message"]) || (error.is_connect() && broke) {
        Fate::NotTls
    } else if any(&["http2 error", "stream error", "connection error received", "connection error detected"]) {
        Fate::Http2
    } else {
        Fate::Passing
    };
    (fate, text)
}

impl Http {
    /// A failed exchange with `url` as trouble.
    pub fn broken(&self, url: &Url, subject: &str, error: &reqwest::Error) -> Trouble {
        let (mut fate, mut text) = look(error);
        if fate == Fate::Passing
            && url.scheme() == "https"
            && let Some(alert) = self.alerted(url, &text)
        {
            (fate, text) = (Fate::Alert, alert);
        }
        let text = escape(&text);
        let failed = |what: std::fmt::Arguments<'_>| self.error(Kind::Failed, what);
        let place = if self.rules.is_home(url) { self.name.clone() } else { super::origin::named(url) };
        let at = if place == self.name { String::new() } else { format!(" at {}", escape(&place)) };
        match fate {
            Fate::Never => Trouble::last(failed(format_args!("{subject}: {text}"))),
            Fate::Proxy => self.proxy_refused(url, subject, &text),
            Fate::Certificate => {
                let seen = self.examined(url);
                let what = format_args!("expected a certificate{at} that holds, found: {text}{seen}");
                Trouble::last(
                    failed(what).help(format!(
                        "give the CA that signed it with --ca FILE, or name the host in --insecure {place}"
                    )),
                )
            }
            Fate::Alert => {
                let wants_ours = ["CertificateRequired", "BadCertificate", "HandshakeFailure"]
                    .iter()
                    .any(|word| text.contains(word))
                    && self.own.client.is_none();
                let help = if wants_ours {
                    format!("{place} asks for a client certificate: name one that it knows in its settings")
                } else {
                    format!("{place} must speak TLS 1.2 or later and take our certificate")
                };
                Trouble::last(failed(format_args!("{subject}: TLS ended{at}: {text}")).help(help))
            }
            Fate::NotTls if text.contains("corrupt message") => {
                let failure = failed(format_args!("{subject}: no TLS{at}: {text}"));
                Trouble::last(failure.help(format!("if {place} speaks plain http, say so with --plain-http {place}")))
            }
            Fate::NotTls | Fate::Passing | Fate::Http2 => {
                if fate == Fate::Http2 {
                    self.less_http2(&text);
                }
                let stage = if error.is_connect() { "no connection" } else { "connection lost" };
                let by = match self.clients.proxy(&self.own, url).filter(|_| error.is_connect()) {
                    Some(proxy) => format!(" by proxy {proxy}"),
                    None => String::new(),
                };
                let failure = failed(format_args!("{subject}: {stage}{at}{by}: {text}"));
                Trouble::passing(failure.help("check that the registry runs and can be reached from here"))
            }
        }
    }

    fn proxy_refused(&self, url: &Url, subject: &str, text: &str) -> Trouble {
        let proxy = self.clients.proxy(&self.own, url).unwrap_or_else(|| "of the system".to_owned());
        let wants_login = text.contains("authorization required") || text.contains("407");
        let failure = self.error(Kind::Failed, format_args!("{subject}: proxy {proxy}: {text}")).help(if wants_login {
            format!("give {proxy} its login, in the proxy's address")
        } else {
            format!("check {proxy}, or name the host in NO_PROXY")
        });
        if wants_login { Trouble::last(failure) } else { Trouble::passing(failure) }
    }

    /// Whether a proxy answered in the registry's place; its refusal as trouble.
    pub fn refused_by_proxy(&self, url: &Url, subject: &str, status: StatusCode) -> Result<(), Trouble> {
        if status != StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Ok(());
        }
        Err(self.proxy_refused(url, subject, "login refused or missing, status 407"))
    }

    /// Goes on without HTTP/2 where it fails again, or where the other side says so.
    fn less_http2(&self, text: &str) {
        let failures = self.h2_failures.fetch_add(1, Ordering::Relaxed) + 1;
        let told = text.contains("HTTP/1.1") || text.contains("HTTP_1_1");
        if (failures >= MOST_H2 || told) && !self.old.swap(true, Ordering::Relaxed) {
            self.flow().event(Event::Detail(format!(
                "registry {}: HTTP/2 fails ({}); going on by HTTP/1.1",
                self.name,
                escape(text)
            )));
        }
    }

    /// What the certificate at `url` says of itself, for a text behind the refusal; empty where it
    /// cannot be had. Asked once.
    fn examined(&self, url: &Url) -> String {
        let key = super::origin::authority(url);
        if let Some(known) = lock(&self.examined).get(&key) {
            return known.clone();
        }
        let seen = self.certificate_at(url).map_or_else(String::new, |names| {
            format!("; it is for {:?}, signed by {:?}", escape(&names.subject), escape(&names.issuer))
        });
        lock(&self.examined).insert(key, seen.clone());
        seen
    }

    /// The alert behind a connection that was closed as soon as it was made: a server of TLS 1.3
    /// refuses our certificate, or that we have none, only after its handshake. Asked once.
    fn alerted(&self, url: &Url, text: &str) -> Option<String> {
        if !matches!(text, "channel closed" | "connection closed before message completed" | "connection closed") {
            return None;
        }
        let key = format!("alert of {}", super::origin::authority(url));
        if let Some(known) = lock(&self.examined).get(&key) {
            return Some(known.clone()).filter(|known| !known.is_empty());
        }
        let asked = || {
            let url = url.join("/v2/").ok()?;
            let client = self.clients.looking(&self.name, &self.own, true).ok()?;
            let error = self.runtime.wait(self.settings.idle, client.head(url).send()).ok()?.err()?;
            let (fate, text) = look(&error);
            (fate == Fate::Alert).then_some(text)
        };
        // With a certificate of ours it would say the same of our showing none.
        let alert = if self.own.client.is_none() { asked() } else { None };
        lock(&self.examined).insert(key, alert.clone().unwrap_or_default());
        alert
    }

    fn certificate_at(&self, url: &Url) -> Option<certificate::Names> {
        let url = url.join("/v2/").ok()?;
        let client = self.clients.looking(&self.name, &self.own, false).ok()?;
        let response = self.runtime.wait(self.settings.idle, client.head(url).send()).ok()?.ok()?;
        let info = response.extensions().get::<reqwest::tls::TlsInfo>()?;
        certificate::names(info.peer_certificate()?)
    }
}

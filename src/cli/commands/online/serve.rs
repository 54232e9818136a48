//! `serve`: serves layouts and bundles as one read-only registry.

use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::cli::access_log::AccessLog;
use crate::cli::args::carry::destination::Naming;
use crate::cli::args::carry::selectors::warn_of_names;
use crate::cli::args::place::Destination as Typed;
use crate::cli::args::trust::{Believed, Trust};
use crate::cli::output::Outcome;
use crate::cli::trusted_file;
use crate::decide::route::Place;
use crate::layout::Layout;
use crate::operate::freshness::Side;
use crate::operate::serve::{Bundled, Offered, Ready, Request};
use crate::serve::{Htpasswd, Settings, Tls};

/// Maximum size of a file of certificates, keys or logins, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// `serve BUNDLE|PLACE... [TRUST]`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to serve: oci:DIR, or a bundle as /DIR/NAME, ./DIR/NAME or bundle:DIR/NAME
    #[arg(required = true, value_name = "BUNDLE|PLACE")]
    places: Vec<OsString>,
    #[command(flatten)]
    trust: Trust,
    /// Address to listen on; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    listen: String,
    /// Certificate chain (PEM), for TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// File of users with bcrypt hashes, as `htpasswd -B` writes it
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,
    /// Serve everybody, also on an address that other machines reach
    #[arg(long, conflicts_with = "htpasswd")]
    anonymous: bool,
    #[command(flatten)]
    naming: Naming,
}

impl Args {
    /// Runs the command until a signal ends it.
    ///
    /// # Errors
    /// Class usage before any work; those of opening the bundles; class policy for names that
    /// collide; class io for an address that cannot be used; class cancelled after a signal.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let ready = self.ready(session)?;
        let ended = ready.run(&session.flow, None, &|| false);
        let (repositories, tags) = ready.counts();
        let result = json!({ "listen": ready.address(), "repositories": repositories, "tags": tags });
        Ok(match ended {
            Ok(()) => Outcome::new(String::new(), result),
            Err(fault) => Outcome::new(String::new(), result).failed(fault),
        })
    }

    /// Opens everything, binds the address and says so.
    fn ready(&self, session: &mut Session<'_>) -> Result<Ready, Fault> {
        let listen = self.address()?;
        let settings = self.settings(session)?;
        let route = self.naming.route(Place::Layout, self.naming.maps(session)?);
        let trust = self.trust.read(Side::Look, session)?;
        let offered = self.places.iter().map(|typed| open(typed, &trust, session)).collect::<Result<_, _>>()?;
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let log = Arc::new(AccessLog::new(session)?);
        let request = Request { offered, route, listen, settings, log: Arc::clone(&log) as _ };
        let ready = crate::operate::serve::bind(&session.flow, request)?;
        let (repositories, tags) = ready.counts();
        log.listening(&format!("{scheme}://{}", ready.address()), repositories, tags);
        Ok(ready)
    }

    /// Returns the address, which must be a loopback address unless users log in or everybody may
    /// read.
    fn address(&self) -> Result<SocketAddr, Fault> {
        let wrong = |found: &dyn std::fmt::Display| {
            Fault::usage(format!("--listen {}: {found}", self.listen), "write ADDRESS:PORT, such as 127.0.0.1:5000")
        };
        let all: Vec<SocketAddr> = self.listen.to_socket_addrs().map_err(|error| wrong(&error))?.collect();
        let first = all.first().copied().ok_or_else(|| wrong(&"expected an address, found none"))?;
        let is_open = self.htpasswd.is_some() || self.anonymous;
        if !is_open && !all.iter().all(|address| address.ip().is_loopback()) {
            let what = format!("--listen {}: other machines reach this address, and no login is asked for", self.listen);
            return Err(Fault::usage(what, "give --htpasswd FILE, or --anonymous to serve everybody"));
        }
        Ok(first)
    }

    fn settings(&self, session: &Session<'_>) -> Result<Settings, Fault> {
        let read = |path: &PathBuf, noun: &'static str, option: &'static str| {
            let kind = trusted_file::Kind { noun, option, most: MAX_FILE };
            trusted_file::read_bytes(&session.path(path), &kind, session.world)
        };
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(chain), Some(key)) => {
                let (chain, key) = (read(chain, "certificate", "--tls-cert")?, read(key, "key", "--tls-key")?);
                let wrong = |error: String| Fault::usage(error, "give a certificate chain and its own key, both in PEM");
                Some(Tls::new(&chain, &zeroize::Zeroizing::new(key)).map_err(wrong)?)
            }
            _ => None,
        };
        let users = match &self.htpasswd {
            None => None,
            Some(path) => {
                let kind = trusted_file::Kind { noun: "htpasswd", option: "--htpasswd", most: MAX_FILE };
                let text = trusted_file::read(&session.path(path), &kind, session.world)?;
                let users = Htpasswd::parse(&text).map_err(|error| {
                    Fault::usage(format!("htpasswd {}: {error}", path.display()), "write it with `htpasswd -B FILE USER`")
                })?;
                if tls.is_none() {
                    session.flow.warn("--htpasswd without --tls-cert: logins cross the network unencrypted");
                }
                Some(users)
            }
        };
        Ok(Settings { tls, users, threads: session.flow.cpus })
    }
}

fn open(typed: &OsStr, trust: &Believed, session: &Session<'_>) -> Result<Offered, Fault> {
    let text = &*typed.to_string_lossy();
    if text.starts_with(['/', '.']) || text.starts_with("bundle:") {
        let head = crate::cli::args::bundle::open(typed, session);
        let policy = trust.policy(head.as_ref())?;
        let bundle = Bundled { head: trust.with_signatures(head?), policy: &policy, checks_all: false };
        let offered = bundle.open(&session.flow)?;
        trust.order().warnings.iter().for_each(|text| session.flow.warn(text.as_str()));
        return Ok(offered);
    }
    match Typed::parse(text).map_err(|fault| fault.help("write oci:DIR for a layout, ./DIR/NAME for a bundle"))? {
        Typed::Layout(dir) => {
            let layout = Layout::open(&session.path(&dir))?.in_flow(&session.flow);
            warn_of_names(&layout, &dir, None, session);
            Ok(Offered { name: format!("oci:{}", dir.display()), source: Arc::new(layout), bundle: None })
        }
        Typed::Registry { .. } => Err(Fault::new(
            Class::Usage,
            format!("place {text}: expected oci:DIR or a bundle; registries are not served in this version"),
        )
        .help("copy it into a layout first: packmule copy … --to oci:DIR")),
    }
}

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
use crate::cli::args::carry::layout_source::warn_of_names;
use crate::cli::args::place::{Bundle, Destination as Typed};
use crate::cli::args::trust::{Believed, Trust};
use crate::cli::output::Outcome;
use crate::cli::trusted_file;
use crate::decide::route::Place;
use crate::layout::Layout;
use crate::operate::freshness::Side;
use crate::operate::serve::{Bundled, Directories, Offered, Ready, Request, Watched, bind, newest};
use crate::serve::{Htpasswd, Log, Settings, Tls};

/// Maximum size of a file of certificates, keys or logins, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// `serve BUNDLE|PLACE... [TRUST]`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Place to serve: oci:DIR, or a bundle as /DIR/NAME, ./DIR/NAME or bundle:DIR/NAME
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
        let log = Arc::new(AccessLog::new(session)?);
        let (ready, mut newer) = self.open(session, Arc::clone(&log) as _)?;
        let (repositories, tags) = ready.counts();
        log.listening(&self.url(ready.address()), repositories, tags);
        let ended = ready.run(&session.flow, Some(&mut newer), &|| false);
        let result = json!({ "listen": ready.address(), "repositories": repositories, "tags": tags });
        let outcome = Outcome::new(String::new(), result);
        Ok(match ended {
            Ok(()) => outcome,
            Err(fault) => outcome.failed(fault),
        })
    }

    /// Opens everything and binds the address. Returns the server, which does not run yet, and the
    /// directories to look at for something newer.
    ///
    /// # Errors
    /// Those of [`Args::run`], except for the last.
    pub fn open(&self, session: &Session<'_>, log: Arc<dyn Log>) -> Result<(Ready, Directories), Fault> {
        let listen = self.address()?;
        let settings = self.settings(session)?;
        let route = self.naming.route(Place::Bare, self.naming.maps(session)?);
        let trust = self.trust.read(Side::Look, session)?;
        let (mut offered, mut watched) = (Vec::new(), Vec::new());
        for (place, typed) in self.places.iter().enumerate() {
            let (one, directory) = open(typed, place, &trust, session)?;
            offered.push(one);
            watched.extend(directory);
        }
        let request = Request { offered: offered.clone(), route, listen, settings, log };
        Ok((bind(&session.flow, request)?, Directories::new(offered, watched)))
    }

    fn url(&self, address: SocketAddr) -> String {
        format!("{}://{address}", if self.tls_cert.is_some() { "https" } else { "http" })
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
            let what =
                format!("--listen {}: other machines reach this address, and no login is asked for", self.listen);
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
                let wrong =
                    |error: String| Fault::usage(error, "give a certificate chain and its own key, both in PEM");
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
                    Fault::usage(
                        format!("htpasswd {}: {error}", path.display()),
                        "write it with `htpasswd -B FILE USER`",
                    )
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

/// Opens one place. Returns also the directory to watch, if the place is one with bundles of a
/// channel.
fn open(
    typed: &OsStr,
    place: usize,
    trust: &Believed,
    session: &Session<'_>,
) -> Result<(Offered, Option<Watched>), Fault> {
    let text = &*typed.to_string_lossy();
    if text.starts_with(['/', '.']) || text.starts_with("bundle:") {
        return bundle(typed, place, trust, session);
    }
    match Typed::parse(text).map_err(|fault| fault.help("write oci:DIR for a layout, ./DIR/NAME for a bundle"))? {
        Typed::Layout(dir) => {
            let layout = Layout::open(&session.path(&dir))?.in_flow(&session.flow);
            warn_of_names(&layout, &dir, None, session);
            Ok((Offered { name: format!("oci:{}", dir.display()), source: Arc::new(layout), bundle: None }, None))
        }
        Typed::Registry { .. } => Err(Fault::new(
            Class::Usage,
            format!("place {text}: expected oci:DIR or a bundle; registries are not served in this version"),
        )
        .help("copy it into a layout first: packmule copy SELECTOR --to oci:DIR")),
    }
}

fn bundle(
    typed: &OsStr,
    place: usize,
    trust: &Believed,
    session: &Session<'_>,
) -> Result<(Offered, Option<Watched>), Fault> {
    let dir = match Bundle::parse(typed, |path| session.path(path))? {
        Bundle::In(dir) => Some(session.path(&dir)),
        _ => None,
    };
    // Of several bundles of one channel, the newest counts.
    let newest = dir.as_ref().and_then(|dir| newest(dir, None, None));
    let head = match newest {
        Some((head, _)) => Ok(head),
        None => crate::cli::args::bundle::open(typed, session),
    };
    let policy = trust.policy(head.as_ref())?;
    let head = trust.with_signatures(head?);
    let offered = Bundled { head, policy: &policy, checks_all: false }.open(&session.flow)?;
    let offered = offered.ok_or_else(|| Fault::new(Class::Bug, "a bundle that was not checked is incomplete"))?;
    trust.order().warnings.iter().for_each(|text| session.flow.warn(text.as_str()));
    let channel = offered.bundle.as_ref().and_then(|bundle| bundle.channel.clone());
    let watched = dir.zip(channel).zip(trust.for_more()).map(|((dir, channel), (policy, keeper))| {
        let (channel, epoch, sequence) = channel;
        Watched { dir, place, policy, keeper, channel, position: (epoch, sequence) }
    });
    Ok((offered, watched))
}

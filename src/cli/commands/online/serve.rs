//! `serve`: serves bundles, layouts and other registries as one read-only registry, and what rules cover as a cache.

use std::ffi::{OsStr, OsString};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::rule::warnings;
use crate::base::fault::{Class, Description, Fault, differs};
use crate::cli::Session;
use crate::cli::access_log::AccessLog;
use crate::cli::args::carry::destination::{Naming, fit_for_layout};
use crate::cli::args::carry::layout_source::warn_of_names;
use crate::cli::args::carry::size;
use crate::cli::args::container::is_container;
use crate::cli::args::place::{Bundle, Destination as Typed};
use crate::cli::args::trust::{Believed, Trust};
use crate::cli::network::config::Config;
use crate::cli::network::{Network, rule_sources, wanted_file};
use crate::cli::output::Outcome;
use crate::cli::reach::Reach;
use crate::cli::trusted_file;
use crate::decide::route::Place;
use crate::layout::Layout;
use crate::operate::freshness::Side;
use crate::operate::serve::{
    Bundled, Cache, Directories, Offered, Part, Ready, RegistryView, Request, Setup, Sources, Watched, WatchedLayout,
    WatchedRegistry, bind, newest,
};
use crate::serve::{Htpasswd, Log, Settings, Tls};

/// Maximum size of a file of certificates, keys or logins, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// `serve BUNDLE|PLACE... [TRUST]`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Place to serve: oci:DIR, a registry as HOST or HOST/PREFIX, or a bundle as /DIR/NAME, ./DIR/NAME,
    /// bundle:DIR/NAME or CONTAINER/NAME
    #[arg(required_unless_present_any = ["cache", "wanted_out"], value_name = "BUNDLE|PLACE")]
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
    /// Fetch what a [rule.N] of the configuration covers when it is pulled, and keep it in this layout
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Remove the least used content of the cache above this size
    #[arg(long, value_name = "SIZE", requires = "cache")]
    cache_size: Option<String>,
    /// Fetch nothing: list what a rule covers and is missing, for `export --wanted`
    #[arg(long, value_name = "FILE")]
    wanted_out: Option<PathBuf>,
    #[command(flatten)]
    naming: Naming,
    #[command(flatten)]
    network: Box<Network>,
}

impl Args {
    /// Runs the command until a signal ends it.
    ///
    /// # Errors
    /// Class usage before any work; those of opening the bundles; class policy for names that
    /// collide; class io for an address that cannot be used.
    pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> {
        let log = Arc::new(AccessLog::new(session)?);
        session.reach = Reach::of(&self.network);
        let (ready, mut newer) = self.open(session, Arc::clone(&log) as _)?;
        let (repositories, tags) = ready.counts();
        log.listening(&self.url(ready.address()), repositories, tags);
        let ended = ready.run(&session.flow, Some(&mut newer), &|| false);
        let result = json!({ "listen": ready.address(), "repositories": repositories, "tags": tags });
        let outcome = Outcome::new(String::new(), result);
        Ok(match ended {
            Ok(()) => outcome.stopped(),
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
        let config = self.config(session)?;
        let route = self.naming.route(Place::Bare, self.naming.maps_only(session)?);
        let trust = self.trust.read(Side::Look, session)?;
        let (mut offered, mut watched, mut layouts) = (Vec::new(), Vec::new(), Vec::new());
        let mut registries = Vec::new();
        for (place, typed) in self.places.iter().enumerate() {
            match open(typed, place, &trust, &self.network, session)? {
                Opened::Bundle(one, directory) => {
                    offered.push(one);
                    watched.extend(directory.map(|directory| *directory));
                }
                Opened::Layout(one, layout) => {
                    offered.push(one);
                    layouts.push(layout);
                }
                Opened::Registry(one, registry) => {
                    offered.push(one);
                    registries.push(registry);
                }
            }
        }
        let cache = config.map(|config| self.cache(&config, session)).transpose()?;
        let request = Request { offered: offered.clone(), route, listen, settings, cache, log };
        let ready = bind(&session.flow, request)?;
        Ok((ready, Directories::new(offered, watched, layouts).with_registries(registries)))
    }

    /// Reads the configuration, if there is something to do by rules.
    fn config(&self, session: &Session<'_>) -> Result<Option<Config>, Fault> {
        if self.cache.is_none() && self.wanted_out.is_none() {
            return Ok(None);
        }
        self.network.config.load(session.world).map(Some)
    }

    fn cache(&self, config: &Config, session: &Session<'_>) -> Result<Arc<Cache>, Fault> {
        let rules = config.rules()?;
        if rules.all().is_empty() {
            session.flow.warn("the configuration has no rules: nothing is fetched or listed");
        }
        let wanted = self.wanted_out.as_ref().map(|path| wanted_file::open(path, session)).transpose()?.map(Arc::new);
        let sources = match wanted {
            Some(_) => Sources::new(),
            None => {
                warnings(config, &rules).into_iter().for_each(|warning| session.flow.warn(warning));
                rule_sources::of_rules(&self.network, &rules, session)?
            }
        };
        let dir = self.cache.as_ref().map(|dir| session.path(dir));
        if let (Some(dir), Some(typed)) = (&dir, &self.cache) {
            fit_for_layout(dir, &typed.display().to_string(), session)?;
        }
        let most = self.cache_size.as_deref().map(size::parse).transpose()?;
        Cache::open(&session.flow, Setup { rules, sources, dir: dir.as_deref(), most, wanted })
    }

    fn url(&self, address: SocketAddr) -> String {
        format!("{}://{address}", if self.tls_cert.is_some() { "https" } else { "http" })
    }

    /// Returns the address, which must be a loopback address unless users log in or everybody may
    /// read.
    fn address(&self) -> Result<SocketAddr, Fault> {
        let wrong = |found: Description| {
            Fault::usage(
                found.within(format_args!("--listen {}", self.listen)),
                "write ADDRESS:PORT, such as 127.0.0.1:5000",
            )
        };
        let all: Vec<SocketAddr> =
            self.listen.to_socket_addrs().map_err(|error| wrong(error.to_string().into()))?.collect();
        let first = all.first().copied().ok_or_else(|| wrong(differs("", "an address", "none")))?;
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

/// An open place, with what to watch of it.
enum Opened {
    /// A bundle, and its directory if that is one with bundles of a channel.
    Bundle(Offered, Option<Box<Watched>>),
    Layout(Offered, WatchedLayout),
    Registry(Offered, WatchedRegistry),
}

/// Opens one place.
fn open(
    typed: &OsStr,
    place: usize,
    trust: &Believed,
    network: &Network,
    session: &Session<'_>,
) -> Result<Opened, Fault> {
    let text = &*typed.to_string_lossy();
    if text.starts_with(['/', '.']) || text.starts_with("bundle:") || is_container(text) {
        return bundle(typed, place, trust, session);
    }
    let help = "write oci:DIR for a layout, ./DIR/NAME for a bundle, HOST or HOST/PREFIX for a registry";
    match Typed::parse(text).map_err(|fault| fault.help(help))? {
        Typed::Layout(dir) => {
            let layout = Layout::open(&session.path(&dir))?.in_flow(&session.flow);
            warn_of_names(&layout, &dir, None, session);
            let watched = WatchedLayout::new(session.path(&dir), place);
            let name = format!("oci:{}", dir.display());
            Ok(Opened::Layout(Offered { name, source: Arc::new(layout), bundle: None }, watched))
        }
        Typed::Registry { host, prefix } => registry(Part { host, prefix }, place, network, session),
    }
}

/// Lists the tags of a registry.
fn registry(part: Part, place: usize, network: &Network, session: &Session<'_>) -> Result<Opened, Fault> {
    let name = if part.prefix.is_empty() { part.host.clone() } else { format!("{}/{}", part.host, part.prefix) };
    let view = RegistryView::open(&session.flow, Arc::from(network.source(session)?), &part)?;
    let offered = Offered { name, source: Arc::clone(&view) as _, bundle: None };
    Ok(Opened::Registry(offered, WatchedRegistry::new(place, part, view)))
}

fn bundle(typed: &OsStr, place: usize, trust: &Believed, session: &Session<'_>) -> Result<Opened, Fault> {
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
        Box::new(Watched { dir, place, policy, keeper, channel, position: (epoch, sequence) })
    });
    Ok(Opened::Bundle(offered, watched))
}

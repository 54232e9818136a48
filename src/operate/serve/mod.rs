//! Serve: trusted bundles, layouts and other registries as one read-only registry.
//!
//! Names are those that an import would give. What cannot be served as one registry, such as a tag
//! with two digests, is refused before the server is bound.

mod cache;
mod contents;
mod newer;
mod offered;
mod page;
mod registry_view;
mod wanted;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use self::cache::{Cache, Health, Setup, Sources, Synced, What};
pub use self::newer::{Directories, Watched, WatchedLayout, newest};
pub use self::offered::{Bundled, Offered};
use self::page::SitePage;
pub use self::registry_view::{Part, RegistryView, WatchedRegistry};
pub use self::wanted::{Wanted, WantedFile};
use crate::base::fault::{Class, Fault, differs, expects};
use crate::content::router::Place;
use crate::decide::route::Route;
use crate::flow::{Flow, start_one};
use crate::serve::{Clash, Index, Log, Page, Pulls, Server, Settings};

/// Time between two looks for something newer.
const INTERVAL: Duration = Duration::from_secs(5);
/// Maximum number of clashes in one list.
const CLASHES: usize = 50;

/// Content to serve, and how.
pub struct Request {
    /// Places to serve.
    pub offered: Vec<Offered>,
    /// Maps names of the places to names here.
    pub route: Route,
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// TLS and users.
    pub settings: Settings,
    /// Fetches or lists what no place holds.
    pub cache: Option<Arc<Cache>>,
    /// Receives what the server has to say.
    pub log: Arc<dyn Log>,
}

/// A server that is bound, and whose content is known.
pub struct Ready {
    server: Server,
    route: Route,
    cache: Option<Arc<Cache>>,
    counts: (usize, usize),
}

/// Makes the index of everything and binds the address.
///
/// # Errors
/// [`Class::Policy`] for names that collide, each with both places; [`Class::Source`] for a place
/// that cannot be listed; [`Class::Io`] for an address that cannot be used.
pub fn bind(flow: &Flow, request: Request) -> Result<Ready, Fault> {
    let Request { offered, route, listen, settings, cache, log } = request;
    let (index, page) = built(flow, offered, &route, cache.as_ref())?;
    let counts = index.counts();
    Ok(Ready { server: Server::bind(listen, settings, (index, page), log, flow)?, route, cache, counts })
}

impl Ready {
    /// Returns the address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns the number of repositories and tags.
    pub const fn counts(&self) -> (usize, usize) {
        self.counts
    }

    /// Serves until the run is cancelled, which is no error, or `is_over` returns true, then lets requests finish that
    /// have begun. `newer` is asked now and then what to serve instead.
    ///
    /// # Errors
    /// [`Class::Io`].
    pub fn run(
        &self,
        flow: &Flow,
        newer: Option<&mut Directories>,
        is_over: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Fault> {
        let ended = AtomicBool::new(false);
        let served = std::thread::scope(|scope| {
            let newer = newer.filter(|newer| !newer.is_empty());
            let watch = newer.map(|newer| start_one(scope, || self.watch(flow, newer, &ended))).transpose();
            let cache = self.cache.as_ref();
            let tend = cache.map(|cache| start_one(scope, || tend(flow, cache, &ended))).transpose();
            let served = match watch.and(tend) {
                Ok(_) => self.server.run(&|| flow.is_cancelled() || is_over()),
                Err(error) => Err(error.into()),
            };
            ended.store(true, Ordering::Relaxed);
            served
        })?;
        if !served {
            flow.warn("some clients were still reading when the server stopped");
        }
        Ok(())
    }

    /// Replaces what is served whenever there is something newer.
    fn watch(&self, flow: &Flow, newer: &mut Directories, ended: &AtomicBool) {
        let is_over = || ended.load(Ordering::Relaxed) || flow.is_cancelled();
        let mut last = String::new();
        while !is_over() {
            let found = newer.look(flow).and_then(|found| {
                found.map(|offered| built(flow, offered, &self.route, self.cache.as_ref())).transpose()
            });
            match found {
                Ok(Some((index, page))) => {
                    let (repositories, tags) = index.counts();
                    self.server.replace(index, page);
                    flow.warn(format!("serving something newer from now on: {repositories} repositories, {tags} tags"));
                    last.clear();
                }
                // Said once, not at every look.
                Err(fault) if fault.what != last => {
                    flow.warn(format!("not served, the content of before stays: {fault}"));
                    last = fault.what;
                }
                Ok(None) | Err(_) => {}
            }
            let mut waited = Duration::ZERO;
            while waited < INTERVAL && !is_over() {
                std::thread::sleep(Duration::from_millis(100));
                waited += Duration::from_millis(100);
            }
        }
    }
}

/// Writes the list of what is missing whenever it has changed, and synchronizes the rules that ask for
/// it at their intervals.
fn tend(flow: &Flow, cache: &Arc<Cache>, ended: &AtomicBool) {
    let is_over = || ended.load(Ordering::Relaxed) || flow.is_cancelled();
    let now = || flow.clock().elapsed();
    let rules = cache.rules().all();
    let mut due: Vec<Option<Duration>> = rules.iter().map(|rule| rule.sync.map(|_| now())).collect();
    while !is_over() {
        cache.wanted().iter().for_each(|wanted| wanted.save(flow));
        for (number, rule) in rules.iter().enumerate() {
            let (Some(every), Some(next)) = (rule.sync, due[number]) else { continue };
            if next > now() || cache.wanted().is_some() || is_over() {
                continue;
            }
            due[number] = Some(now() + every);
            for one in cache.sync(number, None, false).unwrap_or_default() {
                if let What::Failed(error) = one.what {
                    flow.warn(format!("rule {:?}: {}:{}: {error}", one.rule, one.repository, one.tag));
                }
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    cache.wanted().iter().for_each(|wanted| wanted.save(flow));
    cache.settle();
}

/// Returns the index and the page of everything offered.
fn built(
    flow: &Flow,
    offered: Vec<Offered>,
    route: &Route,
    cache: Option<&Arc<Cache>>,
) -> Result<(Index, Arc<dyn Page>), Fault> {
    let places = || offered.iter().map(|one| Place { name: one.name.clone(), source: Arc::clone(&one.source) });
    let pulls = cache.map(|cache| Arc::clone(cache) as Arc<dyn Pulls>);
    let mut index = Index::new(places().collect()).with_pulls(pulls);
    let (mut listed, mut faults) = (Vec::new(), Vec::new());
    for (place, one) in offered.iter().enumerate() {
        let holdings = one
            .source
            .holdings()
            .ok_or_else(|| Fault::new(Class::Source, expects(&one.name, "a place that lists what it holds")))?;
        for artifact in holdings.artifacts().map_err(|error| error.into_fault(Class::Source))? {
            flow.check()?;
            match route.destination(&artifact.repository) {
                Ok(name) => {
                    faults.extend(index.add(name.path(), place, &artifact).err().into_iter().flatten().map(fault_of));
                    listed.push((name.path().to_owned(), place, artifact));
                }
                Err(fault) => faults.push(fault),
            }
        }
    }
    faults.extend(cache.iter().flat_map(|cache| occupied(&index, cache)));
    faults.truncate(CLASHES);
    match Fault::from_list(faults) {
        Some(fault) => Err(fault),
        None => {
            cache.and_then(|cache| cache.wanted()).iter().for_each(|wanted| wanted.close(&index));
            Ok((index, Arc::new(SitePage::new(offered, listed, cache.map(Arc::clone)))))
        }
    }
}

/// Returns a fault for each name that a rule gives to another source than the one it is served from.
fn occupied(index: &Index, cache: &Cache) -> Vec<Fault> {
    let taken = index.origins().filter_map(|(name, origin)| {
        let found = cache.rules().by_name(name).filter(|found| found.upstream != *origin)?;
        let (rule, upstream) = (&found.rule.name, found.upstream);
        let what =
            format!("rule {rule:?}: expected {name} to be free or from {upstream}, found it served from {origin}");
        Some(
            Fault::new(Class::Policy, what)
                .help("give the rule another target, or the place another name with --map FROM=TO"),
        )
    });
    taken.take(CLASHES).collect()
}

fn fault_of(clash: Clash) -> Fault {
    let Clash { name, first, second } = clash;
    Fault::new(Class::Policy, differs(name, "one source", format_args!("{first} and {second}")))
        .help("serve them apart, or keep the names apart with --keep-host or --map FROM=TO")
}

//! Serve: layouts and trusted bundles as one read-only registry.
//!
//! Names are those that an import would give. What cannot be served as one registry, such as a tag
//! with two digests, is refused before the server is bound.

mod contents;
mod newer;
mod offered;
mod page;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use self::newer::{Directories, Watched, newest};
pub use self::offered::{Bundled, Offered};
use self::page::SitePage;
use crate::base::fault::{Class, Fault, differs, expects};
use crate::content::router::Place;
use crate::decide::route::Route;
use crate::flow::{Flow, start_one};
use crate::serve::{Clash, Index, Log, Page, Server, Settings};

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
    /// Receives what the server has to say.
    pub log: Arc<dyn Log>,
}

/// A server that is bound, and whose content is known.
pub struct Ready {
    server: Server,
    route: Route,
    counts: (usize, usize),
}

/// Makes the index of everything and binds the address.
///
/// # Errors
/// [`Class::Policy`] for names that collide, each with both places; [`Class::Source`] for a place
/// that cannot be listed; [`Class::Io`] for an address that cannot be used.
pub fn bind(flow: &Flow, request: Request) -> Result<Ready, Fault> {
    let Request { offered, route, listen, settings, log } = request;
    let (index, page) = built(flow, offered, &route)?;
    let counts = index.counts();
    Ok(Ready { server: Server::bind(listen, settings, (index, page), log, flow)?, route, counts })
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

    /// Serves until the run is cancelled or `is_over` returns true, then lets requests finish that
    /// have begun. `newer` is asked now and then what to serve instead.
    ///
    /// # Errors
    /// [`Class::Cancelled`] after a signal; [`Class::Io`].
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
            let served = match watch {
                Ok(_) => self.server.run(&|| flow.is_cancelled() || is_over()),
                Err(error) => Err(error.into()),
            };
            ended.store(true, Ordering::Relaxed);
            served
        })?;
        if !served {
            flow.warn("some clients were still reading when the server stopped");
        }
        if flow.is_cancelled() && !is_over() {
            return Err(Fault::new(Class::Cancelled, "stopped by a signal").help("start it again to serve on"));
        }
        Ok(())
    }

    /// Replaces what is served whenever there is something newer.
    fn watch(&self, flow: &Flow, newer: &mut Directories, ended: &AtomicBool) {
        let is_over = || ended.load(Ordering::Relaxed) || flow.is_cancelled();
        let mut last = String::new();
        while !is_over() {
            let found =
                newer.look(flow).and_then(|found| found.map(|offered| built(flow, offered, &self.route)).transpose());
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

/// Returns the index and the page of everything offered.
fn built(flow: &Flow, offered: Vec<Offered>, route: &Route) -> Result<(Index, Arc<dyn Page>), Fault> {
    let places = || offered.iter().map(|one| Place { name: one.name.clone(), source: Arc::clone(&one.source) });
    let mut index = Index::new(places().collect());
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
    faults.truncate(CLASHES);
    match Fault::from_list(faults) {
        Some(fault) => Err(fault),
        None => Ok((index, Arc::new(SitePage::new(offered, listed)))),
    }
}

fn fault_of(clash: Clash) -> Fault {
    let Clash { name, first, second } = clash;
    Fault::new(Class::Policy, differs(name, "one source", format_args!("{first} and {second}")))
        .help("serve them apart, or keep the names apart with --keep-host or --map FROM=TO")
}

//! Looks for a newer bundle of a channel in the directories that bundles are served from, and for new
//! names in layouts and registries.
//!
//! A bundle is taken when its files have stopped changing, all of them are there, its signatures
//! and its place in the channel are accepted, and every byte of it was checked.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::offered::{Bundled, Offered};
use super::registry_view::WatchedRegistry;
use crate::base::fault::Fault;
use crate::bundle::{Manifest, Untrusted};
use crate::flow::Flow;
use crate::layout::Layout;
use crate::operate::freshness::Keeper;
use crate::signing::Policy;

/// Maximum number of files in a directory that is looked at.
const FILES: usize = 10_000;

/// Position of a bundle in its channel.
type Position = (u64, u64);

/// A directory whose newest bundle of one channel is served.
pub struct Watched {
    /// The directory.
    pub dir: PathBuf,
    /// Index of the bundle among everything offered.
    pub place: usize,
    /// Policy without an order.
    pub policy: Policy,
    /// Keeper whose settings apply.
    pub keeper: Keeper,
    /// Channel of the bundle that is served.
    pub channel: String,
    /// Its position.
    pub position: Position,
}

/// A layout that is opened again when its list of names changes.
pub struct WatchedLayout {
    dir: PathBuf,
    place: usize,
    seen: Option<Stamp>,
}

/// State of a file: size, time of the last change, number.
type Stamp = (u64, Option<SystemTime>, u64);

/// Everything offered, of which some is replaced by something newer.
pub struct Directories {
    offered: Vec<Offered>,
    watched: Vec<(Watched, Listings)>,
    layouts: Vec<WatchedLayout>,
    registries: Vec<WatchedRegistry>,
}

/// Files of a directory: name, size, time of the last change.
type Listing = Vec<(String, u64, Option<SystemTime>)>;

#[derive(Default)]
struct Listings {
    // At the last look.
    last: Option<Listing>,
    // When a bundle was last looked for in it.
    tried: Option<Listing>,
}

impl Directories {
    /// Watches directories and layouts. `offered` is everything that is served now.
    pub fn new(offered: Vec<Offered>, watched: Vec<Watched>, layouts: Vec<WatchedLayout>) -> Self {
        let watched = watched.into_iter().map(|one| (one, Listings::default())).collect();
        Self { offered, watched, layouts, registries: Vec::new() }
    }

    /// Watches registries, too.
    #[must_use]
    pub fn with_registries(mut self, registries: Vec<WatchedRegistry>) -> Self {
        self.registries = registries;
        self
    }

    /// Returns whether there is nothing to look at.
    pub const fn is_empty(&self) -> bool {
        self.watched.is_empty() && self.layouts.is_empty() && self.registries.is_empty()
    }

    /// Returns what to serve from now on, checked, or `None` if nothing changed. Takes two looks at
    /// files that do not change.
    ///
    /// # Errors
    /// Why what is there now must not be served; what was served before stays.
    pub fn look(&mut self, flow: &Flow) -> Result<Option<Vec<Offered>>, Fault> {
        let mut is_new = false;
        for (watched, listings) in &mut self.watched {
            if let Some(newer) = watched.look(listings, flow)? {
                self.offered[watched.place] = newer;
                is_new = true;
            }
        }
        for layout in &mut self.layouts {
            if let Some(source) = layout.look(flow)? {
                self.offered[layout.place].source = Arc::new(source);
                is_new = true;
            }
        }
        for registry in &mut self.registries {
            if let Some(view) = registry.look(flow)? {
                self.offered[registry.place()].source = view;
                is_new = true;
            }
        }
        Ok(is_new.then(|| self.offered.clone()))
    }
}

impl WatchedLayout {
    /// Watches the layout in `dir`, which is the place with number `place`.
    pub fn new(dir: PathBuf, place: usize) -> Self {
        let seen = Self::stamp(&dir);
        Self { dir, place, seen }
    }

    fn stamp(dir: &Path) -> Option<Stamp> {
        let metadata = std::fs::symlink_metadata(dir.join("index.json")).ok()?;
        Some((metadata.len(), metadata.modified().ok(), metadata.ino()))
    }

    /// Opens the layout again if its names were replaced.
    fn look(&mut self, flow: &Flow) -> Result<Option<Layout>, Fault> {
        let now = Self::stamp(&self.dir);
        if now.is_none() || now == self.seen {
            return Ok(None);
        }
        let layout = Layout::open(&self.dir)?.in_flow(flow);
        self.seen = now;
        Ok(Some(layout))
    }
}

impl Watched {
    fn look(&mut self, listings: &mut Listings, flow: &Flow) -> Result<Option<Offered>, Fault> {
        // A directory that is gone for a moment, as when a medium is changed, is no fault.
        let Some(listing) = listing(&self.dir) else { return Ok(None) };
        let is_settled = listings.last.as_ref() == Some(&listing);
        let is_tried = listings.tried.as_ref() == Some(&listing);
        listings.last = Some(listing.clone());
        if !is_settled || is_tried {
            return Ok(None);
        }
        listings.tried = Some(listing);
        let Some((head, position)) = newest(&self.dir, Some(&self.channel), Some(self.position)) else {
            return Ok(None);
        };
        let keeper = self.keeper.anew(flow.clock().unix());
        let policy = self.policy.clone().with_order(std::sync::Arc::new(keeper));
        let bundle = Bundled { head, policy: &policy, checks_all: true };
        let Some(offered) = bundle.open(flow)? else { return Ok(None) };
        self.position = position;
        Ok(Some(offered))
    }
}

fn listing(dir: &Path) -> Option<Listing> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).ok()?.take(FILES) {
        let entry = entry.ok()?;
        let metadata = entry.metadata().ok()?;
        found.push((entry.file_name().to_string_lossy().into_owned(), metadata.len(), metadata.modified().ok()));
    }
    found.sort();
    Some(found)
}

/// Returns the bundle of `channel` that claims the highest position above `above`. Without a channel,
/// all bundles of the directory must be of one. Nothing is authenticated yet.
pub fn newest(dir: &Path, channel: Option<&str>, above: Option<Position>) -> Option<(Untrusted, Position)> {
    let mut best: Option<(Untrusted, Position)> = None;
    let mut met = channel.map(ToOwned::to_owned);
    for entry in std::fs::read_dir(dir).ok()?.take(FILES).filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".json").filter(|stem| !stem.contains('.')) else { continue };
        let Ok(head) = crate::bundle::open(&dir.join(stem)) else { continue };
        let Ok(Manifest { channel: own, epoch, sequence, .. }) = head.claimed() else { continue };
        let (Some(own), Some(position)) = (own, epoch.zip(sequence)) else {
            // A bundle without a channel: the directory is not that of one.
            channel?;
            continue;
        };
        match &met {
            Some(met) if *met != own && channel.is_none() => return None,
            Some(met) if *met != own => continue,
            Some(_) => {}
            None => met = Some(own),
        }
        let is_above = above.is_none_or(|above| position > above);
        if is_above && best.as_ref().is_none_or(|(_, found)| position > *found) {
            best = Some((head, position));
        }
    }
    best
}

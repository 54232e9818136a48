//! Unpack: an import into a layout under the source's own names, including the host, so that
//! `index.json` is the same as in a bundle's tar stream (`spec/tar-stream.md`).

use std::path::Path;

use super::outcome::Imported;
use super::request::{self, Goal, ImportCheck, Sides, TagConflict};
use crate::base::fault::{Class, Fault};
use crate::content::Source;
use crate::decide::route::{Place, Route};
use crate::decide::select::Referrers;
use crate::flow::Flow;
use crate::layout::Layout;
use crate::oci::{Absent, Artifact};

/// A bundle's content and the directory to unpack it into.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Where the content comes from.
    pub source: &'a dyn Source,
    /// Directory of the layout; created if missing, otherwise added to.
    pub directory: &'a Path,
    /// Checks the content on the way.
    pub check: &'a dyn ImportCheck,
    /// The artifacts.
    pub artifacts: &'a [Artifact],
    /// Blobs and manifests that they refer to and that are not carried.
    pub absent: &'a [Absent],
}

/// Unpacks into a layout. A name that already exists there is moved, so that this month's bundle
/// can be unpacked over last month's.
///
/// # Errors
/// Errors of [`Layout::create`] and [`super::run()`]; failures of the layout are [`Class::Io`].
pub fn run(flow: &Flow, request: &Request) -> Result<Imported, Fault> {
    let Request { source, directory, check, artifacts, absent } = *request;
    let layout = Layout::create(directory)?.in_flow(flow);
    let route = Route::new(Place::Layout, false, Vec::new());
    let request = request::Request {
        source,
        destination: &layout,
        check,
        artifacts,
        absent,
        route: &route,
        tag_conflict: TagConflict::Move,
        tag_book: None,
        keep_going: false,
        dry_run: false,
        sides: Sides { destination: Class::Io, ..Sides::BUNDLE },
        select: &[],
        goal: Goal::Whole,
        referrers: &Referrers::All,
        siblings: None,
        wanted: None,
        ledger: None,
    };
    super::run(flow, &request)
}

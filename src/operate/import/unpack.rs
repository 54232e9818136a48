//! Unpack: an import into a layout, under the source's own names, host included, so that the
//! `index.json` is the one that a bundle's tar stream has (`spec/tar-stream.md`).

use std::path::Path;

use super::outcome::Imported;
use super::request::{self, ImportCheck, Sides, TagConflict};
use crate::base::fault::{Class, Fault};
use crate::content::Source;
use crate::decide::route::{Place, Route};
use crate::flow::Flow;
use crate::layout::Layout;
use crate::oci::{Absent, Artifact};

/// A bundle's content and the directory to unpack it into.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Where the content comes from.
    pub source: &'a dyn Source,
    /// The layout's directory: made where there is none, added to where there is one.
    pub directory: &'a Path,
    /// Checks the content on the way.
    pub check: &'a dyn ImportCheck,
    /// The artifacts.
    pub artifacts: &'a [Artifact],
    /// Blobs and manifests that they refer to and that are not carried.
    pub absent: &'a [Absent],
}

/// Unpacks into a layout. A name that stands for something else there moves: a month's bundle goes over the last one's.
///
/// # Errors
/// Those of [`Layout::create`] and [`super::run()`]; the layout's own failures are [`Class::Io`].
pub fn run(flow: &Flow, request: &Request) -> Result<Imported, Fault> {
    let Request { source, directory, check, artifacts, absent } = *request;
    let layout = Layout::create(directory)?.in_flow(flow);
    let route = Route::new(Place::Same, false, Vec::new());
    let request = request::Request {
        source,
        destination: &layout,
        check,
        artifacts,
        absent,
        route: &route,
        tag_conflict: TagConflict::Move,
        keep_going: false,
        dry_run: false,
        sides: Sides { destination: Class::Io, ..Sides::BUNDLE },
        siblings: None,
        wanted: None,
        ledger: None,
    };
    super::run(flow, &request)
}

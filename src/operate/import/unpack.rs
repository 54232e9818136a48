//! Unpack: an import into a layout, under the source's own names, host included, so that the
//! `index.json` is what a bundle's tar stream has (`spec/tar-stream.md`).

use std::path::Path;

use super::{ImportCheck, Imported, Request, Sides, TagConflict, run};
use crate::base::fault::{Class, Fault};
use crate::content::Source;
use crate::decide::route::{Place, Route};
use crate::flow::Flow;
use crate::layout::Layout;
use crate::oci::{Absent, Artifact};

/// Unpacks `artifacts` into the layout at `directory`, which is made where there is none and added to
/// where there is one. A name that stands for something else there moves: a month's bundle goes over
/// the last one's.
///
/// # Errors
/// As [`Layout::create`] and [`run`]; the layout's own failures are [`Class::Io`].
pub fn unpack(
    flow: &Flow,
    source: &dyn Source,
    directory: &Path,
    check: &dyn ImportCheck,
    artifacts: &[Artifact],
    absent: &[Absent],
) -> Result<Imported, Fault> {
    let layout = Layout::create(directory)?.in_flow(flow);
    let route = Route::new(Place::Same, false, Vec::new());
    let request = Request {
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
    run(flow, source, &layout, check, &request)
}

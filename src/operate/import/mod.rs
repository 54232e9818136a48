//! Import: from any source to any destination, blobs before documents before tags.
//!
//! Everything that prevents the import is looked for before the first push and listed at once. Then
//! blobs are sent, each digest once; documents, children first; the checks of the request run; and
//! only then tags are set. An error of the source ends the run without a tag; an error of the
//! destination may be recorded instead. Does not depend on registries or terminals; only [`checks`]
//! knows bundles.

mod bases;
mod blob_body;
mod blobs;
pub mod checks;
mod context;
mod documents;
mod first_of_form;
pub mod from_bundle;
mod ledger;
mod lists;
mod manifests;
mod new_names;
mod notes;
mod outcome;
pub mod part;
mod plan;
mod planner;
mod preflight;
mod prepare;
mod presence;
mod read_back;
pub mod receipt_data;
mod recheck;
mod request;
mod run;
pub mod tag_book;
mod tag_notes;
pub mod unpack;
mod work;
mod workers;

pub use self::ledger::Ledger;
pub use self::outcome::{Done, Imported, Landed};
pub use self::plan::{Plan, Planned, Sum};
pub use self::request::{
    Goal, ImportCheck, Intended, MissingBase, Named, NoCheck, Request, Sides, TagBook, TagConflict,
};
pub use self::run::run;

#[cfg(test)]
mod tests;

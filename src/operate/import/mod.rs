//! Import: from any source to any destination, blobs before documents before tags.
//!
//! Everything that stands in the way is looked for before the first push and listed at once. Then blobs
//! go, each digest once; documents, children first; the checks of the request; and only then the tags. What the source
//! did wrong ends the run without a tag; what the destination did wrong may be recorded instead.
//! Knows no registry and no terminal; [`checks`] and [`from_bundle`] alone know bundles.

mod bases;
mod blob_body;
mod blobs;
pub mod checks;
mod context;
mod documents;
pub mod from_bundle;
mod ledger;
mod lists;
mod manifests;
mod notes;
mod outcome;
mod preflight;
mod prepare;
mod read_back;
pub mod receipt_data;
mod recheck;
mod request;
mod run;
pub mod unpack;
mod work;
mod workers;

pub use self::ledger::Ledger;
pub use self::outcome::{Done, Imported, Landed};
pub use self::request::{ImportCheck, MissingBase, NoCheck, Request, Sides, TagConflict};
pub use self::run::run;

#[cfg(test)]
mod tests;

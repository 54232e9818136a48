//! Watches the containers of import pipelines: finds bundles whose files are all there, and has each of
//! them imported once (`spec/watch.md`).
//!
//! From the bottom up: `facts` reads from a manifest what the finder needs, `find` decides from one
//! list of a container and the ledger which bundles are due, `pauses` says when to try again, `look`
//! makes one look, `board` keeps what operators are shown, `metrics` and `page` show it, and `watcher`
//! goes from pipeline to pipeline. Nothing here authenticates a bundle: an import does.

mod board;
mod facts;
mod find;
mod look;
mod metrics;
mod page;
mod pauses;
mod site;
mod watcher;

pub use self::board::Board;
pub use self::look::Looked;
pub use self::page::StatusPages;
pub use self::site::{Pipeline, Ran, Site};
pub use self::watcher::Watcher;

#[cfg(test)]
mod tests;

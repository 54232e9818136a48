//! Pipelines in the configuration: `[export.N]` and `[import.N]`.
//!
//! Decides what the keys of a table mean together. Opens nothing and reads no secret.

mod artifacts;
pub(super) mod export;
pub(super) mod import;
pub(super) mod reading;
pub mod tables;

pub use self::export::{Export, Release};
pub use self::import::{Import, Receipt};
pub use self::reading::Place;

//! The bundle, format 1: a signed manifest and one tar stream in zstd frames and volumes.
//!
//! `spec/` is what this follows. It knows the file system, no network and no terminal. Trust is a
//! type: [`open`] gives [`Untrusted`], its `authenticate` gives [`Trusted`], and only that gives
//! content.

mod admit;
pub mod again;
#[cfg(feature = "carry")]
mod append;
#[cfg(feature = "carry")]
pub mod arriving;
#[cfg(feature = "carry")]
pub mod back;
mod belt;
#[cfg(feature = "carry")]
mod built;
pub mod catalogue;
pub mod check;
mod complete;
#[cfg(feature = "carry")]
pub mod cut;
#[cfg(feature = "carry")]
mod digests;
pub mod error;
#[cfg(feature = "carry")]
mod fetch;
pub mod files;
#[cfg(feature = "carry")]
pub mod finish;
pub mod flat;
#[cfg(feature = "carry")]
pub mod flatten;
pub mod frame;
pub mod gate;
pub mod geometry;
#[cfg(feature = "carry")]
mod journal;
pub mod manifest;
pub mod media;
mod member;
pub mod name;
#[cfg(feature = "carry")]
pub mod output;
pub mod passing;
#[cfg(feature = "carry")]
pub mod pending;
mod plain;
pub mod reader;
mod shelf;
mod source;
pub mod standing;
pub mod stream;
pub mod tar;
pub mod untrusted;
mod window;
#[cfg(feature = "carry")]
pub mod writer;

/// What [`gate`] shares between threads; loom's in `xtask/model`.
mod sync {
    pub use std::sync::atomic::{AtomicUsize, Ordering};
    pub use std::sync::{Mutex, MutexGuard, PoisonError};
}

pub use crate::moment as time;
pub use error::Error;
pub use manifest::Manifest;
pub use name::Name;
#[cfg(feature = "carry")]
pub use output::Output;
pub use reader::Trusted;
pub use standing::Standing;
pub use untrusted::{Detached, Untrusted, open};

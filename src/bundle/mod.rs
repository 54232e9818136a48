//! The bundle, format 1: a signed manifest and one tar stream in zstd frames and volumes.
//!
//! `spec/` is what this follows. It knows the file system, no network and no terminal. Trust is a
//! type: [`open`] gives [`Untrusted`], its `authenticate` gives [`Trusted`], and only that gives
//! content.

mod append;
mod built;
pub mod check;
pub mod cut;
mod digests;
pub mod error;
mod fetch;
pub mod files;
pub mod finish;
pub mod frame;
pub mod gate;
pub mod geometry;
mod journal;
pub mod manifest;
mod member;
pub mod name;
pub mod output;
pub mod pending;
mod plain;
pub mod reader;
mod source;
pub mod tar;
pub mod time;
mod window;
pub mod writer;

/// What [`gate`] shares between threads; loom's in `xtask/model`.
mod sync {
    pub use std::sync::atomic::{AtomicUsize, Ordering};
    pub use std::sync::{Mutex, MutexGuard, PoisonError};
}

pub use error::Error;
pub use manifest::Manifest;
pub use name::Name;
pub use output::Output;
pub use reader::{Trusted, Untrusted, open};

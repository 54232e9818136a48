//! The bundle, format 1: a signed manifest and one tar stream in zstd frames and volumes.
//!
//! `spec/` is what this follows. It knows the file system, no network and no terminal. Trust is a
//! type: [`open`] gives [`Untrusted`], its `authenticate` gives [`Trusted`], and only that gives
//! content.

mod append;
pub mod arriving;
pub mod back;
mod belt;
mod built;
pub mod check;
mod complete;
pub mod cut;
mod digests;
pub mod error;
mod fetch;
pub mod files;
pub mod finish;
pub mod flat;
pub mod flatten;
pub mod frame;
pub mod geometry;
mod journal;
pub mod manifest;
pub mod media;
mod member;
pub mod name;
pub mod output;
pub mod passing;
pub mod pending;
mod plain;
pub mod reader;
mod source;
pub mod stream;
pub mod tar;
pub mod time;
mod window;
pub mod writer;

pub use error::Error;
pub use manifest::Manifest;
pub use name::Name;
pub use output::Output;
pub use reader::{Trusted, Untrusted, open};

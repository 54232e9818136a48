//! Bundles to, from, between and in containers.
//!
//! A container knows no bundles, and everything here asks no container of which kind it is. A
//! directory that a bundle is downloaded to is a container too.

mod files;
pub mod list;
pub mod remove;
pub mod upload;

pub use self::files::is_own;

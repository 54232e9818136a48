//! The bundle, format 1: a signed manifest and one tar stream in zstd frames and volumes.
//!
//! Follows `spec/`. Knows no network and no terminal. Trust is a type: [`open()`] returns
//! [`Untrusted`], whose `authenticate` returns [`Trusted`], and only that provides content.

use cfg_if::cfg_if;

pub mod check;
pub mod directory;
pub mod format;
pub mod frames;
pub mod open;
pub mod source;
pub mod stream;
pub mod volumes;

cfg_if! {
    if #[cfg(feature = "carry")] {
        mod foreign;
        pub mod write;
        pub use self::write::output::Output;
    }
}

/// Locks and counters of [`check::gate`]; `xtask/model` replaces them with loom's.
mod sync {
    pub use std::sync::atomic::{AtomicUsize, Ordering};
    pub use std::sync::{Mutex, MutexGuard, PoisonError};
}

pub use self::directory::{locate, open, open_spread};
pub use self::format::channel::ChannelPosition;
pub use self::format::error::Error;
pub use self::format::manifest::Manifest;
pub use self::format::name::Name;
pub use self::open::trusted::Trusted;
pub use self::open::untrusted::{Detached, Untrusted, open_at};
pub use crate::base::time;

//! A layout that changes while it is open: the store of a cache. Content is added while others read
//! it, and the least used is removed to make room.
//!
//! Has the same files as any layout, and the same lock. Layers may be missing: they were removed, or
//! never asked for. A file gets the name of a digest only when it is complete, checked and durable.
//! `room` counts bytes and says what is removed; `store` has the files and names; `incoming` writes a
//! blob, and `reading` reads one.

mod incoming;
mod reading;
mod room;
mod store;

pub use self::incoming::Incoming;
pub use self::store::{CacheLayout, Named};

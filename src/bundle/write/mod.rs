//! Writes a bundle: append-only, can be killed and resumed at any point.

pub(super) mod digests;
pub(super) mod fetch;
pub mod flat;
pub mod frames;
mod input;
mod journal;
mod layout;
mod local_store;
mod outcome;
pub mod output;
pub(super) mod pass;
pub mod publish;
pub mod read_back;
pub mod resume;
mod sent;
mod writer;

pub use self::input::{Input, InputBlob};
pub use self::layout::{DEFAULT_VOLUME, LEAST_VOLUME, Layout, check_volume_size};
pub use self::outcome::{Options, ReadBack, Sign, Written};
pub use self::writer::write;

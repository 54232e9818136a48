//! The protocol of S3, which compatible stores speak, and Google Cloud Storage with other signatures and a few other
//! headers.
//!
//! Objects, parts and signatures go through object_store over our own clients; lists are signed requests of our own.
//! Uploads of one content under one name go on where an earlier run ended: by its journal of parts, or else by the
//! store's list of uploads that are not completed.

pub mod bucket;
mod container;
mod documents;
mod exchange;
mod journal;
mod lists;
mod names;
mod objects;
mod paced;
mod part_reader;
mod parts;
mod record;
mod refusal;
pub(in crate::storage) mod service;
mod session;
pub(in crate::storage) mod store;
mod sums;
mod upload;

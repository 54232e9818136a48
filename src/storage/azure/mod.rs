//! Containers of Azure Blob Storage, by its HTTP interface.
//!
//! `address`, `sas`, `shared_key`, `blocks` and `documents` are values; `refusal` says what an answer
//! means; `signer` holds the credential; `service` sends requests, `objects` makes the calls; `container` and `upload` implement
//! [`crate::storage::Container`]. Must not know about bundles, and must not read the environment or files.

mod address;
mod blocks;
mod container;
mod documents;
mod objects;
mod refusal;
mod sas;
mod service;
mod shared_key;
mod signer;
mod upload;

pub use self::address::Address;
pub use self::container::{Azure, Opening};

//! An upload session: the address that content is sent to.
//!
//! Only a value; [`super::mounts`] opens it, [`super::upload`] sends to it.

use reqwest::Url;

/// An upload session.
pub(in crate::registry) struct Session {
    /// Next address of the session.
    pub url: Url,
    /// Minimum chunk size in bytes; 0 for any.
    pub least: u64,
}

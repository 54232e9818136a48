//! An upload session: where content is sent to.
//!
//! A value only: [`super::mounts`] opens it, [`super::upload`] sends to it.

use reqwest::Url;

/// An upload session.
pub(in crate::registry) struct Session {
    /// Where it goes on.
    pub url: Url,
    /// The smallest chunk that it takes; 0: any.
    pub least: u64,
}

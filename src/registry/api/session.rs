//! An upload session: the address that content is sent to.
//!
//! Only a value; [`super::mounts`] opens it, [`super::upload`] sends to it.

use std::time::Duration;

use reqwest::Url;

use crate::oci::Digest;

/// An upload session.
pub(in crate::registry) struct Session {
    /// Next address of the session.
    pub url: Url,
    /// Minimum chunk size in bytes; 0 for any.
    pub least: u64,
}

/// A session that the check of rights opened.
pub(in crate::registry) struct Kept {
    pub session: Session,
    /// Time on the flow's clock when it was opened.
    pub since: Duration,
    /// The blob that it was opened for, if the registry was asked for that at the same time and does
    /// not have it.
    pub blob: Option<Digest>,
}

//! Claims of a manifest that trust decisions use, and the trait that checks the order of a channel.
//!
//! Values and a trait only. This module knows neither the manifest format nor the location of a
//! state.

use std::fmt;

use super::policy::Rules;
use crate::base::fault::Fault;
use crate::oci::{Absent, Artifact, Digest};

/// Members of an authenticated manifest that a policy examines.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// Bundle id.
    pub id: Digest,
    /// Channel of the bundle. The next three members are set only if there is one.
    pub channel: Option<&'a str>,
    /// Epoch of the channel.
    pub epoch: Option<u64>,
    /// Sequence number in the channel.
    pub sequence: Option<u64>,
    /// Id of the previous bundle.
    pub previous: Option<Digest>,
    /// Creation time in seconds since 1970, by the exporter's clock.
    pub created: i64,
    /// Time in seconds since 1970 at which the bundle expires.
    pub expires: Option<i64>,
    /// Artifacts that the bundle carries.
    pub artifacts: &'a [Artifact],
    /// Blobs and manifests that the bundle refers to but does not carry.
    pub absent: &'a [Absent],
    /// Largest blob that the bundle carries: its digest and size in bytes.
    pub largest: Option<(Digest, u64)>,
    /// Total size in bytes of all blobs that the bundle carries.
    pub total: u64,
}

/// Checks the order of a channel. Its methods are called when the signatures hold and the policy
/// allows the bundle, and again when all content has passed.
pub trait Order: fmt::Debug + Send + Sync {
    /// Checks that the bundle is not expired and is in order.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Stale`] if the bundle is expired or out of order; errors of the
    /// state's location.
    fn judge(&self, claims: &Claims<'_>, rules: &Rules) -> Result<(), Fault>;

    /// Records the bundle as accepted, durably, if this order records anything.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    fn accept(&self) -> Result<(), Fault>;
}

/// Whether `text` is a valid channel name: `[a-z0-9][a-z0-9_-]{0,30}`.
pub fn is_channel(text: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=31).contains(&text.len())
        && text.as_bytes().first().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(&byte) || b"_-".contains(&byte))
}

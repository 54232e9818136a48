//! The claims of a manifest that trust depends on; and who keeps the order of a channel.
//!
//! Values and a contract only: this floor knows neither the manifest's form nor where a state lies.

use std::fmt;

use super::policy::Rules;
use crate::base::fault::Fault;
use crate::oci::{Absent, Artifact, Digest};

/// The members of an authenticated manifest that a policy looks at.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'a> {
    /// The bundle id.
    pub id: Digest,
    /// Its channel; the next three members are there only with one.
    pub channel: Option<&'a str>,
    /// The channel's epoch.
    pub epoch: Option<u64>,
    /// Its number in the channel.
    pub sequence: Option<u64>,
    /// The bundle before it.
    pub previous: Option<Digest>,
    /// Seconds since 1970 at which it was made, by the clock there.
    pub created: i64,
    /// Seconds since 1970 from which on it is stale.
    pub expires: Option<i64>,
    /// The artifacts that it carries.
    pub artifacts: &'a [Artifact],
    /// Blobs and manifests that it refers to and does not carry.
    pub absent: &'a [Absent],
    /// The largest blob that it carries: digest and bytes.
    pub largest: Option<(Digest, u64)>,
    /// Bytes of all blobs that it carries.
    pub total: u64,
}

/// Keeps the order of a channel: asked once the signatures hold and the policy allows the bundle, and told once all
/// content has passed.
pub trait Order: fmt::Debug + Send + Sync {
    /// # Errors
    /// [`crate::base::fault::Class::Stale`] for what is expired or out of order; those of the place where the state lies.
    fn judge(&self, claims: &Claims<'_>, rules: &Rules) -> Result<(), Fault>;

    /// Notes the bundle as accepted, durably, where this order writes at all.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Io`].
    fn accept(&self) -> Result<(), Fault>;
}

/// Whether `text` can name a channel: `[a-z0-9][a-z0-9_-]{0,30}`.
pub fn is_channel(text: &str) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (1..=31).contains(&text.len())
        && text.as_bytes().first().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(&byte) || b"_-".contains(&byte))
}

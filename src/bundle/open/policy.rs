//! Tells a policy what a manifest claims, and keeps how it was admitted.
//!
//! Decides nothing itself: [`crate::signing`] handles sections and order.

use super::trusted::Trusted;
use crate::base::fault::{Class, Fault};
use crate::bundle::{Error, Manifest};
use crate::oci::Digest;
use crate::signing::policy::Kinds;
use crate::signing::{Admission, Claims, Policy};

impl Manifest {
    /// Returns what a policy examines. `id` is the digest of the manifest's bytes.
    pub fn claims(&self, id: Digest) -> Claims<'_> {
        Claims {
            id,
            channel: self.channel.as_deref(),
            epoch: self.epoch,
            sequence: self.sequence,
            previous: self.previous,
            created: self.created.unix(),
            expires: self.expires.map(crate::bundle::time::Moment::unix),
            artifacts: &self.artifacts,
            absent: &self.absent,
            largest: self.blobs.iter().max_by_key(|blob| blob.size).map(|blob| (blob.digest, blob.size)),
            total: self.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.size)),
        }
    }
}

impl Trusted {
    /// Applies the second step of the policy, now that the manifest is parsed.
    ///
    /// # Errors
    /// Those of [`Policy::admit`].
    pub(in crate::bundle) fn admit(mut self, policy: &Policy) -> Result<Self, Fault> {
        self.admission = policy.admit(self.judgement(), &self.manifest().claims(self.id()))?;
        Ok(self)
    }

    /// Returns how the bundle was admitted.
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Tells the keeper of the channel's order that all of the bundle has passed.
    ///
    /// # Errors
    /// [`Class::Io`] if that cannot be recorded.
    pub fn accept(&self) -> Result<(), Fault> {
        self.admission.order.as_ref().map_or(Ok(()), |order| order.accept())
    }

    /// Checks what only the documents show against the policy's section.
    ///
    /// # Errors
    /// [`Class::Policy`] for what the section forbids.
    pub(in crate::bundle) fn check_kinds(&self, kinds: &Kinds<'_>) -> Result<(), Error> {
        kinds.forbidden(&self.manifest().artifacts, &self.manifest().absent).map_or(Ok(()), |what| {
            Err(Error::new(Class::Policy, what)
                .help("have the bundle made without them, or with what is missing; or change the policy"))
        })
    }
}

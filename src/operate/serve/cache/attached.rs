//! Tags that hold referrers and signatures of a manifest, and are not names of artifacts.

use crate::oci::{Tag, cosign};

/// Returns whether a tag has the form of those that hold referrers and signatures of a manifest.
pub(super) fn is_attached(tag: &Tag) -> bool {
    tag.is_referrers_fallback() || cosign::subject(tag).is_some()
}

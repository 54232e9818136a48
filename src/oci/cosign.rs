//! The tags under which cosign stores what belongs to a document: `<alg>-<hex>.<ending>`, with the
//! digest of the document.

use super::{Digest, Tag};

/// Endings of cosign's tags: attestations, SBOMs, signatures.
pub const ENDINGS: [&str; 3] = ["att", "sbom", "sig"];

/// Returns cosign's tag with `ending` for `subject`. `None` if the digest is too long for a tag
/// (SHA-512).
pub fn tag(subject: Digest, ending: &str) -> Option<Tag> {
    Tag::new(&format!("{}-{}.{ending}", subject.algorithm().name(), subject.hex())).ok()
}

/// Returns the digest that a tag of this form names, and the ending, which may be any.
pub fn parts(tag: &Tag) -> Option<(Digest, &str)> {
    let (stem, ending) = tag.as_str().split_once('.')?;
    Some((stem.replacen('-', ":", 1).parse().ok()?, ending))
}

/// Returns the digest that a tag of cosign's names, one with an ending of [`ENDINGS`].
pub fn subject(tag: &Tag) -> Option<Digest> {
    parts(tag).filter(|(_, ending)| ENDINGS.contains(ending)).map(|(digest, _)| digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Algorithm;

    #[test]
    fn a_tag_names_its_subject_and_nothing_else_does() {
        let digest = Digest::sha256(b"a");
        for ending in ENDINGS {
            let tag = tag(digest, ending).unwrap();
            assert_eq!(tag.as_str(), format!("sha256-{}.{ending}", digest.hex()));
            assert_eq!((subject(&tag), parts(&tag)), (Some(digest), Some((digest, ending))));
        }
        let other = tag(digest, "sig.1").unwrap();
        assert_eq!((subject(&other), parts(&other)), (None, Some((digest, "sig.1"))));
        assert_eq!(tag(Digest::of(Algorithm::Sha512, b"a"), "sig"), None);
        let hex = digest.hex();
        for text in [format!("sha256-{hex}"), format!("sha256-{}.sig", hex.to_uppercase()), format!("sha1-{hex}.sig")] {
            assert_eq!(parts(&Tag::new(&text).unwrap()), None, "{text}");
        }
    }
}

//! Originals of cut indexes: which artifacts of a bundle a destination may refuse without a failure.
//!
//! Pure. A platform filter replaces an index by a new one, whose `original` names the old one. If
//! the old one travels too, without a tag, it is incomplete, and many registries refuse it. Its
//! referrers are of no use without it (`spec/closure.md`, Absences).

use std::collections::{HashMap, HashSet};

use crate::oci::media_type::{Kind, document_kind};
use crate::oci::{Artifact, Digest, Repository};

/// Returns, for each artifact, the position of the original that it belongs to: its own position
/// for an original, that of the original for a referrer of it, or of such a referrer. `None` for
/// all others. Only artifacts without tags belong to an original, and only those of its repository.
pub fn homes(artifacts: &[Artifact]) -> Vec<Option<usize>> {
    let named: HashSet<(&Repository, Digest)> = (artifacts.iter())
        .filter_map(|artifact| Some((&artifact.repository, artifact.original.filter(|own| *own != artifact.digest)?)))
        .collect();
    if named.is_empty() {
        return vec![None; artifacts.len()];
    }
    let places: HashMap<(&Repository, Digest), usize> =
        artifacts.iter().enumerate().map(|(place, one)| ((&one.repository, one.digest), place)).collect();
    let is_original = |one: &Artifact| {
        document_kind(&one.media_type) == Some(Kind::Index) && named.contains(&(&one.repository, one.digest))
    };
    // `Some` once it is known.
    let mut homes: Vec<Option<Option<usize>>> = vec![None; artifacts.len()];
    for start in 0..artifacts.len() {
        let (mut chain, mut at) = (Vec::new(), Some(start));
        let home = loop {
            let Some(place) = at else { break None };
            if let Some(known) = homes[place] {
                break known;
            }
            let one = &artifacts[place];
            // Counts as none until the end of the chain is known, so that a cycle has an end.
            homes[place] = Some(None);
            if !one.tags.is_empty() {
                break None;
            }
            chain.push(place);
            if is_original(one) {
                break Some(place);
            }
            at = one.subject.and_then(|subject| places.get(&(&one.repository, subject)).copied());
        };
        for place in chain {
            homes[place] = Some(home);
        }
    }
    homes.into_iter().map(Option::flatten).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Tag;
    use crate::oci::media_type::{OCI_INDEX, OCI_MANIFEST};

    fn artifact(name: &str, media_type: &str, subject: Option<&str>, original: Option<&str>) -> Artifact {
        let digest = |text: &str| Digest::sha256(text.as_bytes());
        Artifact {
            artifact_type: None,
            digest: digest(name),
            media_type: media_type.to_owned(),
            original: original.map(digest),
            repository: Repository::exact("h.example/a").unwrap(),
            size: 1,
            source: None,
            subject: subject.map(digest),
            tags: Vec::new(),
        }
    }

    fn tagged(artifact: Artifact) -> Artifact {
        Artifact { tags: vec![Tag::new("1").unwrap()], ..artifact }
    }

    #[test]
    fn an_original_and_all_that_refers_to_it_belong_together() {
        let cut = tagged(artifact("cut", OCI_INDEX, None, Some("old")));
        let old = artifact("old", OCI_INDEX, None, None);
        let deep = artifact("deep", OCI_MANIFEST, Some("sbom"), None);
        let sbom = artifact("sbom", OCI_MANIFEST, Some("old"), None);
        let of_cut = artifact("of cut", OCI_MANIFEST, Some("cut"), None);
        let named = tagged(artifact("named", OCI_MANIFEST, Some("old"), None));
        let below = artifact("below", OCI_MANIFEST, Some("named"), None);
        let lost = artifact("lost", OCI_MANIFEST, Some("nowhere"), None);
        let all = [deep, cut.clone(), sbom, old.clone(), of_cut, named, below, lost];
        let expected = [Some(3), None, Some(3), Some(3), None, None, None, None];
        assert_eq!(homes(&all), expected);
        // Only an index, without a tag, in the repository of the artifact that names it.
        for other in [
            tagged(old.clone()),
            artifact("old", OCI_MANIFEST, None, None),
            Artifact { repository: Repository::exact("h.example/b").unwrap(), ..old.clone() },
        ] {
            assert_eq!(homes(&[cut.clone(), other]), [None, None]);
        }
        let own = artifact("old", OCI_INDEX, None, Some("old"));
        assert_eq!(homes(&[own]), [None]);
        assert_eq!(homes(&[old]), [None]);
        // Digests cannot form a cycle, but a manifest can claim one.
        let cycle = [("a", "b"), ("b", "a")].map(|(name, subject)| artifact(name, OCI_MANIFEST, Some(subject), None));
        assert_eq!(homes(&[&cycle[..], &[cut]].concat()), [None, None, None]);
    }
}

//! The artifacts of a bundle that an import leaves out because they refer to others: referrers, and
//! cosign's tags.
//!
//! An artifact with an ordinary tag was selected by name and is never left out. Reads nothing; what
//! a policy demands of a bundle is judged before, on all of it.

use std::collections::HashSet;

use super::select::Referrers;
use crate::oci::{Artifact, Digest, Repository, cosign};

/// Returns for each artifact, in order, whether it is left out: it refers to another artifact and
/// `which` does not take it, or the referrer that it refers to is left out. `shown_type` returns
/// the type of an artifact that states none.
pub fn left_out(
    artifacts: &[Artifact],
    which: &Referrers,
    shown_type: impl Fn(&Artifact) -> Option<String>,
) -> Vec<bool> {
    let mut out: Vec<bool> = artifacts
        .iter()
        .map(|artifact| match (is_named(artifact), artifact.subject) {
            (true, _) => false,
            (false, Some(_)) => {
                let stated = artifact.artifact_type.clone().or_else(|| shown_type(artifact));
                !which.takes(stated.as_deref())
            }
            // Cosign's tags state no type.
            (false, None) => !artifact.tags.is_empty() && *which != Referrers::All,
        })
        .collect();
    // A chain of referrers is at most as long as the list.
    loop {
        let gone: HashSet<(&Repository, Digest)> =
            artifacts.iter().zip(&out).filter(|(_, out)| **out).map(|(one, _)| (&one.repository, one.digest)).collect();
        let mut more = false;
        let mut next = out.clone();
        for (artifact, out) in artifacts.iter().zip(&mut next).filter(|(artifact, _)| !is_named(artifact)) {
            let loses = artifact.subject.is_some_and(|subject| gone.contains(&(&artifact.repository, subject)));
            more |= loses && !*out;
            *out |= loses;
        }
        out = next;
        if !more {
            return out;
        }
    }
}

/// Reports whether the artifact has a tag of its own.
fn is_named(artifact: &Artifact) -> bool {
    artifact.tags.iter().any(|tag| cosign::subject(tag).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Tag;

    fn artifact(text: &str, subject: Option<&str>, kind: Option<&str>, tags: &[&str]) -> Artifact {
        Artifact {
            artifact_type: kind.map(ToOwned::to_owned),
            digest: Digest::sha256(text.as_bytes()),
            media_type: crate::oci::media_type::OCI_MANIFEST.to_owned(),
            original: None,
            repository: Repository::new("h.example", "a").unwrap(),
            size: 1,
            source: None,
            subject: subject.map(|text| Digest::sha256(text.as_bytes())),
            tags: tags.iter().map(|tag| Tag::new(tag).unwrap()).collect(),
        }
    }

    #[test]
    fn referrers_and_what_refers_to_them_stay_behind() {
        let cosign = format!("sha256-{}.sig", "0".repeat(64));
        let artifacts = [
            artifact("sig of sbom", Some("sbom"), Some("x/sig"), &[]),
            artifact("image", None, None, &["v1"]),
            artifact("by digest", None, None, &[]),
            artifact("sbom", Some("image"), Some("x/sbom"), &[]),
            artifact("sig", Some("image"), Some("x/sig"), &[]),
            artifact("shown", Some("image"), None, &[]),
            artifact("named", Some("sbom"), Some("x/sig"), &["sbom-signature"]),
            artifact("cosign", None, None, &[&cosign]),
            artifact("cosign and named", None, None, &[&cosign, "v2"]),
        ];
        let kept = |which: Referrers| -> Vec<usize> {
            let shown = |_: &Artifact| Some("x/config".to_owned());
            let out = left_out(&artifacts, &which, shown);
            out.iter().enumerate().filter(|(_, out)| !**out).map(|(at, _)| at).collect()
        };
        let types = |types: &[&str]| Referrers::Types(types.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(kept(Referrers::All), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(kept(Referrers::None), [1, 2, 6, 8]);
        assert_eq!(kept(types(&["x/sig"])), [1, 2, 4, 6, 8], "not the signature of an SBOM that stays behind");
        assert_eq!(kept(types(&["x/sbom", "x/sig"])), [0, 1, 2, 3, 4, 6, 8]);
        assert_eq!(kept(types(&["x/config"])), [1, 2, 5, 6, 8]);
    }
}

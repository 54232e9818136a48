//! Conditions that must hold before anything leaves: repositories that are allowed out, and signatures.

use crate::base::fault::{Class, Fault, differs};
use crate::bundle::Untrusted;
use crate::oci::{Artifact, Repository};
use crate::signing::policy::Glob;

/// Host of names that an export makes for files.
const MADE: &str = "localhost";

/// Checks that all artifacts are in repositories that are allowed out. An artifact that was renamed
/// must be allowed under its name at the source too.
///
/// # Errors
/// [`Class::Policy`] with every repository that is not.
pub fn check_repositories(artifacts: &[Artifact], allowed: &[Glob]) -> Result<(), Fault> {
    let is_allowed = |name: &Repository| allowed.iter().any(|glob| glob.matches(&name.to_string()));
    let mut faults = Vec::new();
    for artifact in artifacts {
        let source = artifact.source.iter().filter(|source| source.host() != MADE);
        for name in std::iter::once(&artifact.repository).chain(source).filter(|name| !is_allowed(name)) {
            let what = differs(name, "a repository that release allows out", "another");
            faults.push(
                Fault::new(Class::Policy, what)
                    .help("leave it out, or let release.repositories of the pipeline allow it"),
            );
        }
    }
    Fault::from_list(faults).map_or(Ok(()), Err)
}

/// Returns the ids of the keys that have signed the bundle. The signatures themselves are checked by
/// whoever imports it.
///
/// # Errors
/// Those of an invalid signature file; [`Class::Signature`] if it is about another manifest.
pub fn signed_by(bundle: &Untrusted) -> Result<Vec<String>, Fault> {
    if !bundle.has_signature_file() {
        return Ok(Vec::new());
    }
    let envelope = bundle.envelope()?;
    if envelope.payload != bundle.statement() {
        let what = differs(format_args!("bundle {}", bundle.name()), "signatures of its manifest", "those of another");
        return Err(Fault::new(Class::Signature, what).help("delete the signature file, and sign again"));
    }
    Ok(envelope.keyids().map(ToOwned::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::oci::media_type::OCI_MANIFEST;

    fn artifact(repository: &str, source: Option<&str>) -> Artifact {
        Artifact {
            artifact_type: None,
            digest: Digest::sha256(repository.as_bytes()),
            media_type: OCI_MANIFEST.to_owned(),
            original: None,
            repository: Repository::exact(repository).unwrap(),
            size: 1,
            source: source.map(|source| Repository::exact(source).unwrap()),
            subject: None,
            tags: Vec::new(),
        }
    }

    #[test]
    fn t20_all_repositories_that_may_not_leave_are_listed() {
        let allowed = ["docker.io/library/*", "localhost/models/*"].map(|glob| Glob::new(glob.to_owned()));
        let good = [
            artifact("docker.io/library/alpine", None),
            artifact("localhost/models/small", Some("localhost/small.gguf")),
        ];
        assert_eq!(check_repositories(&good, &allowed), Ok(()));
        let bad = [
            good[0].clone(),
            artifact("secret.example/plans", None),
            artifact("docker.io/library/innocent", Some("secret.example/other")),
            artifact("docker.io/libraryx/a", None),
        ];
        let fault = check_repositories(&bad, &allowed).unwrap_err();
        let all: Vec<&str> = std::iter::once(&fault).chain(&fault.others).map(|fault| &*fault.what).collect();
        assert_eq!(fault.class, Class::Policy);
        assert_eq!(all.len(), 3, "{all:?}");
        for name in ["secret.example/plans:", "secret.example/other:", "docker.io/libraryx/a:"] {
            assert!(all.iter().any(|what| what.starts_with(name)), "{name}: {all:?}");
        }
        assert!(check_repositories(&good, &[]).is_err());
    }
}

//! Sources as typed or listed: where something is selected from. Parses them into values and opens
//! nothing.

use std::fmt;
use std::path::PathBuf;

use super::glob;
use crate::base::fault::{Fault, expects};
use crate::base::scheme::{login, refuse_others};
use crate::oci::reference::ReferenceError;
use crate::oci::{Reference, Repository};

/// A source.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A reference in a registry.
    Registry(Reference),
    /// `REPO:GLOB`, or `REPO` with filters of tags: tags of one repository.
    Tags {
        /// The repository.
        repository: Repository,
        /// Pattern of the tags; `None` for all.
        glob: Option<String>,
    },
    /// `HOST/PATTERN[:GLOB]`: repositories of a registry that match a pattern.
    Repositories {
        /// The registry.
        host: String,
        /// Pattern of the paths. `/*` at its end stands for everything below, at any depth.
        pattern: String,
        /// Pattern of the tags; `None` for all.
        glob: Option<String>,
    },
    /// `oci:DIR[:REF]`: an OCI layout; all of it if `reference` is `None`.
    Layout {
        /// Directory, as typed.
        dir: PathBuf,
        /// Name in the layout: a reference, a bare tag, or `@` and a digest.
        reference: Option<String>,
    },
    /// `bundle:BUNDLE[:REF]`: a bundle; all of it if `reference` is `None`.
    Bundle {
        /// The bundle, in a directory or a container, as typed.
        bundle: String,
        /// Name in the bundle's manifest: a reference, or a digest.
        reference: Option<String>,
    },
    /// `docker-archive:FILE[:REF]`: an archive of images; all of it if `reference` is `None`.
    Archive {
        /// File, as typed.
        file: PathBuf,
        /// Name in the archive: a reference, or the digest of a config or of a made manifest.
        reference: Option<String>,
    },
    /// `file:PATH`: a file or a directory that becomes an artifact.
    File(PathBuf),
}

/// Begins the name of a container's table in the configuration.
const TABLE: &str = "storage:";

/// Scheme of an archive of images.
const ARCHIVE: &str = "docker-archive:";

impl Source {
    /// Parses a SOURCE.
    ///
    /// # Errors
    /// Class usage.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        // helm writes charts as `oci://HOST/REPO:TAG`: a reference in a registry, not a layout in
        // //HOST.
        let text = text.strip_prefix("oci://").unwrap_or(text);
        if let Some(rest) = text.strip_prefix("oci:") {
            let (dir, reference) = split(rest);
            if dir.is_empty() || reference == Some("") {
                return Err(Fault::usage(
                    format!("source {text}: expected oci:DIR or oci:DIR:REF"),
                    "name the layout's directory",
                ));
            }
            return Ok(Self::Layout { dir: dir.into(), reference: reference.map(ToOwned::to_owned) });
        }
        if let Some(rest) = text.strip_prefix("bundle:") {
            let (bundle, reference) = split_bundle(rest)?;
            if bundle.is_empty() || reference == Some("") {
                return Err(Fault::usage(
                    format!("source {text}: expected bundle:BUNDLE or bundle:BUNDLE:REF"),
                    "name the bundle: DIR/NAME, a directory with one bundle, or CONTAINER/NAME",
                ));
            }
            return Ok(Self::Bundle { bundle: bundle.to_owned(), reference: reference.map(ToOwned::to_owned) });
        }
        if let Some(rest) = text.strip_prefix(ARCHIVE) {
            let (file, reference) = split(rest);
            if file.is_empty() || reference == Some("") {
                return Err(Fault::usage(
                    expects(format_args!("source {text}"), "docker-archive:FILE or docker-archive:FILE:REF"),
                    "name the file that docker or podman saved",
                ));
            }
            return Ok(Self::Archive { file: file.into(), reference: reference.map(ToOwned::to_owned) });
        }
        if let Some(path) = text.strip_prefix("file:") {
            // An address, not a path.
            if path.is_empty() || path.starts_with("//") {
                let what = expects(format_args!("source {text}"), "file:PATH");
                return Err(Fault::usage(what, "name a file or a directory"));
            }
            return Ok(Self::File(path.into()));
        }
        refuse_others(text, "source")?;
        // A digest after the @ contains no slash.
        if text.split_once('@').is_some_and(|(_, rest)| rest.contains('/')) {
            return Err(login("source"));
        }
        if glob::is_glob(after_host(text)) {
            return pattern(text);
        }
        text.parse::<Reference>().map(Self::Registry).map_err(|error| wrong(&error))
    }

    /// Returns whether it is read without a registry.
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::Layout { .. } | Self::Bundle { .. } | Self::Archive { .. } | Self::File(_))
    }

    /// Returns the source with filters of tags: a repository without a tag stands for all its tags.
    /// `typed` is the text that it was parsed from.
    ///
    /// # Errors
    /// Class usage for a source that names one tag or digest.
    pub fn with_tags(self, typed: &str) -> Result<Self, Fault> {
        let one = || {
            let what = format!("source {typed}: expected a repository without a tag or digest next to filters of tags");
            Fault::usage(what, "write HOST/REPO, or HOST/REPO:GLOB")
        };
        match self {
            Self::Registry(Reference { digest: Some(_), .. }) | Self::File(_) => Err(one()),
            Self::Registry(Reference { repository, .. }) => {
                let last = typed.rsplit('/').next().unwrap_or_default();
                if last.contains(':') { Err(one()) } else { Ok(Self::Tags { repository, glob: None }) }
            }
            other => Ok(other),
        }
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once(':').map_or((text, None), |(place, reference)| (place, Some(reference)))
}

/// Splits BUNDLE[:REF]. The address of a container has colons of its own: after its scheme, and before
/// a port.
fn split_bundle(text: &str) -> Result<(&str, Option<&str>), Fault> {
    let begin = match text.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.split('/').next().unwrap_or_default();
            // The address may be shown from here on.
            if authority.contains('@') || rest.contains(['?', '#']) {
                return Err(login("source bundle:"));
            }
            scheme.len() + "://".len() + authority.len()
        }
        None if text.starts_with(TABLE) => TABLE.len(),
        None => 0,
    };
    let (place, reference) = split(&text[begin..]);
    Ok((&text[..begin + place.len()], reference))
}

fn wrong(error: &ReferenceError) -> Fault {
    let help = match error {
        ReferenceError::Digest(_) => "write a digest as @sha256: and 64 hex digits",
        _ => "write HOST/REPO:TAG",
    };
    Fault::usage(error.to_string(), help)
}

/// Returns the text without a host that is an IPv6 address, whose brackets are not a pattern.
fn after_host(text: &str) -> &str {
    match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) if rest.starts_with([':', '/']) => rest,
        _ => text,
    }
}

/// Parses a text with a pattern of tags or of repositories.
fn pattern(text: &str) -> Result<Source, Fault> {
    let bad = |expected: &str| {
        Fault::usage(format!("source {text}: expected {expected}"), "write HOST/REPO:GLOB, or HOST/NAMESPACE/*")
    };
    if text.contains('@') {
        return Err(bad("a pattern without a digest"));
    }
    let slash = text.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tags) = match text[slash..].split_once(':') {
        Some((last, tags)) => (&text[..slash + last.len()], Some(tags)),
        None => (text, None),
    };
    if let Some(tags) = tags {
        glob::check(tags)?;
    }
    let glob = tags.filter(|tags| *tags != "*").map(ToOwned::to_owned);
    if !glob::is_glob(after_host(name)) {
        let reference: Reference = name.parse().map_err(|error| wrong(&error))?;
        return Ok(Source::Tags { repository: reference.repository, glob });
    }
    let Some((host, path)) = name.split_once('/') else { return Err(bad("a host before the pattern")) };
    Repository::new(host, "x").map_err(|_| {
        let what = format!("source {text}: expected a host whose repositories can be listed, found {host:?}");
        Fault::usage(what, "write HOST/NAMESPACE/*; docker.io has no list, so name each of its repositories")
    })?;
    if host == "docker.io" {
        let what = format!("source {text}: docker.io lists no repositories");
        return Err(Fault::usage(what, "name each repository: docker.io/NAMESPACE/REPO:GLOB"));
    }
    glob::check(path)?;
    Ok(Source::Repositories { host: host.to_owned(), pattern: path.to_owned(), glob })
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |f: &mut fmt::Formatter<'_>, reference: &Option<String>| match reference {
            Some(reference) => write!(f, ":{reference}"),
            None => Ok(()),
        };
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Tags { repository, glob } => write!(f, "{repository}:{}", glob.as_deref().unwrap_or("*")),
            Self::Repositories { host, pattern, glob } => {
                write!(f, "{host}/{pattern}")?;
                named(f, glob)
            }
            Self::Layout { dir, reference } => {
                write!(f, "oci:{}", dir.display())?;
                named(f, reference)
            }
            Self::Bundle { bundle, reference } => {
                write!(f, "bundle:{bundle}")?;
                named(f, reference)
            }
            Self::Archive { file, reference: None } => write!(f, "{ARCHIVE}{}", file.display()),
            Self::Archive { file, reference: Some(name) } => write!(f, "{ARCHIVE}{}:{name}", file.display()),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::Class;

    #[test]
    fn patterns() {
        let shown = |text: &str| Source::parse(text).map(|source| source.to_string()).map_err(|fault| fault.what);
        assert_eq!(shown("nginx:1.*").unwrap(), "docker.io/library/nginx:1.*");
        assert_eq!(shown("h.example:5000/a/b:*").unwrap(), "h.example:5000/a/b:*");
        assert_eq!(shown("[::1]:5000/a:v?").unwrap(), "[::1]:5000/a:v?");
        assert_eq!(shown("h.example/ns/*").unwrap(), "h.example/ns/*");
        assert_eq!(shown("h.example/*:v1.*").unwrap(), "h.example/*:v1.*");
        assert!(matches!(Source::parse("h.example/ns/app-*").unwrap(), Source::Repositories { .. }));
        for wrong in ["a/*", "docker.io/library/*", "h.example/a:[", "h.example/a*@sha256:00", "*"] {
            assert_eq!(Source::parse(wrong).unwrap_err().class, Class::Usage, "{wrong}");
        }
    }

    #[test]
    fn sources() {
        let layout = |dir: &str, reference: Option<&str>| Source::Layout {
            dir: dir.into(),
            reference: reference.map(Into::into),
        };
        assert_eq!(Source::parse("oci:a/b").unwrap(), layout("a/b", None));
        assert_eq!(
            Source::parse("oci://h.example/charts/app:1").unwrap(),
            Source::parse("h.example/charts/app:1").unwrap()
        );
        let wrong = Source::parse("h.example/charts/app:1.0.0+up2").unwrap_err();
        assert!(wrong.what.ends_with("helm writes it as _: 1.0.0_up2"), "{}", wrong.what);
        assert_eq!(Source::parse("oci:a:host:5000/x:v1").unwrap(), layout("a", Some("host:5000/x:v1")));
        assert!(matches!(Source::parse("alpine").unwrap(), Source::Registry(_)));
        let bundle = |bundle: &str, reference: Option<&str>| Source::Bundle {
            bundle: bundle.into(),
            reference: reference.map(Into::into),
        };
        assert_eq!(Source::parse("bundle:usb/apps").unwrap(), bundle("usb/apps", None));
        assert_eq!(Source::parse("bundle:./a:host:5000/x:v1").unwrap(), bundle("./a", Some("host:5000/x:v1")));
        for (text, place, reference) in [
            ("bundle:storage:low/b", "storage:low/b", None),
            ("bundle:storage:low/x/b:host:5000/x:v1", "storage:low/x/b", Some("host:5000/x:v1")),
            ("bundle:az://acc/c/b:h/x@sha256:00", "az://acc/c/b", Some("h/x@sha256:00")),
            ("bundle:http://127.0.0.1:10000/acc/c/b:h/x:v1", "http://127.0.0.1:10000/acc/c/b", Some("h/x:v1")),
            ("bundle:file:///srv/b", "file:///srv/b", None),
        ] {
            assert_eq!(Source::parse(text).unwrap(), bundle(place, reference), "{text}");
        }
        let archive = |file: &str, reference: Option<&str>| Source::Archive {
            file: file.into(),
            reference: reference.map(Into::into),
        };
        assert_eq!(Source::parse("docker-archive:a.tar").unwrap(), archive("a.tar", None));
        assert_eq!(Source::parse("docker-archive:./a:h:5000/x:v1").unwrap(), archive("./a", Some("h:5000/x:v1")));
        assert_eq!(Source::parse("file:a b/c:d").unwrap(), Source::File("a b/c:d".into()));
        for name in ["[::1]:5000/a:t", "docker:27-dind", "dir:1", "docker:5000/x"] {
            assert!(matches!(Source::parse(name).unwrap(), Source::Registry(_)), "{name}");
        }
        for wrong in [
            "oci:",
            "oci:a:",
            "bundle:",
            "bundle:a:",
            "bundle::x",
            "docker-archive:",
            "docker-archive:x.tar:",
            "docker-archive::x",
            "file:",
            "file:///etc/motd",
            "a/*",
            "A/B",
            "https://h/r:t",
            "",
        ] {
            assert_eq!(Source::parse(wrong).unwrap_err().class, Class::Usage, "{wrong}");
        }
    }

    #[test]
    fn u1_a_secret_in_a_source_is_refused_and_not_repeated() {
        for secret in [
            "https://me:canary@host/repo",
            "https://host/container?sig=canary",
            "me:canary@host/repo",
            "bundle:https://host/container/b?sig=canary",
            "bundle:https://me:canary@host/container/b",
        ] {
            let fault = Source::parse(secret).unwrap_err();
            assert!(fault.what.contains("secret") && !format!("{fault:?}").contains("canary"), "{fault:?}");
        }
    }
}

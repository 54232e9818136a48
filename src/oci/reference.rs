//! References, `HOST[:PORT]/REPO[:TAG][@DIGEST]`, and their parts.
//!
//! Short names follow the docker client: no host means `docker.io`, and a single name there means
//! `library/NAME`. Repositories and tags follow the grammar of the OCI distribution-spec.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Digest;
use super::text::Text;

/// A host and the path below it. Displayed as `host/path` and ordered like that text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    host: String,
    path: String,
}

/// A tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Text);

/// A repository with a tag, a digest, or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Repository.
    pub repository: Repository,
    /// Tag. Set to `latest` if neither tag nor digest was given.
    pub tag: Option<Tag>,
    /// Digest.
    pub digest: Option<Digest>,
}

/// Reason why a text is not a reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// The host is not a host name or address with an optional port.
    #[error("reference {0:?}: expected a lower-case HOST with a dot, HOST:PORT or localhost before the first slash")]
    Host(String),
    /// The path is not a repository name.
    #[error(
        "repository {0:?}: expected lower-case letters and digits, joined by single . _ - or / (at most 255 characters)"
    )]
    Repository(String),
    /// Not a tag.
    #[error("tag {0:?}: expected at most 128 letters, digits, _ . - and no . or - in front")]
    Tag(String),
    /// A chart version with `+`, which tags cannot contain, and the tag that helm uses for it.
    #[error("tag {found:?}: expected no +, which a tag cannot have; helm writes it as _: {written}")]
    ChartVersion {
        /// Version as found.
        found: String,
        /// Tag used by helm.
        written: String,
    },
    /// Not a digest.
    #[error(transparent)]
    Digest(#[from] super::digest::DigestError),
}

/// Returns whether `host` is one of the other names of docker.io.
fn is_docker_hub(host: &str) -> bool {
    matches!(host, "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com")
}

/// Number of digits of the subject's digest in a fallback tag.
const FALLBACK_DIGITS: usize = 64;

fn cut(text: &str) -> String {
    text.chars().take(300).collect()
}

fn path_component_is_good(component: &str) -> bool {
    let bytes = component.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !is_word(*first) || !is_word(*last) {
        return false;
    }
    // Separators within a name: one '.', one or two '_', any number of '-'.
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-'))
}

fn host_is_good(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b':' | b'.');
                if !(2..=45).contains(&address.len()) || !address.bytes().all(is_digit) {
                    return false;
                }
                ("v6", port.strip_prefix(':').or(if port.is_empty() { None } else { Some("x") }))
            }
            None => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let port_is_good =
        port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number > 0 && number.to_string() == port));
    let label_is_good = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    // Without these, every client reads the name as the first part of a path.
    let is_told = host.contains(['.', ':']) || host == "localhost";
    is_told && port_is_good && name.split('.').all(label_is_good)
}

impl Repository {
    /// Creates a repository on `host` (a host name or address, with a port unless it is 443).
    ///
    /// # Errors
    /// [`ReferenceError::Host`], [`ReferenceError::Repository`].
    pub fn new(host: &str, path: &str) -> Result<Self, ReferenceError> {
        if !host_is_good(host) {
            return Err(ReferenceError::Host(cut(host)));
        }
        Self::check_path(path)?;
        if host.len() + 1 + path.len() > 255 {
            return Err(ReferenceError::Repository(cut(path)));
        }
        Ok(Self { host: host.to_owned(), path: path.to_owned() })
    }

    /// Creates a repository without a host, as named in OCI layouts.
    ///
    /// # Errors
    /// [`ReferenceError::Repository`].
    pub fn bare(path: &str) -> Result<Self, ReferenceError> {
        Self::check_path(path)?;
        Ok(Self { host: String::new(), path: path.to_owned() })
    }

    fn check_path(path: &str) -> Result<(), ReferenceError> {
        if path.len() <= 255 && path.split('/').all(path_component_is_good) {
            Ok(())
        } else {
            Err(ReferenceError::Repository(cut(path)))
        }
    }

    /// Parses `host/path` exactly as written in a bundle, without filling in defaults.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn exact(text: &str) -> Result<Self, ReferenceError> {
        let (host, path) = text.split_once('/').ok_or_else(|| ReferenceError::Repository(cut(text)))?;
        Self::new(host, path)
    }

    /// Returns the host with its port. Empty for a bare name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the path below the host.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl Ord for Repository {
    fn cmp(&self, other: &Self) -> Ordering {
        // Not part by part: `a.b.c/d` sorts before `a.b/d`, since '.' is less than '/'.
        let bytes = |repository: &Self| {
            let slash = if repository.host.is_empty() { "" } else { "/" };
            [repository.host.clone(), slash.to_owned(), repository.path.clone()].concat()
        };
        bytes(self).cmp(&bytes(other))
    }
}

impl PartialOrd for Repository {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.is_empty() { f.write_str(&self.path) } else { write!(f, "{}/{}", self.host, self.path) }
    }
}

impl Tag {
    /// Parses a tag.
    ///
    /// # Errors
    /// [`ReferenceError::Tag`], [`ReferenceError::ChartVersion`].
    pub fn new(text: &str) -> Result<Self, ReferenceError> {
        let is_good = |text: &str| {
            (1..=128).contains(&text.len())
                && !text.starts_with(['.', '-'])
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if is_good(text) {
            return Ok(Self(Text::new(text)));
        }
        let written = text.replace('+', "_");
        if is_good(&written) {
            return Err(ReferenceError::ChartVersion { found: text.to_owned(), written });
        }
        Err(ReferenceError::Tag(cut(text)))
    }

    /// Returns the tag as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the fallback tag for the referrers of `subject`: `<alg>-<hex>`, with the hex cut to
    /// 64 digits as the distribution-spec says.
    pub fn referrers_fallback(subject: Digest) -> Self {
        let mut hex = subject.hex();
        hex.truncate(FALLBACK_DIGITS);
        Self(Text::new(&format!("{}-{hex}", subject.algorithm().name())))
    }

    /// Whether this has the form of a fallback tag, which lists the referrers of a subject.
    pub fn is_referrers_fallback(&self) -> bool {
        let text = self.as_str();
        let hex = text.strip_prefix("sha256-").or_else(|| text.strip_prefix("sha512-")).unwrap_or_default();
        hex.len() == FALLBACK_DIGITS && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Repository {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Parses exactly `host/path`, without filling in defaults.
impl<'de> Deserialize<'de> for Repository {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::exact(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        // A tag's colon comes after the last slash, a port's before the first.
        let tail = name.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match name[tail..].split_once(':') {
            Some((_, tag)) if tail > 0 || !name.contains('/') => {
                (&name[..name.len() - tag.len() - 1], Some(Tag::new(tag)?))
            }
            _ => (name, None),
        };
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" || host.starts_with('[') => {
                (host.to_ascii_lowercase(), path.to_owned())
            }
            _ => ("docker.io".to_owned(), name.to_owned()),
        };
        let host = if is_docker_hub(&host) { "docker.io" } else { &host };
        let path = if host == "docker.io" && !path.contains('/') { format!("library/{path}") } else { path };
        let repository = Repository::new(host, &path)?;
        let tag = if tag.is_none() && digest.is_none() { Some(Tag(Text::new("latest"))) } else { tag };
        Ok(Self { repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn short_names_are_filled_in_as_the_docker_client_does() {
        assert_eq!(full("alpine"), "docker.io/library/alpine:latest");
        assert_eq!(full("alpine:3.20"), "docker.io/library/alpine:3.20");
        assert_eq!(full("docker.io/alpine"), "docker.io/library/alpine:latest");
        assert_eq!(full("index.docker.io/alpine:1"), "docker.io/library/alpine:1");
        assert_eq!(full("registry-1.docker.io/library/nginx:1"), "docker.io/library/nginx:1");
        assert_eq!(full("org/app:v1"), "docker.io/org/app:v1");
        assert_eq!(full("localhost/app"), "localhost/app:latest");
        assert_eq!(full("localhost:5000/a/b:t"), "localhost:5000/a/b:t");
        assert_eq!(full("[::1]:5000/a:t"), "[::1]:5000/a:t");
        let digest = Digest::sha256(b"");
        assert_eq!(full(&format!("ghcr.io/a/b@{digest}")), format!("ghcr.io/a/b@{digest}"));
        assert_eq!(full(&format!("ghcr.io/a/b:t@{digest}")), format!("ghcr.io/a/b:t@{digest}"));
    }

    #[test]
    fn m11_bad_names_are_refused() {
        let long = "a".repeat(256);
        for wrong in [
            "",
            "localhost/.env",
            "localhost/A/B",
            "localhost/..",
            "localhost/a//b",
            "localhost/a/",
            "localhost/\u{430}pp",
            "localhost/a:latest\n",
            "localhost/a:-x",
            "localhost/a:.x",
            "localhost/a:",
            "localhost/a@sha256:00",
            "ho st.example/a",
            "host:99999/a",
            "host:/a",
            "localhost/a..b",
            "localhost/a___b",
            &format!("localhost/{long}"),
            &format!("localhost/a:{}", "t".repeat(129)),
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong:?}");
        }
        assert!("localhost/a--b/c__d/e.f".parse::<Reference>().is_ok());
    }

    #[test]
    fn repositories_order_as_their_text() {
        let mut found: Vec<Repository> =
            ["a.b/c", "a.b.c/c", "a.b-b/c", "a.b:5000/c"].iter().map(|text| Repository::exact(text).unwrap()).collect();
        found.sort();
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["a.b-b/c", "a.b.c/c", "a.b/c", "a.b:5000/c"]);
    }

    #[test]
    fn fallback_tags_name_their_subject() {
        let digest = Digest::sha256(b"x");
        let tag = Tag::referrers_fallback(digest);
        assert_eq!(tag.as_str(), digest.to_string().replace(':', "-"));
        let long = Tag::referrers_fallback(Digest::of(crate::oci::Algorithm::Sha512, b"x"));
        assert_eq!(long.as_str().len(), 71);
        assert!(tag.is_referrers_fallback() && long.is_referrers_fallback());
        assert!(!Tag::new(&format!("{tag}.sig")).unwrap().is_referrers_fallback());
    }
}

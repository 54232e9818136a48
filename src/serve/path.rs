//! Parses the path of a request into what it asks for.
//!
//! Paths are split before they are decoded, so an encoded slash never separates parts. Names may
//! contain the words of the protocol (`blobs`, `tags`), so a path is read from its end.

use crate::oci::{Digest, Repository, Tag};

/// The thing that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/`: the page for people.
    Page,
    /// `/healthz`.
    Health,
    /// `/metrics`.
    Metrics,
    /// `/v2/`.
    Base,
    /// `/v2/_catalog`.
    Catalog,
    /// `/v2/NAME/tags/list`.
    Tags(String),
    /// `/v2/NAME/manifests/REFERENCE`.
    Manifest(String, ByTagOrDigest),
    /// `/v2/NAME/blobs/DIGEST`.
    Blob(String, Digest),
    /// `/v2/NAME/referrers/DIGEST`.
    Referrers(String, Digest),
    /// `/v2/NAME/blobs/uploads/…`, which only writers use.
    Upload,
}

/// How a manifest is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByTagOrDigest {
    /// By a tag.
    Tag(Tag),
    /// By its digest.
    Digest(Digest),
}

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathError {
    /// No path of this server.
    Unknown,
    /// Not the name of a repository.
    Name,
    /// Neither a tag nor a digest.
    Reference,
    /// Not a digest.
    Digest,
}

/// Decodes `%41` and returns the text. `None` for a broken escape, or if the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn name(parts: &[String]) -> Result<String, PathError> {
    // A part with a decoded slash is not a component of a name, and joining must not make it one.
    if parts.is_empty() || parts.iter().any(|part| part.contains('/')) {
        return Err(PathError::Name);
    }
    let name = parts.join("/");
    Repository::bare(&name).map(|_| name).map_err(|_| PathError::Name)
}

fn digest(text: &str) -> Result<Digest, PathError> {
    text.parse().map_err(|_| PathError::Digest)
}

impl Target {
    /// Parses a path as it was sent.
    pub(super) fn parse(path: &str) -> Result<Self, PathError> {
        match path {
            "/" => return Ok(Self::Page),
            "/healthz" => return Ok(Self::Health),
            "/metrics" => return Ok(Self::Metrics),
            "/v2" | "/v2/" => return Ok(Self::Base),
            _ => {}
        }
        let rest = path.strip_prefix("/v2/").ok_or(PathError::Unknown)?;
        let parts: Vec<String> =
            rest.split('/').map(|part| decode(part).ok_or(PathError::Unknown)).collect::<Result<_, _>>()?;
        let texts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let before = |count: usize| name(&parts[..parts.len() - count]);
        match texts.as_slice() {
            ["_catalog"] => Ok(Self::Catalog),
            [.., "blobs", "uploads"] => before(2).map(|_| Self::Upload),
            [.., "tags", "list"] => before(2).map(Self::Tags),
            [.., "manifests", reference] => {
                let name = before(2)?;
                let by = if reference.contains(':') {
                    ByTagOrDigest::Digest(digest(reference)?)
                } else {
                    ByTagOrDigest::Tag(Tag::new(reference).map_err(|_| PathError::Reference)?)
                };
                Ok(Self::Manifest(name, by))
            }
            [.., "blobs", one] => Ok(Self::Blob(before(2)?, digest(one)?)),
            [.., "referrers", one] => Ok(Self::Referrers(before(2)?, digest(one)?)),
            [.., "blobs", "uploads", _] => before(3).map(|_| Self::Upload),
            _ => Err(PathError::Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(path: &str) -> Result<Target, PathError> {
        Target::parse(path)
    }

    #[test]
    fn paths_of_the_protocol() {
        let digest: Digest = format!("sha256:{HEX}").parse().unwrap();
        let tag = |text: &str| ByTagOrDigest::Tag(Tag::new(text).unwrap());
        assert_eq!(parse("/v2/"), Ok(Target::Base));
        assert_eq!(parse("/v2/_catalog"), Ok(Target::Catalog));
        assert_eq!(parse("/v2/a/b/tags/list"), Ok(Target::Tags("a/b".into())));
        assert_eq!(parse("/v2/a/manifests/1.0"), Ok(Target::Manifest("a".into(), tag("1.0"))));
        let by_digest = Target::Manifest("a".into(), ByTagOrDigest::Digest(digest));
        assert_eq!(parse(&format!("/v2/a/manifests/sha256:{HEX}")), Ok(by_digest.clone()));
        assert_eq!(parse(&format!("/v2/a/manifests/sha256%3a{HEX}")), Ok(by_digest));
        assert_eq!(parse(&format!("/v2/a/blobs/sha256:{HEX}")), Ok(Target::Blob("a".into(), digest)));
        assert_eq!(parse(&format!("/v2/a/referrers/sha256:{HEX}")), Ok(Target::Referrers("a".into(), digest)));
        for upload in ["/v2/a/blobs/uploads", "/v2/a/blobs/uploads/", "/v2/a/b/blobs/uploads/3b1f"] {
            assert_eq!(parse(upload), Ok(Target::Upload), "{upload}");
        }
    }

    #[test]
    fn words_of_the_protocol_may_be_parts_of_a_name() {
        let tag = |text: &str| ByTagOrDigest::Tag(Tag::new(text).unwrap());
        for name in ["tags", "tags/list", "blobs/uploads", "manifests/a/referrers", "v2/a", "x/manifests/latest"] {
            assert_eq!(parse(&format!("/v2/{name}/tags/list")), Ok(Target::Tags(name.into())), "{name}");
            let manifest = Target::Manifest(name.into(), tag("list"));
            assert_eq!(parse(&format!("/v2/{name}/manifests/list")), Ok(manifest), "{name}");
            let Ok(Target::Blob(found, _)) = parse(&format!("/v2/{name}/blobs/sha256:{HEX}")) else { panic!("{name}") };
            assert_eq!(found, name);
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for path in [
            "/v2/../etc/manifests/a",
            "/v2/a/../b/manifests/x",
            "/v2/%2e%2e/manifests/x",
            "/v2/a%2fb/manifests/x",
            "/v2//manifests/x",
            "/v2/A/manifests/x",
            "/v2/a/./b/tags/list",
            "/v2/a%00/tags/list",
            "/v2/manifests/x",
            "/v2/a\\b/manifests/x",
        ] {
            assert_eq!(parse(path), Err(PathError::Name), "{path}");
        }
        for path in ["/v2/a/manifests/..", "/v2/a/manifests/", "/v2/a/manifests/-x", "/v2/a/manifests/%2e%2e%2fx"] {
            assert_eq!(parse(path), Err(PathError::Reference), "{path}");
        }
        for path in [
            "/v2/a/blobs/x",
            "/v2/a/blobs/sha256:00",
            "/v2/a/blobs/..",
            "/v2/a/manifests/md5:00",
            "/v2/a/referrers/latest",
            "/v2/a/manifests/sha256:..%2f..%2fx",
        ] {
            assert_eq!(parse(path), Err(PathError::Digest), "{path}");
        }
        for path in ["", "/x", "/v1/", "/v2/a", "/v2/a/%zz/b", "/v2/a/%f", "/v2/%ff/tags/list", "/v2x", "//v2/", "/V2/"]
        {
            assert_eq!(parse(path), Err(PathError::Unknown), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_name_that_comes_out_is_a_name(path in "(/v2/)?(\\PC|/|%|\\.){0,60}(/tags/list|/manifests/a)?") {
            if let Ok(Target::Tags(name) | Target::Manifest(name, _)) = parse(&path) {
                prop_assert!(Repository::bare(&name).is_ok() && !name.contains("..") && !name.starts_with('/'));
            }
        }
    }
}

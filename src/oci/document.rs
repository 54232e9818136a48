//! Documents: OCI and Docker manifests and indexes, with their raw bytes.
//!
//! The raw bytes are carried, hashed and pushed. The parsed members are for reading. The rules for
//! refusing documents are in `spec/closure.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64ct::Encoding as _;
use serde::Deserialize;

use super::media_type::{self, Kind};
use super::{Descriptor, Digest};

/// Largest document in bytes: the limit of registries and of the specification.
pub const MAX_DOCUMENT: u64 = 4 << 20;
/// Maximum nesting of its JSON, counting the document itself.
const MAX_NESTING: usize = 100;
/// The smallest schemaVersion that not every JSON reader represents exactly.
const MAX_VERSION: u64 = super::descriptor::MAX_SIZE + 1;

/// A manifest or index as fetched.
#[derive(Clone, Debug)]
pub struct Document {
    raw: Arc<[u8]>,
    digest: Digest,
    media_type: String,
    kind: Kind,
    members: Members,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
}

/// Members that are only shown. Dropped if they have the wrong type.
#[derive(Deserialize)]
struct Notes {
    annotations: Option<BTreeMap<String, String>>,
}

/// Reason why bytes are not a document that can be carried.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DocumentError {
    /// More than 4 MiB.
    #[error("manifest {digest}: expected at most {MAX_DOCUMENT} bytes, found {size}")]
    TooLarge {
        /// Digest of the document.
        digest: Digest,
        /// Size in bytes.
        size: u64,
    },
    /// Docker schema 1. It has no digests of the layers' content that could be carried.
    #[error("manifest {0}: docker schema 1 is not supported; push the image again with a current client")]
    Schema1(Digest),
    /// Not one of the four document types.
    #[error("manifest {digest}: expected an OCI or Docker manifest or index, found media type {media_type:?}")]
    Type {
        /// Digest of the document.
        digest: Digest,
        /// Media type from the document or its descriptor.
        media_type: String,
    },
    /// The document's own `mediaType` differs from its descriptor's.
    #[error("manifest {digest}: expected media type {expected:?}, found {found:?}")]
    TypeDiffers {
        /// Digest of the document.
        digest: Digest,
        /// Media type of the descriptor.
        expected: String,
        /// Media type of the document.
        found: String,
    },
    /// Not JSON of the expected form.
    #[error("manifest {digest}: {detail}")]
    Json {
        /// Digest of the document.
        digest: Digest,
        /// Message of the parser.
        detail: String,
    },
    /// Both `manifests` and `config` or `layers`, or none of them.
    #[error("manifest {0}: members of a manifest and of an index in one document, or of the other kind")]
    Ambiguous(Digest),
    /// Embedded `data` that differs from the descriptor's content.
    #[error("manifest {document}: data of {blob} is not its content")]
    Data {
        /// Digest of the document.
        document: Digest,
        /// Digest of the descriptor.
        blob: Digest,
    },
}

/// Checks properties that the parser does not: UTF-8 throughout, an object at the top, and the
/// nesting depth.
fn check_text(raw: &[u8]) -> Result<(), &'static str> {
    if std::str::from_utf8(raw).is_err() {
        return Err("expected UTF-8");
    }
    if raw.trim_ascii_start().first() != Some(&b'{') {
        return Err("expected a JSON object");
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in raw {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err("expected JSON of at most 100 levels");
        }
    }
    Ok(())
}

impl Document {
    /// Parses `raw` as a document of type `media_type` (from a descriptor or a Content-Type).
    ///
    /// # Errors
    /// Those of [`DocumentError`]. Computes the SHA-256 digest; see [`Document::with_digest`] if
    /// the digest is already known.
    pub fn parse(media_type: &str, raw: impl Into<Arc<[u8]>>) -> Result<Self, DocumentError> {
        let raw = raw.into();
        let digest = Digest::sha256(&raw);
        Self::with_digest(media_type, digest, raw)
    }

    /// Like [`Document::parse`], for bytes whose `digest` the caller has checked.
    ///
    /// # Errors
    /// Those of [`Document::parse`].
    pub fn with_digest(media_type: &str, digest: Digest, raw: impl Into<Arc<[u8]>>) -> Result<Self, DocumentError> {
        let raw = raw.into();
        let size = raw.len() as u64;
        if size > MAX_DOCUMENT {
            return Err(DocumentError::TooLarge { digest, size });
        }
        if matches!(media_type, media_type::DOCKER_SCHEMA1 | media_type::DOCKER_SCHEMA1_SIGNED) {
            return Err(DocumentError::Schema1(digest));
        }
        let kind = media_type::document_kind(media_type)
            .ok_or_else(|| DocumentError::Type { digest, media_type: media_type.to_owned() })?;
        let wrong = |detail: String| DocumentError::Json { digest, detail };
        check_text(&raw).map_err(|detail| wrong(detail.to_owned()))?;
        let members: Members = serde_json::from_slice(&raw).map_err(|error| wrong(error.to_string()))?;
        match members.schema_version {
            Some(1) => return Err(DocumentError::Schema1(digest)),
            Some(MAX_VERSION..) => return Err(wrong("schemaVersion: expected an integer below 2^53".to_owned())),
            _ => {}
        }
        match &members.media_type {
            Some(own) if own == media_type => {}
            Some(own) => {
                return Err(DocumentError::TypeDiffers { digest, expected: media_type.to_owned(), found: own.clone() });
            }
            None if media_type::may_lack_media_type(media_type) => {}
            None => {
                return Err(DocumentError::TypeDiffers {
                    digest,
                    expected: media_type.to_owned(),
                    found: String::new(),
                });
            }
        }
        let fits = match kind {
            Kind::Manifest => members.manifests.is_none() && members.config.is_some(),
            Kind::Index => members.config.is_none() && members.layers.is_none() && members.manifests.is_some(),
        };
        if !fits {
            return Err(DocumentError::Ambiguous(digest));
        }
        let annotations = serde_json::from_slice::<Notes>(&raw).ok().and_then(|notes| notes.annotations);
        let document = Self { raw, digest, media_type: media_type.to_owned(), kind, members, annotations };
        document.check_data()?;
        Ok(document)
    }

    /// Returns the media type that `raw` itself states, for sources that give none (an old
    /// `index.json`).
    pub fn sniff(raw: &[u8]) -> Option<String> {
        let members: Members = serde_json::from_slice(raw).ok()?;
        members.media_type.or_else(|| {
            let guess = if members.manifests.is_some() { media_type::OCI_INDEX } else { media_type::OCI_MANIFEST };
            (members.manifests.is_some() || members.config.is_some()).then(|| guess.to_owned())
        })
    }

    fn check_data(&self) -> Result<(), DocumentError> {
        for descriptor in self.references().chain(self.members.subject.as_ref()) {
            let Some(data) = &descriptor.data else { continue };
            let good = base64ct::Base64::decode_vec(data).is_ok_and(|content| {
                content.len() as u64 == descriptor.size
                    && Digest::of(descriptor.digest.algorithm(), &content) == descriptor.digest
            });
            if !good {
                return Err(DocumentError::Data { document: self.digest, blob: descriptor.digest });
            }
        }
        Ok(())
    }

    /// Returns the raw bytes.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Returns the raw bytes, shared.
    pub fn shared(&self) -> Arc<[u8]> {
        Arc::clone(&self.raw)
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.raw.len() as u64
    }

    /// Returns the digest.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the media type from the descriptor. The document's own `mediaType`, if present,
    /// equals it.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// Returns whether this is a manifest or an index.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the document's own `artifactType`. An empty one counts as absent.
    pub fn artifact_type(&self) -> Option<&str> {
        self.members.artifact_type.as_deref().filter(|text| !text.is_empty())
    }

    /// Returns `config` of a manifest.
    pub const fn config(&self) -> Option<&Descriptor> {
        self.members.config.as_ref()
    }

    /// Returns `layers` of a manifest.
    pub fn layers(&self) -> &[Descriptor] {
        self.members.layers.as_deref().unwrap_or_default()
    }

    /// Returns `manifests` of an index.
    pub fn manifests(&self) -> &[Descriptor] {
        self.members.manifests.as_deref().unwrap_or_default()
    }

    /// Returns the subject that this document refers to. The closure never follows it.
    pub const fn subject(&self) -> Option<&Descriptor> {
        self.members.subject.as_ref()
    }

    /// Returns the annotations.
    pub const fn annotations(&self) -> Option<&BTreeMap<String, String>> {
        self.annotations.as_ref()
    }

    /// Returns all children in order: config, layers, manifests. The subject is not among them.
    pub fn references(&self) -> impl Iterator<Item = &Descriptor> {
        self.members.config.iter().chain(self.layers()).chain(self.manifests())
    }

    /// Returns the type that a referrers list shows for this document: `artifactType`, otherwise
    /// the media type of the config.
    pub fn shown_artifact_type(&self) -> Option<&str> {
        self.artifact_type().or_else(|| self.config().map(|config| config.media_type.as_str()))
    }

    /// Returns a descriptor of this document, without annotations.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest, self.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = r#"{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;

    #[test]
    fn m1_mixed_documents_are_refused() {
        let mixed = format!(r#"{{"schemaVersion":2,"config":{EMPTY},"layers":[],"manifests":[]}}"#);
        for media_type in media_type::DOCUMENTS {
            assert!(Document::parse(media_type, mixed.clone().into_bytes()).is_err());
        }
    }

    #[test]
    fn m1_media_type_may_lack_in_oci_documents_only() {
        let bare = format!(r#"{{"schemaVersion":2,"config":{EMPTY},"layers":[]}}"#).into_bytes();
        assert!(Document::parse(media_type::OCI_MANIFEST, bare.clone()).is_ok());
        assert!(matches!(
            Document::parse(media_type::DOCKER_MANIFEST, bare.clone()),
            Err(DocumentError::TypeDiffers { .. })
        ));
        assert!(matches!(Document::parse(media_type::OCI_INDEX, bare), Err(DocumentError::Ambiguous(_))));
    }

    #[test]
    fn wrong_data_is_refused() {
        let with = |data: &str| {
            let config = EMPTY.replace("\"size\":2", &format!("\"size\":2,\"data\":\"{data}\""));
            let raw = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
            Document::parse(media_type::OCI_MANIFEST, raw.into_bytes())
        };
        assert!(with("e30=").is_ok());
        for wrong in ["e31=", "", "e30", "!!"] {
            assert!(matches!(with(wrong), Err(DocumentError::Data { .. })), "{wrong}");
        }
    }

    #[test]
    fn m15_schema1_is_named() {
        let raw = br#"{"schemaVersion":1}"#.to_vec();
        assert!(matches!(Document::parse(media_type::DOCKER_SCHEMA1_SIGNED, raw), Err(DocumentError::Schema1(_))));
    }
}

//! The manifest of a file or directory, as `oras push` makes it, except that it states no time.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use serde_json::json;

use super::content::FileContent;
use super::hash::Hashed;
use crate::oci::media_type::{OCI_EMPTY, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST};
use crate::oci::{Descriptor, Digest, Document};

/// Name under which a layer is written.
pub(super) const TITLE: &str = "org.opencontainers.image.title";
/// Digest of the archive before it was compressed (oras).
const PLAIN: &str = "io.deis.oras.content.digest";
/// Says that a layer is unpacked into a directory (oras).
const UNPACK: &str = "io.deis.oras.content.unpack";
/// Artifact type of what has none (oras).
const UNKNOWN: &str = "application/vnd.unknown.artifact.v1";

/// A layer.
pub(super) struct Layer(Descriptor);

impl Layer {
    /// Describes a file.
    pub(super) fn file(name: &str, content: &Hashed) -> Self {
        let annotations = BTreeMap::from([(TITLE.to_owned(), name.to_owned())]);
        Self::new(OCI_LAYER, content, annotations)
    }

    /// Describes a directory: the packed archive, and the digest of the archive itself.
    pub(super) fn tree(name: &str, packed: &Hashed, plain: Digest) -> Self {
        let annotations = BTreeMap::from([
            (TITLE.to_owned(), name.to_owned()),
            (PLAIN.to_owned(), plain.to_string()),
            (UNPACK.to_owned(), "true".to_owned()),
        ]);
        Self::new(OCI_LAYER_GZIP, packed, annotations)
    }

    fn new(media_type: &str, content: &Hashed, annotations: BTreeMap<String, String>) -> Self {
        Self(Descriptor { annotations: Some(annotations), ..Descriptor::new(media_type, content.digest, content.size) })
    }
}

/// Makes the manifest of one layer, and adds its empty config to `content`.
///
/// # Errors
/// A text, if the manifest is refused by our own parser.
pub(super) fn of_file(Layer(layer): Layer, content: &mut FileContent) -> Result<Document, String> {
    let empty = content.add_bytes(b"{}");
    let config = Descriptor { data: Some(Base64::encode_string(b"{}")), ..Descriptor::new(OCI_EMPTY, empty, 2) };
    let json = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": UNKNOWN, "config": config, "layers": [layer],
    });
    parse(&json)
}

/// Parses a manifest that was made.
///
/// # Errors
/// As [`of_file`].
pub(super) fn parse(json: &serde_json::Value) -> Result<Document, String> {
    // The members of an object are in the order of their names, so that the bytes are always the same.
    Document::parse(OCI_MANIFEST, json.to_string().into_bytes()).map_err(|error| error.to_string())
}

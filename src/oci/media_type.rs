//! Media types of OCI and Docker, and the properties of their content.
//!
//! A document is one of the four manifest types; everything else is a leaf (`spec/closure.md`).

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker image manifest, schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image manifest, schema 1: refused by name.
pub const DOCKER_SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// Docker image manifest, schema 1, signed: refused by name.
pub const DOCKER_SCHEMA1_SIGNED: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
/// OCI artifact manifest, which image-spec dropped before its version 1.1: cannot be carried.
pub const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// ORAS artifact manifest, the forerunner of [`OCI_ARTIFACT`]: cannot be carried.
pub const ORAS_ARTIFACT: &str = "application/vnd.cncf.oras.artifact.manifest.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Content `{}` of the empty descriptor.
pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// OCI layer that is not compressed.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer, zstd.
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// OCI layer, gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The four types that are documents.
pub const DOCUMENTS: [&str; 4] = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX];

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An image or artifact manifest: `config` and `layers`.
    Manifest,
    /// An index or manifest list: `manifests`.
    Index,
}

/// Returns the kind of document that `media_type` names, or `None` for a leaf.
pub fn document_kind(media_type: &str) -> Option<Kind> {
    match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => Some(Kind::Manifest),
        OCI_INDEX | DOCKER_INDEX => Some(Kind::Index),
        _ => None,
    }
}

/// Whether `media_type` is a manifest of a former type, which registries keep with their manifests and
/// not with their blobs.
pub fn is_former_document(media_type: &str) -> bool {
    matches!(media_type, DOCKER_SCHEMA1 | DOCKER_SCHEMA1_SIGNED | OCI_ARTIFACT | ORAS_ARTIFACT)
}

/// Whether `media_type` is one of the two OCI document types, which may omit `mediaType`.
pub fn may_lack_media_type(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | OCI_INDEX)
}

/// Whether content of this type must not be distributed ("foreign" layers).
pub fn is_foreign(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

/// Whether content of this type is already compressed or encrypted. Such blobs are stored unchanged
/// (`spec/frame.md`).
pub fn is_compressed(media_type: &str) -> bool {
    const MARKS: [&str; 11] =
        ["+gzip", "+zstd", "+encrypted", "+bzip2", "+xz", "+lz4", ".gzip", ".zstd", ".gz", ".zst", ".zip"];
    let lower = media_type.to_ascii_lowercase();
    let lower = lower.split(';').next().unwrap_or_default().trim_end();
    MARKS.iter().any(|mark| lower.ends_with(mark))
        || lower.contains("+encrypted")
        || lower.contains("tar.gzip")
        || lower == "application/gzip"
        || lower == "application/zstd"
        || lower == "application/zip"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressed_types_are_known_by_name() {
        for yes in [
            OCI_LAYER_GZIP,
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        ] {
            assert!(is_compressed(yes), "{yes}");
        }
        for no in [OCI_CONFIG, OCI_MANIFEST, "application/vnd.oci.image.layer.v1.tar", "application/octet-stream"] {
            assert!(!is_compressed(no), "{no}");
        }
    }

    #[test]
    fn only_four_types_are_documents() {
        assert!(DOCUMENTS.iter().all(|media_type| document_kind(media_type).is_some()));
        for former in [DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED, OCI_ARTIFACT, ORAS_ARTIFACT] {
            assert!(document_kind(former).is_none() && is_former_document(former));
        }
        for leaf in [OCI_CONFIG, "application/vnd.buildkit.cacheconfig.v0"] {
            assert!(document_kind(leaf).is_none() && !is_former_document(leaf));
        }
    }
}

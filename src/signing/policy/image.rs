//! Determines from its structure whether a document is an image, whatever its stated type, and
//! which types must be allowed for it (`spec/policy.md`, Images).
//!
//! Pure. An image's author controls all of the input, so everything that some engine would run
//! counts as an image.

use super::Glob;
use crate::oci::media_type::{DOCKER_MANIFEST, OCI_CONFIG, OCI_EMPTY};
use crate::oci::{Algorithm, Descriptor, Digest, Document};

/// Config type of Docker images.
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Config types that engines accept for images, because some registries once returned them instead.
const STAND_INS: [&str; 4] = ["application/octet-stream", "application/json", "text/html", ""];
/// Prefixes of the types of file-system layers.
const FILE_SYSTEMS: [&str; 2] = ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."];

/// Returns a media type in lower case, without parameters.
fn essence(media_type: &str) -> String {
    let bare = media_type.split(';').next().unwrap_or_default();
    bare.trim_matches([' ', '\t']).to_ascii_lowercase()
}

/// Whether the content is `{}`.
fn is_void(descriptor: &Descriptor) -> bool {
    let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
    algorithms.into_iter().any(|algorithm| descriptor.digest == Digest::of(algorithm, b"{}"))
}

fn is_file_system(layer: &Descriptor) -> bool {
    let kind = essence(&layer.media_type);
    FILE_SYSTEMS.iter().any(|start| kind.starts_with(start))
}

/// Whether `document` is an image manifest, which means that some engine would run it.
pub(super) fn is_image(document: &Document) -> bool {
    let Some(config) = document.config() else { return false };
    let kind = essence(&config.media_type);
    if kind == OCI_CONFIG || kind == DOCKER_CONFIG {
        return true;
    }
    let could_be = document.media_type() == DOCKER_MANIFEST
        || STAND_INS.contains(&kind.as_str())
        || document.layers().iter().any(is_file_system);
    could_be && !is_void(config)
}

/// Whether `document` has at least one layer, and every layer is of a type in `except` and not of a
/// file-system type.
pub(super) fn is_excepted(document: &Document, except: &[Glob]) -> bool {
    let named = |layer: &Descriptor| except.iter().any(|glob| glob.matches(&layer.media_type));
    let layers = document.layers();
    !layers.is_empty() && layers.iter().all(|layer| named(layer) && !is_file_system(layer))
}

/// Returns every type of `document`. All of them must be allowed.
pub(super) fn types(document: &Document) -> Vec<String> {
    let own = document.artifact_type();
    let config = document.config();
    let says_nothing = |config: &&Descriptor| own.is_some() && config.media_type == OCI_EMPTY && is_void(config);
    let stated = config.filter(|config| !says_nothing(config)).map(|config| config.media_type.as_str());
    let is_stated = stated.is_some_and(|kind| kind == OCI_CONFIG || kind == DOCKER_CONFIG);
    let posing = (is_image(document) && !is_stated).then_some(OCI_CONFIG);
    own.into_iter().chain(stated).chain(posing).map(ToOwned::to_owned).collect()
}

/// Returns the digests of the layers of `document` that have content.
pub(super) fn content(document: &Document) -> Vec<Digest> {
    document.layers().iter().filter(|layer| layer.size > 0 && !is_void(layer)).map(|layer| layer.digest).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::oci::media_type::OCI_MANIFEST;

    const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

    fn document(media_type: &str, config: &Value, layers: &[&str]) -> Document {
        let layer = |kind: &&str| json!({ "mediaType": kind, "digest": Digest::sha256(b"layer"), "size": 5 });
        let layers: Vec<Value> = layers.iter().map(layer).collect();
        let body = json!({ "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers });
        Document::parse(media_type, body.to_string().into_bytes()).unwrap()
    }

    fn config(kind: &str, content: &[u8]) -> Value {
        json!({ "mediaType": kind, "digest": Digest::sha256(content), "size": content.len() })
    }

    #[test]
    fn what_an_engine_would_run_is_an_image_whatever_it_is_called() {
        let oci = |kind: &str, content: &[u8], layers: &[&str]| {
            is_image(&document(OCI_MANIFEST, &config(kind, content), layers))
        };
        for kind in [
            OCI_CONFIG,
            DOCKER_CONFIG,
            "application/vnd.oci.image.config.v1+json; charset=utf-8",
            "application/vnd.oci.image.config.v1+json;",
            " Application/vnd.oci.image.config.v1+JSON\t",
        ] {
            assert!(oci(kind, b"{}", &[]) && oci(kind, b"x", &["text/plain"]), "{kind}");
        }
        for kind in ["application/json", "application/octet-stream; x=y", "TEXT/html", ""] {
            assert!(oci(kind, b"{\"rootfs\":1}", &[]) && !oci(kind, b"{}", &["text/plain"]), "{kind}");
        }
        // A file-system layer, with any config that is not empty.
        for layer in [LAYER, "application/vnd.docker.image.rootfs.diff.tar.gzip", "APPLICATION/vnd.oci.image.layer.x"] {
            assert!(oci("x/y", b"x", &["text/plain", layer]), "{layer}");
            assert!(!oci(OCI_EMPTY, b"{}", &[layer]) && oci(OCI_EMPTY, b"x", &[layer]), "{layer}");
        }
        for (kind, layer) in
            [("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart"), ("x/y", "x/z")]
        {
            assert!(!oci(kind, b"x", &[layer]), "{kind}");
        }
        assert!(is_image(&document(DOCKER_MANIFEST, &config("x/y", b"x"), &["text/plain"])));
        assert!(!is_image(&document(DOCKER_MANIFEST, &config("x/y", b"{}"), &["text/plain"])));
        assert!(!oci("application/vnd.oci.image.config.v1+jsonx", b"x", &["text/plain"]));
    }

    #[test]
    fn a_file_system_is_never_excepted() {
        let except = [Glob::new("*".to_owned())];
        let of = |layers: &[&str]| is_excepted(&document(OCI_MANIFEST, &config(OCI_CONFIG, b"x"), layers), &except);
        assert!(of(&["application/vnd.in-toto+json"]) && of(&["a/b", "c/d"]));
        assert!(!of(&[]) && !of(&[LAYER]) && !of(&["a/b", LAYER]));
        let named = [Glob::new("a/b".to_owned())];
        let both = document(OCI_MANIFEST, &config(OCI_CONFIG, b"x"), &["a/b", "c/d"]);
        assert!(!is_excepted(&both, &named));
    }
}

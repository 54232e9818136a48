//! Tells the kind of a document by its structure (`spec/policy.md`, Images): an image, whatever it calls itself, and the types
//! that it must be allowed under.
//!
//! Pure. Everything here is open to an image's author, so whatever some engine would run is an image.

use super::Glob;
use crate::oci::media_type::{DOCKER_MANIFEST, OCI_CONFIG, OCI_EMPTY};
use crate::oci::{Algorithm, Descriptor, Digest, Document};

/// The config of Docker's images.
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Types of a config that engines take for an image's: registries once gave them in its place.
const STAND_INS: [&str; 4] = ["application/octet-stream", "application/json", "text/html", ""];
/// How the types of file-system layers begin.
const FILE_SYSTEMS: [&str; 2] = ["application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."];

/// A media type without its parameters, in lower case.
fn essence(media_type: &str) -> String {
    let bare = media_type.split(';').next().unwrap_or_default();
    bare.trim_matches([' ', '\t']).to_ascii_lowercase()
}

/// Whether the content is `{}`, which says nothing and runs nowhere.
fn is_void(descriptor: &Descriptor) -> bool {
    let algorithms = [Algorithm::Sha256, Algorithm::Sha512];
    algorithms.into_iter().any(|algorithm| descriptor.digest == Digest::of(algorithm, b"{}"))
}

fn is_file_system(layer: &Descriptor) -> bool {
    let kind = essence(&layer.media_type);
    FILE_SYSTEMS.iter().any(|start| kind.starts_with(start))
}

/// Whether `document` is the manifest of an image: some engine would run it.
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

/// Whether each layer of `document` is of a type that `except` names, none a file system's, and there is one.
pub(super) fn is_excepted(document: &Document, except: &[Glob]) -> bool {
    let named = |layer: &Descriptor| except.iter().any(|glob| glob.matches(&layer.media_type));
    let layers = document.layers();
    !layers.is_empty() && layers.iter().all(|layer| named(layer) && !is_file_system(layer))
}

/// Every type that `document` has: all of them must be allowed.
pub(super) fn types(document: &Document) -> Vec<String> {
    let own = document.artifact_type();
    let config = document.config();
    let says_nothing = |config: &&Descriptor| own.is_some() && config.media_type == OCI_EMPTY && is_void(config);
    let stated = config.filter(|config| !says_nothing(config)).map(|config| config.media_type.as_str());
    let is_stated = stated.is_some_and(|kind| kind == OCI_CONFIG || kind == DOCKER_CONFIG);
    let posing = (is_image(document) && !is_stated).then_some(OCI_CONFIG);
    own.into_iter().chain(stated).chain(posing).map(ToOwned::to_owned).collect()
}

/// The digests of the layers in which `document`, as a referrer, has something to say.
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
        // A layer that is a file system, under any config but one that says nothing.
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

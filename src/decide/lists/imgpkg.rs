//! Locks of imgpkg (`ImagesLock`, `BundleLock`): images by digest.

use super::found::List;
use crate::yaml::Node;

/// Reads a document.
pub fn read(document: &Node, found: &mut List) {
    for item in document.get("images").map(Node::items).unwrap_or_default() {
        found.image(item.line, "images", item.text_of("image").unwrap_or_default(), &[]);
    }
    if let Some(bundle) = document.get("bundle") {
        let image = bundle.text_of("image").unwrap_or_default();
        let reference = match (image.split_once('@'), bundle.text_of("tag")) {
            (Some((name, digest)), Some(tag)) if !name.rsplit('/').next().is_some_and(|last| last.contains(':')) => {
                format!("{name}:{tag}@{digest}")
            }
            _ => image.to_owned(),
        };
        found.image(bundle.line, "bundle", &reference, &[]);
        found.pass(
            bundle.line,
            "bundle",
            "the images of a bundle of imgpkg are listed by its ImagesLock: list that too",
        );
    }
    if document.get("images").is_none() && document.get("bundle").is_none() {
        found.refuse(document.line, "", "expected images or bundle, found neither");
    }
}

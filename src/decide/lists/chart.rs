//! Chart.yaml and Chart.lock: dependencies in registries, and the images that Artifact Hub's
//! annotation lists.

use super::found::List;
use super::names;
use crate::yaml::{self, Node};

/// Returns whether a document is one of these files.
pub fn is_chart(document: &Node) -> bool {
    let is_chart =
        document.get("apiVersion").is_some() && document.get("kind").is_none() && document.get("version").is_some();
    is_chart || (document.get("dependencies").is_some() && document.get("digest").is_some())
}

/// Reads a document.
pub fn read(document: &Node, found: &mut List) {
    for item in document.get("dependencies").map(Node::items).unwrap_or_default() {
        let (name, version) = (item.text_of("name").unwrap_or_default(), item.text_of("version"));
        let place = format!("dependency {name}");
        match item.text_of("repository") {
            Some(url) if url.starts_with("oci://") => {
                // A range is a filter of tags, an exact version a tag.
                let is_exact = version.is_some_and(names::is_one_version);
                let tag = version.filter(|_| is_exact);
                let keys = match version {
                    Some(range) if !is_exact => vec![("semver", range), ("latest", "1")],
                    Some(_) => Vec::new(),
                    None => vec![("latest", "1")],
                };
                match names::chart(url, name, tag) {
                    Ok(source) => found.source(item.line, &place, source, &keys),
                    Err(fault) => found.fault(item.line, place, &fault),
                }
            }
            _ => found.pass(item.line, place, "a chart in an HTTP repository or a directory: not fetched"),
        }
    }
    images(document, found);
}

/// Annotations that list images: of Artifact Hub, of Helm's proposal 15, and of charts before it.
const LISTS: [&str; 3] = ["artifacthub.io/images", "helm.sh/images", "images"];

/// Takes the images of the annotations that list them.
pub fn images(document: &Node, found: &mut List) {
    let Some(annotations) = document.get("annotations") else { return };
    for key in LISTS {
        let Some((line, text)) = annotations.get(key).and_then(|node| Some((node.line, node.text()?))) else {
            continue;
        };
        match yaml::parse(text) {
            Ok(documents) => {
                for item in documents.iter().flat_map(|document| document.items()) {
                    found.image(line, key, item.text_of("image").or(item.text()).unwrap_or_default(), &[]);
                }
            }
            Err(error) => found.refuse(line, key, error.reason),
        }
    }
}

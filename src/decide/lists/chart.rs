//! Chart.yaml and Chart.lock: dependencies in registries, and the images that Artifact Hub's
//! annotation lists.

use super::found::List;
use super::names;
use super::yaml::{self, Node};

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
                let is_exact = version.is_some_and(|text| {
                    crate::oci::Tag::new(&text.replace('+', "_")).is_ok()
                        && crate::decide::selector::version::of_tag(text).is_some()
                });
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

/// Takes the images of Artifact Hub's annotation.
pub fn images(document: &Node, found: &mut List) {
    let Some(listed) = document.get("annotations").and_then(|all| all.get("artifacthub.io/images")) else { return };
    let Some(text) = listed.text() else { return };
    match yaml::parse(text) {
        Ok(documents) => {
            for item in documents.iter().flat_map(|document| document.items()) {
                found.image(listed.line, "artifacthub.io/images", item.text_of("image").unwrap_or_default(), &[]);
            }
        }
        Err(error) => found.refuse(listed.line, "artifacthub.io/images", error.reason),
    }
}

//! Kustomizations: the images that they set. What they build on is not followed.

use super::found::List;
use super::names;
use crate::yaml::Node;

const NOT_FOLLOWED: [&str; 6] = ["resources", "bases", "components", "generators", "transformers", "crds"];

/// Reads a document.
pub fn read(document: &Node, found: &mut List) {
    if let Some(set) = document.get("images") {
        images(set, "", found);
    }
    for (number, item) in document.get("helmCharts").map(Node::items).unwrap_or_default().iter().enumerate() {
        let place = format!("helmCharts[{number}]");
        match (item.text_of("repo").filter(|repo| repo.starts_with("oci://")), item.text_of("name")) {
            (Some(repo), Some(name)) => match names::chart(repo, name, item.text_of("version")) {
                Ok(source) => found.source(item.line, &place, source, names::latest(item.text_of("version"))),
                Err(fault) => found.fault(item.line, place, &fault),
            },
            _ => found.pass(item.line, place, "a chart in an HTTP repository or a directory: not fetched"),
        }
    }
    for (key, value) in document.entries() {
        if NOT_FOLLOWED.contains(&key.as_str()) && !value.is_empty() {
            found.pass(value.line, key.as_str(), "not followed: list the output of `kustomize build`");
        }
    }
}

/// Takes the images that a list of `name`, `newName`, `newTag` and `digest` sets. `title` names what
/// has the list; empty for a kustomization.
pub fn images(set: &Node, title: &str, found: &mut List) {
    let before = if title.is_empty() { String::new() } else { format!("{title}, ") };
    for (number, item) in set.items().iter().enumerate() {
        let place = format!("{before}images[{number}]");
        let Some(name) = item.text_of("newName").or_else(|| item.text_of("name")) else {
            found.refuse(item.line, place, "expected name or newName, found none");
            continue;
        };
        let (tag, digest) = (item.text_of("newTag"), item.text_of("digest"));
        if tag.is_none() && digest.is_none() && !names::is_pinned(name) {
            found.pass(
                item.line,
                place,
                format!("{name} without newTag or digest: list the output of `kustomize build`"),
            );
            continue;
        }
        match names::parts(name, tag, digest) {
            Ok(source) => found.source(item.line, &place, source, &[]),
            Err(problem) => found.problem(item.line, &place, &problem),
        }
    }
}

//! Values of charts: images as texts, or in parts (`registry`, `repository`, `tag`, `digest`).

use super::found::List;
use super::names;
use crate::yaml::{Node, Value};

/// Reads a document.
pub fn read(document: &Node, found: &mut List) {
    // `skopeo list-tags` prints a repository and its tags.
    if let (Some(repository), Some(tags)) = (document.text_of("Repository"), document.get("Tags")) {
        for tag in tags.items() {
            match names::parts(repository, tag.text(), None) {
                Ok(source) => found.source(tag.line, "Tags", source, &[]),
                Err(problem) => found.problem(tag.line, "Tags", &problem),
            }
        }
        return;
    }
    walk(document, "", found);
}

/// Returns a path with one more part.
pub fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn walk(node: &Node, path: &str, found: &mut List) {
    match &node.value {
        Value::Scalar(text, _) => found.tell(node.line, path, text),
        Value::Sequence(items) => {
            let is_images = path == "images" || path.ends_with(".images") || path.is_empty();
            for (number, item) in items.iter().enumerate() {
                let place = format!("{path}[{number}]");
                match item.text() {
                    Some(text) if is_images => found.image(item.line, &place, text, &[]),
                    _ => walk(item, &place, found),
                }
            }
        }
        Value::Mapping(_) if is_parts(node) => parts(node, path, found),
        // What container tools print of local images as JSON.
        Value::Mapping(_) if node.text_of("Repository").is_some() && node.text_of("Tag").is_some() => {
            local(node, path, found);
        }
        Value::Mapping(entries) if entries.iter().any(|(key, _)| is_tags(key)) => tags(node, path, found),
        Value::Mapping(entries) => {
            for (key, value) in entries {
                let place = below(path, key);
                let is_image = key == "image" || key.ends_with("Image");
                match value.text() {
                    _ if key == "image" && value.is_empty() => found.pass(value.line, place, "empty: names no image"),
                    Some(text) if key == "image" || (is_image && names::is_pinned(text)) => {
                        image(node, value, text, &place, found);
                    }
                    _ => walk(value, &place, found),
                }
            }
        }
    }
}

/// Takes a row of `docker images --format json` and its like.
fn local(node: &Node, path: &str, found: &mut List) {
    let (name, tag) = (node.text_of("Repository").unwrap_or_default(), node.text_of("Tag").unwrap_or_default());
    if name == "<none>" || tag == "<none>" {
        found.pass(node.line, path, "an image without a name or without a tag");
        return;
    }
    match names::parts(name, Some(tag), None) {
        Ok(source) => found.source(node.line, path, source, &[]),
        Err(problem) => found.problem(node.line, path, &problem),
    }
}

/// Returns whether a key lists the names of a local image, as `docker inspect` and `crictl` print it.
fn is_tags(key: &str) -> bool {
    matches!(key, "RepoTags" | "repoTags")
}

fn tags(node: &Node, path: &str, found: &mut List) {
    // `skopeo inspect` prints one image, with all tags of its repository.
    if let (Some(name), Some(digest)) = (node.text_of("Name"), node.text_of("Digest")) {
        found.image(node.line, &below(path, "Name"), &format!("{name}@{digest}"), &[]);
        found.pass(node.line, below(path, "RepoTags"), "all tags of the repository: not taken");
        return;
    }
    // podman has them in `Names`.
    let keys = ["RepoTags", "repoTags", "Names"];
    let listed =
        keys.iter().find_map(|key| node.get(key).filter(|names| !names.items().is_empty()).map(|one| (*key, one)));
    let Some((key, names)) = listed else {
        found.pass(node.line, path, "an image without a name");
        return;
    };
    let place = below(path, key);
    for name in names.items() {
        match name.text() {
            Some(text) if text.contains("<none>") => found.pass(name.line, place.as_str(), "an image without a name"),
            text => found.image(name.line, &place, text.unwrap_or_default(), &[]),
        }
    }
}

/// Takes an image that is one text, unless its tag stands next to it.
pub fn image(around: &Node, value: &Node, text: &str, place: &str, found: &mut List) {
    let apart = ["tag", "imageTag"].iter().find(|key| around.get(key).is_some());
    match apart.filter(|_| !names::is_pinned(text)) {
        Some(key) => {
            let reason = format!("image and {key} stand apart: list the output of `helm template`");
            found.pass(value.line, place, reason);
        }
        None => found.image(value.line, place, text, &[]),
    }
}

/// Returns whether a mapping is an image in parts.
pub fn is_parts(node: &Node) -> bool {
    let has = |key: &str| node.get(key).is_some_and(|value| matches!(value.value, Value::Scalar(..)));
    has("repository") && (has("tag") || has("digest") || has("sha") || has("registry") || has("pullPolicy"))
}

/// Takes an image in parts.
pub fn parts(node: &Node, path: &str, found: &mut List) {
    let Some(repository) = node.text_of("repository") else {
        found.pass(node.line, path, "no repository: names no image");
        return;
    };
    let tag = node.get("tag").filter(|tag| tag.text().is_some());
    if let Some(tag) = tag.filter(|tag| tag.is_changed_number()) {
        let text = tag.text().unwrap_or_default();
        let reason =
            format!("expected a text, found the number {text}, which helm shows differently: write it in quotes");
        found.refuse(tag.line, below(path, "tag"), reason);
        return;
    }
    let digest = node.text_of("digest").or_else(|| node.text_of("sha"));
    let digest = digest.map(|digest| if digest.contains(':') { digest.to_owned() } else { format!("sha256:{digest}") });
    if tag.is_none() && digest.is_none() && !names::is_pinned(repository) {
        found.pass(node.line, path, "no tag: the chart's version decides; list the output of `helm template`");
        return;
    }
    let repository = match node.text_of("registry") {
        Some(registry) => format!("{registry}/{repository}"),
        None => repository.to_owned(),
    };
    match names::parts(&repository, tag.and_then(Node::text), digest.as_deref()) {
        Ok(source) => found.source(node.line, path, source, &[]),
        Err(problem) => found.problem(node.line, path, &problem),
    }
}

//! oc-mirror's ImageSetConfiguration (v1alpha2, v2alpha1): additional images and charts. Releases
//! and operators need catalogs that only oc-mirror resolves.

use super::found::List;
use super::names;
use crate::decide::selector::Source;
use crate::yaml::Node;

/// Reads a document.
pub fn read(document: &Node, found: &mut List) {
    let Some(mirror) = document.get("mirror") else {
        found.refuse(document.line, "mirror", "expected the images to mirror, found none");
        return;
    };
    let blocked: Vec<&str> = (mirror.get("blockedImages").map(Node::items).unwrap_or_default().iter())
        .filter_map(|item| item.text().or_else(|| item.text_of("name")))
        .collect();
    for (key, value) in mirror.entries() {
        match key.as_str() {
            "additionalImages" => value.items().iter().for_each(|item| image(item, &blocked, found)),
            "blockedImages" => {}
            "helm" => helm(value, found),
            "platform" => {
                found.pass(
                    value.line,
                    "mirror.platform",
                    "releases need the update graph: not resolved; list their images",
                );
            }
            "operators" => {
                for (number, item) in value.items().iter().enumerate() {
                    let catalog = item.text_of("catalog").unwrap_or("?");
                    let reason =
                        format!("operators are not resolved: list their images, and {catalog} itself if it is wanted");
                    found.pass(item.line, format!("mirror.operators[{number}]"), reason);
                }
            }
            other => found.pass(value.line, format!("mirror.{other}"), "not read: nothing of it is selected"),
        }
    }
    for key in ["archiveSize", "storageConfig"] {
        if let Some(value) = document.get(key) {
            found.pass(value.line, key, "where and how large the output is: options of export");
        }
    }
}

fn image(item: &Node, blocked: &[&str], found: &mut List) {
    let place = "mirror.additionalImages";
    let Some(name) = item.text().or_else(|| item.text_of("name")) else {
        found.refuse(item.line, place, "expected a name, found none");
        return;
    };
    let source = match names::image(name) {
        Ok(source) => source,
        Err(problem) => return found.problem(item.line, place, &problem),
    };
    if blocked.iter().any(|pattern| is_blocked(&source, pattern)) {
        found.pass(item.line, format!("{place}: {name}"), "blockedImages leaves it out");
        return;
    }
    let Source::Registry(reference) = &source else { return };
    let target = match (item.text_of("targetRepo"), item.text_of("targetTag")) {
        (None, None) => None,
        (repository, tag) => {
            let own = reference.repository.path();
            let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            Some(format!("{}{tag}", repository.unwrap_or(own)))
        }
    };
    let keys: Vec<(&str, &str)> = target.iter().map(|target| ("as", target.as_str())).collect();
    found.source(item.line, place, source, &keys);
}

/// Returns whether an entry of `blockedImages` means an image: its name, its repository, or a
/// regular expression of either.
fn is_blocked(source: &Source, pattern: &str) -> bool {
    let Source::Registry(reference) = source else { return false };
    let whole = reference.to_string();
    let repository = reference.repository.to_string();
    let named = match names::image(pattern) {
        Ok(other) if names::is_pinned(pattern) => other == *source,
        Ok(Source::Registry(other)) => other.repository == reference.repository,
        _ => false,
    };
    let expression =
        pattern.contains(['*', '^', '$', '(', '[', '+']).then(|| regex::Regex::new(&format!("^(?:{pattern})$")));
    named
        || matches!(expression, Some(Ok(expression)) if expression.is_match(&whole) || expression.is_match(&repository))
}

fn helm(helm: &Node, found: &mut List) {
    for item in helm.get("local").map(Node::items).unwrap_or_default() {
        match item.text_of("path") {
            Some(path) => found.source(item.line, "mirror.helm.local", Source::File(path.into()), &[]),
            None => found.refuse(item.line, "mirror.helm.local", "expected a path, found none"),
        }
    }
    for repository in helm.get("repositories").map(Node::items).unwrap_or_default() {
        let url = repository.text_of("url").unwrap_or_default();
        let name = repository.text_of("name").unwrap_or_default();
        if !url.starts_with("oci://") {
            let place = format!("mirror.helm.repositories: {name}");
            found.pass(repository.line, place, "charts in an HTTP repository: not fetched");
            continue;
        }
        for item in repository.get("charts").map(Node::items).unwrap_or_default() {
            let (place, version) = ("mirror.helm.repositories", item.text_of("version"));
            match names::chart(url, item.text_of("name").unwrap_or_default(), version) {
                Ok(source) => found.source(item.line, place, source, names::latest(version)),
                Err(fault) => found.fault(item.line, place, &fault),
            }
        }
    }
}

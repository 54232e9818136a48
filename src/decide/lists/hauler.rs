//! Hauler's manifests (`content.hauler.cattle.io`, v1alpha1 and v1): images, charts, files.

use super::found::List;
use super::names;
use crate::decide::selector::Source;
use crate::yaml::Node;

/// Reads a document.
pub fn read(document: &Node, found: &mut List) {
    let items = |key: &str| document.at(&["spec", key]).map(Node::items).unwrap_or_default();
    match document.text_of("kind").unwrap_or_default() {
        "Images" => items("images").iter().for_each(|item| image(document, item, found)),
        "Charts" => items("charts").iter().for_each(|item| chart(item, found)),
        "Files" => items("files").iter().for_each(|item| file(item, found)),
        other => {
            let reason = "a collection that hauler resolves itself: list the images, charts and files that it means";
            found.pass(document.line, format!("kind {other}"), reason);
        }
    }
}

fn image(document: &Node, item: &Node, found: &mut List) {
    let annotation = |name: &str| {
        let all = document.at(&["metadata", "annotations"])?;
        all.text_of(&format!("hauler.dev/{name}"))
    };
    let Some(name) = item.text().or_else(|| item.text_of("name")) else {
        found.refuse(item.line, "spec.images", "expected a name, found none");
        return;
    };
    let platform = item.text_of("platform").or_else(|| annotation("platform")).filter(|one| *one != "all");
    let mut keys: Vec<(&str, &str)> = platform.map(|platform| ("platform", platform)).into_iter().collect();
    let renamed = item.text_of("rewrite").map(|name| name.trim_start_matches('/'));
    keys.extend(renamed.map(|name| ("as", name)));
    let registry = item.text_of("registry").or_else(|| annotation("registry"));
    found.image(item.line, "spec.images", &names::with_registry(name, registry), &keys);
    for (key, value) in item.entries() {
        let is_signature = key == "key" || key.starts_with("certificate-") || key == "use-tlog-verify";
        if is_signature && !value.is_empty() {
            let reason = "signatures are checked by the policy of the import, not while exporting";
            found.pass(value.line, format!("{key} of {name}"), reason);
        }
    }
}

fn chart(item: &Node, found: &mut List) {
    let Some(name) = item.text_of("name") else {
        found.refuse(item.line, "spec.charts", "expected a name, found none");
        return;
    };
    let place = format!("chart {name}");
    let version = item.text_of("version");
    match item.text_of("repoURL") {
        Some(url) if url.starts_with("oci://") => match names::chart(url, name, version) {
            Ok(source) => found.source(item.line, &place, source, names::latest(version)),
            Err(fault) => found.fault(item.line, place.as_str(), &fault),
        },
        Some(_) => found.pass(item.line, place.as_str(), "a chart in an HTTP repository: not fetched"),
        None if name.starts_with("oci://") => match names::chart(name, "", version) {
            Ok(source) => found.source(item.line, &place, source, names::latest(version)),
            Err(fault) => found.fault(item.line, place.as_str(), &fault),
        },
        None => found.source(item.line, &place, Source::File(name.into()), &[]),
    }
    for key in ["add-images", "add-dependencies"] {
        if item.text_of(key) == Some("true") {
            found.pass(item.line, place.as_str(), format!("{key}: list the output of `helm template` for its images"));
        }
    }
}

fn file(item: &Node, found: &mut List) {
    let Some(path) = item.text_of("path") else {
        found.refuse(item.line, "spec.files", "expected a path, found none");
        return;
    };
    if path.contains("://") {
        let name = item.text_of("name").unwrap_or_else(|| path.rsplit('/').next().unwrap_or_default());
        found.pass(item.line, format!("file {name}"), "a URL: not fetched");
        return;
    }
    found.source(item.line, "spec.files", Source::File(path.into()), &[]);
}

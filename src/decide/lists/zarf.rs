//! zarf.yaml: images, charts in registries, and files of components.

use super::found::List;
use super::names;
use crate::decide::selector::Source;
use crate::yaml::Node;

/// Reads a document.
pub fn read(document: &Node, found: &mut List) {
    let architecture = document.at(&["metadata", "architecture"]).and_then(Node::text);
    for component in document.get("components").map(Node::items).unwrap_or_default() {
        let name = component.text_of("name").unwrap_or("?");
        let place = format!("component {name}");
        let own = component.at(&["only", "cluster", "architecture"]).and_then(Node::text);
        let platform = own.or(architecture).filter(|one| *one != "multi").map(|one| format!("linux/{one}"));
        let keys: Vec<(&str, &str)> = platform.iter().map(|platform| ("platform", platform.as_str())).collect();
        let items = |key: &str| component.get(key).map(Node::items).unwrap_or_default();
        for image in items("images") {
            found.image(image.line, &place, image.text().or_else(|| image.text_of("name")).unwrap_or_default(), &keys);
        }
        items("charts").iter().for_each(|item| chart(item, &place, found));
        items("files").iter().for_each(|item| file(item, &place, found));
        for (key, reason) in [
            ("repos", "repositories of Git: not fetched"),
            ("manifests", "not followed: list the resources themselves for their images"),
            ("dataInjections", "data for volumes: not fetched"),
            ("imageArchives", "archives of images: not read"),
        ] {
            if let Some(value) = component.get(key).filter(|value| !value.items().is_empty()) {
                found.pass(value.line, format!("{place}, {key}"), reason);
            }
        }
        if let Some(import) = component.get("import") {
            found.pass(import.line, format!("{place}, import"), "not followed: list that package too");
        }
    }
}

fn chart(item: &Node, place: &str, found: &mut List) {
    let name = item.text_of("name").unwrap_or("?");
    let place = format!("{place}, chart {name}");
    let version = item.text_of("version");
    // v1beta1 has one member for each kind of source.
    let address = ["oci", "helm", "git"].iter().find_map(|kind| item.at(&[kind, "url"]).and_then(Node::text));
    let path = item.at(&["local", "path"]).and_then(Node::text);
    match (item.text_of("url").or(address), item.text_of("localPath").or(path)) {
        // zarf's address of a chart in a registry ends with the chart.
        (Some(url), _) if url.starts_with("oci://") => match names::chart(url, "", version) {
            Ok(source) => found.source(item.line, &place, source, names::latest(version)),
            Err(fault) => found.fault(item.line, place, &fault),
        },
        (Some(_), _) => {
            found.pass(item.line, place, "a chart in an HTTP repository or a repository of Git: not fetched");
        }
        (None, Some(path)) if names::has_ending(path, &[".tgz"]) => {
            found.source(item.line, &place, Source::File(path.into()), &[]);
        }
        (None, _) => {
            found.pass(item.line, place, "a chart in a directory: package it with `helm package`, and list the file");
        }
    }
}

fn file(item: &Node, place: &str, found: &mut List) {
    match item.text_of("source") {
        Some(source) if source.contains("://") => {
            found.pass(item.line, format!("{place}, file {source}"), "a URL: not fetched");
        }
        Some(source) => match names::check(source) {
            Ok(()) => found.source(item.line, place, Source::File(source.into()), &[]),
            Err(problem) => found.problem(item.line, place, &problem),
        },
        None => found.refuse(item.line, format!("{place}, files"), "expected a source, found none"),
    }
}

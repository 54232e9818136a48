//! Lists of `skopeo sync`: per registry, repositories with tags, expressions or ranges.

use super::found::List;
use super::names;
use crate::base::fault::Fault;
use crate::decide::selector::Source;
use crate::oci::Repository;
use crate::yaml::Node;

const KINDS: [&str; 3] = ["images", "images-by-tag-regex", "images-by-semver"];

/// Returns whether a document is such a list.
pub fn is_list(document: &Node) -> bool {
    let is_registry =
        |node: &Node| node.entries().iter().any(|(key, value)| KINDS.contains(&key.as_str()) && !value.is_empty());
    let entries = document.entries();
    let is_host = |key: &str| key.contains(['.', ':']) || key == "localhost";
    !entries.is_empty()
        && entries.iter().all(|(key, value)| is_host(key) && value.is_mapping())
        && entries.iter().any(|(_, value)| is_registry(value))
}

/// Reads a document.
pub fn read(document: &Node, found: &mut List) {
    for (host, registry) in document.entries() {
        let host = if host == "registry.hub.docker.com" || host == "index.docker.io" { "docker.io" } else { host };
        for (key, value) in registry.entries() {
            let place = format!("{host} {key}");
            match key.as_str() {
                "images" => value.entries().iter().for_each(|(path, tags)| tags_of(host, path, tags, &place, found)),
                "images-by-tag-regex" => filtered(host, value, "regex", &place, found),
                "images-by-semver" => filtered(host, value, "semver", &place, found),
                "credentials" => {
                    found.pass(
                        value.line,
                        place,
                        "a login in a list: not used; log in with `packmule login`, and remove it from the list",
                    );
                }
                "tls-verify" if value.text() == Some("false") => {
                    found.pass(
                        value.line,
                        format!("{host} tls-verify: false"),
                        "not obeyed: name the host with --insecure or --plain-http",
                    );
                }
                "tls-verify" => {}
                "cert-dir" => found.pass(value.line, place, "certificates belong into the configuration"),
                _ => found.pass(value.line, place, "not read: nothing of it is selected"),
            }
        }
    }
}

/// Returns the path on docker.io of a short name.
fn path_on<'p>(host: &str, path: &'p str) -> std::borrow::Cow<'p, str> {
    if host == "docker.io" && !path.contains('/') { format!("library/{path}").into() } else { path.into() }
}

fn repository(host: &str, path: &str) -> Result<Source, Fault> {
    let repository = Repository::new(host, &path_on(host, path));
    let repository =
        repository.map_err(|error| Fault::usage(error.to_string(), "write HOST and REPO as the registry has them"))?;
    Ok(Source::Tags { repository, glob: None })
}

fn tags_of(host: &str, path: &str, tags: &Node, place: &str, found: &mut List) {
    let mut take = |line: usize, source: Result<Source, Fault>| match source {
        Ok(source) => found.source(line, place, source, &[]),
        Err(fault) => found.fault(line, format!("{place}: {path}"), &fault),
    };
    // No tag at all stands for all of them.
    if tags.items().is_empty() {
        let source = match tags.text() {
            Some(tag) => names::exact(host, &path_on(host, path), tag),
            None => repository(host, path),
        };
        take(tags.line, source);
        return;
    }
    for tag in tags.items() {
        take(tag.line, names::exact(host, &path_on(host, path), tag.text().unwrap_or_default()));
    }
}

fn filtered(host: &str, repositories: &Node, key: &str, place: &str, found: &mut List) {
    for (path, value) in repositories.entries() {
        let Some(text) = value.text() else {
            found.refuse(value.line, format!("{place}: {path}"), format!("expected a {key}, found none"));
            continue;
        };
        match repository(host, path) {
            Ok(source) => found.source(value.line, place, source, &[(key, text)]),
            Err(fault) => found.fault(value.line, place, &fault),
        }
    }
}

//! Charts and artifacts that resources of Flux, Argo CD and k3s name. Those in registries are taken;
//! the others are passed over by name.

use super::found::List;
use super::names;
use crate::decide::selector::Source;
use crate::yaml::Node;

const NOT_FETCHED: &str = "a chart in an HTTP repository or a repository of Git: not fetched";

/// Reads a resource of `kind`, if it is one that names charts.
pub fn read(kind: &str, resource: &Node, title: &str, found: &mut List) {
    let text = |path: &[&str]| resource.at(path).and_then(Node::text);
    match kind {
        "OCIRepository" => artifact(resource, title, found),
        // Of k3s, and of Flux, where `chart` is a name in a repository.
        "HelmChart" => match text(&["spec", "chart"]) {
            Some(url) if url.starts_with("oci://") => {
                chart(resource.line, title, (url, "", text(&["spec", "version"])), found);
            }
            Some(_) => found.pass(resource.line, title, NOT_FETCHED),
            None => {}
        },
        "HelmRelease" => {
            if let Some(name) = text(&["spec", "chart", "spec", "chart"]) {
                let reason = format!("chart {name}: its repository is another resource: list oci://HOST/REPO/{name}");
                found.pass(resource.line, title, reason);
            }
        }
        "Application" | "ApplicationSet" => {
            let spec =
                if kind == "Application" { resource.get("spec") } else { resource.at(&["spec", "template", "spec"]) };
            let Some(spec) = spec else { return };
            let several = spec.get("sources").map(Node::items).unwrap_or_default().iter().map(|one| &**one);
            spec.get("source").into_iter().chain(several).for_each(|source| application(source, title, found));
        }
        _ => {}
    }
}

/// Reads a source of Argo CD.
fn application(source: &Node, title: &str, found: &mut List) {
    let (Some(url), name) = (source.text_of("repoURL"), source.text_of("chart")) else { return };
    let Some(name) = name else {
        // Without a chart, a path of it is packed as an artifact, or it is a repository of Git.
        if url.starts_with("oci://") {
            chart(source.line, title, (url, "", source.text_of("targetRevision")), found);
        }
        return;
    };
    if url.contains("://") && !url.starts_with("oci://") {
        found.pass(source.line, title, NOT_FETCHED);
        return;
    }
    if url.contains("{{") || name.contains("{{") {
        found.pass(source.line, title, "a chart that a generator names: list it as oci://HOST/REPO/CHART:VERSION");
        return;
    }
    chart(source.line, title, (url, name, source.text_of("targetRevision")), found);
}

/// Takes the chart at an address, with its name and its version, which may be a range.
fn chart(line: usize, title: &str, (url, name, version): (&str, &str, Option<&str>), found: &mut List) {
    let exact = version.filter(|version| names::is_one_version(version));
    let keys = match version {
        Some(range) if exact.is_none() => vec![("semver", range), ("latest", "1")],
        _ => names::latest(version).to_vec(),
    };
    match names::chart(url, name, exact) {
        Ok(source) => found.source(line, title, source, &keys),
        Err(fault) => found.fault(line, title, &fault),
    }
}

/// Takes the artifact of an OCIRepository, whose `ref` is a digest, a range or a tag.
fn artifact(resource: &Node, title: &str, found: &mut List) {
    let reference = |key: &str| resource.at(&["spec", "ref", key]).and_then(Node::text);
    let Some(url) = resource.at(&["spec", "url"]).and_then(Node::text) else { return };
    let name = url.strip_prefix("oci://").unwrap_or(url);
    if let Some(digest) = reference("digest") {
        found.image(resource.line, title, &format!("{name}@{digest}"), &[]);
        return;
    }
    let keys: Vec<(&str, &str)> = [("semver", "semver"), ("semverFilter", "regex")]
        .iter()
        .filter_map(|(key, own)| reference(key).map(|text| (*own, text)))
        .collect();
    if reference("semver").is_none() {
        found.image(resource.line, title, &format!("{name}:{}", reference("tag").unwrap_or("latest")), &[]);
        return;
    }
    match names::image(name) {
        Ok(Source::Registry(of)) => {
            let source = Source::Tags { repository: of.repository, glob: None };
            found.source(resource.line, title, source, &[&keys[..], &[("latest", "1")]].concat());
        }
        Ok(_) => {}
        Err(problem) => found.problem(resource.line, title, &problem),
    }
}

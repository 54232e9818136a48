//! Lists that other tools write or read, as selections: text in, selectors out, with everything that
//! is refused or passed over by its line.
//!
//! Opens no files and asks nobody. The kind of a list is recognized by its content, document by
//! document.

mod artifacts;
mod chart;
mod charts;
mod compose;
mod decode;
mod format;
mod found;
mod hauler;
mod imgpkg;
mod kubernetes;
mod kustomize;
mod names;
mod oc_mirror;
mod paths;
mod regsync;
mod shell;
mod skopeo;
mod text;
mod values;
mod zarf;

use std::borrow::Cow;
use std::ops::ControlFlow;

pub use self::format::Format;
pub use self::found::{Include, List, ListEntry, Remark};
pub use self::paths::ImagePath;

use crate::yaml::{self, Node};

/// Maximum size of a list, in bytes.
pub const MAX_LIST: u64 = 64 << 20;

/// Reads a list. Its kind is `format`, or else recognized. `name` is its file's name, which helps
/// with files that could be of two kinds. `own` are the user's places of images in resources.
pub fn read(name: &str, bytes: &[u8], format: Option<Format>, own: &[ImagePath]) -> List {
    let mut found = List::default();
    let text = match decode::text(bytes) {
        Ok(text) => text,
        Err(reason) => {
            found.refuse(0, "", reason);
            return found;
        }
    };
    match format.or_else(|| by_lines(name, &text)) {
        Some(Format::Text) => text::read(&text, &mut found),
        Some(Format::Shell) => shell::read(&text, &mut found),
        Some(Format::Toml) => artifacts::read(&text, &mut found),
        format => documents(name, &as_documents(&text), format, own, &mut found),
    }
    found.finish();
    let says_nothing = found.entries.is_empty() && found.includes.is_empty();
    if says_nothing && found.refused.is_empty() && found.passed_over.is_empty() {
        found.refuse(0, "", "expected a list of images, found no image in it");
    }
    found
}

/// Reads a file of a packed chart: the images of its Chart.yaml, or else its values. Everything that
/// cannot be read is passed over, since the chart is not the user's.
pub fn in_chart(bytes: &[u8], is_chart: bool) -> List {
    let mut found = List::default();
    match decode::text(bytes).map(|text| yaml::parse(&text)) {
        Ok(Ok(documents)) => {
            for document in &documents {
                if is_chart { chart::images(document, &mut found) } else { values::read(document, &mut found) }
            }
        }
        Ok(Err(error)) => found.refuse(error.line, "", error.reason),
        Err(reason) => found.refuse(0, "", reason),
    }
    found.finish();
    let mut refused = std::mem::take(&mut found.refused);
    found.passed_over.append(&mut refused);
    found
}

/// Returns the kind of a text that is not YAML.
fn by_lines(name: &str, text: &str) -> Option<Format> {
    if names::has_ending(name, &[".toml"]) {
        return Some(Format::Toml);
    }
    let is_yaml_name = names::has_ending(name, &[".yaml", ".yml", ".json"]);
    if !is_yaml_name && shell::is_script(text) {
        return Some(Format::Shell);
    }
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let begins = |start: &str| lines().any(|line| line.starts_with(start));
    if begins("[[artifacts]]")
        || lines().any(|line| line.split('=').next().is_some_and(|key| key.trim() == "artifacts") && line.contains('='))
    {
        return Some(Format::Toml);
    }
    if is_yaml_name {
        return None;
    }
    let Some(first) = lines().next() else { return Some(Format::Text) };
    let is_json = first.starts_with('{') || (first.starts_with('[') && !first.contains("]:"));
    (!is_json && !is_yaml_line(first)).then_some(Format::Text)
}

/// Returns whether a line can only be YAML: a mark, or a key.
fn is_yaml_line(line: &str) -> bool {
    let line = line.strip_prefix("- ").unwrap_or(line).trim_start();
    let is_mark = line.starts_with("---") || line.starts_with('%');
    let key = line.split_once(": ").map(|(key, _)| key).or_else(|| line.strip_suffix(':'));
    let is_key = |key: &str| {
        let key = key.trim_matches(['"', '\'']);
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c))
    };
    is_mark || key.is_some_and(is_key)
}

/// Returns a text of one JSON object a line as several documents, on the same lines.
fn as_documents(text: &str) -> Cow<'_, str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let is_object = |line: &str| line.starts_with('{') && line.ends_with('}');
    if lines.clone().nth(1).is_none() || !lines.all(is_object) {
        return text.into();
    }
    text.lines().map(|line| if line.trim().is_empty() { "\n".to_owned() } else { format!("--- {line}\n") }).collect()
}

fn documents(name: &str, text: &str, format: Option<Format>, own: &[ImagePath], found: &mut List) {
    let mut is_plain = false;
    let parsed = yaml::each(text, &mut |document| {
        is_plain = document.text().is_some() && format.is_none();
        if is_plain {
            return ControlFlow::Break(());
        }
        if !document.is_empty() {
            self::document(name, &document, format, own, found);
        }
        ControlFlow::Continue(())
    });
    if is_plain {
        // One scalar alone is text in a file that is named as YAML.
        text::read(text, found);
        return;
    }
    let Err(error) = parsed else { return };
    // Nothing of a file counts that cannot be read to its end.
    *found = List::default();
    let is_template = text.contains("{{") && format.is_none_or(|format| format != Format::Text);
    let is_text = !names::has_ending(name, &[".yaml", ".yml"]) && is_mostly_names(text);
    if is_template {
        found.refuse_all("a template of a chart, not its output: list the output of `helm template`");
    } else if is_text && format.is_none() {
        text::read(text, found);
    } else {
        found.refuse(error.line, "", error.reason);
    }
}

fn document(name: &str, document: &Node, format: Option<Format>, own: &[ImagePath], found: &mut List) {
    let file = name.rsplit('/').next().unwrap_or_default();
    match format.unwrap_or_else(|| kind(document, file)) {
        Format::Kubernetes => kubernetes::read(document, own, found),
        Format::Chart => chart::read(document, found),
        Format::Kustomize => kustomize::read(document, found),
        Format::Compose => compose::read(document, found),
        Format::Hauler => hauler::read(document, found),
        Format::OcMirror => oc_mirror::read(document, found),
        Format::Skopeo => skopeo::read(document, found),
        Format::Regsync => regsync::read(document, found),
        Format::Zarf => zarf::read(document, found),
        Format::Imgpkg => imgpkg::read(document, found),
        Format::Values | Format::Text | Format::Shell | Format::Toml => values::read(document, found),
    }
}

/// Returns whether most lines are single words.
fn is_mostly_names(text: &str) -> bool {
    let (mut names, mut others) = (0, 0);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let line = line.trim_start_matches("- ");
        let line = line.strip_prefix("image:").map_or(line, str::trim_start);
        *(if line.contains(char::is_whitespace) || line.ends_with(':') { &mut others } else { &mut names }) += 1;
    }
    names > others
}

/// Returns the kind of a document.
fn kind(document: &Node, file: &str) -> Format {
    let text = |key: &str| document.text_of(key).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let is_of = |group: &str| version.split('/').next() == Some(group);
    if is_of("content.hauler.cattle.io") || is_of("collection.hauler.cattle.io") {
        return Format::Hauler;
    }
    if is_of("imgpkg.carvel.dev") {
        return Format::Imgpkg;
    }
    // `kubeadm config images list -o json` prints `images` as texts.
    if is_of("output.kubeadm.k8s.io") {
        return Format::Values;
    }
    if kind == "ImageSetConfiguration" || (kind.is_empty() && document.get("mirror").is_some_and(Node::is_mapping)) {
        return Format::OcMirror;
    }
    if is_of("kustomize.config.k8s.io")
        || file.starts_with("kustomization")
        || (kind.is_empty() && is_kustomization(document))
    {
        return Format::Kustomize;
    }
    if kind == "ZarfPackageConfig" || kind == "ZarfInitConfig" {
        return Format::Zarf;
    }
    if !kind.is_empty() {
        return Format::Kubernetes;
    }
    let is_service = |node: &Node| ["image", "build", "extends"].iter().any(|key| node.get(key).is_some());
    let services = document.get("services").map(Node::entries).unwrap_or_default();
    if services.iter().any(|(_, service)| is_service(service)) {
        return Format::Compose;
    }
    if regsync::is_list(document) {
        return Format::Regsync;
    }
    if skopeo::is_list(document) {
        return Format::Skopeo;
    }
    if chart::is_chart(document) { Format::Chart } else { Format::Values }
}

fn is_kustomization(document: &Node) -> bool {
    let images = document.get("images").map(Node::items).unwrap_or_default();
    images.iter().any(|image| image.get("newTag").is_some() || image.get("newName").is_some())
}

#[cfg(test)]
mod tests;

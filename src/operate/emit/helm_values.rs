//! Values for Helm charts: `global.imageRegistry`, which many charts read, and a map of all images in
//! the parts that charts ask for.

use std::collections::BTreeSet;

use super::emitted::File;
use super::kind::Kind;
use super::names::{Name, Names};
use crate::oci::Digest;

/// Returns the file.
pub fn file(names: &Names) -> File {
    let mut text = format!("{}global:\n", Kind::HelmValues.mark());
    let shared = shared(names);
    if let Some(registry) = &shared {
        text.push_str(&format!("  imageRegistry: \"{registry}\"\n"));
    }
    let is_empty = names.all.iter().all(|name| name.tags.is_empty() && name.untagged.is_empty());
    text.push_str(if is_empty { "  images: {}\n" } else { "  images:\n" });
    for name in &names.all {
        // The registry is the shared one, so that a chart which prefers that makes the same name.
        let (registry, repository) = match &shared {
            Some(registry) => (registry.clone(), name.source.path()),
            None => (name.destination.host().to_owned(), name.destination.path()),
        };
        let mut add = |key: String, tag: Option<&str>, digest: Digest| {
            text.push_str(&format!(
                "    \"{key}\":\n      registry: \"{registry}\"\n      repository: \"{repository}\"\n"
            ));
            if let Some(tag) = tag {
                text.push_str(&format!("      tag: \"{tag}\"\n"));
            }
            text.push_str(&format!("      digest: \"{digest}\"\n"));
        };
        for (tag, digest) in &name.tags {
            add(format!("{}:{tag}", name.source), Some(tag.as_str()), *digest);
        }
        for digest in &name.untagged {
            add(format!("{}@{digest}", name.source), None, *digest);
        }
    }
    File { path: "values.yaml".to_owned(), text }
}

/// Returns the host and prefix below which every repository has its old path, if there is one.
fn shared(names: &Names) -> Option<String> {
    let place = |name: &Name| {
        let prefix = name.prefix()?;
        let slash = if prefix.is_empty() { "" } else { "/" };
        Some(format!("{}{slash}{prefix}", name.destination.host()))
    };
    let places: BTreeSet<Option<String>> = names.all.iter().map(place).collect();
    if places.len() == 1 { places.into_iter().next()? } else { None }
}

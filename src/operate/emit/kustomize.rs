//! A component of kustomize whose `images` rewrite names. Tags and digests in manifests stay.
//!
//! kustomize compares names as they are written, so a repository of docker.io has an entry for each
//! of its spellings.

use std::collections::HashSet;

use super::emitted::{File, Unmapped};
use super::kind::Kind;
use super::names::{Name, Names};

/// Reason why a name would be rewritten twice.
const TWICE: &str = "its new name is an old name too, and would be rewritten again";

/// Returns the file; adds names that it cannot map to `unmapped`.
pub fn file(names: &Names, unmapped: &mut Vec<Unmapped>) -> File {
    let changed = || names.all.iter().filter(|name| !name.is_unchanged());
    let old: HashSet<String> = changed().flat_map(Name::spellings).collect();
    let mut entries = Vec::new();
    for name in changed() {
        let destination = name.destination.to_string();
        if old.contains(&destination) {
            let (source, destination) = (name.source.clone(), name.destination.clone());
            unmapped.push(Unmapped { source, destination, reason: TWICE });
            continue;
        }
        entries.extend(name.spellings().into_iter().map(|spelling| (spelling, destination.clone())));
    }
    let mut text = format!(
        "{}apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n{}\n",
        Kind::Kustomize.mark(),
        if entries.is_empty() { "images: []" } else { "images:" }
    );
    for (old, new) in entries {
        text.push_str(&format!("  - name: \"{old}\"\n    newName: \"{new}\"\n"));
    }
    File { path: "kustomization.yaml".to_owned(), text }
}

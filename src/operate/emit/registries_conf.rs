//! A drop-in for `registries.conf`: each old repository is blocked and has its new name as a mirror.
//!
//! The mirror is tried first, and the old place, which is blocked, never.

use std::collections::HashSet;

use super::emitted::{File, Unmapped};
use super::kind::Kind;
use super::names::{Name, Names};
use super::scheme::PlainHttp;

/// Reason why a new name cannot be reached.
const CHAINED: &str = "its new name is an old name too, or lies below one";

/// Returns the file; adds names that it cannot map to `unmapped`.
pub fn file(names: &Names, plain: &PlainHttp, unmapped: &mut Vec<Unmapped>) -> File {
    let mut text = Kind::RegistriesConf.mark();
    for name in unchained(names, unmapped) {
        let (source, destination) = (&name.source, &name.destination);
        text.push_str(&format!(
            "\n[[registry]]\nprefix = \"{source}\"\nlocation = \"{source}\"\nblocked = true\n\n\
             [[registry.mirror]]\nlocation = \"{destination}\"\n"
        ));
        if plain.has(destination.host()) {
            text.push_str("insecure = true\n");
        }
    }
    File { path: "packmule.conf".to_owned(), text }
}

/// Returns the names that changed; adds those to `unmapped` whose new name is, or is below, another
/// changed one.
pub(super) fn unchained<'a>(names: &'a Names, unmapped: &mut Vec<Unmapped>) -> Vec<&'a Name> {
    let changed: Vec<&Name> = names.all.iter().filter(|name| !name.is_unchanged()).collect();
    let old: HashSet<String> = changed.iter().map(|name| name.source.to_string()).collect();
    let is_old = |name: &Name| {
        let there = name.destination.to_string();
        let ends = there.match_indices('/').map(|(at, _)| at).chain([there.len()]);
        ends.map(|end| &there[..end]).any(|above| old.contains(above))
    };
    let (chained, free): (Vec<&Name>, Vec<&Name>) = changed.into_iter().partition(|name| is_old(name));
    unmapped.extend(chained.into_iter().map(|name| {
        let (source, destination) = (name.source.clone(), name.destination.clone());
        Unmapped { source, destination, reason: CHAINED }
    }));
    free
}

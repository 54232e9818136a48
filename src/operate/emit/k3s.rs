//! `registries.yaml` of K3s and RKE2: mirrors with endpoints and rewrites of paths.
//!
//! A rewrite applies to every endpoint of its host. It is one rule for all paths where all have one
//! prefix, else one exact rule for each path: rules are tried in no fixed order, so no two may match
//! one path.

use std::collections::{BTreeMap, BTreeSet};

use super::containerd::{SAME_HOST, TAKEN};
use super::emitted::{File, Unmapped};
use super::kind::Kind;
use super::names::{Name, Names};
use super::scheme::PlainHttp;
use crate::oci::Repository;

/// Returns the file; adds names that it cannot map to `unmapped`.
pub fn file(names: &Names, plain: &PlainHttp, unmapped: &mut Vec<Unmapped>) -> File {
    let by_destination = names.by_destination();
    let mut text = Kind::K3s.mark();
    text.push_str(
        "# Start the nodes with disable-default-registry-endpoint, so that nothing is pulled from the old registries.\n",
    );
    let mut hosts = BTreeMap::new();
    for (host, names) in names.by_host() {
        let endpoints: BTreeSet<&str> =
            names.iter().map(|name| name.destination.host()).filter(|there| *there != host).collect();
        let mut led: Vec<&Name> = Vec::new();
        for name in names {
            let is_taken = endpoints.iter().any(|there| {
                let other = Repository::new(there, name.destination.path());
                other.is_ok_and(|other| by_destination.get(&other).is_some_and(|owner| **owner != name.source))
            });
            let reason = if name.destination.host() == host {
                SAME_HOST
            } else if is_taken {
                TAKEN
            } else {
                led.push(name);
                continue;
            };
            let (source, destination) = (name.source.clone(), name.destination.clone());
            unmapped.push(Unmapped { source, destination, reason });
        }
        if !led.is_empty() {
            hosts.insert(host, (endpoints, rewrites(&led)));
        }
    }
    text.push_str(if hosts.is_empty() { "mirrors: {}\n" } else { "mirrors:\n" });
    for (host, (endpoints, rewrites)) in hosts {
        text.push_str(&format!("  \"{host}\":\n    endpoint:\n"));
        endpoints.iter().for_each(|there| text.push_str(&format!("      - \"{}\"\n", plain.origin(there))));
        if !rewrites.is_empty() {
            text.push_str("    rewrite:\n");
        }
        rewrites.iter().for_each(|(from, to)| text.push_str(&format!("      '{from}': '{to}'\n")));
    }
    File { path: "registries.yaml".to_owned(), text }
}

/// Returns the rules, as a regular expression and its replacement.
fn rewrites(names: &[&Name]) -> Vec<(String, String)> {
    let prefixes: BTreeSet<Option<&str>> = names.iter().map(|name| name.prefix()).collect();
    if prefixes.len() == 1
        && let Some(Some(prefix)) = prefixes.first()
    {
        return if prefix.is_empty() { Vec::new() } else { vec![("^(.*)$".to_owned(), format!("{prefix}/$1"))] };
    }
    // A dot is the only character of a repository that means something in a regular expression.
    let exact =
        |name: &&Name| (format!("^{}$", name.source.path().replace('.', "\\.")), name.destination.path().to_owned());
    names.iter().map(exact).collect()
}

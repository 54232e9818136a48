//! containerd's `certs.d`: one `hosts.toml` for each host of old names.
//!
//! containerd replaces hosts, not repositories: `https://REG/v2/PREFIX` with `override_path` leads
//! `HOST/PATH` to `REG/PREFIX/PATH`. The last address is the `server`, so nothing falls back to the
//! old host.

use std::collections::BTreeSet;

use super::emitted::{File, Unmapped};
use super::kind::Kind;
use super::names::{Name, Names};
use super::scheme::PlainHttp;
use crate::oci::Repository;

/// Reason why a name with another path cannot be mapped.
const OTHER_PATH: &str = "it replaces the host and puts a prefix before the path, but keeps the path";
/// Reason why a name cannot be moved within a registry.
pub(super) const SAME_HOST: &str = "it would replace the registry for the new names too";
/// Reason why a name would lead to another image.
pub(super) const TAKEN: &str = "another address of this host has another artifact under this path";

/// Returns the files; adds names that they cannot map to `unmapped`.
pub fn files(names: &Names, plain: &PlainHttp, unmapped: &mut Vec<Unmapped>) -> Vec<File> {
    let by_destination = names.by_destination();
    let mut files = Vec::new();
    for (host, names) in names.by_host() {
        let mut addresses: BTreeSet<(&str, &str)> = BTreeSet::new();
        let mut led: Vec<&Name> = Vec::new();
        for name in names {
            let destination = &name.destination;
            let reason = if destination.host() == host {
                SAME_HOST
            } else if let Some(prefix) = name.prefix() {
                addresses.insert((destination.host(), prefix));
                led.push(name);
                continue;
            } else {
                OTHER_PATH
            };
            unmapped.push(Unmapped { source: name.source.clone(), destination: destination.clone(), reason });
        }
        for name in led {
            let is_taken = addresses.iter().any(|(host, prefix)| {
                let there = Repository::new(host, &below(prefix, name.source.path()));
                there.is_ok_and(|there| by_destination.get(&there).is_some_and(|owner| **owner != name.source))
            });
            if is_taken {
                let (source, destination) = (name.source.clone(), name.destination.clone());
                unmapped.push(Unmapped { source, destination, reason: TAKEN });
            }
        }
        let urls: Vec<String> =
            addresses.iter().map(|(host, prefix)| format!("{}/v2{}", plain.origin(host), slashed(prefix))).collect();
        if let Some(server) = urls.last() {
            files.push(File { path: format!("{host}/hosts.toml"), text: text(server, &urls) });
        }
    }
    files
}

/// Returns `PREFIX/PATH`, or the path if there is no prefix.
fn below(prefix: &str, path: &str) -> String {
    if prefix.is_empty() { path.to_owned() } else { format!("{prefix}/{path}") }
}

fn slashed(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!("/{prefix}") }
}

/// Returns the file. Every address has a table, since containerd 1 refuses a file without one and asks
/// the old host then.
fn text(server: &str, urls: &[String]) -> String {
    const WAYS: &str = "capabilities = [\"pull\", \"resolve\"]\noverride_path = true\n";
    let mut text = format!("{}server = \"{server}\"\n{WAYS}", Kind::Containerd.mark());
    for url in urls {
        text.push_str(&format!("\n[host.\"{url}\"]\n{WAYS}"));
    }
    text
}

//! `--map` rules: FROM=TO and FROM/*=TO/*, from a repository at the source to a path below PLACE.
//!
//! Pure. Parses rules, applies one to a name, and checks rules against the names that they are for
//! (`spec/cli.md`, import names). `route` decides which rule of several applies.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crate::base::fault::{Fault, differs, escape};
use crate::oci::reference::ReferenceError;
use crate::oci::{Reference, Repository};

/// Similarity from which on a name is proposed in place of another.
const NEAR: f64 = 0.7;

/// One rule. FROM is a repository, or a host or a path below one; without a host it matches any
/// host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    // As given, shortened.
    text: String,
    host: Option<String>,
    // Empty for all of a host.
    path: String,
    // Empty for PLACE itself.
    to: String,
    is_prefix: bool,
    is_listed: bool,
}

/// Error from parsing a [`Map`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MapError {
    /// Missing `=`, or a `*` where none is allowed.
    #[error("map {0:?}: expected FROM=TO or FROM/*=TO/*")]
    Form(String),
    /// A line of a file, by its number, is not a map. Does not repeat the line, which may contain a
    /// secret.
    #[error("line {0}: expected FROM=TO or FROM/*=TO/*, with repositories on both sides")]
    Line(usize),
    /// One side is not a repository.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl FromStr for Map {
    type Err = MapError;

    fn from_str(text: &str) -> Result<Self, MapError> {
        let text: String = text.trim().chars().take(300).collect();
        let form = || MapError::Form(text.clone());
        let (from, to) = text.split_once('=').ok_or_else(form)?;
        let (from, to) = (from.trim(), to.trim());
        let Some(from) = from.strip_suffix("/*") else {
            // A tag that was typed is not part of a name.
            let tail = &from[from.rfind('/').map_or(0, |slash| slash + 1)..];
            if to.contains('*') || from.contains('@') || tail.contains(':') {
                return Err(form());
            }
            Repository::bare(to)?;
            let (host, path) = match split_host(from) {
                (Some(_), _) => {
                    let reference: Reference = from.parse()?;
                    (Some(reference.repository.host().to_owned()), reference.repository.path().to_owned())
                }
                (None, path) => (None, Repository::bare(path)?.path().to_owned()),
            };
            return Ok(Self { host, path, to: to.to_owned(), is_prefix: false, is_listed: false, text });
        };
        let to = if to == "*" {
            ""
        } else {
            let to = to.strip_suffix("/*").ok_or_else(form)?;
            Repository::bare(to)?;
            to
        };
        // A host alone needs no slash here.
        let is_host = from.contains(['.', ':']) || from == "localhost";
        let (host, path) = if is_host && !from.contains('/') { (Some(from), "") } else { split_host(from) };
        let host = host.map(|host| if host == "index.docker.io" { "docker.io" } else { host });
        Repository::new(host.unwrap_or("localhost"), if path.is_empty() { "x" } else { path })?;
        if host.is_none() && path.is_empty() {
            return Err(form());
        }
        let (host, path, to) = (host.map(ToOwned::to_owned), path.to_owned(), to.to_owned());
        Ok(Self { host, path, to, is_prefix: true, is_listed: false, text })
    }
}

/// Splits a name as typed into its host, if it has one, and its path.
fn split_host(text: &str) -> (Option<&str>, &str) {
    match text.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, text),
    }
}

impl Map {
    /// Parses a file of maps, one per line. Skips empty lines and lines that start with `#`.
    ///
    /// # Errors
    /// [`MapError`] of the first line that is not a map.
    pub fn list(text: &str) -> Result<Vec<Self>, MapError> {
        let lines = text.lines().map(str::trim).enumerate();
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        lines
            .map(|(index, line)| {
                let map = line.parse::<Self>().map_err(|_| MapError::Line(index + 1))?;
                Ok(Self { is_listed: true, ..map })
            })
            .collect()
    }

    /// Returns the rule for exactly this repository.
    pub fn exact(from: &Repository, to: &str) -> Self {
        Self {
            text: format!("{from}={to}"),
            host: Some(from.host().to_owned()),
            path: from.path().to_owned(),
            to: to.to_owned(),
            is_prefix: false,
            is_listed: false,
        }
    }

    /// Returns the key that sorts rules by precedence: exact ones first, then long paths, then those
    /// with a host.
    pub(super) fn precedence(&self) -> (bool, Reverse<usize>, bool) {
        (self.is_prefix, Reverse(self.path.len()), self.host.is_none())
    }

    /// Returns the path below PLACE, if the rule is for `name`.
    pub(super) fn apply(&self, name: &Repository) -> Option<String> {
        if self.host.as_ref().is_some_and(|host| host != name.host()) {
            return None;
        }
        if !self.is_prefix {
            return self.is_exactly(name).then(|| self.to.clone());
        }
        let rest =
            if self.path.is_empty() { name.path() } else { name.path().strip_prefix(&self.path)?.strip_prefix('/')? };
        Some(if self.to.is_empty() { rest.to_owned() } else { format!("{}/{rest}", self.to) })
    }

    fn is_exactly(&self, name: &Repository) -> bool {
        // Docker's short names.
        let is_short = || name.host() == "docker.io" && name.path().strip_prefix("library/") == Some(&self.path);
        name.path() == self.path || (self.host.is_none() && is_short())
    }
}

/// Checks that the rules, in order of precedence, fit the names. Returns warnings: rules that are
/// for none of them, except those that must be.
///
/// # Errors
/// [`crate::base::fault::Class::Usage`]: a rule that was typed without `*` and is for no name, with
/// the nearest name; a rule without a host that applies to names of several hosts.
pub fn check(maps: &[Map], names: &BTreeSet<&Repository>) -> Result<Vec<String>, Fault> {
    let mut sorted: Vec<&Map> = maps.iter().collect();
    sorted.sort_by_key(|map| map.precedence());
    // One name of each host that a rule without a host applies to.
    let mut hosts: Vec<BTreeMap<&str, &Repository>> = vec![BTreeMap::new(); sorted.len()];
    let mut is_used = vec![false; sorted.len()];
    for name in names {
        let mut fitting = sorted.iter().enumerate().filter(|(_, map)| map.apply(name).is_some()).map(|(at, _)| at);
        if let Some(first) = fitting.next() {
            is_used[first] = true;
            hosts[first].entry(name.host()).or_insert(name);
        }
        fitting.for_each(|at| is_used[at] = true);
    }
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    for ((map, hosts), is_used) in sorted.iter().zip(hosts).zip(is_used) {
        let text = escape(&map.text);
        if let (None, [one, two, ..]) = (&map.host, hosts.into_values().collect::<Vec<_>>().as_slice()) {
            faults.push(Fault::usage(
                differs(format_args!("--map {text}"), "names of one host", format_args!("{one} and {two}")),
                format!("write the host too, for example {one}=…"),
            ));
        }
        if is_used {
            continue;
        }
        let near = nearest(map, names).map(|name| format!("; the nearest name is {name}")).unwrap_or_default();
        let what = differs(format_args!("--map {text}"), "a name that it is for", format_args!("none{near}"));
        if map.is_prefix || map.is_listed {
            warnings.push(what.to_string());
        } else {
            faults.push(Fault::usage(what, "write a name of the source, or FROM/*=TO/* for all below one"));
        }
    }
    Fault::from_list(faults).map_or(Ok(warnings), Err)
}

/// Returns the name that is most like the rule's FROM.
fn nearest<'a>(map: &Map, names: &BTreeSet<&'a Repository>) -> Option<&'a Repository> {
    let score = |name: &Repository| match &map.host {
        Some(host) => strsim::jaro_winkler(&format!("{host}/{}", map.path), &name.to_string()),
        None => strsim::jaro_winkler(&map.path, name.path()),
    };
    let scored = names.iter().map(|name| (score(name), *name)).filter(|(score, _)| *score > NEAR);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::Class;

    fn repository(text: &str) -> Repository {
        Repository::exact(text).unwrap()
    }

    fn checked(maps: &[Map], names: &[&str]) -> Result<Vec<String>, Fault> {
        let names: Vec<Repository> = names.iter().map(|name| repository(name)).collect();
        check(maps, &names.iter().collect())
    }

    fn typed(maps: &[&str]) -> Vec<Map> {
        maps.iter().map(|map| map.parse().unwrap()).collect()
    }

    #[test]
    fn bad_maps_are_refused() {
        for wrong in [
            "",
            "a",
            "=a",
            "a=",
            "a/*=b",
            "a=b/*",
            "a:1=b",
            "h.example/a:1=b",
            "a@x=b",
            "*=b/*",
            "/*=b/*",
            "a/*=B/*",
            "a/*=/*",
            "a=../b",
            "a=b:1",
            "A=b",
            "h.example=b/",
            "localhost:5000=B",
        ] {
            assert!(wrong.parse::<Map>().is_err(), "{wrong:?}");
        }
        assert_eq!(Map::list("# old\n\na=b\n  c/*=d/*  \n").unwrap().len(), 2);
        assert_eq!(Map::list("a=b\n\nno\n"), Err(MapError::Line(3)));
    }

    #[test]
    fn a_rule_without_a_host_is_for_any_host() {
        let to = |map: &str, name: &str| map.parse::<Map>().unwrap().apply(&repository(name));
        assert_eq!(to("team/app=x", "quay.io/team/app").as_deref(), Some("x"));
        assert_eq!(to("team/*=x/*", "quay.io/team/app").as_deref(), Some("x/app"));
        assert_eq!(to("quay.io/team/app=x", "ghcr.io/team/app"), None);
        for short in
            ["alpine", "library/alpine", "docker.io/alpine", "docker.io/library/alpine", "index.docker.io/alpine"]
        {
            assert_eq!(to(&format!("{short}=x"), "docker.io/library/alpine").as_deref(), Some("x"), "{short}");
        }
        assert_eq!(to("alpine=x", "quay.io/library/alpine"), None);
        assert_eq!(to("team/*=x/*", "quay.io/teams/app"), None);
        assert_eq!(to("localhost:5000/*=*", "localhost:5000/a/b").as_deref(), Some("a/b"));
    }

    #[test]
    fn a_typed_rule_for_nothing_is_refused_with_the_nearest_name() {
        let names = ["docker.io/library/alpine", "quay.io/team/app"];
        assert_eq!(checked(&typed(&["alpine=a", "quay.io/*=q/*"]), &names).unwrap(), Vec::<String>::new());
        for (map, near) in [("quay.io/team/ap=x", "quay.io/team/app"), ("libary/alpine=x", "docker.io/library/alpine")]
        {
            let fault = checked(&typed(&[map]), &names).unwrap_err();
            assert!(fault.class == Class::Usage && fault.what.contains(map) && fault.what.ends_with(near), "{fault:?}");
        }
        let fault = checked(&typed(&["zzz=x"]), &names).unwrap_err();
        assert!(!fault.what.contains("nearest"), "{fault:?}");
        // All of them are listed.
        assert_eq!(checked(&typed(&["zzz=x", "yyy=x"]), &names).unwrap_err().others.len(), 1);
        for maps in [typed(&["team/none/*=x/*"]), Map::list("quay.io/team/ap=x").unwrap()] {
            let warnings = checked(&maps, &names).unwrap();
            assert!(warnings.len() == 1 && warnings[0].contains("found none"), "{warnings:?}");
        }
        // A rule that another one precedes everywhere is for something.
        assert!(checked(&typed(&["quay.io/team/app=x", "quay.io/*=y/*"]), &names[1..]).unwrap().is_empty());
    }

    #[test]
    fn a_rule_for_names_of_several_hosts_is_refused_with_both() {
        let names = ["docker.io/library/alpine", "ghcr.io/alpine", "ghcr.io/team/a", "quay.io/team/b"];
        for (map, one, two) in [
            ("alpine=x", "docker.io/library/alpine", "ghcr.io/alpine"),
            ("team/*=x/*", "ghcr.io/team/a", "quay.io/team/b"),
        ] {
            for maps in [typed(&[map]), Map::list(map).unwrap()] {
                let fault = checked(&maps, &names).unwrap_err();
                assert!(
                    fault.class == Class::Usage && fault.what.contains(one) && fault.what.contains(two),
                    "{fault:?}"
                );
            }
        }
        // Not where a rule with a host applies to the other one.
        for map in ["ghcr.io/alpine=y", "docker.io/alpine=y", "docker.io/library/*=y/*"] {
            let found = checked(&typed(&["alpine=x", map]), &names[..2]);
            assert_eq!(found.is_ok(), !map.ends_with('*'), "{map}: {found:?}");
        }
        assert!(checked(&typed(&["team/*=x/*", "quay.io/team/*=q/*"]), &names[2..]).is_ok());
        // Two repositories of one host are no doubt.
        assert!(checked(&typed(&["team/*=x/*"]), &["ghcr.io/team/a", "ghcr.io/team/b"]).is_ok());
    }
}

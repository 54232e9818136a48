//! Names at the destination: maps each repository of the source to a repository below PLACE.
//!
//! Pure. The rules are "import names" in `spec/cli.md`: an exact `--map` before a prefix, the
//! longest prefix first, all maps before `--keep-host`; otherwise the source's path, without its
//! host in a registry. Nothing here checks whether a name exists at a place.

use std::collections::HashMap;

use super::maps::Map;
use crate::base::fault::{Class, Fault, differs, escape};
use crate::flow::Flow;
use crate::oci::reference::ReferenceError;
use crate::oci::{Artifact, Digest, Repository, Tag};

/// Where names are placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `HOST[:PORT][/PREFIX]`.
    Registry {
        /// Host, with the port if it is not 443.
        host: String,
        /// Path prefix of all names; may be empty.
        prefix: String,
    },
    /// A layout: names keep their host, without which they would be read as docker.io's.
    Layout,
    /// Names without a host: to serve them, and to compare them with those below a registry's prefix.
    Bare,
}

impl Place {
    /// Parses a registry as given on the command line, `HOST[:PORT][/PREFIX]`. A host alone is
    /// enough; short names are not supported.
    ///
    /// # Errors
    /// [`ReferenceError`] if the host or the prefix is invalid.
    pub fn registry(text: &str) -> Result<Self, ReferenceError> {
        let (host, prefix) = text.split_once('/').unwrap_or((text, ""));
        let prefix = prefix.trim_end_matches('/');
        Repository::new(host, if prefix.is_empty() { "x" } else { prefix })?;
        Ok(Self::Registry { host: host.to_owned(), prefix: prefix.to_owned() })
    }

    fn below(&self, path: &str) -> Result<Repository, ReferenceError> {
        match self {
            Self::Registry { host, prefix } if prefix.is_empty() => Repository::new(host, path),
            Self::Registry { host, prefix } => Repository::new(host, &format!("{prefix}/{path}")),
            Self::Layout | Self::Bare => Repository::bare(path),
        }
    }
}

/// The name mapping of one run.
#[derive(Clone, Debug)]
pub struct Route {
    place: Place,
    keep_host: bool,
    // In order of precedence; ties stay in the order given.
    maps: Vec<Map>,
}

impl Route {
    /// Creates a route below `place`. With `keep_host`, the source's host is put in front of its
    /// path.
    pub fn new(place: Place, keep_host: bool, mut maps: Vec<Map>) -> Self {
        maps.sort_by_key(Map::precedence);
        Self { place, keep_host, maps }
    }

    /// Returns the destination repository for `source`.
    ///
    /// # Errors
    /// [`Class::Policy`] if the mapped name is not a valid repository name (more than 255
    /// characters).
    pub fn destination(&self, source: &Repository) -> Result<Repository, Fault> {
        let name = source.to_string();
        let mapped = self.maps.iter().find_map(|map| map.apply(source));
        if mapped.is_none() && self.place == Place::Layout {
            return Ok(source.clone());
        }
        let path = mapped.unwrap_or_else(|| {
            if self.keep_host && !source.host().is_empty() {
                format!("{}/{}", host_as_path(source.host()), source.path())
            } else {
                source.path().to_owned()
            }
        });
        self.place.below(&path).map_err(|error| {
            Fault::new(Class::Policy, format!("repository {}: {error}", escape(&name)))
                .help("give it another name with --map FROM=TO")
        })
    }

    /// Returns the destination repository of each artifact, in the same order.
    ///
    /// # Errors
    /// [`Class::Policy`] if a name cannot be mapped, or if two artifacts with different digests
    /// would get the same tag in one repository; every such pair is listed. [`Class::Cancelled`].
    pub fn assign(&self, flow: &Flow, artifacts: &[Artifact]) -> Result<Vec<Repository>, Fault> {
        let (given, collisions) = self.assign_all(flow, artifacts)?;
        Fault::from_list(collisions).map_or(Ok(given), Err)
    }

    /// Like [`Route::assign`], but also returns the repositories if tags collide, and every pair that
    /// does as a fault.
    ///
    /// # Errors
    /// [`Class::Policy`] if a name cannot be mapped, [`Class::Cancelled`].
    pub fn assign_all(&self, flow: &Flow, artifacts: &[Artifact]) -> Result<(Vec<Repository>, Vec<Fault>), Fault> {
        let mut faults = Vec::new();
        let mut given = Vec::with_capacity(artifacts.len());
        for artifact in artifacts {
            flow.check()?;
            match self.destination(&artifact.repository) {
                Ok(repository) => given.push(repository),
                Err(fault) => faults.push(fault),
            }
        }
        if let Some(fault) = Fault::from_list(faults) {
            return Err(fault);
        }
        let mut taken: HashMap<(&Repository, &Tag), (&Repository, Digest)> = HashMap::new();
        let mut faults = Vec::new();
        for (artifact, repository) in artifacts.iter().zip(&given) {
            for tag in &artifact.tags {
                flow.check()?;
                let (first, digest) =
                    *taken.entry((repository, tag)).or_insert((&artifact.repository, artifact.digest));
                if digest != artifact.digest {
                    let what = differs(
                        format_args!("tag {repository}:{tag}"),
                        "one source",
                        format_args!(
                            "{first}:{tag} ({digest}) and {}:{tag} ({})",
                            artifact.repository, artifact.digest
                        ),
                    );
                    faults.push(Fault::new(Class::Policy, what).help("keep them apart with --keep-host or --map"));
                }
            }
        }
        Ok((given, faults))
    }
}

/// Returns a host as one path component: lowercase, `:5000` as `-5000`, an IPv6 address without
/// brackets.
fn host_as_path(host: &str) -> String {
    let text: String = host
        .chars()
        .filter(|character| !matches!(character, '[' | ']'))
        .map(|character| if character == ':' { '-' } else { character.to_ascii_lowercase() })
        .collect();
    text.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::flow::{FixedClock, Silent};

    fn flow() -> Flow {
        Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), 1, 1)
    }

    fn repository(text: &str) -> Repository {
        Repository::exact(text).unwrap()
    }

    fn route(place: &str, keep_host: bool, maps: &[&str]) -> Route {
        Route::new(Place::registry(place).unwrap(), keep_host, maps.iter().map(|map| map.parse().unwrap()).collect())
    }

    fn name(route: &Route, source: &str) -> String {
        route.destination(&repository(source)).unwrap().to_string()
    }

    fn artifact(source: &str, tag: &str, content: &str) -> Artifact {
        Artifact {
            artifact_type: None,
            digest: Digest::sha256(content.as_bytes()),
            media_type: crate::oci::media_type::OCI_MANIFEST.into(),
            original: None,
            repository: repository(source),
            size: 2,
            source: None,
            subject: None,
            tags: vec![Tag::new(tag).unwrap()],
        }
    }

    #[test]
    fn names_go_below_place_without_their_host() {
        let plain = route("reg.site:5000/mirror", false, &[]);
        assert_eq!(name(&plain, "docker.io/library/alpine"), "reg.site:5000/mirror/library/alpine");
        assert_eq!(name(&route("reg.site", false, &[]), "ghcr.io/a/b"), "reg.site/a/b");
        let kept = route("reg.site/m", true, &[]);
        assert_eq!(name(&kept, "localhost:5000/a"), "reg.site/m/localhost-5000/a");
        assert_eq!(name(&kept, "[::1]:5000/a"), "reg.site/m/1-5000/a");
        let bare = Route::new(Place::Bare, false, Vec::new());
        assert_eq!(name(&bare, "docker.io/library/alpine"), "library/alpine");
    }

    #[test]
    fn a_layout_does_not_lose_hosts() {
        for keep_host in [false, true] {
            let maps = vec!["quay.io/team/*=site/*".parse().unwrap()];
            let layout = Route::new(Place::Layout, keep_host, maps);
            for kept in ["docker.io/library/alpine", "quay.io/library/alpine", "localhost:5000/a"] {
                assert_eq!(name(&layout, kept), kept);
            }
            assert_eq!(name(&layout, "quay.io/team/app"), "site/app");
        }
    }

    #[test]
    fn exact_maps_win_over_prefixes_and_long_prefixes_over_short() {
        let maps = ["docker.io/*=hub/*", "docker.io/library/*=base/*", "alpine=os/alpine", "ghcr.io/org/*=*"];
        let route = route("reg.site/p", true, &maps);
        assert_eq!(name(&route, "docker.io/library/alpine"), "reg.site/p/os/alpine");
        assert_eq!(name(&route, "docker.io/library/busybox"), "reg.site/p/base/busybox");
        assert_eq!(name(&route, "docker.io/org/app"), "reg.site/p/hub/org/app");
        assert_eq!(name(&route, "ghcr.io/org/a/b"), "reg.site/p/a/b");
        assert_eq!(name(&route, "ghcr.io/organ/a"), "reg.site/p/ghcr.io/organ/a");
    }

    #[test]
    fn collisions_are_named_with_both_sources() {
        let route = route("reg.site", false, &[]);
        let (one, two) = (artifact("a.example/x", "1", "one"), artifact("b.example/x", "1", "two"));
        let fault = route.assign(&flow(), &[one.clone(), two.clone()]).unwrap_err();
        assert_eq!(fault.class, Class::Policy);
        assert!(fault.what.contains("a.example/x:1") && fault.what.contains("b.example/x:1"), "{fault}");
        let same = Artifact { repository: two.repository.clone(), ..one.clone() };
        let other = Artifact { tags: vec![Tag::new("2").unwrap()], ..two };
        assert!(route.assign(&flow(), &[one, same, other]).is_ok());
    }

    proptest! {
        #[test]
        fn kept_hosts_never_collide_by_path_and_all_stay_below_place(
            left in "[a-z]{1,5}\\.example(:[1-9][0-9]{1,3})?/[a-z0-9]{1,6}(/[a-z0-9]{1,6}){0,2}",
            right in "[a-z]{1,5}\\.example(:[1-9][0-9]{1,3})?/[a-z0-9]{1,6}(/[a-z0-9]{1,6}){0,2}",
        ) {
            let kept = route("reg.site/p", true, &[]);
            prop_assert!(name(&kept, &left).starts_with("reg.site/p/"));
            prop_assert_eq!(name(&kept, &left) == name(&kept, &right), left == right);
        }

        #[test]
        fn a_prefix_map_keeps_the_rest_and_touches_nothing_else(
            path in "[a-z0-9]{1,6}(/[a-z0-9]{1,6}){0,3}",
            to in "[a-z]{1,6}(/[a-z]{1,6})?",
        ) {
            let map = format!("a.example/in/*={to}/*");
            let route = route("reg.site", false, &[&map]);
            prop_assert_eq!(name(&route, &format!("a.example/in/{path}")), format!("reg.site/{to}/{path}"));
            prop_assert_eq!(name(&route, &format!("b.example/in/{path}")), format!("reg.site/in/{path}"));
        }

        #[test]
        fn any_text_as_a_map_is_refused_or_maps_to_good_names(text in "\\PC{0,40}") {
            if let Ok(map) = text.parse::<Map>() {
                let route = Route::new(Place::Layout, false, vec![map]);
                let _ = route.destination(&repository("docker.io/library/alpine"));
            }
        }
    }
}

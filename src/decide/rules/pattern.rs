//! One side of a rule: a repository, or all repositories below a path.

use std::fmt;

use crate::oci::Repository;

/// A repository, or with a `*` as its last part all below a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    host: String,
    // Without the star; empty for all of a host, or of the cache.
    path: String,
    is_wildcard: bool,
}

/// Name of Docker Hub in references.
pub(super) const HUB: &str = "docker.io";

impl Pattern {
    /// Parses the source of a rule: `HOST/REPOSITORY`, `HOST/PATH/*` or `HOST/*`. A single name at
    /// docker.io means `library/NAME`.
    ///
    /// # Errors
    /// The form that is expected.
    pub fn source(text: &str) -> Result<Self, String> {
        let wrong = || "expected HOST/REPOSITORY, HOST/PATH/* or HOST/*".to_owned();
        let (host, path) = text.split_once('/').ok_or_else(wrong)?;
        let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") { HUB } else { host };
        let (path, is_wildcard) = star(path).ok_or_else(wrong)?;
        let full = if is_wildcard { path.to_owned() } else { official(host, path) };
        Repository::new(host, if full.is_empty() { "x" } else { &full }).map_err(|error| error.to_string())?;
        Ok(Self { host: host.to_owned(), path: full, is_wildcard })
    }

    /// Parses the target of a rule: `REPOSITORY`, `PATH/*` or `*`.
    ///
    /// # Errors
    /// The form that is expected.
    pub fn target(text: &str) -> Result<Self, String> {
        let (path, is_wildcard) = star(text).ok_or("expected REPOSITORY, PATH/* or *")?;
        Repository::bare(if path.is_empty() { "x" } else { path }).map_err(|error| error.to_string())?;
        Ok(Self { host: String::new(), path: path.to_owned(), is_wildcard })
    }

    /// Returns the host; empty for a target.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the path, without the star and the slash before it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns whether it stands for all repositories below its path.
    pub const fn is_wildcard(&self) -> bool {
        self.is_wildcard
    }

    /// Returns the part of `path` that the star stands for; empty if the pattern is `path` itself.
    pub(super) fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        if !self.is_wildcard {
            return (path == self.path).then_some("");
        }
        if self.path.is_empty() { Some(path) } else { path.strip_prefix(&self.path)?.strip_prefix('/') }
    }

    /// Returns the path in which `rest` replaces the star.
    pub(super) fn fill(&self, rest: &str) -> String {
        match (self.is_wildcard, self.path.is_empty()) {
            (false, _) => self.path.clone(),
            (true, true) => rest.to_owned(),
            (true, false) => format!("{}/{rest}", self.path),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [self.host.as_str(), &self.path, if self.is_wildcard { "*" } else { "" }];
        f.write_str(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"))
    }
}

/// Returns the path of a repository at `host`: a single name at docker.io is in `library`.
pub(super) fn official(host: &str, path: &str) -> String {
    if host == HUB && !path.contains('/') { format!("library/{path}") } else { path.to_owned() }
}

/// Splits off a star that is the last part and whole; `None` for any other star.
fn star(text: &str) -> Option<(&str, bool)> {
    let (path, is_wildcard) = match text.strip_suffix('*') {
        Some("") => ("", true),
        Some(path) => (path.strip_suffix('/').filter(|path| !path.is_empty())?, true),
        None => (text, false),
    };
    (!path.contains('*') && (is_wildcard || !path.is_empty())).then_some((path, is_wildcard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c3_a_star_is_last_and_whole() {
        for (text, shown) in [
            ("docker.io/library/*", "docker.io/library/*"),
            ("quay.io/*", "quay.io/*"),
            ("index.docker.io/*", "docker.io/*"),
            ("localhost:5000/a/b", "localhost:5000/a/b"),
        ] {
            assert_eq!(Pattern::source(text).unwrap().to_string(), shown);
        }
        for text in ["*", "a/*", "a/b"] {
            assert_eq!(Pattern::target(text).unwrap().to_string(), text);
        }
        for wrong in [
            "",
            "*",
            "a/*",
            "quay.io",
            "quay.io/",
            "quay.io/a*",
            "quay.io/*/b",
            "quay.io/a/**",
            "quay.io//*",
            "QUAY.io/*",
            "quay.io/A",
        ] {
            assert!(Pattern::source(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "/*", "a*", "*/a", "a/*/b", "A/*", "a//b", "a:1", "../*"] {
            assert!(Pattern::target(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn c8_a_single_name_at_docker_hub_is_in_library() {
        assert_eq!(Pattern::source("docker.io/alpine").unwrap().to_string(), "docker.io/library/alpine");
        assert_eq!(Pattern::source("docker.io/org/app").unwrap().to_string(), "docker.io/org/app");
        assert_eq!(Pattern::source("quay.io/app").unwrap().to_string(), "quay.io/app");
    }
}

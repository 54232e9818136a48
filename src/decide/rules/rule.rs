//! One rule, with the filters of what may be fetched by it.

use std::time::Duration;

use super::pattern::{Pattern, official};
use crate::oci::{Platform, Repository};
use crate::signing::policy::Glob;

/// Default time after which a tag is looked at again.
pub const REFRESH: Duration = Duration::from_secs(15 * 60);

/// Patterns that include and exclude; `*` stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globs {
    /// Patterns of which one must match; none: everything matches.
    pub include: Vec<Glob>,
    /// Patterns of which none may match.
    pub exclude: Vec<Glob>,
}

impl Globs {
    /// Returns whether `text` is included and not excluded.
    pub fn admit(&self, text: &str) -> bool {
        (self.include.is_empty() || self.include.iter().any(|one| one.matches(text)))
            && !self.exclude.iter().any(|one| one.matches(text))
    }
}

/// Content of a source that may be fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Tags.
    pub tags: Globs,
    /// Platforms of images; none: all.
    pub platforms: Vec<Platform>,
    /// Artifact types, or the media type of the config of an image.
    pub types: Globs,
    /// Whether referrers are fetched.
    pub referrers: bool,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Name.
    pub name: String,
    /// Repositories at an upstream.
    pub source: Pattern,
    /// Names here.
    pub target: Pattern,
    /// Name of the credential for the upstream.
    pub credential: Option<String>,
    /// Content that may be fetched.
    pub filter: Filter,
    /// Interval of active synchronization; without, only pulls fetch.
    pub sync: Option<Duration>,
    /// Time after which a tag is looked at again.
    pub refresh: Duration,
    /// Whether the kept copy is served while the upstream fails.
    pub serve_stale: bool,
}

impl Rule {
    /// Makes a rule with the default of each setting.
    ///
    /// # Errors
    /// One side has a star and the other has none.
    pub fn new(name: &str, source: Pattern, target: Pattern) -> Result<Self, String> {
        if source.is_wildcard() != target.is_wildcard() {
            return Err("expected a * at the end of both source and target, or of neither".to_owned());
        }
        let filter = Filter { referrers: true, ..Filter::default() };
        let name = name.to_owned();
        Ok(Self { name, source, target, credential: None, filter, sync: None, refresh: REFRESH, serve_stale: true })
    }

    /// Returns the repository at the source for a name here.
    pub(super) fn upstream(&self, path: &str) -> Option<Repository> {
        let (host, path) = (self.source.host(), self.source.fill(self.target.rest(path)?));
        Repository::new(host, &official(host, &path)).ok()
    }

    /// Returns the name here of a repository at the source, unless it is too long for one.
    pub(super) fn downstream(&self, source: &Repository) -> Option<String> {
        let path = self.target.fill(self.source.rest(source.path())?);
        Repository::bare(&path).is_ok().then_some(path)
    }
}

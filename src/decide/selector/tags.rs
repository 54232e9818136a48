//! Filters of tags: which tags of a repository a selector takes.

use std::num::NonZeroUsize;

use globset::GlobMatcher;
use regex::Regex;
use semver::Version;

use super::glob;
use super::version::{Range, of_tag};
use crate::base::fault::Fault;
use crate::oci::{Tag, cosign};

/// Largest compiled form of a regular expression, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// The keys of a selector that filter tags, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TagRules {
    /// `semver=`: a range of versions.
    pub semver: Option<String>,
    /// `regex=`: an expression that is found somewhere in the tag.
    pub regex: Option<String>,
    /// `latest=`: how many of the highest versions to take.
    pub latest: Option<NonZeroUsize>,
    /// `exclude=`: patterns of tags to leave out.
    pub exclude: Vec<String>,
}

/// Reason why filters take no tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// No tag matches.
    NoMatch,
    /// `latest=` has tags to choose from, but none of them is a version.
    NoVersions,
}

/// Compiled filters.
pub struct TagFilter {
    glob: Option<GlobMatcher>,
    range: Option<Range>,
    regex: Option<Regex>,
    exclude: Vec<GlobMatcher>,
    latest: Option<NonZeroUsize>,
}

impl TagRules {
    /// Returns whether nothing is filtered.
    pub const fn is_empty(&self) -> bool {
        self.semver.is_none() && self.regex.is_none() && self.latest.is_none() && self.exclude.is_empty()
    }

    /// Compiles the filters, with a pattern that all tags must match.
    ///
    /// # Errors
    /// Class usage.
    pub fn compile(&self, glob: Option<&str>) -> Result<TagFilter, Fault> {
        let range = self.semver.as_deref().map(|text| {
            Range::parse(text).ok_or_else(|| {
                let what = format!("semver={text}: expected a range of versions");
                Fault::usage(what, "write for example ^1.2, ~1.2.3, \">=1.2 <2\" or \"1.x || >=2.1 !=2.3.0\"")
            })
        });
        let regex = self.regex.as_deref().map(|text| {
            regex::RegexBuilder::new(text).size_limit(REGEX_SIZE).build().map_err(|error| {
                let reason = error.to_string();
                let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                Fault::usage(format!("regex={text}: {last}"), "write a regular expression such as ^v1\\.")
            })
        });
        Ok(TagFilter {
            glob: glob.map(|text| glob::compile(text, false)).transpose()?,
            range: range.transpose()?,
            regex: regex.transpose()?,
            exclude: self.exclude.iter().map(|text| glob::compile(text, false)).collect::<Result<_, _>>()?,
            latest: self.latest,
        })
    }
}

impl TagFilter {
    /// Returns the tags that the filters take, in the order of `tags`. Tags that carry referrers are
    /// never taken.
    ///
    /// # Errors
    /// The reason why none is taken.
    pub fn take(&self, tags: Vec<Tag>) -> Result<Vec<Tag>, Nothing> {
        let mut taken: Vec<Tag> = tags.into_iter().filter(|tag| self.takes(tag)).collect();
        if taken.is_empty() {
            return Err(Nothing::NoMatch);
        }
        let Some(latest) = self.latest else { return Ok(taken) };
        let mut versions: Vec<Version> = taken.iter().filter_map(|tag| of_tag(tag.as_str())).collect();
        // Pre-releases count if something else selected them, or if there is nothing else.
        let is_asked = self.glob.is_some() || self.regex.is_some() || self.range.is_some();
        if !is_asked && versions.iter().any(|version| version.pre.is_empty()) {
            versions.retain(|version| version.pre.is_empty());
        }
        versions.sort_unstable_by(|one, other| other.cmp(one));
        versions.dedup();
        versions.truncate(latest.get());
        let lowest = versions.last().ok_or(Nothing::NoVersions)?;
        let is_high =
            |tag: &Tag| of_tag(tag.as_str()).is_some_and(|version| version >= *lowest && versions.contains(&version));
        taken.retain(is_high);
        Ok(taken)
    }

    fn takes(&self, tag: &Tag) -> bool {
        let text = tag.as_str();
        !tag.is_referrers_fallback()
            && cosign::parts(tag).is_none()
            && self.glob.as_ref().is_none_or(|glob| glob.is_match(text))
            && self.regex.as_ref().is_none_or(|regex| regex.is_match(text))
            && !self.exclude.iter().any(|glob| glob.is_match(text))
            && self.range.as_ref().is_none_or(|range| of_tag(text).is_some_and(|version| range.takes(&version)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(rules: &TagRules, glob: Option<&str>, tags: &str) -> Result<String, Nothing> {
        let tags = tags.split(' ').map(|tag| Tag::new(tag).unwrap()).collect();
        let found = rules.compile(glob).unwrap().take(tags)?;
        Ok(found.iter().map(Tag::as_str).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn filters_take_tags() {
        let none = TagRules::default();
        let hex = "0".repeat(64);
        let referrers = format!("v1 sha256-{hex} sha256-{hex}.sig sha256-{hex}.other v2");
        assert_eq!(taken(&none, None, &referrers).unwrap(), "v1 v2");
        assert_eq!(taken(&none, Some("1.2*"), "1.20 1.3 1.2").unwrap(), "1.20 1.2");
        let regex = TagRules { regex: Some("^v1\\.".to_owned()), ..TagRules::default() };
        assert_eq!(taken(&regex, None, "v1.0 v10 xv1.2").unwrap(), "v1.0");
        let semver = TagRules { semver: Some("^1.2".to_owned()), ..TagRules::default() };
        let without = TagRules { exclude: vec!["*.3*".to_owned()], ..semver.clone() };
        assert_eq!(taken(&semver, None, "1.2 latest v1.3.0 2.0 1.4-rc1").unwrap(), "1.2 v1.3.0");
        assert_eq!(taken(&without, None, "1.2 v1.3.0").unwrap(), "1.2");
        assert_eq!(taken(&semver, None, "latest 2.0"), Err(Nothing::NoMatch));
        assert!(TagRules { regex: Some("(".to_owned()), ..TagRules::default() }.compile(None).is_err());
    }

    #[test]
    fn the_latest_are_the_highest_versions() {
        let latest = |count| TagRules { latest: NonZeroUsize::new(count), ..TagRules::default() };
        assert_eq!(taken(&latest(2), None, "1.9 1.10 1.2 latest 2.0-rc1").unwrap(), "1.9 1.10");
        assert_eq!(taken(&latest(1), None, "v1.10.0 1.10 1.9").unwrap(), "v1.10.0 1.10");
        assert_eq!(taken(&latest(9), None, "1.2-alpine 1.1-alpine").unwrap(), "1.2-alpine 1.1-alpine");
        assert_eq!(taken(&latest(1), Some("*-alpine"), "1.2-alpine 1.1-alpine 1.3").unwrap(), "1.2-alpine");
        assert_eq!(taken(&latest(1), None, "latest stable"), Err(Nothing::NoVersions));
    }
}

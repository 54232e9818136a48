//! Selectors as typed or listed: `SOURCE[,key=value]…`. Parses and shows them; asks no source.

pub mod glob;
mod source;
mod tags;
pub mod version;

use std::fmt;
use std::num::NonZeroUsize;

pub use self::source::Source;
pub use self::tags::{Nothing, TagFilter, TagRules};

use crate::base::fault::Fault;
use crate::oci::{Platform, Reference};

/// A source and what is selected there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// The source.
    pub source: Source,
    /// `as=`: name in the bundle.
    pub rename: Option<String>,
    /// Values of `platform=`.
    pub platforms: Vec<String>,
    /// Values of `referrers=`.
    pub referrers: Vec<String>,
    /// Filters of tags.
    pub tags: TagRules,
}

impl Selector {
    /// Returns a selector of all of `source`.
    pub fn new(source: Source) -> Self {
        Self { source, rename: None, platforms: Vec::new(), referrers: Vec::new(), tags: TagRules::default() }
    }

    /// Parses `SOURCE[,key=value]…`; `\,` is a comma inside a part.
    ///
    /// # Errors
    /// Class usage.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let mut parts = parts(text).into_iter();
        let typed = parts.next().unwrap_or_default();
        let mut selector = Self::new(Source::parse(&typed)?);
        for part in parts {
            match part.split_once('=') {
                Some((_, "")) | None => {
                    return Err(Fault::usage(
                        format!("selector {text}: expected key=value, found {part:?}"),
                        "write a comma in a name as \\,",
                    ));
                }
                Some((key, value)) => selector.set(key, value).map_err(|mut fault| {
                    fault.what = format!("selector {text}: {}", fault.what);
                    fault
                })?,
            }
        }
        selector.checked(&typed)
    }

    /// Sets one key.
    ///
    /// # Errors
    /// Class usage for an unknown key, one given twice, and a wrong value.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Fault> {
        let twice = || Fault::usage(format!("expected {key}= once, found it twice"), "write one selector for each");
        let once = |slot: &mut Option<String>| slot.replace(value.to_owned()).map_or(Ok(()), |_| Err(twice()));
        if value.is_empty() || value.ends_with('\\') {
            let what = format!("{key}={value}: expected a value that does not end with \\, found another");
            return Err(Fault::usage(what, "write key=value"));
        }
        match key {
            "as" => {
                value.parse::<Reference>().map_err(|error| {
                    Fault::usage(format!("as={value}: {error}"), "write as=HOST/REPO or as=HOST/REPO:TAG")
                })?;
                once(&mut self.rename)
            }
            "semver" => once(&mut self.tags.semver),
            "regex" => once(&mut self.tags.regex),
            "latest" if self.tags.latest.is_some() => Err(twice()),
            "latest" => {
                let number = value.parse::<NonZeroUsize>().map_err(|_| {
                    Fault::usage(format!("latest={value}: expected a number of versions"), "write for example latest=3")
                })?;
                self.tags.latest = Some(number);
                Ok(())
            }
            "exclude" => {
                self.tags.exclude.push(value.to_owned());
                Ok(())
            }
            "platform" => {
                value
                    .parse::<Platform>()
                    .map_err(|error| Fault::usage(format!("platform={value}: {error}"), "write platform=OS/ARCH"))?;
                self.platforms.push(value.to_owned());
                Ok(())
            }
            "referrers" => {
                self.referrers.push(value.to_owned());
                Ok(())
            }
            _ => Err(Fault::usage(
                format!("expected as=, platform=, referrers=, semver=, regex=, latest= or exclude=, found {key:?}"),
                "see `packmule export --help`",
            )),
        }
    }

    /// Returns the selector with its filters of tags checked and applied to its source, which was
    /// parsed from `typed`.
    ///
    /// # Errors
    /// Class usage.
    pub fn checked(mut self, typed: &str) -> Result<Self, Fault> {
        if self.source.to_string().ends_with('\\') {
            let what = format!("source {}: expected a name that does not end with \\", self.source);
            return Err(Fault::usage(what, "rename it"));
        }
        self.tags.compile(None)?;
        if !self.tags.is_empty() {
            self.source = self.source.with_tags(typed)?;
        }
        let many = matches!(self.source, Source::Tags { .. } | Source::Repositories { .. });
        if many && self.rename.as_ref().is_some_and(|name| has_tag(name)) {
            let what = format!("selector {self}: expected as= without a tag for more than one tag");
            return Err(Fault::usage(what, "write as=HOST/REPO; the tags stay"));
        }
        if matches!(self.source, Source::Repositories { .. }) && self.rename.is_some() {
            let what = format!("selector {self}: expected no as= for more than one repository");
            return Err(Fault::usage(what, "select each repository alone"));
        }
        Ok(self)
    }
}

/// Returns whether a name has a tag.
pub fn has_tag(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// Splits a text at its commas. `\,` is a comma inside a part.
fn parts(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if characters.next_if_eq(&',').is_some() => part.push(','),
            ',' => parts.push(std::mem::take(&mut part)),
            other => part.push(other),
        }
    }
    parts.push(part);
    parts
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |text: &str| text.replace(',', "\\,");
        let source = match &self.source {
            // Without a pattern the filters say it all.
            Source::Tags { repository, glob: None } if !self.tags.is_empty() => repository.to_string(),
            other => other.to_string(),
        };
        f.write_str(&escaped(&source))?;
        let latest = self.tags.latest.map(|latest| latest.to_string());
        let one =
            |key: &'static str, value: &Option<String>| value.iter().map(move |text| (key, text.clone())).collect();
        let many = |key: &'static str, values: &[String]| values.iter().map(|text| (key, text.clone())).collect();
        let keys: [Vec<(&str, String)>; 7] = [
            many("platform", &self.platforms),
            many("referrers", &self.referrers),
            one("semver", &self.tags.semver),
            one("regex", &self.tags.regex),
            one("latest", &latest),
            many("exclude", &self.tags.exclude),
            one("as", &self.rename),
        ];
        keys.iter().flatten().try_for_each(|(key, value)| write!(f, ",{key}={}", escaped(value)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::fault::Class;

    #[test]
    fn selectors() {
        let selector =
            Selector::parse("host.example/a:1,platform=linux/amd64,as=host.example/b,platform=linux/arm64").unwrap();
        assert_eq!(selector.rename.as_deref(), Some("host.example/b"));
        assert_eq!(selector.platforms, ["linux/amd64", "linux/arm64"]);
        let comma = Selector::parse("oci:a\\,b").unwrap();
        assert!(matches!(comma.source, Source::Layout { dir, .. } if dir == Path::new("a,b")));
        let repository = Selector::parse("h.example/a,semver=^1").unwrap();
        assert!(matches!(repository.source, Source::Tags { glob: None, .. }));
        for wrong in [
            "a,b",
            "a,as=",
            "a,as=b,as=c",
            "a:1,semver=^1",
            "a,colour=red",
            ",",
            "a,latest=0",
            "a,latest=x",
            "a,semver=one",
            "a,regex=(",
            "a,semver=1,semver=2",
            "a:*,as=b:1",
            "h.example/n/*,as=b",
            "a,exclude=[",
        ] {
            assert_eq!(Selector::parse(wrong).unwrap_err().class, Class::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_selector_is_shown_as_it_is_read() {
        for (typed, shown) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("h.example/a,semver=>= 3.12 < 4", "h.example/a,semver=>= 3.12 < 4"),
            ("h.example/a:*", "h.example/a:*"),
            ("h.example/a,regex=^a\\\\,b{1\\,2}$", "h.example/a,regex=^a\\\\,b{1\\,2}$"),
            ("h.example/a:1.*,latest=2,exclude=*-rc*,exclude=x", "h.example/a:1.*,latest=2,exclude=*-rc*,exclude=x"),
            ("h.example/n/*,latest=1", "h.example/n/*,latest=1"),
            ("oci:a\\,b:v1,as=h.example/a", "oci:a\\,b:v1,as=h.example/a"),
        ] {
            let read = Selector::parse(typed).unwrap();
            assert_eq!(read.to_string(), shown);
            assert_eq!(Selector::parse(shown).unwrap(), read);
        }
    }
}

//! Versions in tags, and ranges of versions in the dialect of node-semver.
//!
//! A tag is a version if it has up to three numbers (`1`, `v1.2`, `1.2.3`), missing ones being 0,
//! then perhaps a pre-release after `-` and a build after `+`, or `_`, which helm writes for it.
//! Ranges are those of node-semver, with `!=`, and with commas as well as blanks between
//! conditions.

use semver::{BuildMetadata, Prerelease, Version};

/// Returns the version that a tag states, without its build.
pub fn of_tag(text: &str) -> Option<Version> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let text = text.split(['+', '_']).next().unwrap_or_default();
    let (numbers, pre) = text.split_once('-').map_or((text, None), |(numbers, pre)| (numbers, Some(pre)));
    let mut found = [0; 3];
    for (place, part) in numbers.split('.').enumerate() {
        *found.get_mut(place)? = number(part)?;
    }
    let pre = pre.map_or(Some(Prerelease::EMPTY), |pre| Prerelease::new(pre).ok().filter(|pre| !pre.is_empty()))?;
    Some(Version { pre, ..Version::new(found[0], found[1], found[2]) })
}

/// Parses digits only; `parse` alone would also take a sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug)]
struct Comparator {
    operator: Operator,
    version: Version,
}

impl Comparator {
    fn takes(&self, version: &Version) -> bool {
        match self.operator {
            Operator::Less => *version < self.version,
            Operator::LessOrEqual => *version <= self.version,
            Operator::Greater => *version > self.version,
            Operator::GreaterOrEqual => *version >= self.version,
        }
    }
}

/// One alternative of a range: all of its conditions must hold.
#[derive(Clone, Debug, Default)]
struct Alternative {
    within: Vec<Comparator>,
    /// Conditions of `!=`; each is refused if all of its comparators hold.
    without: Vec<Vec<Comparator>>,
}

impl Alternative {
    fn takes(&self, version: &Version) -> bool {
        let same =
            |other: &Version| (other.major, other.minor, other.patch) == (version.major, version.minor, version.patch);
        // A pre-release must be asked for: by a condition with a pre-release of the same version.
        let is_asked =
            version.pre.is_empty() || self.within.iter().any(|one| !one.version.pre.is_empty() && same(&one.version));
        is_asked
            && self.within.iter().all(|one| one.takes(version))
            && !self.without.iter().any(|all| all.iter().all(|one| one.takes(version)))
    }
}

/// A range of versions.
#[derive(Clone, Debug)]
pub struct Range(Vec<Alternative>);

impl Range {
    /// Parses a range; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        text.split("||").map(alternative).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Returns whether a version is in the range.
    pub fn takes(&self, version: &Version) -> bool {
        self.0.iter().any(|one| one.takes(version))
    }
}

/// A version with parts left out or written as `x`.
struct Partial {
    major: Option<u64>,
    minor: Option<u64>,
    patch: Option<u64>,
    pre: Prerelease,
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start_matches(['v', 'V', '=']);
        let text = text.split('+').next().unwrap_or_default();
        let (numbers, pre) = text.split_once('-').map_or((text, ""), |(numbers, pre)| (numbers, pre));
        let mut parts = [None; 3];
        for (place, part) in numbers.split('.').enumerate() {
            let slot = parts.get_mut(place)?;
            *slot = if matches!(part, "x" | "X" | "*") { None } else { Some(number(part)?) };
        }
        let [major, minor, patch] = parts;
        let minor = major.and(minor);
        let patch = minor.and(patch);
        let pre = Prerelease::new(pre).ok()?;
        (pre.is_empty() || patch.is_some()).then_some(Self { major, minor, patch, pre })
    }

    /// Returns the lowest version that it stands for.
    fn lowest(&self) -> Version {
        let part = |part: Option<u64>| part.unwrap_or_default();
        let main = Version::new(part(self.major), part(self.minor), part(self.patch));
        Version { pre: self.pre.clone(), build: BuildMetadata::EMPTY, ..main }
    }

    /// Returns the version after all that it stands for: `<2.0.0-0` for `1`. `None` if nothing is
    /// after them.
    fn after(&self) -> Option<Version> {
        let (major, minor) = (self.major?, self.minor);
        let next = match minor {
            None => Version::new(major.checked_add(1)?, 0, 0),
            Some(minor) => Version::new(major, minor.checked_add(1)?, 0),
        };
        Some(before_any(next))
    }

    const fn is_whole(&self) -> bool {
        self.patch.is_some()
    }
}

/// Returns `version` before its first pre-release, as an upper end.
fn before_any(version: Version) -> Version {
    Version { pre: Prerelease::new("0").unwrap_or(Prerelease::EMPTY), ..version }
}

const OPERATORS: [&str; 11] = [">=", "<=", "=>", "=<", "!=", "~>", "==", ">", "<", "~", "^"];

fn alternative(text: &str) -> Option<Alternative> {
    let text = text.replace(',', " ");
    if let Some((low, high)) = text.split_once(" - ") {
        let (low, high) = (Partial::parse(low.trim())?, Partial::parse(high.trim())?);
        let mut within = vec![Comparator { operator: Operator::GreaterOrEqual, version: low.lowest() }];
        within.extend(up_to(&high));
        return Some(Alternative { within, without: Vec::new() });
    }
    let mut found = Alternative::default();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let operator = OPERATORS.iter().find(|one| rest.starts_with(**one)).copied();
        rest = rest[operator.map_or(0, str::len)..].trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        condition(operator.unwrap_or("="), &Partial::parse(&rest[..end])?, &mut found)?;
        rest = rest[end..].trim_start();
    }
    Some(found)
}

/// Returns the condition of `<=`.
fn up_to(partial: &Partial) -> Option<Comparator> {
    if partial.is_whole() {
        return Some(Comparator { operator: Operator::LessOrEqual, version: partial.lowest() });
    }
    partial.after().map(|version| Comparator { operator: Operator::Less, version })
}

/// Returns the conditions of a version that stands for itself.
fn equal(partial: &Partial) -> Vec<Comparator> {
    let from = Comparator { operator: Operator::GreaterOrEqual, version: partial.lowest() };
    std::iter::once(from).chain(up_to(partial)).collect()
}

/// Adds one condition. Returns `None` for one that has no meaning.
fn condition(operator: &str, partial: &Partial, found: &mut Alternative) -> Option<()> {
    let low = partial.lowest();
    let from = Comparator { operator: Operator::GreaterOrEqual, version: low.clone() };
    let below = |version: Version| Comparator { operator: Operator::Less, version: before_any(version) };
    match operator {
        "!=" => found.without.push(equal(partial)),
        ">=" | "=>" => found.within.push(from),
        "<=" | "=<" => found.within.extend(up_to(partial)),
        // `>1.2` is `>=1.3.0`, and `<1.2` ends before `1.2.0`'s pre-releases.
        ">" if partial.is_whole() => found.within.push(Comparator { operator: Operator::Greater, version: low }),
        ">" => {
            let version = Version { pre: Prerelease::EMPTY, ..partial.after()? };
            found.within.push(Comparator { operator: Operator::GreaterOrEqual, version });
        }
        "<" if partial.is_whole() => found.within.push(Comparator { operator: Operator::Less, version: low }),
        "<" => found.within.push(below(low)),
        "~" | "~>" => {
            found.within.push(from);
            found.within.extend(partial.after().map(|version| Comparator { operator: Operator::Less, version }));
        }
        "^" => {
            found.within.push(from);
            let (Some(major), minor, patch) = (partial.major, partial.minor, partial.patch) else { return Some(()) };
            let high = match (major, minor, patch) {
                (0, Some(0), Some(patch)) => Version::new(0, 0, patch.checked_add(1)?),
                (0, Some(minor), _) => Version::new(0, minor.checked_add(1)?, 0),
                (major, ..) => Version::new(major.checked_add(1)?, 0, 0),
            };
            found.within.push(below(high));
        }
        _ => found.within.extend(equal(partial)),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_are_versions() {
        let shown = |tag: &str| of_tag(tag).map(|version| version.to_string());
        for (tag, version) in [
            ("1", "1.0.0"),
            ("v1.2", "1.2.0"),
            ("1.27-alpine", "1.27.0-alpine"),
            ("1.0.0_up1", "1.0.0"),
            ("2024.09", "2024.9.0"),
            ("1.2.3-rc.1_b", "1.2.3-rc.1"),
        ] {
            assert_eq!(shown(tag).as_deref(), Some(version), "{tag}");
        }
        for tag in ["latest", "", "v", "1.", "1.2.3.4", "1.x", "1.2.3-", "+1", "1.2-a..b", "99999999999999999999"] {
            assert_eq!(shown(tag), None, "{tag}");
        }
    }

    #[test]
    fn ranges_are_those_of_node_with_not_equal() {
        for (range, inside, outside) in [
            ("^1.2", "1.2 1.9.9", "1.1.9 2.0.0 2.0.0-rc1 1.3.0-rc1"),
            ("^0.2.3", "0.2.3 0.2.9", "0.3.0 0.2.2"),
            ("^0.0.3", "0.0.3", "0.0.4"),
            ("^0", "0.0.1 0.9", "1.0.0"),
            ("~1.2.3", "1.2.3 1.2.9", "1.3.0 1.2.2"),
            ("~1", "1.0 1.9", "2.0"),
            (">= 3.12.0 < 4", "3.12 3.20.1", "3.11.9 4.0.0 4.0.0-rc1"),
            (">=3.12.0,<4", "3.12 3.20.1", "3.11.9 4"),
            (">1.2", "1.3.0", "1.2.9"),
            ("<=1.2", "1.2.9 0.1", "1.3.0"),
            ("<1.2", "1.1.9", "1.2.0 1.2.0-rc1"),
            ("1.2.x", "1.2.0 1.2.7", "1.3.0 1.1.0"),
            ("1.2 - 1.4", "1.2.0 1.4.9", "1.5.0 1.1"),
            ("1.0.0 - 1.4.0", "1.4.0", "1.4.1"),
            ("1.2.3 || >=2 !=2.1.x", "1.2.3 2.0.5 2.2", "2.1.0 2.1.9 1.2.4"),
            (">=1 !=1.5.0", "1.4.0 1.5.1", "1.5.0"),
            ("*", "0.0.0 7", "7.0.0-rc1"),
            ("", "1", "1.0.0-a"),
            (">=1.2.3-beta.2", "1.2.3-beta.3 1.2.3 2", "1.2.3-beta.1 2.0.0-beta.3"),
            ("=1.2.3", "1.2.3", "1.2.4"),
            ("v1", "1.5", "2"),
        ] {
            let read = Range::parse(range).unwrap();
            for tag in inside.split(' ') {
                assert!(read.takes(&of_tag(tag).unwrap()), "{range} takes {tag}");
            }
            for tag in outside.split(' ') {
                assert!(!read.takes(&of_tag(tag).unwrap()), "{range} does not take {tag}");
            }
        }
        for wrong in ["one", ">", "1.2.3.4", "^a", "1 - ", ">=1.x-rc1", ">*", "1.2.3-é"] {
            assert!(Range::parse(wrong).is_none(), "{wrong}");
        }
    }
}

//! All rules together: overlaps are refused, names are looked up by their prefixes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::pattern::official;
use super::rule::Rule;
use crate::base::fault::Fault;
use crate::oci::Repository;

/// Rules by a path: those for exactly it, and those for all below it.
#[derive(Clone, Debug, Default)]
struct Paths {
    exact: HashMap<String, Vec<usize>>,
    below: HashMap<String, Vec<usize>>,
}

impl Paths {
    /// Returns the rules for `path`: those for exactly it, or else those for the longest path that
    /// it is below; and the number of steps that this took.
    fn find(&self, path: &str) -> (&[usize], usize) {
        if let Some(found) = self.exact.get(path) {
            return (found, 1);
        }
        let mut steps = 1;
        let ends = path.rmatch_indices('/').map(|(at, _)| at).chain([0]);
        for end in ends {
            steps += 1;
            if let Some(found) = self.below.get(&path[..end]) {
                return (found, steps);
            }
        }
        (&[], steps)
    }
}

/// All rules.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    all: Vec<Rule>,
    targets: Paths,
    // By `host/path`; a whole host is `host`.
    sources: Paths,
}

/// A rule that a name is found by.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Its number.
    pub number: usize,
    /// The repository at the source.
    pub upstream: Repository,
}

/// A source that two rules give different names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguous {
    /// One rule, with its target.
    pub first: String,
    /// Another one.
    pub second: String,
}

fn overlap(one: &Rule, other: &Rule) -> Fault {
    let what = format!(
        "rule {:?}: expected a target of its own, found {} which overlaps {} of rule {:?}",
        one.name, one.target, other.target, other.name
    );
    Fault::usage(what, format!("give one of the rules {:?} and {:?} another target", other.name, one.name))
}

impl Rules {
    /// Takes all rules together.
    ///
    /// # Errors
    /// [`crate::base::fault::Class::Usage`]: two wildcard targets of which one is within the other,
    /// or two rules for the same repository; every pair is listed, with both names.
    pub fn new(all: Vec<Rule>) -> Result<Self, Fault> {
        let (mut targets, mut sources) = (Paths::default(), Paths::default());
        let mut faults = Vec::new();
        for (number, rule) in all.iter().enumerate() {
            let map = if rule.target.is_wildcard() { &mut targets.below } else { &mut targets.exact };
            match map.entry(rule.target.path().to_owned()) {
                Entry::Vacant(free) => drop(free.insert(vec![number])),
                Entry::Occupied(taken) => faults.push(overlap(rule, &all[taken.get()[0]])),
            }
            let source = [rule.source.host(), rule.source.path()].join("/");
            let map = if rule.source.is_wildcard() { &mut sources.below } else { &mut sources.exact };
            map.entry(source.trim_end_matches('/').to_owned()).or_default().push(number);
        }
        for rule in all.iter().filter(|rule| rule.target.is_wildcard() && !rule.target.path().is_empty()) {
            let path = rule.target.path();
            let above = path.rmatch_indices('/').map(|(at, _)| at).chain([0]);
            faults.extend(
                above.filter_map(|end| targets.below.get(&path[..end])).map(|other| overlap(rule, &all[other[0]])),
            );
        }
        faults.truncate(50);
        Fault::from_list(faults).map_or(Ok(Self { all, targets, sources }), Err)
    }

    /// Returns the rules, in order.
    pub fn all(&self) -> &[Rule] {
        &self.all
    }

    /// Returns the rule for a name here: one for exactly this name before one with a star.
    pub fn by_name(&self, name: &str) -> Option<Found<'_>> {
        let number = *self.targets.find(name).0.first()?;
        let rule = &self.all[number];
        Some(Found { rule, number, upstream: rule.upstream(name)? })
    }

    /// Returns the first rule for a repository at a source, as containerd names it to a mirror.
    pub fn by_source(&self, host: &str, path: &str) -> Option<Found<'_>> {
        let upstream = Repository::new(host, &official(host, path)).ok()?;
        let number = *self.sources.find(&upstream.to_string()).0.first()?;
        Some(Found { rule: &self.all[number], number, upstream })
    }

    /// Returns every name here of a repository at a source.
    pub fn names(&self, source: &Repository) -> Vec<String> {
        let found = self.sources.find(&source.to_string()).0;
        found.iter().filter_map(|number| self.all[*number].downstream(source)).collect()
    }

    /// Returns the rule that says where a repository of a source goes, and the name that it gives.
    /// Rules with a longer source go before others.
    ///
    /// # Errors
    /// [`Ambiguous`]: two rules give it different names.
    pub fn backwards(&self, source: &Repository) -> Result<Option<(&Rule, String)>, Ambiguous> {
        let found = self.sources.find(&source.to_string()).0;
        let mut all = found.iter().filter_map(|number| {
            let rule = &self.all[*number];
            Some((rule, rule.downstream(source)?))
        });
        let Some(first) = all.next() else { return Ok(None) };
        match all.find(|other| other.1 != first.1) {
            None => Ok(Some(first)),
            Some(second) => Err(Ambiguous { first: shown(first.0), second: shown(second.0) }),
        }
    }

    /// Returns the sources that more than one rule has, each with the first two.
    pub fn ambiguities(&self) -> Vec<Ambiguous> {
        let all = self.sources.exact.values().chain(self.sources.below.values());
        let mut found: Vec<(usize, Ambiguous)> = all
            .filter_map(|numbers| {
                let (first, second) = (numbers.first()?, numbers.get(1)?);
                let (one, two) = (&self.all[*first], &self.all[*second]);
                Some((*first, Ambiguous { first: shown(one), second: shown(two) }))
            })
            .collect();
        found.sort_by_key(|(number, _)| *number);
        found.into_iter().map(|(_, one)| one).collect()
    }
}

fn shown(rule: &Rule) -> String {
    format!("rule {:?} (target {})", rule.name, rule.target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::Class;
    use crate::decide::rules::Pattern;

    fn rule(name: &str, source: &str, target: &str) -> Rule {
        Rule::new(name, Pattern::source(source).unwrap(), Pattern::target(target).unwrap()).unwrap()
    }

    fn rules(all: &[(&str, &str, &str)]) -> Result<Rules, Fault> {
        Rules::new(all.iter().map(|(name, source, target)| rule(name, source, target)).collect())
    }

    #[test]
    fn c4_wildcard_targets_that_overlap_are_refused_with_both_rules() {
        for (one, two) in [("a/*", "a/*"), ("a/*", "a/b/*"), ("a/b/c/*", "a/*"), ("*", "a/*"), ("*", "*")] {
            let fault = rules(&[("one", "quay.io/*", one), ("two", "ghcr.io/*", two)]).unwrap_err();
            assert!(fault.class == Class::Usage && fault.others.is_empty(), "{fault:?}");
            for shown in ["\"one\"", "\"two\"", one, two] {
                assert!(fault.what.contains(shown), "{shown}: {fault}");
            }
        }
        let same = [("one", "quay.io/x", "a/b"), ("two", "ghcr.io/x", "a/b")];
        assert!(rules(&same).unwrap_err().what.contains("\"two\""));
        assert!(
            rules(&[("one", "quay.io/*", "a/*"), ("two", "ghcr.io/*", "ab/*"), ("three", "x.io/*", "a-b/*")]).is_ok()
        );
        assert!(Rule::new("x", Pattern::source("quay.io/*").unwrap(), Pattern::target("a").unwrap()).is_err());
    }

    #[test]
    fn c4_a_static_target_inside_a_wildcard_wins() {
        let all = [
            ("all", "docker.io/*", "hub/*"),
            ("one", "quay.io/own/app", "hub/library/app"),
            ("top", "ghcr.io/x/y", "y"),
        ];
        let rules = rules(&all).unwrap();
        let to = |name: &str| rules.by_name(name).map(|found| format!("{} {}", found.rule.name, found.upstream));
        assert_eq!(to("hub/library/app").as_deref(), Some("one quay.io/own/app"));
        assert_eq!(to("hub/library/app/x").as_deref(), Some("all docker.io/library/app/x"));
        assert_eq!(to("hub/org/app").as_deref(), Some("all docker.io/org/app"));
        assert_eq!(to("hub/alpine").as_deref(), Some("all docker.io/library/alpine"), "C8");
        assert_eq!(to("y").as_deref(), Some("top ghcr.io/x/y"));
        for other in ["hub", "hubs/a", "y/z", "x"] {
            assert_eq!(to(other), None, "{other}");
        }
        let source =
            |host, path| rules.by_source(host, path).map(|found| format!("{} {}", found.rule.name, found.upstream));
        assert_eq!(source("docker.io", "alpine").as_deref(), Some("all docker.io/library/alpine"));
        assert_eq!(source("quay.io", "own/app").as_deref(), Some("one quay.io/own/app"));
        assert_eq!(source("quay.io", "other"), None);
    }

    #[test]
    fn c4_backwards_a_source_with_two_targets_is_ambiguous() {
        let all = [
            ("a", "quay.io/*", "a/*"),
            ("b", "quay.io/*", "b/*"),
            ("c", "quay.io/own/*", "c/*"),
            ("d", "docker.io/alpine", "base/alpine"),
        ];
        let rules = rules(&all).unwrap();
        let back = |name: &str| {
            let found = rules.backwards(&Repository::exact(name).unwrap());
            found.map(|found| found.map(|(rule, name)| format!("{} {name}", rule.name)))
        };
        assert_eq!(back("quay.io/own/app").unwrap().as_deref(), Some("c c/app"));
        assert_eq!(back("docker.io/library/alpine").unwrap().as_deref(), Some("d base/alpine"));
        assert_eq!(back("ghcr.io/x").unwrap(), None);
        let ambiguous = back("quay.io/x").unwrap_err();
        assert!(ambiguous.first.contains("\"a\"") && ambiguous.second.contains("\"b\""), "{ambiguous:?}");
        assert_eq!(rules.ambiguities(), [ambiguous]);
        assert_eq!(rules.names(&Repository::exact("quay.io/x").unwrap()), ["a/x", "b/x"]);
    }

    #[test]
    fn c5_a_look_up_takes_as_many_steps_among_100_000_rules_as_among_3() {
        let steps = |count: usize| {
            let all = (0..count).map(|number| match number % 3 {
                0 => rule(&format!("s{number}"), &format!("r{number}.example/a/b"), &format!("s/{number}/b")),
                1 => rule(&format!("w{number}"), &format!("r{number}.example/*"), &format!("w/{number}/*")),
                _ => rule(&format!("t{number}"), "same.example/a/*", &format!("t/{number}/*")),
            });
            let rules = Rules::new(all.collect()).unwrap();
            assert_eq!(rules.by_name("w/1/x/y/z").unwrap().upstream.to_string(), "r1.example/x/y/z");
            ["s/0/b", "w/1/x/y/z", "w/1/x/y", "t/2/x", "none/of/these/a/b", "x"].map(|name| rules.targets.find(name).1)
        };
        assert_eq!(steps(3), steps(100_000));
        assert_eq!(steps(3), [1, 4, 3, 2, 6, 2]);
    }
}

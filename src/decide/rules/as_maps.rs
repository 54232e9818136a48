//! Rules used backwards: where an import puts the repositories of a source (`--map rules`).

use std::collections::BTreeSet;

use super::Rules;
use crate::base::fault::{Class, Fault};
use crate::decide::maps::{Map, MapError};
use crate::oci::Repository;

impl Rules {
    /// Returns `typed` with the map of each rule that is for one of `names`. A typed map for a name
    /// settles which of several rules counts.
    ///
    /// # Errors
    /// [`Class::Policy`]: names that two rules send to different places; all are listed.
    pub fn with_maps<'a>(
        &self,
        mut typed: Vec<Map>,
        names: impl IntoIterator<Item = &'a Repository>,
    ) -> Result<Vec<Map>, Fault> {
        let (mut used, mut faults) = (BTreeSet::new(), Vec::new());
        for name in names.into_iter().collect::<BTreeSet<_>>() {
            match self.backwards(name) {
                Ok(None) => {}
                Ok(Some((rule, _))) => drop(used.insert(format!("{}={}", rule.source, rule.target))),
                Err(_) if typed.iter().any(|map| map.apply(name).is_some()) => {}
                Err(both) => {
                    let what =
                        format!("--map rules: {name}: expected one target, found {} and {}", both.first, both.second);
                    faults.push(Fault::new(Class::Policy, what).help(format!("say which with --map {name}=TO")));
                }
            }
        }
        if let Some(fault) = Fault::from_list(faults) {
            return Err(fault);
        }
        for map in used {
            typed.push(map.parse().map_err(|error: MapError| Fault::new(Class::Bug, error.to_string()))?);
        }
        Ok(typed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::route::{Place, Route};
    use crate::decide::rules::{Pattern, Rule};

    fn names(typed: &[&str]) -> Result<Vec<String>, Fault> {
        let rule = |(name, source, target): (&str, &str, &str)| {
            Rule::new(name, Pattern::source(source).unwrap(), Pattern::target(target).unwrap()).unwrap()
        };
        let all = [
            ("hub", "docker.io/library/*", "lib/*"),
            ("own", "docker.io/alpine", "base/alpine"),
            ("a", "quay.io/x/*", "a/*"),
            ("b", "quay.io/x/*", "b/*"),
            ("all", "ghcr.io/*", "gh/*"),
        ];
        let rules = Rules::new(all.map(rule).into()).unwrap();
        let sources = ["docker.io/library/alpine", "docker.io/library/busybox", "ghcr.io/o/p", "other.example/q"];
        let sources: Vec<&str> = sources.into_iter().chain((!typed.is_empty()).then_some("quay.io/x/y")).collect();
        let sources: Vec<Repository> = sources.into_iter().map(|name| Repository::exact(name).unwrap()).collect();
        let typed = typed.iter().filter(|map| !map.is_empty()).map(|map| map.parse().unwrap()).collect();
        let maps = rules.with_maps(typed, &sources)?;
        let route = Route::new(Place::Bare, false, maps);
        Ok(sources.iter().map(|name| route.destination(name).unwrap().to_string()).collect())
    }

    #[test]
    fn c4_rules_backwards_name_what_is_imported() {
        assert_eq!(names(&[]).unwrap(), ["base/alpine", "lib/busybox", "gh/o/p", "q"]);
        let fault = names(&[""]).unwrap_err();
        assert_eq!(fault.class, Class::Policy);
        assert!(
            fault.what.contains("quay.io/x/y") && fault.what.contains("\"a\"") && fault.what.contains("\"b\""),
            "{fault}"
        );
        assert_eq!(names(&["quay.io/x/y=z"]).unwrap(), ["base/alpine", "lib/busybox", "gh/o/p", "q", "z"]);
    }
}

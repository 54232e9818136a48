//! The rules in a configuration: their credentials, and all of them together.

use std::collections::BTreeMap;

use toml::Spanned;

use super::Config;
use super::rules::{Placed, Rule, rule};
use crate::base::fault::Fault;
use crate::decide::rules::Rules;
use crate::toml_file::error::{Text, nearest};
use crate::toml_file::spelling::Table;

impl Config {
    /// Adds the rules of one file.
    pub(super) fn add_rules(
        &mut self,
        tables: BTreeMap<String, Spanned<Table<Rule>>>,
        file: Text<'_>,
    ) -> Result<(), Fault> {
        for (name, table) in tables {
            let placed = rule(&name, table, file)?;
            if let Some(other) = self.rules.iter().find(|other| other.rule.name == name) {
                let what = format!("rule {name:?}: also defined in {}", other.at);
                return Err(placed.at.wrong(what, "keep one of them"));
            }
            self.rules.push(placed);
        }
        Ok(())
    }

    /// Checks that the credential of each rule exists and is for its host.
    ///
    /// # Errors
    /// Class usage.
    pub fn check_rules(&self) -> Result<(), Fault> {
        for Placed { rule, at } in &self.rules {
            let Some(name) = &rule.credential else { continue };
            let Some(credential) = self.credentials.get(name) else {
                let known: Vec<_> = self.credentials.keys().cloned().collect();
                let help = match nearest(name, &known, "config") {
                    near if near.starts_with("did you") => near,
                    _ => format!("add [credential.{name}]"),
                };
                return Err(at.wrong(format!("rule {:?}: there is no credential {name:?}", rule.name), help));
            };
            let asked = self.asked_host(rule.source.host());
            if let Some(host) = credential.host.as_ref().filter(|host| **host != asked) {
                let what = format!(
                    "rule {:?}: credential {name:?} is only for {host:?}, but the host asked is {asked:?}",
                    rule.name
                );
                return Err(at.wrong(what, "make a credential for this host, or remove its host"));
            }
        }
        Ok(())
    }

    /// Returns all rules together.
    ///
    /// # Errors
    /// Class usage: rules whose targets overlap.
    pub fn rules(&self) -> Result<Rules, Fault> {
        Rules::new(self.rules.iter().map(|placed| placed.rule.clone()).collect())
    }

    /// Returns the rule with this name.
    pub fn rule(&self, name: &str) -> Option<&Placed> {
        self.rules.iter().find(|placed| placed.rule.name == name)
    }
}

/// Parses the text of one file without variables, only for its rules.
#[cfg(test)]
fn only(text: &str) -> Result<Config, Fault> {
    let mut config = Config::default();
    config.add(std::path::Path::new("/x/packmule.toml"), text, Some(&std::collections::BTreeMap::new()))?;
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_c10_a_table_is_a_rule_with_its_filters() {
        let text = r#"
            credential.hub = { host = "docker.io", username = "u", password = { env = "X" } }
            [rule.hub]
            source = "docker.io/library/*"
            target = "lib/*"
            credential = "hub"
            tags = { include = ["3.*"], exclude = ["*-rc*"] }
            platforms = ["linux/amd64"]
            types = { exclude = ["application/vnd.in-toto+json"] }
            referrers = false
            sync = { every = "12h" }
            refresh = "1m"
            serve_stale = false
            [rule]
            one = { source = "quay.io/a/b", target = "b", sync = "passive" }
        "#;
        let config = only(text).unwrap();
        let hub = &config.rule("hub").unwrap().rule;
        assert_eq!((hub.source.to_string(), hub.target.to_string()), ("docker.io/library/*".into(), "lib/*".into()));
        assert_eq!((hub.credential.as_deref(), hub.refresh.as_secs()), (Some("hub"), 60));
        assert_eq!(
            (hub.sync.map(|time| time.as_secs()), hub.serve_stale, hub.filter.referrers),
            (Some(43_200), false, false)
        );
        assert!(hub.filter.tags.admit("3.20") && !hub.filter.tags.admit("3.20-rc1") && !hub.filter.tags.admit("4"));
        assert!(hub.filter.types.admit("x") && !hub.filter.types.admit("application/vnd.in-toto+json"));
        assert_eq!(hub.filter.platforms.len(), 1);
        let one = &config.rule("one").unwrap().rule;
        assert_eq!((one.sync, one.refresh.as_secs(), one.serve_stale, one.filter.referrers), (None, 900, true, true));
        assert_eq!(config.rules().unwrap().all().len(), 2);
    }

    #[test]
    fn c1_wrong_tables_are_refused_with_their_line() {
        let good = "source = \"quay.io/*\", target = \"q/*\"";
        for (rule, line, said) in [
            ("{ source = \"quay.io/*\" }".to_owned(), 2, "target"),
            ("{ source = \"quay.io/*\", target = \"q\" }".to_owned(), 2, "both source and target"),
            ("{ source = \"a/*\", target = \"q/*\" }".to_owned(), 2, "source"),
            ("{ source = \"quay.io/*\", target = \"q*\" }".to_owned(), 2, "target"),
            (format!("{{ {good}, refresh = \"soon\" }}"), 2, "refresh"),
            (format!("{{ {good}, refresh = \"0s\" }}"), 2, "refresh"),
            (format!("{{ {good}, sync = \"active\" }}"), 2, "passive"),
            (format!("{{ {good}, sync = {{ every = \"x\" }} }}"), 2, "sync"),
            (format!("{{ {good}, platforms = [\"linux\"] }}"), 2, "platform"),
            (format!("{{ {good}, credential = \"none\" }}"), 2, "no credential"),
            (format!("{{ {good}, credential = \"c\" }}"), 2, "only for"),
            (format!("{{ {good}, colour = 1 }}"), 2, "colour"),
            (format!("{{ {good}, tags = [\"1\"] }}"), 2, "table"),
        ] {
            let text =
                format!("[rule]\na = {rule}\n[credential]\nc = {{ host = \"ghcr.io\", token = {{ env = \"X\" }} }}");
            let fault = only(&text).expect_err(&rule);
            assert!(
                fault.what.starts_with(&format!("/x/packmule.toml:{line}: ")) && fault.what.contains(said),
                "{fault}"
            );
            assert!(fault.help.is_some());
        }
    }
}

//! The roll: all keys that signed and all that should have, for people to read.
//!
//! It does not judge. [`Policy::judge`] and [`Policy::admit`] do, with the same keys and sections.
//! The roll is shown next to their verdict, in particular next to a refusal.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Judgement, Policy, Section};
use crate::signing::envelope::{Envelope, pae};

/// How a key counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Its signature is valid and counts.
    Counted,
    /// Its signature is valid but does not count: it is not in this section, or another key of its
    /// holder is missing.
    Aside,
    /// Its signature is valid but does not count: its `until` is over.
    Ended,
    /// It signed, but is not a key of the policy.
    Unknown,
    /// Its signature is invalid.
    Wrong,
    /// It would count, but did not sign.
    Missing,
}

/// A key, and its holder if the policy names one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Id of the key.
    pub keyid: String,
    /// Holder and role.
    pub who: Option<(String, String)>,
    /// How it counts.
    pub call: Call,
}

/// All keys that signed or should have signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roll {
    /// Section. `None` with keys from the command line, or if no signature by a known key is valid.
    pub section: Option<String>,
    /// Number of distinct holders that must have signed, or of keys with keys from the command
    /// line. 0 if unknown.
    pub needed: usize,
    /// Number that count.
    pub counted: usize,
    /// Required roles that no counted key has.
    pub missing_roles: Vec<String>,
    /// Keys: first those that count, then the others that signed, then those that are missing.
    pub called: Vec<Called>,
}

impl Policy {
    /// Calls the roll for `statement` over `envelopes`: the bundle's own signature file and
    /// separate ones. `channel` returns the bundle's channel, or `None` if its manifest cannot be
    /// read. It is called only if a signature by a known key is valid and none is invalid.
    pub fn roll(
        &self,
        statement: &[u8],
        envelopes: &[Envelope],
        channel: impl FnOnce() -> Option<Option<String>>,
    ) -> Roll {
        let signed: BTreeSet<&str> = envelopes.iter().flat_map(Envelope::keyids).collect();
        let message = pae(statement);
        let holds = |keyid: &str| {
            let verifies = |sig: &[u8]| self.keys.get(keyid).is_some_and(|key| key.verifies(&message, sig));
            envelopes.iter().all(|envelope| {
                let mut own = envelope.signatures.iter().filter(|one| one.keyid == keyid);
                own.all(|one| envelope.payload == statement && verifies(&one.sig))
            })
        };
        let (known, unknown): (Vec<&str>, Vec<&str>) =
            signed.into_iter().partition(|keyid| self.keys.contains_key(*keyid));
        let (good, wrong): (Vec<&str>, Vec<&str>) = known.into_iter().partition(|keyid| holds(keyid));
        let (ended, good): (Vec<&str>, Vec<&str>) = good.into_iter().partition(|keyid| self.ended.contains(*keyid));
        let judged = !good.is_empty() && wrong.is_empty();
        let channel = judged.then(channel).flatten();
        let section = (self.sections.as_ref().zip(channel))
            .and_then(|(sections, channel)| sections.pick(channel.as_deref()).ok());
        let mut roll = Roll::default();
        let judgement = Judgement {
            good: good.iter().map(|keyid| (*keyid).to_owned()).collect(),
            ended: ended.iter().map(|keyid| (*keyid).to_owned()).collect(),
            unknown: unknown.iter().map(|keyid| (*keyid).to_owned()).collect(),
        };
        let mut counts: BTreeSet<&str> = BTreeSet::new();
        let mut lacks: BTreeSet<&str> = BTreeSet::new();
        let counted = section.map(|section| section.counted(&judgement)).unwrap_or_default();
        if let Some(section) = section {
            let holders: BTreeSet<&str> = counted.iter().map(|entry| entry.holder.as_str()).collect();
            let is_there = |role: &&String| counted.iter().any(|entry| entry.role == **role);
            roll.section = Some(section.name.clone());
            (roll.needed, roll.counted) = (section.threshold, holders.len());
            roll.missing_roles = section.roles.iter().filter(|role| !is_there(role)).cloned().collect();
            counts.extend(counted.iter().flat_map(|entry| &entry.keyids).map(String::as_str));
            lacks.extend(section.entries.iter().flat_map(|entry| &entry.keyids).map(String::as_str));
        } else if self.sections.is_none() {
            (roll.needed, roll.counted) = (self.threshold, good.len());
            counts.extend(&good);
            lacks.extend(self.keyids());
        }
        let who = self.owners(section);
        let mut call = |keyid: &str, call| {
            let who = who.get(keyid).map(|entry| (entry.holder.clone(), entry.role.clone()));
            roll.called.push(Called { keyid: keyid.to_owned(), who, call });
        };
        let (counted, aside): (Vec<&str>, Vec<&str>) = good.iter().partition(|keyid| counts.contains(**keyid));
        counted.iter().for_each(|keyid| call(keyid, Call::Counted));
        wrong.iter().for_each(|keyid| call(keyid, Call::Wrong));
        aside.iter().for_each(|keyid| call(keyid, Call::Aside));
        ended.iter().for_each(|keyid| call(keyid, Call::Ended));
        unknown.iter().for_each(|keyid| call(keyid, Call::Unknown));
        let here = |keyid: &&&str| !good.contains(*keyid) && !wrong.contains(*keyid) && !self.ended.contains(**keyid);
        lacks.iter().filter(here).for_each(|keyid| call(keyid, Call::Missing));
        roll
    }

    /// Returns the entry of each key: from `section` if it is there, otherwise from any other
    /// section.
    fn owners<'a>(&'a self, section: Option<&'a Section>) -> BTreeMap<&'a str, &'a Entry> {
        let mut owners = BTreeMap::new();
        let all = self.sections.iter().flat_map(|all| all.channels.values().chain(&all.no_channel));
        for entry in section.into_iter().chain(all).flat_map(|section| &section.entries) {
            for keyid in &entry.keyids {
                owners.entry(keyid.as_str()).or_insert(entry);
            }
        }
        owners
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Digest;
    use crate::signing::policy::{Rules, Sections};
    use crate::signing::private::SigningKey;
    use crate::signing::statement;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32]).unwrap()
    }

    fn entry(holder: &str, role: &str, seeds: &[u8]) -> Entry {
        let keyids = seeds.iter().map(|seed| key(*seed).public().id().to_owned()).collect();
        Entry { name: holder.to_owned(), holder: holder.to_owned(), role: role.to_owned(), keyids }
    }

    fn policy() -> Policy {
        let section = Section {
            name: "no_channel".to_owned(),
            entries: vec![
                entry("release desk", "release", &[1]),
                entry("guard desk", "guard", &[2, 3]),
                entry("old desk", "guard", &[5]),
            ],
            threshold: 2,
            roles: vec!["release".to_owned(), "guard".to_owned()],
            rules: Rules::default(),
        };
        let other = Section {
            name: "channel x".to_owned(),
            entries: vec![entry("stranger", "release", &[4])],
            threshold: 1,
            roles: Vec::new(),
            rules: Rules::default(),
        };
        // Key 5 has ended.
        let keys = [1, 2, 3, 4, 5].map(|seed| (key(seed).public().id().to_owned(), key(seed).public().clone()));
        let sections = Sections { channels: [("x".to_owned(), other)].into(), no_channel: Some(section) };
        Policy::of_sections(keys.into_iter().collect(), sections, [key(5).public().id().to_owned()].into())
    }

    fn signed(seeds: &[u8]) -> (Vec<u8>, Envelope) {
        let statement = statement("application/x", Digest::sha256(b"x"), 1);
        let mut envelope = Envelope::new(statement.clone());
        seeds.iter().for_each(|seed| envelope.sign(&key(*seed)));
        (statement, envelope)
    }

    fn calls(roll: &Roll) -> Vec<(String, Call)> {
        let who = |one: &Called| one.who.as_ref().map_or("?", |(holder, _)| holder.as_str()).to_owned();
        roll.called.iter().map(|one| (who(one), one.call)).collect()
    }

    #[test]
    fn s18_it_names_who_counts_who_does_not_and_who_lacks() {
        let (statement, envelope) = signed(&[1, 2, 4, 9]);
        let roll = policy().roll(&statement, std::slice::from_ref(&envelope), || Some(None));
        assert_eq!((roll.needed, roll.counted), (2, 1));
        assert_eq!(roll.missing_roles, ["guard"]);
        let mut found = calls(&roll);
        assert_eq!(found.remove(0), ("release desk".to_owned(), Call::Counted));
        // One key of two does not count, and neither does a key of another section.
        assert!(found.contains(&("guard desk".to_owned(), Call::Aside)), "{found:?}");
        assert!(found.contains(&("stranger".to_owned(), Call::Aside)), "{found:?}");
        assert!(found.contains(&("?".to_owned(), Call::Unknown)), "{found:?}");
        assert_eq!(found.last(), Some(&("guard desk".to_owned(), Call::Missing)));
        assert_eq!(found.len(), 4);
    }

    #[test]
    fn a_key_past_its_end_is_named_and_counts_for_nothing() {
        let (statement, envelope) = signed(&[1, 5]);
        let roll = policy().roll(&statement, std::slice::from_ref(&envelope), || Some(None));
        assert_eq!((roll.needed, roll.counted), (2, 1));
        assert_eq!(roll.missing_roles, ["guard"]);
        assert!(calls(&roll).contains(&("old desk".to_owned(), Call::Ended)), "{roll:?}");
        // Alone it does not open the manifest, and it is not listed as missing.
        let (statement, envelope) = signed(&[5]);
        let roll = policy().roll(&statement, std::slice::from_ref(&envelope), || unreachable!("no key that counts"));
        assert_eq!(roll.called.iter().map(|one| one.call).collect::<Vec<_>>(), [Call::Ended]);
        let (statement, envelope) = signed(&[1, 2, 3]);
        let roll = policy().roll(&statement, std::slice::from_ref(&envelope), || Some(None));
        assert!(!calls(&roll).contains(&("old desk".to_owned(), Call::Missing)), "{roll:?}");
    }

    #[test]
    fn it_agrees_with_the_judge() {
        for seeds in [&[1, 2, 3][..], &[1, 5], &[5], &[2, 3, 5], &[1, 2], &[2, 3], &[1], &[4], &[9], &[]] {
            let (statement, envelope) = signed(seeds);
            let policy = policy();
            let roll = policy.roll(&statement, std::slice::from_ref(&envelope), || Some(None));
            let judged = policy.judge(&statement, &envelope).ok();
            let enough = judged.is_some_and(|judgement| {
                let section = policy.sections().unwrap().pick(None).unwrap();
                section.enough(&section.counted(&judgement)).is_ok()
            });
            let said = roll.needed > 0 && roll.counted >= roll.needed && roll.missing_roles.is_empty();
            assert_eq!(said, enough, "{seeds:?}");
        }
    }

    #[test]
    fn a_wrong_signature_picks_no_section() {
        let (statement, mut envelope) = signed(&[1, 2]);
        envelope.signatures[0].sig[0] ^= 1;
        let roll = policy()
            .roll(&statement, std::slice::from_ref(&envelope), || unreachable!("asked before all signatures hold"));
        assert_eq!((roll.section.as_deref(), roll.needed), (None, 0));
        assert!(roll.called.iter().any(|one| one.call == Call::Wrong));
        let other = statement.iter().rev().copied().collect::<Vec<_>>();
        let roll = policy().roll(&other, &[signed(&[1]).1], || unreachable!("over something else"));
        assert_eq!(roll.called[0].call, Call::Wrong);
    }

    #[test]
    fn keys_of_a_command_line_count_by_themselves() {
        let policy = Policy::new(vec![key(1).public().clone(), key(2).public().clone()], None).unwrap();
        let (statement, envelope) = signed(&[1]);
        let roll = policy.roll(&statement, std::slice::from_ref(&envelope), || None);
        assert_eq!((roll.needed, roll.counted), (2, 1));
        assert_eq!(roll.called.iter().map(|one| one.call).collect::<Vec<_>>(), [Call::Counted, Call::Missing]);
    }
}

//! Trust: keys, and how many holders must have signed.
//!
//! Works in two steps. First, before the signed file is parsed, every signature by a known key must
//! be valid. Then the file's channel selects a section, and enough of the keys that count there
//! must have signed. Keys from the command line form a policy without sections. Nothing here parses
//! the signed file.

#[cfg(test)]
mod boundaries;
#[cfg(test)]
mod demands;
pub mod file;
mod glob;
mod image;
mod judgement;
mod kinds;
mod roll;
mod rules;
mod section;
pub mod tables;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

pub use self::glob::Glob;
pub use self::judgement::{BadSignature, Distrust, Judgement, Refusal};
pub use self::kinds::Kinds;
pub use self::roll::{Call, Called, Roll};
pub use self::rules::Rules;
pub use self::section::{Entry, Section};
use super::claims::{Claims, Order};
use super::envelope::{Envelope, pae};
use super::key::PublicKey;
use crate::base::fault::{Class, Fault, differs};

/// Trusted keys, their holders, and the bundles that they may sign.
#[derive(Clone, Debug)]
pub struct Policy {
    keys: HashMap<String, PublicKey>,
    // Used if there are no sections.
    threshold: usize,
    sections: Option<Sections>,
    // Keys of a policy file that have ended.
    ended: HashSet<String>,
    // Names under which keys were given, by key id.
    names: HashMap<String, String>,
    order: Option<Arc<dyn Order>>,
}

/// Sections of a policy file.
#[derive(Clone, Debug)]
pub struct Sections {
    /// Sections by channel.
    pub channels: BTreeMap<String, Section>,
    /// Section for bundles without a channel.
    pub no_channel: Option<Section>,
}

/// How a bundle was admitted.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Section that admitted the bundle. `None` with keys from the command line.
    pub section: Option<String>,
    /// Entries whose signatures counted.
    pub counted: Vec<Entry>,
    /// Further rules of the section.
    pub rules: Rules,
    /// Checks the order of the channel.
    pub order: Option<Arc<dyn Order>>,
}

/// Reason why keys and threshold do not form a policy. Always of class usage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No keys.
    #[error("trust: expected at least one public key, found none")]
    NoKeys,
    /// A threshold that is zero or exceeds the number of keys.
    #[error("trust: expected a threshold from 1 to {keys}, found {threshold}")]
    Threshold {
        /// Requested threshold.
        threshold: usize,
        /// Number of keys.
        keys: usize,
    },
    /// A key that was given twice and would count twice.
    #[error("trust: key {0} is given twice")]
    Duplicate(String),
}

impl Policy {
    /// Creates a policy that requires `threshold` signatures by `keys`; by default all of them.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn new(keys: Vec<PublicKey>, threshold: Option<usize>) -> Result<Self, PolicyError> {
        let mut ids = BTreeSet::new();
        if let Some(key) = keys.iter().find(|key| !ids.insert(key.id())) {
            return Err(PolicyError::Duplicate(key.id().to_owned()));
        }
        if keys.is_empty() {
            return Err(PolicyError::NoKeys);
        }
        let threshold = threshold.unwrap_or(keys.len());
        if threshold == 0 || threshold > keys.len() {
            return Err(PolicyError::Threshold { threshold, keys: keys.len() });
        }
        let keys = keys.into_iter().map(|key| (key.id().to_owned(), key)).collect();
        Ok(Self { keys, threshold, sections: None, ended: HashSet::new(), names: HashMap::new(), order: None })
    }

    /// Creates a policy with sections over `keys`, which are indexed by id. Those in `ended` have
    /// ended.
    fn of_sections(keys: HashMap<String, PublicKey>, sections: Sections, ended: HashSet<String>) -> Self {
        Self { keys, threshold: 1, sections: Some(sections), ended, names: HashMap::new(), order: None }
    }

    /// Sets the names under which keys were given, by key id, for messages.
    #[must_use]
    pub fn with_names(mut self, names: HashMap<String, String>) -> Self {
        self.names = names;
        self
    }

    /// Returns the given keys that are not among `good`, with their names. Empty for the keys of a
    /// policy file, which need not all sign.
    fn unsigned(&self, good: &[String]) -> Vec<String> {
        if self.sections.is_some() {
            return Vec::new();
        }
        let mut ids: Vec<&String> = self.keys.keys().filter(|id| !good.contains(id)).collect();
        ids.sort();
        ids.into_iter().map(|id| self.named(id)).collect()
    }

    /// Returns a key id with the name under which the key was given.
    fn named(&self, id: &str) -> String {
        self.names.get(id).map_or_else(|| id.to_owned(), |name| format!("{name} ({id})"))
    }

    /// Sets the check of the channel order.
    #[must_use]
    pub fn with_order(mut self, order: Arc<dyn Order>) -> Self {
        self.order = Some(order);
        self
    }

    /// Returns the ids of the policy's keys.
    pub fn keyids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Returns the number of signatures required in any section.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// Returns the sections. `None` with keys from the command line.
    pub const fn sections(&self) -> Option<&Sections> {
        self.sections.as_ref()
    }

    /// Performs the second step, after `judgement` was reached and the manifest was parsed. Selects
    /// the section for `claims`, counts its keys, then checks what it forbids and the order of the
    /// channel.
    ///
    /// # Errors
    /// [`Class::Policy`] if there is no section, [`Class::Trust`] if too few signed; one fault with
    /// everything that the section forbids ([`Class::Policy`], [`Class::Stale`]); errors of
    /// [`Order::judge`].
    pub fn admit(&self, judgement: &Judgement, claims: &Claims<'_>) -> Result<Admission, Fault> {
        let mut admission = Admission::default();
        if let Some(sections) = &self.sections {
            let section = sections.pick(claims.channel)?;
            let counted = section.counted(judgement);
            section.enough(&counted).map_err(|refusal| past_their_end(refusal.into(), judgement))?;
            if let Some(fault) = Fault::from_list(section.forbids(claims, judgement)) {
                return Err(fault);
            }
            admission =
                Admission { section: Some(section.name.clone()), counted, rules: section.rules.clone(), order: None };
        }
        if let Some(order) = &self.order {
            order.judge(claims, &admission.rules)?;
        }
        admission.order.clone_from(&self.order);
        Ok(admission)
    }

    /// Checks whether `envelope` authenticates `statement`, which the caller made from the bytes of
    /// the file.
    ///
    /// # Errors
    /// [`Refusal`], of class signature before trust.
    pub fn judge(&self, statement: &[u8], envelope: &Envelope) -> Result<Judgement, Refusal> {
        self.judge_all(statement, std::slice::from_ref(envelope))
    }

    /// Like [`Policy::judge`], but for several signature files: a valid signature in any of them
    /// counts, once per key, and an invalid one in any of them causes refusal.
    ///
    /// # Errors
    /// [`Refusal`], of class signature before trust.
    pub fn judge_all(&self, statement: &[u8], envelopes: &[Envelope]) -> Result<Judgement, Refusal> {
        self.judge_by(self.threshold, statement, envelopes)
    }

    /// Like [`Policy::judge`], but one signature under any of the keys is enough: for what a machine says of
    /// its own work, not for bundles.
    ///
    /// # Errors
    /// [`Refusal`], of class signature before trust.
    pub fn vouches(&self, statement: &[u8], envelope: &Envelope) -> Result<Judgement, Refusal> {
        self.judge_by(1, statement, std::slice::from_ref(envelope))
    }

    fn judge_by(&self, needed: usize, statement: &[u8], envelopes: &[Envelope]) -> Result<Judgement, Refusal> {
        let judgement = self.check(statement, envelopes)?;
        if judgement.good.is_empty() && !judgement.ended.is_empty() {
            return Err(Distrust::Ended { found: judgement.ended }.into());
        }
        if judgement.good.is_empty() {
            let expected = self.unsigned(&[]);
            return Err(Distrust::Unknown { expected, found: judgement.unknown }.into());
        }
        if judgement.good.len() < needed {
            let missing = self.unsigned(&judgement.good);
            let good = judgement.good.iter().map(|id| self.named(id)).collect();
            return Err(Distrust::TooFew { needed, good, missing }.into());
        }
        Ok(judgement)
    }

    /// Performs the first step: collects the valid signatures and refuses invalid ones by known
    /// keys. Counts nothing.
    fn check(&self, statement: &[u8], envelopes: &[Envelope]) -> Result<Judgement, BadSignature> {
        if envelopes.iter().any(|envelope| envelope.payload != statement) {
            return Err(BadSignature::OtherStatement);
        }
        let message = pae(statement);
        let (mut good, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let (mut unknown, mut bad) = (BTreeSet::new(), BTreeSet::new());
        for signature in envelopes.iter().flat_map(|envelope| &envelope.signatures) {
            let keyid = signature.keyid.clone();
            match self.keys.get(&keyid) {
                None => unknown.insert(keyid),
                Some(key) if !key.verifies(&message, &signature.sig) => bad.insert(keyid),
                Some(_) if self.ended.contains(&keyid) => ended.insert(keyid),
                Some(_) => good.insert(keyid),
            };
        }
        if !bad.is_empty() {
            return Err(BadSignature::Bad(bad.into_iter().collect()));
        }
        if good.is_empty() && ended.is_empty() && unknown.is_empty() {
            return Err(BadSignature::None);
        }
        let listed = |ids: BTreeSet<String>| ids.into_iter().collect();
        Ok(Judgement { good: listed(good), ended: listed(ended), unknown: listed(unknown) })
    }
}

/// Adds to a refusal for too few signatures the keys whose signatures are valid but have ended.
fn past_their_end(mut fault: Fault, judgement: &Judgement) -> Fault {
    fault.others.extend(judgement.ended.iter().map(|keyid| {
        Fault::new(Class::Trust, format!("key {keyid}: its signature is valid but does not count: its `until` is over"))
            .help("have it signed by a key that still counts, or give this one a later end in the policy")
    }));
    fault
}

impl Sections {
    fn pick(&self, channel: Option<&str>) -> Result<&Section, Fault> {
        let known: Vec<&str> = self.channels.keys().map(String::as_str).collect();
        let (found, what, help) = match channel {
            Some(name) => (
                self.channels.get(name),
                differs(
                    format_args!("channel {name:?}"),
                    "one that the policy has",
                    format_args!("only {}", known.join(", ")),
                ),
                format!("add [channel.{name}] to the policy, if this site is to take such bundles"),
            ),
            None => (
                self.no_channel.as_ref(),
                differs("bundle", "one of a channel", "none: the policy has no [no_channel]"),
                "have it exported with --channel, or add [no_channel] to the policy".to_owned(),
            ),
        };
        found.ok_or_else(|| Fault::new(Class::Policy, what).help(help))
    }
}

impl From<PolicyError> for Fault {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::NoKeys => Self::usage(
                differs("trust", "at least one public key", "none"),
                "give --key with the signer's public key",
            ),
            PolicyError::Threshold { threshold, keys } => Self::usage(
                differs("trust", format_args!("a threshold from 1 to {keys}"), threshold),
                "give --threshold within this range, or omit it to require all keys",
            ),
            PolicyError::Duplicate(_) => Self::usage(error.to_string(), "give each --key once"),
        }
    }
}

#[cfg(test)]
mod tests;

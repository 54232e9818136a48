//! Whom to believe: keys, and how many of whose must have signed.
//!
//! Two steps. First every signature under a key that is known anywhere must hold, before the signed file is parsed; then
//! the file's channel picks the section, where enough of those that count must have signed. The keys of a command line are
//! a policy without sections. Nothing of the signed file is parsed here.

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
use crate::base::fault::{Class, Fault};

/// Keys, whose they are, and what bundles they may sign.
#[derive(Clone, Debug)]
pub struct Policy {
    keys: HashMap<String, PublicKey>,
    // Without sections.
    threshold: usize,
    sections: Option<Sections>,
    // Keys of a file whose `until` is over.
    ended: HashSet<String>,
    order: Option<Arc<dyn Order>>,
}

/// The sections of a policy file.
#[derive(Clone, Debug)]
pub struct Sections {
    /// By channel.
    pub channels: BTreeMap<String, Section>,
    /// For bundles without one.
    pub no_channel: Option<Section>,
}

/// How a bundle was let in.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// The section that let it in; none under keys of a command line.
    pub section: Option<String>,
    /// Whose signatures counted there.
    pub counted: Vec<Entry>,
    /// The further rules of the section.
    pub rules: Rules,
    /// Who keeps the order of its channel.
    pub order: Option<Arc<dyn Order>>,
}

/// Why keys and threshold are no policy. All of class usage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// No key at all.
    #[error("trust: expected at least one public key, found none")]
    NoKeys,
    /// A threshold that nothing or everything passes.
    #[error("trust: expected a threshold from 1 to {keys}, found {threshold}")]
    Threshold {
        /// The threshold that was asked for.
        threshold: usize,
        /// How many keys there are.
        keys: usize,
    },
    /// A key given twice would count twice.
    #[error("trust: key {0} is given twice")]
    Duplicate(String),
}

impl Policy {
    /// A policy of `keys`, of which `threshold` must have signed; all of them unless it is given.
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
        Ok(Self { keys, threshold, sections: None, ended: HashSet::new(), order: None })
    }

    /// A policy with sections over all `keys`, by their ids, of which those in `ended` are past their end.
    fn of_sections(keys: HashMap<String, PublicKey>, sections: Sections, ended: HashSet<String>) -> Self {
        Self { keys, threshold: 1, sections: Some(sections), ended, order: None }
    }

    /// Sets who keeps the order of channels.
    #[must_use]
    pub fn with_order(mut self, order: Arc<dyn Order>) -> Self {
        self.order = Some(order);
        self
    }

    /// The ids of its keys.
    pub fn keyids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// How many must have signed whatever the section.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// The sections; none under keys of a command line.
    pub const fn sections(&self) -> Option<&Sections> {
        self.sections.as_ref()
    }

    /// The second step, once `judgement` holds and the manifest is parsed: the section that `claims` picks, whose keys alone
    /// count; then what it forbids; then the order of the channel.
    ///
    /// # Errors
    /// [`Class::Policy`] without a section, [`Class::Trust`] for too few; all that the section forbids in one fault
    /// ([`Class::Policy`], [`Class::Stale`]); those of [`Order::judge`].
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

    /// Whether `envelope` authenticates `statement`, which the caller made from the bytes that it holds.
    ///
    /// # Errors
    /// [`Refusal`]: of class signature before trust.
    pub fn judge(&self, statement: &[u8], envelope: &Envelope) -> Result<Judgement, Refusal> {
        self.judge_all(statement, std::slice::from_ref(envelope))
    }

    /// Like [`Policy::judge`], but for several signature files: a good signature in any of them counts, once for each key,
    /// and a bad one in any of them refuses all.
    ///
    /// # Errors
    /// [`Refusal`]: of class signature before trust.
    pub fn judge_all(&self, statement: &[u8], envelopes: &[Envelope]) -> Result<Judgement, Refusal> {
        let judgement = self.check(statement, envelopes)?;
        if judgement.good.is_empty() && !judgement.ended.is_empty() {
            return Err(Distrust::Ended { found: judgement.ended }.into());
        }
        if judgement.good.is_empty() {
            return Err(Distrust::Unknown { found: judgement.unknown }.into());
        }
        if judgement.good.len() < self.threshold {
            return Err(Distrust::TooFew { needed: self.threshold, good: judgement.good }.into());
        }
        Ok(judgement)
    }

    /// The first step: what holds, and that nothing known fails. Counts nothing.
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

/// The refusal of too few, with the keys whose signatures would have held and are past their end.
fn past_their_end(mut fault: Fault, judgement: &Judgement) -> Fault {
    fault.others.extend(judgement.ended.iter().map(|keyid| {
        Fault::new(Class::Trust, format!("key {keyid}: its signature holds and does not count: its `until` is over"))
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
                format!("channel {name:?}: expected one that the policy has, found only {}", known.join(", ")),
                format!("add [channel.{name}] to the policy, if this site is to take such bundles"),
            ),
            None => (
                self.no_channel.as_ref(),
                "bundle: expected one of a channel, found none: the policy has no [no_channel]".to_owned(),
                "have it exported with --channel, or add [no_channel] to the policy".to_owned(),
            ),
        };
        found.ok_or_else(|| Fault::new(Class::Policy, what).help(help))
    }
}

impl From<PolicyError> for Fault {
    fn from(error: PolicyError) -> Self {
        let fault = Self::new(Class::Usage, error.to_string());
        match error {
            PolicyError::NoKeys => fault.help("give --key with the public key of who signs"),
            PolicyError::Threshold { .. } => fault.help("give --threshold within this range, or none for all keys"),
            PolicyError::Duplicate(_) => fault.help("give each --key once"),
        }
    }
}

#[cfg(test)]
mod tests;

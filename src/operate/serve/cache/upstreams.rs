//! The upstreams of a cache: one source for each credential that rules name, and what was last heard
//! of the upstream of each rule.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::base::lock::lock;
use crate::content::{Error, Source};
use crate::decide::rules::Rule;

/// The last answer of the upstream of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It was not asked yet.
    Unknown,
    /// It answered, at this time in seconds since 1970.
    Good(i64),
    /// It failed, at this time, with this error.
    Failing(i64, String),
}

/// Sources by the name of a credential; `None` for rules without one.
pub type Sources = BTreeMap<Option<String>, Arc<dyn Source>>;

pub(super) struct Upstreams {
    sources: Sources,
    health: Mutex<Vec<Health>>,
}

impl Upstreams {
    pub(super) fn new(sources: Sources, rules: usize) -> Self {
        Self { sources, health: Mutex::new(vec![Health::Unknown; rules]) }
    }

    /// Returns the source that a rule fetches from, with the rule's own credential and no other.
    pub(super) fn source(&self, rule: &Rule) -> Option<Arc<dyn Source>> {
        self.sources.get(&rule.credential).cloned()
    }

    /// Remembers how the upstream of a rule answered.
    pub(super) fn heard<T>(&self, rule: usize, now: i64, answer: Result<T, &Error>) {
        let heard = answer.map_or_else(|error| Health::Failing(now, error.what.clone()), |_| Health::Good(now));
        if let Some(health) = lock(&self.health).get_mut(rule) {
            *health = heard;
        }
    }

    pub(super) fn health(&self) -> Vec<Health> {
        lock(&self.health).clone()
    }
}

//! The sources that the rules of a cache fetch from.

use std::sync::Arc;

use super::Network;
use super::registries::Sides;
use crate::base::fault::Fault;
use crate::cli::Session;
use crate::decide::rules::Rules;
use crate::operate::serve::Sources;

/// Opens the source of each credential that rules name.
///
/// # Errors
/// Those of [`Sides::open`].
pub fn of_rules(network: &Network, rules: &Rules, session: &Session<'_>) -> Result<Sources, Fault> {
    let sides = Sides::new(network);
    let mut sources = Sources::new();
    for rule in rules.all() {
        if !sources.contains_key(&rule.credential) {
            let source = sides.open(session, rule.credential.as_deref())?;
            sources.insert(rule.credential.clone(), Arc::new(source));
        }
    }
    Ok(sources)
}

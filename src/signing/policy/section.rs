//! A section of a policy: whose signatures count, and what its bundles may contain.
//!
//! The manifest selects the section, so this happens only after a signature by a known key was
//! verified. Pure: no files, no clock.

use std::collections::{BTreeSet, HashSet};

use super::glob::Glob;
use super::judgement::{Distrust, Judgement, Refusal};
use super::rules::Rules;
use crate::base::fault::{Class, Description, Fault, differs, escape};
use crate::signing::Claims;

/// Maximum number of names that one fault lists.
const MOST_NAMES: usize = 16;

/// `[key.NAME]`: one or more keys of a holder. All of them must have signed for the entry to count.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Name in the file.
    pub name: String,
    /// Holder of the keys.
    pub holder: String,
    /// Role: the purpose of the signature.
    pub role: String,
    /// Ids of the keys.
    pub keyids: Vec<String>,
}

/// `[channel.NAME]` or `[no_channel]`.
#[derive(Clone, Debug)]
pub struct Section {
    /// Name in messages: `channel apps`, `no_channel`.
    pub name: String,
    /// Entries that count.
    pub entries: Vec<Entry>,
    /// Number of distinct holders that must have signed.
    pub threshold: usize,
    /// Roles that must be among the signers.
    pub roles: Vec<String>,
    /// Rules other than signatures.
    pub rules: Rules,
}

impl Section {
    /// Returns the entries whose signatures count: all of their keys have valid signatures.
    pub(super) fn counted(&self, judgement: &Judgement) -> Vec<Entry> {
        let good: HashSet<&str> = judgement.good.iter().map(String::as_str).collect();
        let signed = |entry: &&Entry| entry.keyids.iter().all(|keyid| good.contains(keyid.as_str()));
        self.entries.iter().filter(signed).cloned().collect()
    }

    /// Checks that enough holders signed and all required roles are present.
    ///
    /// # Errors
    /// [`Distrust::TooFewHolders`], [`Distrust::NoRole`].
    pub(super) fn enough(&self, counted: &[Entry]) -> Result<(), Refusal> {
        let holders: BTreeSet<&str> = counted.iter().map(|entry| entry.holder.as_str()).collect();
        if holders.len() < self.threshold {
            return Err(Distrust::TooFewHolders {
                section: self.name.clone(),
                needed: self.threshold,
                found: holders.into_iter().map(ToOwned::to_owned).collect(),
            }
            .into());
        }
        let lacks = |role: &&String| !counted.iter().any(|entry| entry.role == **role);
        let missing: Vec<String> = self.roles.iter().filter(lacks).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let found = counted.iter().map(|entry| format!("{} ({})", entry.holder, entry.role)).collect();
        Err(Distrust::NoRole { section: self.name.clone(), missing, found }.into())
    }

    /// Returns everything that the section forbids, as far as the manifest alone shows it.
    pub(super) fn forbids(&self, claims: &Claims<'_>, judgement: &Judgement) -> Vec<Fault> {
        let rules = &self.rules;
        let mut faults = Vec::new();
        let mut forbid = |what: Description, help: &str| {
            faults.push(Fault::new(Class::Policy, what.within(format_args!("policy, {}", self.name))).help(help));
        };
        if rules.refuse_unknown && !judgement.unknown.is_empty() {
            let what = differs("", "no signature under an unknown key", list(&judgement.unknown));
            forbid(what, "have it signed by known keys only, or add the key to the policy");
        }
        let written = claims.artifacts.iter().map(|one| one.repository.to_string());
        // Another name does not change where content comes from.
        let sources = claims.artifacts.iter().filter_map(|one| one.source.as_ref()).map(ToString::to_string);
        let read = claims.absent.iter().filter_map(|one| one.repository.as_ref()).map(ToString::to_string);
        let tags = claims.artifacts.iter().flat_map(|one| &one.tags).map(ToString::to_string);
        for (names, word, member) in [
            (others(rules.repositories.as_deref(), written), "repositories", "repositories"),
            (others(rules.repositories.as_deref(), sources), "source repositories", "repositories"),
            (others(rules.repositories.as_deref(), read), "repositories of base content", "repositories"),
            (others(rules.tags.as_deref(), tags), "tags", "tags"),
        ] {
            if !names.is_empty() {
                forbid(
                    differs("", format_args!("allowed {word} only"), list(&names)),
                    &format!("add them to `{member}` of this section, or have the bundle made without them"),
                );
            }
        }
        if let Some(most) = rules.bundle.filter(|most| claims.total > *most) {
            forbid(
                differs("", format_args!("at most {most} bytes of blobs"), claims.total),
                "raise limits.bundle, or have several bundles made",
            );
        }
        if let (Some(most), Some((digest, size))) = (rules.blob, claims.largest)
            && size > most
        {
            forbid(
                differs("", format_args!("blobs of at most {most} bytes"), format_args!("{digest} of {size}")),
                "raise limits.blob, or have the bundle made without it",
            );
        }
        for (asked, there, word) in [
            (rules.expires, claims.expires.is_some(), "expires"),
            (rules.sequence || rules.previous, claims.sequence.is_some(), "sequence"),
        ] {
            if asked && !there {
                let help = "have it exported with --channel and --expires, or require less in the policy";
                forbid(differs("", format_args!("a bundle with {word}"), "none"), help);
            }
        }
        if let (Some(most), Some(expires)) = (rules.lifetime, claims.expires)
            && expires.saturating_sub(claims.created) > most
        {
            let found = expires.saturating_sub(claims.created);
            forbid(
                differs("", format_args!("a bundle that expires within {most} seconds after it was made"), found),
                "have it exported with an earlier --expires, or raise limits.expires",
            );
        }
        if let (Some(epoch), Some(found)) = (rules.epoch, claims.epoch)
            && epoch != found
        {
            let what = differs(format_args!("policy, {}", self.name), format_args!("epoch {epoch}"), found);
            faults.push(
                Fault::new(Class::Stale, what)
                    .help("if its holders say that the epoch changed, change it in the policy"),
            );
        }
        faults
    }
}

/// Returns the `names` that no pattern allows, without duplicates. Empty if everything is allowed.
fn others(allowed: Option<&[Glob]>, names: impl Iterator<Item = String>) -> Vec<String> {
    let Some(allowed) = allowed else { return Vec::new() };
    let names: BTreeSet<String> = names.filter(|name| !allowed.iter().any(|glob| glob.matches(name))).collect();
    names.into_iter().collect()
}

/// Returns the first names, and the number of the others.
pub(super) fn list(names: &[String]) -> String {
    let mut text: Vec<String> = names.iter().take(MOST_NAMES).map(|name| escape(name)).collect();
    if names.len() > MOST_NAMES {
        text.push(format!("{} more", names.len() - MOST_NAMES));
    }
    text.join(", ")
}

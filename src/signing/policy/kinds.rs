//! Rules about the types of artifacts, which only their documents show: allowed types, and
//! referrers that images must have.
//!
//! The caller passes in documents as they are read; nothing is fetched here.

use std::collections::{HashMap, HashSet};

use super::image;
use super::rules::Rules;
use super::section::list;
use crate::oci::media_type::document_kind;
use crate::oci::{Absent, Artifact, Digest, Document, Reason, Repository};

/// Properties of the documents seen so far that the rules need.
pub struct Kinds<'a> {
    rules: &'a Rules,
    seen: HashMap<Digest, Seen>,
}

struct Seen {
    // Types that must all be allowed.
    types: Vec<String>,
    // Type as shown in a list of referrers.
    shown: Option<String>,
    is_image: bool,
    // It is an image manifest that needs no referrers according to the rules.
    is_excepted: bool,
    // Entries of an index, and whether each is a document.
    children: Vec<(Digest, bool)>,
    // Layers of a manifest that have content.
    content: Vec<Digest>,
}

/// For each digest looked up so far, whether it leads to an image that must have referrers.
type Led = HashMap<Digest, bool>;

impl<'a> Kinds<'a> {
    /// Creates an empty collection for `rules`.
    pub fn new(rules: &'a Rules) -> Self {
        Self { rules, seen: HashMap::new() }
    }

    /// Records a document.
    pub fn see(&mut self, document: &Document) {
        if self.rules.types.is_none() && self.rules.referrers.is_empty() {
            return;
        }
        let children = document.manifests().iter();
        let seen = Seen {
            types: image::types(document),
            shown: document.shown_artifact_type().map(ToOwned::to_owned),
            is_image: image::is_image(document),
            is_excepted: image::is_excepted(document, &self.rules.except),
            children: children.map(|child| (child.digest, document_kind(&child.media_type).is_some())).collect(),
            content: image::content(document),
        };
        self.seen.insert(document.digest(), seen);
    }

    /// Returns a description of everything that the rules forbid. Call it after all documents have
    /// been recorded.
    pub fn forbidden(&self, artifacts: &[Artifact], absent: &[Absent]) -> Option<String> {
        let mut wrong = Vec::new();
        if let Some(allowed) = &self.rules.types {
            let mut others: Vec<String> = self.seen.values().flat_map(|seen| seen.types.clone()).collect();
            others.retain(|kind| !allowed.iter().any(|glob| glob.matches(kind)));
            others.sort();
            others.dedup();
            if !others.is_empty() {
                wrong.push(format!("expected artifacts of allowed types only, found {}", list(&others)));
            }
        }
        let unread = absent.iter().filter(|one| one.reason != Reason::Base).map(|one| one.digest).collect();
        let mut led = Led::new();
        for demanded in &self.rules.referrers {
            let brought: HashSet<(&Repository, Digest)> = artifacts
                .iter()
                .filter(|one| self.says(&one.digest, &unread).is_some_and(|kind| demanded.matches(kind)))
                .filter_map(|one| Some((&one.repository, one.subject?)))
                .collect();
            let lack: Vec<String> = artifacts
                .iter()
                .filter(|one| self.leads_to_image(one.digest, &mut led) && !self.has(&brought, one, &mut led))
                .map(|one| format!("{}@{}", one.repository, one.digest))
                .collect();
            if !lack.is_empty() {
                wrong.push(format!(
                    "expected a referrer of type {} with every image, found none with {}",
                    demanded.as_str(),
                    list(&lack)
                ));
            }
        }
        (!wrong.is_empty()).then(|| format!("policy: {}", wrong.join("; ")))
    }

    /// Returns the type of a referrer with content: not an image, and with a non-empty layer that
    /// is not in `unread`, the content that the bundle leaves out and no base delivered.
    fn says(&self, digest: &Digest, unread: &HashSet<Digest>) -> Option<&str> {
        let seen = self.seen.get(digest).filter(|seen| !seen.is_image)?;
        let has_content = seen.content.iter().any(|layer| !unread.contains(layer));
        seen.shown.as_deref().filter(|_| has_content)
    }

    /// Whether this is an image that must have referrers, or an index that leads to one.
    fn leads_to_image(&self, digest: Digest, led: &mut Led) -> bool {
        let Some(seen) = self.seen.get(&digest) else { return false };
        if let Some(leads) = led.get(&digest) {
            return *leads;
        }
        // Stops the recursion for an index that would contain itself.
        led.insert(digest, false);
        let mut children = seen.children.iter().filter(|(_, is_document)| *is_document);
        let leads = seen.is_image && !seen.is_excepted || children.any(|(child, _)| self.leads_to_image(*child, led));
        led.insert(digest, leads);
        leads
    }

    /// Whether `brought` contains a referrer of the artifact itself or of each of its entries.
    /// Entries that are carried documents and lead to no image need none.
    fn has(&self, brought: &HashSet<(&Repository, Digest)>, artifact: &Artifact, led: &mut Led) -> bool {
        let with = |digest: &Digest| brought.contains(&(&artifact.repository, *digest));
        let children = self.seen.get(&artifact.digest).map_or(&[][..], |seen| &seen.children);
        let mut needs_none = |child: &Digest, is_document: bool| {
            is_document && self.seen.contains_key(child) && !self.leads_to_image(*child, led)
        };
        with(&artifact.digest)
            || !children.is_empty()
                && children.iter().all(|(child, is_document)| with(child) || needs_none(child, *is_document))
    }
}

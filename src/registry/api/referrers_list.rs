//! Writes lists of referrers under fallback tags, while other hosts may write them too: notes what
//! belongs into a list, then reads it, adds all of it, writes it, and reads it again at the end of
//! the run.
//!
//! Hosts cannot lock each other out, and few registries support conditional requests. So every
//! writer reads just before it writes, and reads again after a wait. If another writer replaced the
//! list from an older version, entries are missing by then, and are added again. No entry is lost
//! as long as other writers take less time from reading to writing than this wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::listing::Listing;
use super::manifests::{Condition, Put};
use super::referrers::{ADVICE, Fallback, tag_title};
use super::registry::Registry;
use crate::base::fault::{differs, escape};
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::each;
use crate::network::retry::{Trouble, pause, share};
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Digest, Document, Repository, Tag, media_type};
use crate::registry::auth::scopes::Scopes;

/// Maximum random time added to a wait, so that two writers of one list do not stay in step.
const SPREAD: Duration = Duration::from_secs(1);
/// Number of checks after which the run gives up on lists that others keep overwriting.
const MOST_ROUNDS: u32 = 20;
/// Number of unmet conditions after which they are left out, since a registry or proxy
/// misinterprets them.
const MOST_UNMET: u32 = 8;

/// When a document is added to a list, and when a list that was written is read again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Listed {
    /// At once.
    Now,
    /// With all others of its list; and by [`Registry::settle`], at the end of the run.
    Later,
}

/// Current state of a list.
struct Standing {
    /// Document of the list.
    index: Value,
    /// Condition for replacing it.
    condition: Condition,
    /// Digests of its entries.
    names: BTreeSet<Digest>,
}

impl Registry {
    /// Returns the digests in the list of `subject`, which is read at most once.
    pub fn listed(&self, repository: &Repository, subject: Digest) -> Result<Vec<Digest>, Error> {
        let listing = self.listing(repository, subject);
        let mut listing = lock(&listing);
        if let Some(read) = &listing.read {
            return Ok(read.clone());
        }
        // If the registry creates the lists itself, they are complete.
        let read: Vec<Digest> = match self.referrers_in_turn(repository, subject)? {
            Some(listed) => {
                listing.seen.extend(listed.iter().map(|entry| (entry.digest, Value::Null)));
                listed.into_iter().map(|entry| entry.digest).collect()
            }
            None => {
                let title = tag_title(repository, &Tag::referrers_fallback(subject));
                self.standing(repository, subject, &title, &mut listing)?.names.into_iter().collect()
            }
        };
        listing.read = Some(read.clone());
        Ok(read)
    }

    /// Adds a document that was just pushed to the list of `subject`.
    pub fn list_new(
        &self,
        repository: &Repository,
        subject: Digest,
        document: &Document,
        listed: Listed,
    ) -> Result<(), Error> {
        self.enter(&mut lock(&self.listing(repository, subject)), document)?;
        self.added(repository, subject, document, listed)
    }

    /// Adds a document that existed before to the list of `subject`, unless it is known to be there.
    pub fn list_present(
        &self,
        repository: &Repository,
        subject: Digest,
        document: &Document,
        listed: Listed,
    ) -> Result<(), Error> {
        {
            let listing = self.listing(repository, subject);
            let mut listing = lock(&listing);
            if listing.seen.contains_key(&document.digest()) {
                return Ok(());
            }
            self.enter(&mut listing, document)?;
        }
        self.added(repository, subject, document, listed)
    }

    /// Writes the list of a document that was entered, if that is to be now.
    fn added(&self, repository: &Repository, subject: Digest, document: &Document, when: Listed) -> Result<(), Error> {
        if when == Listed::Later {
            return Ok(());
        }
        self.write_list(repository, subject, when).inspect_err(|_| {
            drop(lock(&self.listing(repository, subject)).own.remove(&document.digest()));
        })
    }

    /// Writes the list of `subject` if documents were entered that it does not have.
    pub fn write_list(&self, repository: &Repository, subject: Digest, listed: Listed) -> Result<(), Error> {
        let listing = self.listing(repository, subject);
        let mut listing = lock(&listing);
        if !listing.is_pending {
            return Ok(());
        }
        // Some registries list a document without saying so in the answer to its PUT.
        let there = match self.referrers_in_turn(repository, subject) {
            Ok(there) => there.unwrap_or_default(),
            Err(error) if matches!(error.class, Kind::Failed | Kind::Cancelled) => return Err(error.help(ADVICE)),
            // Then the fallback tag counts.
            Err(_) => Vec::new(),
        };
        listing.seen.extend(there.iter().map(|entry| (entry.digest, Value::Null)));
        if listing.own.keys().all(|own| there.iter().any(|entry| entry.digest == *own)) {
            listing.own.clear();
        } else {
            self.bring(repository, subject, &mut listing, listed)?;
        }
        listing.is_pending = false;
        Ok(())
    }

    /// Checks all lists that this run wrote again, until each is still correct some time after its
    /// last write.
    pub fn settle(&self) -> Result<(), Error> {
        let flow = self.http.flow();
        let noted: Vec<_> = lock(&self.listings).keys().cloned().collect();
        noted.iter().try_for_each(|(repository, subject)| self.write_list(repository, *subject, Listed::Later))?;
        for _ in 0..MOST_ROUNDS {
            let all: Vec<_> =
                lock(&self.listings).iter().map(|(key, listing)| (key.clone(), Arc::clone(listing))).collect();
            let open: Vec<_> = all.into_iter().filter(|(_, listing)| lock(listing).written.is_some()).collect();
            let Some(until) = open.iter().filter_map(|(_, listing)| lock(listing).settled()).max() else {
                return Ok(());
            };
            pause(flow, until.saturating_sub(flow.clock().elapsed()) + share(SPREAD))?;
            let looked = each(flow, &open, |((repository, subject), listing)| {
                let mut listing = lock(listing);
                listing.written = None;
                self.bring(repository, *subject, &mut listing, Listed::Now)
            })?;
            looked.into_iter().collect::<Result<(), Error>>()?;
        }
        let what = format_args!("lists of referrers: overwritten by others {MOST_ROUNDS} times");
        Err(self
            .http
            .error(Kind::Refused, what)
            .help("wait for the other runs to end, then run this again: nothing else is sent"))
    }

    fn listing(&self, repository: &Repository, subject: Digest) -> Arc<Mutex<Listing>> {
        Arc::clone(lock(&self.listings).entry((repository.clone(), subject)).or_default())
    }

    fn enter(&self, listing: &mut Listing, document: &Document) -> Result<(), Error> {
        let wrong =
            |why: String| self.http.error(Kind::Mismatch, format_args!("manifest {}: {why}", document.digest()));
        listing.own.insert(document.digest(), entry(document).map_err(wrong)?);
        listing.is_pending = true;
        Ok(())
    }

    /// Writes the list until it has all required entries: those of this run, and earlier entries
    /// that are missing from it although their manifests still exist.
    fn bring(
        &self,
        repository: &Repository,
        subject: Digest,
        listing: &mut Listing,
        listed: Listed,
    ) -> Result<(), Error> {
        let tag = Tag::referrers_fallback(subject);
        let title = tag_title(repository, &tag);
        let now = || self.http.flow().clock().elapsed();
        let (mut tries, mut unmet, mut is_written) = (self.http.tries(), 0, false);
        loop {
            self.http.flow().check()?;
            let begun = now();
            let standing = self.standing(repository, subject, &title, listing)?;
            let lacking = self.lacking(repository, &standing, listing)?;
            let Some(lacking) = lacking else { continue };
            let Some(first) = lacking.first_key_value() else { return Ok(()) };
            if std::mem::take(&mut is_written) {
                let what = format_args!("{title}: accepted, but {} is not in the list", first.0);
                tries.again(Trouble::passing(self.http.error(Kind::Refused, what).help(ADVICE)))?;
                continue;
            }
            let index = with_entries(standing.index, lacking.into_values())
                .map_err(|why| self.http.error(Kind::Mismatch, format_args!("{title}: {why}")))?;
            if index.len() as u64 > MAX_DOCUMENT {
                let what = format_args!("{title}: the list of referrers is full");
                return Err(self.http.error(Kind::Refused, what).help(ADVICE));
            }
            let condition = if unmet < MOST_UNMET { standing.condition } else { Condition::Always };
            // Only one try: the list is read again before the next.
            match self.put_once(repository, tag.as_str(), media_type::OCI_INDEX, Bytes::from(index), &condition) {
                Ok(Put::Stored(_)) => {
                    is_written = true;
                    listing.written = Some(now());
                    listing.longest = listing.longest.max(now().saturating_sub(begun));
                    if listed == Listed::Later {
                        return Ok(());
                    }
                }
                Ok(Put::Refused(refusal)) => return Err(refusal.error),
                Ok(Put::Unmet) => {
                    unmet += 1;
                    pause(self.http.flow(), share(SPREAD / 4))?;
                }
                Err(trouble) => {
                    // The list may have arrived even if the response was lost.
                    listing.written = Some(now());
                    tries.again(trouble)?;
                }
            }
        }
    }

    fn standing(
        &self,
        repository: &Repository,
        subject: Digest,
        title: &str,
        listing: &mut Listing,
    ) -> Result<Standing, Error> {
        let found =
            self.fallback(repository, subject, &Scopes::push(repository)).map_err(|error| match error.class {
                Kind::Refused | Kind::Mismatch => error.help(ADVICE),
                _ => error,
            })?;
        let (index, condition) = match found {
            Fallback::List(_, fetched) => {
                let index = serde_json::from_slice(&fetched.raw).map_err(|error| {
                    self.http
                        .error(Kind::Mismatch, format_args!("{title}: {}", escape(&error.to_string())))
                        .help(ADVICE)
                })?;
                (index, fetched.etag.map_or(Condition::Always, Condition::IfUnchanged))
            }
            Fallback::Absent => {
                (json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": []}), Condition::IfAbsent)
            }
            Fallback::Subject => {
                let what = format_args!("{title}: names the subject itself, so it cannot list referrers");
                return Err(self.http.error(Kind::Refused, what).help(ADVICE));
            }
            Fallback::Other(found) => {
                let what = differs(title, "an index of referrers", format_args!("{:?}", escape(&found)));
                return Err(self.http.error(Kind::Refused, what).help(ADVICE));
            }
        };
        let mut names = BTreeSet::new();
        for entry in index["manifests"].as_array().into_iter().flatten() {
            if let Some(digest) = entry["digest"].as_str().and_then(|digest| digest.parse::<Digest>().ok()) {
                names.insert(digest);
                listing.seen.insert(digest, entry.clone());
            }
        }
        Ok(Standing { index, condition, names })
    }

    /// Returns the entries to add. `None` if further requests were needed, so that the list must be
    /// read again first.
    fn lacking(
        &self,
        repository: &Repository,
        standing: &Standing,
        listing: &mut Listing,
    ) -> Result<Option<BTreeMap<Digest, Value>>, Error> {
        let is_off = |digest: &Digest| !standing.names.contains(digest);
        let mut asked = false;
        let lost: Vec<Digest> = listing
            .seen
            .iter()
            .filter(|(digest, entry)| is_off(digest) && !entry.is_null() && !listing.own.contains_key(*digest))
            .map(|(digest, _)| *digest)
            .filter(|digest| !listing.gone.contains(digest))
            .collect();
        for digest in lost {
            asked = true;
            if self.has_manifest(repository, digest)? {
                // Another writer dropped this entry by mistake: treat it as our own from now on.
                listing.own.extend(listing.seen.get(&digest).map(|entry| (digest, entry.clone())));
            } else {
                listing.gone.insert(digest);
            }
        }
        if asked {
            return Ok(None);
        }
        let lacking = listing.own.iter().filter(|(digest, _)| is_off(digest));
        Ok(Some(lacking.map(|(digest, entry)| (*digest, entry.clone())).collect()))
    }
}

fn entry(document: &Document) -> Result<Value, String> {
    let mut entry = document.descriptor();
    entry.artifact_type = document.shown_artifact_type().map(ToOwned::to_owned);
    entry.annotations = document.annotations().cloned();
    serde_json::to_value(entry).map_err(|error| error.to_string())
}

/// Returns the list with `more` entries. Keeps unknown members.
fn with_entries(mut index: Value, more: impl Iterator<Item = Value>) -> Result<Vec<u8>, String> {
    let members = index.as_object_mut().ok_or("not an object")?;
    match members.entry("manifests").or_insert_with(|| json!([])) {
        Value::Array(entries) => entries.extend(more),
        null @ Value::Null => *null = more.collect(),
        _ => return Err("manifests is not a list".to_owned()),
    }
    serde_json::to_vec(&index).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Descriptor;

    #[test]
    fn a_list_keeps_what_it_had() {
        let raw = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[],"annotations":{"a":"b"}}"#;
        let document = Document::parse(media_type::OCI_MANIFEST, raw.as_bytes()).unwrap();
        let entry = entry(&document).unwrap();
        let read: Descriptor = serde_json::from_value(entry.clone()).unwrap();
        assert_eq!(read.digest, document.digest());
        assert_eq!(read.artifact_type.as_deref(), Some("application/vnd.oci.empty.v1+json"));
        assert_eq!(read.annotation("a"), Some("b"));
        let add = |old: &str| with_entries(serde_json::from_str(old).unwrap(), std::iter::once(entry.clone()));
        let value: Value =
            serde_json::from_slice(&add(r#"{"schemaVersion":2,"x":1,"manifests":[{"digest":"d","y":2}]}"#).unwrap())
                .unwrap();
        assert_eq!((&value["x"], &value["manifests"][0]["y"]), (&json!(1), &json!(2)));
        assert_eq!(value["manifests"].as_array().map(Vec::len), Some(2));
        for none in ["{}", r#"{"manifests":null}"#] {
            let value: Value = serde_json::from_slice(&add(none).unwrap()).unwrap();
            assert_eq!(value["manifests"], json!([entry]), "{none}");
        }
        for wrong in ["[]", r#"{"manifests":1}"#] {
            assert!(add(wrong).is_err(), "{wrong}");
        }
    }
}

//! Lists of referrers under fallback tags, written while others may write them too: read, add, write, read again, and
//! looked at once more at the end of the run.
//!
//! No lock reaches another host, and few registries know conditions. So every writer reads just before it writes and, after
//! it has waited, reads again: a list that another one wrote from an older reading lacks entries by then, and is mended from a
//! new reading. Nothing is lost as long as the others' way from reading to writing is shorter than that wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::listing::Listing;
use super::manifests::{Condition, Put};
use super::referrers::{ADVICE, Fallback};
use super::registry::Registry;
use crate::base::fault::escape;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::each;
use crate::oci::document::MAX_DOCUMENT;
use crate::oci::{Digest, Document, Repository, Tag, media_type};
use crate::registry::auth::scopes::Scopes;
use crate::registry::http::retry::{Trouble, pause, share};

/// Up to so much more, so that two that mend one list do not keep step.
const SPREAD: Duration = Duration::from_secs(1);
/// How often lists are looked at again before the run gives up on those who always overwrite them.
const MOST_ROUNDS: u32 = 20;
/// Conditions that did not hold, in a row, after which they are left out: a registry, or a proxy, misreads them.
const MOST_UNMET: u32 = 8;

/// The list as it stands.
struct Standing {
    /// Its document.
    index: Value,
    /// Under what it may be replaced.
    condition: Condition,
    /// What it names.
    names: BTreeSet<Digest>,
}

impl Registry {
    /// Puts a document that was just pushed on the list of `subject`.
    pub fn list_new(&self, repository: &Repository, subject: Digest, document: &Document) -> Result<(), Error> {
        // Some registries list it by themselves and do not say so in the answer to the PUT.
        let listed = self.referrers_api(repository, subject).ok().flatten().unwrap_or_default();
        if listed.iter().any(|entry| entry.digest == document.digest()) {
            return Ok(());
        }
        self.http.flow().check()?;
        let listing = self.listing(repository, subject);
        let mut listing = lock(&listing);
        self.enter(repository, subject, document, &mut listing)
    }

    /// Puts a document that was there before on the list of `subject`, if it is not there.
    pub fn list_present(&self, repository: &Repository, subject: Digest, document: &Document) -> Result<(), Error> {
        let listing = self.listing(repository, subject);
        let mut listing = lock(&listing);
        if listing.seen.contains_key(&document.digest()) {
            return Ok(());
        }
        // Where the registry makes the lists itself, they name what is there.
        if let Some(listed) = self.referrers_api(repository, subject)? {
            listing.seen.extend(listed.into_iter().map(|entry| (entry.digest, Value::Null)));
            if listing.seen.contains_key(&document.digest()) {
                return Ok(());
            }
        }
        self.enter(repository, subject, document, &mut listing)
    }

    /// Looks again at every list that this run wrote, until each stands as it should a while after it was written last.
    pub fn settle(&self) -> Result<(), Error> {
        let flow = self.http.flow();
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
                self.bring(repository, *subject, &mut listing)
            })?;
            looked.into_iter().collect::<Result<(), Error>>()?;
        }
        let what = format_args!("lists of referrers: overwritten by others {MOST_ROUNDS} times");
        Err(self.http.error(Kind::Refused, what).help("let the others end, and run it again: nothing else is sent"))
    }

    fn listing(&self, repository: &Repository, subject: Digest) -> Arc<Mutex<Listing>> {
        Arc::clone(lock(&self.listings).entry((repository.clone(), subject)).or_default())
    }

    fn enter(
        &self,
        repository: &Repository,
        subject: Digest,
        document: &Document,
        listing: &mut Listing,
    ) -> Result<(), Error> {
        let wrong =
            |why: String| self.http.error(Kind::Mismatch, format_args!("manifest {}: {why}", document.digest()));
        listing.own.insert(document.digest(), entry(document).map_err(wrong)?);
        self.bring(repository, subject, listing).inspect_err(|_| drop(listing.own.remove(&document.digest())))
    }

    /// Writes the list until it names all that it must: what this run put there, and what stood there before and is
    /// gone from it though its manifest is not.
    fn bring(&self, repository: &Repository, subject: Digest, listing: &mut Listing) -> Result<(), Error> {
        let tag = Tag::referrers_fallback(subject);
        let title = format!("tag {}:{tag}", repository.path());
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
                let what = format_args!("{title}: accepted, but {} is not on it", first.0);
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
            // One try: before another the list is read again.
            match self.put_once(repository, tag.as_str(), media_type::OCI_INDEX, Bytes::from(index), &condition) {
                Ok(Put::Stored(_)) => {
                    is_written = true;
                    listing.written = Some(now());
                    listing.longest = listing.longest.max(now().saturating_sub(begun));
                }
                Ok(Put::Refused(refusal)) => return Err(refusal.error),
                Ok(Put::Unmet) => {
                    unmet += 1;
                    pause(self.http.flow(), share(SPREAD / 4))?;
                }
                Err(trouble) => {
                    // It may have arrived though its answer did not.
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
        let (index, condition) = match self.fallback(repository, subject, &Scopes::push(repository))? {
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

    /// Returns the entries that are to be added. `None`: something else had to be asked to know, and the list is no
    /// longer as it was just now.
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
                // Somebody's write from an older reading: as good as ours from now on.
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

/// Returns the list with more entries; members that are not known here stay.
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

//! An upload in parts that is under way: begun by this run, found in a journal, or found in the store.

use std::collections::BTreeMap;

use object_store::{Attribute, Attributes, PutMultipartOptions};

use super::bucket::Bucket;
use super::documents::Sent;
use super::exchange::Step;
use super::journal::{About, Entry, Journal};
use super::objects::DIGEST;
use super::part_reader;
use super::refusal::Refusal;
use super::sums;
use crate::content::{Error, Kind};
use crate::oci::digest::encode_hex;
use crate::storage::Upload;

/// A part that the store has.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub etag: String,
    pub md5: [u8; 16],
}

/// An upload in parts.
pub(super) struct Session {
    /// Identifies it for the store.
    pub id: String,
    /// Parts that an earlier run left, by number from 0.
    pub known: BTreeMap<usize, Known>,
    journal: Option<Journal>,
}

impl Session {
    /// Notes a part that was sent.
    pub fn add(&self, index: usize, part: &Known) -> Result<(), Error> {
        let Some(journal) = &self.journal else { return Ok(()) };
        journal.add(&Entry { index, etag: part.etag.clone(), md5: encode_hex(&part.md5) })
    }

    /// Ends it: the upload is completed or gone.
    pub fn end(self) {
        if let Some(journal) = self.journal {
            journal.remove();
        }
    }
}

/// Returns the attributes of an object: the digest of its content.
pub(super) fn attributes(upload: &Upload<'_>) -> Attributes {
    Attributes::from_iter([(Attribute::Metadata(DIGEST.into()), upload.digest.to_string())])
}

impl Bucket {
    fn about(&self, upload: &Upload<'_>, part: u64) -> About {
        About { object: self.names.shown(upload.name), size: upload.size, digest: upload.digest.to_string(), part }
    }

    /// Returns whether an earlier run left a journal of this upload.
    pub(super) fn is_doubtful(&self, upload: &Upload<'_>, part: u64) -> bool {
        self.journals.as_ref().is_some_and(|directory| Journal::is_left(directory, &self.about(upload, part)))
    }

    /// Removes the journal that an earlier run left: its upload turned out to be complete.
    pub(super) fn forget(&self, upload: &Upload<'_>, part: u64) {
        let Some(directory) = &self.journals else { return };
        // One that cannot be read is replaced by the next upload of this content.
        if let Ok(Some((journal, ..))) = Journal::reopen(directory, &self.about(upload, part)) {
            journal.remove();
        }
    }

    /// Returns the upload of an earlier run, or begins one. With `anew`, begins one.
    pub(super) fn session(&self, upload: &Upload<'_>, part: u64, anew: bool) -> Result<Session, Refusal> {
        let subject = self.names.shown(upload.name);
        let about = self.about(upload, part);
        if !anew {
            if let Some(session) = self.from_journal(&about)? {
                return Ok(session);
            }
            if let Some((id, known)) = self.from_store(upload, part, &subject)? {
                let session = self.begun(&about, id, known)?;
                for (index, part) in &session.known {
                    session.add(*index, part)?;
                }
                return Ok(session);
            }
        }
        let path = self.names.path(upload.name)?;
        let (id, _) = self.exchange.run(Step::of(&subject), async |opened| {
            let options = PutMultipartOptions { attributes: attributes(upload), ..PutMultipartOptions::default() };
            opened.parts.create_multipart_opts(&path, options).await
        })?;
        Ok(self.begun(&about, id, BTreeMap::new())?)
    }

    fn begun(&self, about: &About, id: String, known: BTreeMap<usize, Known>) -> Result<Session, Error> {
        let journal = self.journals.as_ref().map(|directory| Journal::begin(directory, about, &id)).transpose()?;
        Ok(Session { id, known, journal })
    }

    fn from_journal(&self, about: &About) -> Result<Option<Session>, Error> {
        let Some(directory) = &self.journals else { return Ok(None) };
        let Some((journal, id, entries)) = Journal::reopen(directory, about)? else { return Ok(None) };
        let known = entries.into_iter().filter_map(|entry| {
            let md5 = sums::md5_of(&entry.md5)?;
            Some((entry.index, Known { etag: entry.etag, md5 }))
        });
        Ok(Some(Session { id, known: known.collect(), journal: Some(journal) }))
    }

    /// Finds an upload of the same content in the store, by its list of parts. `None` if there is none or the store
    /// does not say.
    fn from_store(
        &self,
        upload: &Upload<'_>,
        part: u64,
        subject: &str,
    ) -> Result<Option<(String, BTreeMap<usize, Known>)>, Refusal> {
        let key = self.names.key(upload.name);
        let mut begun = match self.list_uploads(&key, subject) {
            Ok(begun) => begun,
            Err(refusal) if not_told(&refusal) => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        begun.retain(|one| one.key == key);
        // The newest first: an old one may end at any time.
        begun.sort_by(|one, other| other.initiated.cmp(&one.initiated));
        for one in begun {
            let listed = match self.list_parts(&key, &one.upload_id, subject) {
                Ok(listed) => listed,
                Err(refusal) if not_told(&refusal) || refusal.is_gone() => continue,
                Err(refusal) => return Err(refusal),
            };
            let Some(known) = fitting(&listed, upload.size, part) else { continue };
            if let Some((&first, seen)) = known.first_key_value()
                && part_reader::content(upload, part, first)? == Some(seen.md5)
            {
                return Ok(Some((one.upload_id, known)));
            }
        }
        Ok(None)
    }
}

/// Returns whether a store does not list uploads, or not for us.
fn not_told(refusal: &Refusal) -> bool {
    refusal.is_unsupported() || matches!(refusal.error.class, Kind::Denied | Kind::Refused | Kind::Absent)
}

/// Returns the parts of an upload if they have the sizes that ours have. An `ETag` that is no MD5 says nothing of the
/// content, so such a part is sent again.
fn fitting(listed: &[Sent], size: u64, part: u64) -> Option<BTreeMap<usize, Known>> {
    let mut known = BTreeMap::new();
    for one in listed {
        let index = one.part_number.checked_sub(1)?;
        let start = u64::from(index).checked_mul(part).filter(|start| *start < size)?;
        if one.size != part.min(size - start) {
            return None;
        }
        if let Some(md5) = sums::md5_of(&one.etag) {
            known.insert(usize::try_from(index).ok()?, Known { etag: one.etag.clone(), md5 });
        }
    }
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_our_sizes_fit() {
        let etag = "\"900150983cd24fb0d6963f7d28e17f72\"".to_owned();
        let sent = |part_number, size| Sent { part_number, etag: etag.clone(), size };
        let found = |listed: &[Sent]| fitting(listed, 10, 4).map(|known| known.into_keys().collect::<Vec<_>>());
        assert_eq!(found(&[sent(1, 4), sent(3, 2)]), Some(vec![0, 2]));
        assert_eq!(found(&[Sent { etag: "x".to_owned(), ..sent(1, 4) }]), Some(vec![]));
        for wrong in [sent(1, 5), sent(3, 4), sent(4, 4), sent(0, 4)] {
            assert_eq!(found(&[wrong]), None);
        }
    }
}

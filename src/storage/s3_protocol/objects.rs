//! Single objects: described, read in ranges, written in one request under a condition, removed.

use futures_util::StreamExt as _;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};

use super::bucket::Bucket;
use super::exchange::Step;
use super::refusal::Refusal;
use super::store::Dialect;
use super::sums::{self, Hashes};
use crate::content::{Error, Kind};
use crate::storage::{Condition, Object};

/// Metadata that names the digest of an object.
pub(super) const DIGEST: &str = "packmule-digest";

/// An object with everything that the store says of it.
#[derive(Debug)]
pub(super) struct Found {
    pub object: Object,
    /// Its digest, as whoever wrote it named it.
    pub digest: Option<String>,
    /// Google's number of this content.
    pub generation: Option<String>,
    /// Google's checksums.
    pub hashes: Hashes,
}

impl Bucket {
    /// Describes an object.
    pub(super) fn find(&self, name: &str) -> Result<Option<Found>, Refusal> {
        let path = self.names.path(name)?;
        let subject = self.names.shown(name);
        let asked = self.exchange.run(Step::of(&subject), async |opened| {
            let options = GetOptions { head: true, ..GetOptions::default() };
            opened.objects.get_opts(&path, options).await
        });
        let (got, reply) = match asked {
            Ok(found) => found,
            Err(refusal) if refusal.error.class == Kind::Absent => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        let hashes = Hashes::of(&reply.headers);
        let digest = got.attributes.get(&Attribute::Metadata(DIGEST.into())).map(|value| value.as_ref().to_owned());
        let object = Object {
            name: name.to_owned(),
            size: got.meta.size,
            etag: got.meta.e_tag,
            md5: hashes.md5,
            modified: u64::try_from(got.meta.last_modified.timestamp()).ok(),
        };
        Ok(Some(Found { object, digest, generation: got.meta.version, hashes }))
    }

    /// Fills `buffer` from `offset` of an object. An answer that is cut goes on where it ended.
    pub(super) fn fill(&self, name: &str, etag: Option<&str>, offset: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
        let path = self.names.path(name)?;
        let subject = self.names.shown(name);
        let changed = |what: &str| Refusal::last(Error::new(Kind::Mismatch, format!("{subject}: {what}")));
        if buffer.is_empty() {
            let found = self.find(name)?;
            let found =
                found.ok_or_else(|| Error::new(Kind::Absent, format!("{subject}: expected an object, found none")))?;
            return match etag {
                Some(etag) if found.object.etag.as_deref() != Some(etag) => Err(changed("changed while it was read")),
                _ => Ok(()),
            };
        }
        let mut filled = 0;
        let mut seen = etag.map(str::to_owned);
        let end = offset + buffer.len() as u64;
        let read = self.exchange.run(Step::of(&subject), async |opened| {
            let range = Some(GetRange::Bounded(offset + filled as u64..end));
            let options = GetOptions { if_match: seen.clone(), range, ..GetOptions::default() };
            let got = opened.objects.get_opts(&path, options).await?;
            seen.clone_from(&got.meta.e_tag);
            let mut chunks = got.into_stream();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk?;
                let rest = &mut buffer[filled..];
                let length = chunk.len().min(rest.len());
                rest[..length].copy_from_slice(&chunk[..length]);
                filled += length;
            }
            Ok(())
        });
        match read {
            Ok(_) if filled == buffer.len() => Ok(()),
            Ok(_) => Err(changed(&format!("expected {} bytes from {offset}, found {filled}", buffer.len()))),
            Err(refusal) if refusal.status == Some(412) => Err(changed("changed while it was read")),
            Err(refusal) => Err(refusal),
        }
    }

    /// Writes a small object in one request.
    pub(super) fn write(&self, name: &str, content: &[u8], condition: &Condition) -> Result<Object, Refusal> {
        let subject = self.names.shown(name);
        let fails = |what: &str| {
            Refusal::last(
                Error::new(Kind::Refused, format!("{subject}: {what}"))
                    .help("find out who else writes here, and run it again"),
            )
        };
        // Some stores take no notice of conditions, so they are checked before too.
        let before = if *condition == Condition::Any { None } else { self.find(name)? };
        let mode = match condition {
            Condition::Any => PutMode::Overwrite,
            Condition::Absent if before.is_some() => return Err(fails("expected no object, found one")),
            Condition::Absent => PutMode::Create,
            Condition::Unchanged(etag) => match before {
                Some(found) if found.object.etag.as_ref() == Some(etag) => {
                    PutMode::Update(UpdateVersion { e_tag: Some(etag.clone()), version: found.generation })
                }
                Some(_) => return Err(fails("expected the object as it was read, found another")),
                None => return Err(fails("expected the object as it was read, found none")),
            },
        };
        match self.put_checked(name, content, mode.clone(), Attributes::new()) {
            Err(refusal) if refusal.is_unsupported() && mode != PutMode::Overwrite => {
                self.exchange.flow().warn(format!(
                    "{}: writes without conditions: another writer at the same moment is not noticed",
                    self.names.shown("")
                ));
                self.put_checked(name, content, PutMode::Overwrite, Attributes::new())
            }
            Err(refusal) if refusal.status == Some(412) => Err(fails("another writer was there first")),
            done => done,
        }
    }

    /// Writes an object in one request and compares what the store says of it.
    pub(super) fn put_checked(
        &self,
        name: &str,
        content: &[u8],
        mode: PutMode,
        attributes: Attributes,
    ) -> Result<Object, Refusal> {
        let path = self.names.path(name)?;
        let subject = self.names.shown(name);
        let md5 = sums::md5(content);
        let payload = PutPayload::from(content.to_vec());
        let mut tries = 0;
        let put = self.exchange.run(Step::sending(&subject, md5, content.len()), async |opened| {
            tries += 1;
            let (mode, attributes) = (mode.clone(), attributes.clone());
            let options = PutOptions { mode, attributes, ..PutOptions::default() };
            opened.objects.put_opts(&path, payload.clone(), options).await
        });
        let etag = match put {
            Ok((put, _)) => put.e_tag,
            // The reply to an earlier try may have been lost: then the condition fails because of ourselves.
            Err(refusal) if tries > 1 && matches!(refusal.status, Some(409 | 412)) => {
                let found = self.find(name)?.filter(|found| self.has(found, content.len() as u64, md5));
                return found.map(|found| found.object).ok_or(refusal);
            }
            Err(refusal) => return Err(refusal),
        };
        if etag.as_deref().and_then(sums::md5_of) == Some(md5) {
            let size = content.len() as u64;
            return Ok(Object { name: name.to_owned(), size, etag, md5: None, modified: None });
        }
        let found = self.find(name)?;
        if let Some(found) = &found
            && self.has(found, content.len() as u64, md5)
        {
            return Ok(Object { etag, ..found.object.clone() });
        }
        let mut there = vec![0; content.len()];
        self.fill(name, etag.as_deref(), 0, &mut there)?;
        match found {
            Some(found) if there == content => Ok(found.object),
            _ => Err(differs(&subject)),
        }
    }

    /// Returns whether the store says that an object has this size and MD5.
    fn has(&self, found: &Found, size: u64, md5: [u8; 16]) -> bool {
        let said = match self.exchange.product.dialect() {
            Dialect::Aws => found.object.etag.as_deref().and_then(sums::md5_of),
            Dialect::Google => found.hashes.md5,
        };
        found.object.size == size && said == Some(md5)
    }

    /// Removes an object.
    pub(super) fn delete(&self, name: &str) -> Result<(), Refusal> {
        let path = self.names.path(name)?;
        let subject = self.names.shown(name);
        match self.exchange.run(Step::of(&subject), async |opened| opened.objects.delete(&path).await) {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.error.class == Kind::Absent => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }
}

/// Returns the error for an object with other content than was sent.
pub(super) fn differs(subject: &str) -> Refusal {
    let what = format!("{subject}: expected the content that was sent, found other content");
    Refusal::last(Error::new(Kind::Mismatch, what).help("run it again; if it happens again, the store damages content"))
}

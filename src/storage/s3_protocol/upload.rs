//! Uploads of large objects: nothing is sent that is there, and the outcome is compared.

use std::collections::BTreeSet;
use std::sync::Mutex;

use object_store::PutMode;
use object_store::multipart::PartId;

use super::bucket::Bucket;
use super::exchange::{Step, Tries};
use super::objects::{Found, differs};
use super::part_reader;
use super::parts::{Passed, Whole};
use super::refusal::Refusal;
use super::session::{self, Session};
use super::store::Dialect;
use super::sums::{self, Crc32c};
use crate::content::Error;
use crate::flow::{Event, Flow};
use crate::oci::Hasher;
use crate::storage::{Upload, Uploaded};

/// Bytes that are read back at once.
const READ: usize = 8 << 20;

/// Sums that the store should tell of an object.
struct Expected {
    /// MD5s of the parts.
    parts: Vec<[u8; 16]>,
    /// MD5 of the whole, if it is known.
    whole: Option<[u8; 16]>,
    crc32c: Option<u32>,
}

impl Expected {
    /// Reads the content for its sums; `None` if it passes only once.
    fn read(upload: &Upload<'_>, part: u64) -> Result<Option<Self>, Error> {
        if upload.body.is_once() {
            return Ok(None);
        }
        let (mut parts, mut whole, mut crc) = (Vec::new(), sums::Pieces::default(), Crc32c::new());
        part_reader::read(
            upload,
            part,
            |_| Ok(()),
            |_, content, ()| {
                crc.update(&content);
                whole.update(&content);
                parts.push(sums::md5(&content));
                true
            },
        )?;
        Ok(Some(Self { parts, whole: Some(whole.finish()), crc32c: crc.finish() }))
    }
}

impl Bucket {
    /// Uploads an object, in one request if it is small.
    pub(super) fn send(&self, upload: &Upload<'_>, flow: &Flow) -> Result<Uploaded, Refusal> {
        let part = part_reader::part_size(upload.size);
        let trusts = !self.is_doubtful(upload, part);
        if self.is_there(upload, part, trusts)? {
            if !trusts {
                self.forget(upload, part);
            }
            flow.event(Event::Bytes(upload.size));
            return Ok(Uploaded { sent: 0, kept: upload.size });
        }
        if upload.size <= part {
            let mut whole = Vec::new();
            part_reader::read(
                upload,
                part,
                |_| Ok(()),
                |_, content, ()| {
                    whole = content;
                    true
                },
            )?;
            self.put_checked(upload.name, &whole, &PutMode::Overwrite, &session::attributes(upload))?;
            flow.event(Event::Bytes(upload.size));
            return Ok(Uploaded { sent: upload.size, kept: 0 });
        }
        let reported = Mutex::new(BTreeSet::new());
        // An earlier run completed the object, and it is not as it should be: its parts are not used again. Stores take
        // a second completion of one upload.
        let named = Some(upload.digest.to_string());
        let mut anew = !trusts && self.find(upload.name)?.is_some_and(|found| found.digest == named);
        loop {
            let session = self.session(upload, part, anew)?;
            match self.in_parts(upload, part, &session, &reported, flow) {
                Ok(sent) => {
                    session.end();
                    return Ok(Uploaded { sent, kept: upload.size.saturating_sub(sent) });
                }
                // Another run completed it, or the store removed it because it was old.
                Err(refusal) if refusal.is_gone() && !anew => {
                    session.end();
                    if self.is_there(upload, part, false)? {
                        return Ok(Uploaded { sent: 0, kept: upload.size });
                    }
                    if upload.body.is_once() {
                        return Err(refusal);
                    }
                    anew = true;
                }
                Err(refusal) => return Err(refusal),
            }
        }
    }

    /// Returns whether the object is there with this content. `trusts`: the digest that its writer named is enough.
    fn is_there(&self, upload: &Upload<'_>, part: u64, trusts: bool) -> Result<bool, Refusal> {
        let Some(found) = self.find(upload.name)?.filter(|found| found.object.size == upload.size) else {
            return Ok(false);
        };
        if let Some(digest) = &found.digest
            && (trusts || *digest != upload.digest.to_string())
        {
            return Ok(*digest == upload.digest.to_string());
        }
        // Reading our own content costs less than sending it.
        Ok(match Expected::read(upload, part)? {
            Some(expected) => self.says(&found, &expected),
            None => false,
        })
    }

    /// Returns whether the store says that an object is as expected.
    fn says(&self, found: &Found, expected: &Expected) -> bool {
        match self.exchange.product.dialect() {
            Dialect::Google => expected.crc32c.is_some() && found.hashes.crc32c == expected.crc32c,
            Dialect::Aws => found.object.etag.as_deref().is_some_and(|etag| {
                let whole = expected.whole.filter(|whole| sums::md5_of(etag) == Some(*whole));
                whole.is_some() || sums::bare(etag) == sums::of_parts(&expected.parts)
            }),
        }
    }

    fn in_parts(
        &self,
        upload: &Upload<'_>,
        part: u64,
        session: &Session,
        reported: &Mutex<BTreeSet<usize>>,
        flow: &Flow,
    ) -> Result<u64, Refusal> {
        let passed = self.send_parts(upload, part, session, reported, flow)?;
        let parts = passed.parts.iter().map(|part| part.md5).collect();
        let Whole { md5, crc32c } = passed.sums;
        let expected = Expected { parts, whole: md5, crc32c };
        self.complete(upload, session, &passed, &expected)?;
        self.compare(upload, part, &expected)?;
        Ok(passed.sent)
    }

    /// Makes the object of its parts. The answer to this may be lost, or be an error although the object is there.
    fn complete(
        &self,
        upload: &Upload<'_>,
        session: &Session,
        passed: &Passed,
        expected: &Expected,
    ) -> Result<(), Refusal> {
        let path = self.names.path(upload.name)?;
        let subject = self.names.shown(upload.name);
        let ids: Vec<PartId> = passed.parts.iter().map(|part| PartId { content_id: part.etag.clone() }).collect();
        let step = Step { size: upload.size, ..Step::of(&subject) };
        let mut tries = Tries::default();
        loop {
            let done =
                self.exchange.once(step, &mut tries, &mut async |opened: std::sync::Arc<super::store::Opened>| {
                    opened.parts.complete_multipart(&path, &session.id, ids.clone()).await
                });
            let Err(refusal) = done else { return Ok(()) };
            let found = self.find(upload.name)?.filter(|found| found.object.size == upload.size);
            // An object that names the digest may be ours, and is compared afterwards; but not if the upload was gone
            // before.
            let named = Some(upload.digest.to_string()).filter(|_| !refusal.is_gone());
            let is_ours = |found: &Found| named.is_some() && found.digest == named;
            if found.is_some_and(|found| is_ours(&found) || self.says(&found, expected)) {
                return Ok(());
            }
            if !self.exchange.goes_on(step, &mut tries, &refusal)? {
                return Err(refusal);
            }
        }
    }

    /// Compares an object with what it should be: by what the store says of it, or else by reading it back.
    fn compare(&self, upload: &Upload<'_>, part: u64, expected: &Expected) -> Result<(), Refusal> {
        let subject = self.names.shown(upload.name);
        let found = self.find(upload.name)?.filter(|found| found.object.size == upload.size);
        let Some(found) = found else { return Err(differs(&subject)) };
        if self.says(&found, expected) {
            return Ok(());
        }
        // Some stores give the MD5 of the whole, which is cheaper to make than to read the object back.
        if found.object.etag.as_deref().is_some_and(|etag| sums::md5_of(etag).is_some())
            && Expected::read(upload, part)?.is_some_and(|expected| self.says(&found, &expected))
        {
            return Ok(());
        }
        let mut hasher = Hasher::new(upload.digest.algorithm());
        let mut buffer = vec![0; READ];
        let mut offset = 0;
        while offset < upload.size {
            self.exchange.flow().check().map_err(Error::from)?;
            let length = usize::try_from(upload.size - offset).map_or(READ, |left| left.min(READ));
            self.fill(upload.name, found.object.etag.as_deref(), offset, &mut buffer[..length])?;
            hasher.update(&buffer[..length]);
            offset += length as u64;
        }
        if hasher.finish() == upload.digest { Ok(()) } else { Err(differs(&subject)) }
    }
}

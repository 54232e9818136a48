//! Parts of an upload: read in order by one thread, sent by several, with few in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use object_store::PutPayload;
use object_store::path::Path;

use super::bucket::{BUDGET, Bucket};
use super::exchange::Step;
use super::part_reader::read;
use super::refusal::Refusal;
use super::session::{Known, Session};
use super::store::Dialect;
use super::sums::{self, Crc32c};
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::flow::{self, Event, Flow};
use crate::storage::Upload;
use crate::storage::budget::Held;

/// Outcome of sending the parts of an upload.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// All parts, in order.
    pub parts: Vec<Known>,
    /// Bytes that were sent.
    pub sent: u64,
    /// Sums of the content.
    pub sums: Whole,
}

/// Sums of the whole content, as far as the store may tell them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whole {
    pub md5: Option<[u8; 16]>,
    pub crc32c: Option<u32>,
}

/// The parts of one upload while they are sent.
struct Sending<'a> {
    bucket: &'a Bucket,
    upload: &'a Upload<'a>,
    session: &'a Session,
    path: &'a Path,
    subject: &'a str,
    flow: &'a Flow,
    reported: &'a Mutex<BTreeSet<usize>>,
    /// Parts that the store has now.
    done: Mutex<BTreeMap<usize, Known>>,
    sent: Mutex<u64>,
    failed: Mutex<Option<Refusal>>,
}

impl Bucket {
    /// Sends all parts that the store does not have. `reported`: parts whose bytes were reported before.
    pub(super) fn send_parts(
        &self,
        upload: &Upload<'_>,
        part: u64,
        session: &Session,
        reported: &Mutex<BTreeSet<usize>>,
        flow: &Flow,
    ) -> Result<Passed, Refusal> {
        let subject = self.names.shown(upload.name);
        let path = self.names.path(upload.name)?;
        let count = upload.size.div_ceil(part);
        let sending = Sending {
            bucket: self,
            upload,
            session,
            path: &path,
            subject: &subject,
            flow,
            reported,
            done: Mutex::default(),
            sent: Mutex::default(),
            failed: Mutex::default(),
        };
        let sums = sending.run(part)?;
        if let Some(refusal) = lock(&sending.failed).take() {
            return Err(refusal);
        }
        let parts: Vec<Known> = std::mem::take(&mut *lock(&sending.done)).into_values().collect();
        if parts.len() as u64 != count {
            flow.check().map_err(Error::from)?;
            return Err(Refusal::last(Error::new(
                Kind::Failed,
                format!("{subject}: expected {count} parts, found {}", parts.len()),
            )));
        }
        let sent = *lock(&sending.sent);
        Ok(Passed { parts, sent, sums })
    }
}

impl Sending<'_> {
    /// Reads the parts, sends them by several threads, and waits for these.
    fn run(&self, part: u64) -> Result<Whole, Refusal> {
        // One more is being read.
        let room = usize::try_from((BUDGET / part).saturating_sub(1)).unwrap_or(1).max(1);
        let threads = self.flow.jobs.min(room);
        let (sender, receiver) = sync_channel(0);
        let receiver = Mutex::new(receiver);
        let work = || self.work(&receiver);
        let memory = &self.bucket.memory;
        let product = &self.bucket.exchange.product;
        let mut crc = (product.dialect() == Dialect::Google).then(Crc32c::new);
        let mut md5 = product.may_tell_md5().then(sums::Pieces::default);
        let read = std::thread::scope(|scope| {
            let started = flow::start_some(scope, threads, work);
            if let Err(none) = started {
                return Err(Error::new(Kind::Io, none.to_string()).help(flow::NoThread::HELP));
            }
            let take = |bytes| memory.take(bytes, self.flow);
            let read = read(self.upload, part, take, |index, content, held| {
                if let Some(crc) = &mut crc {
                    crc.update(&content);
                }
                if let Some(md5) = &mut md5 {
                    md5.update(&content);
                }
                lock(&self.failed).is_none()
                    && !self.flow.is_cancelled()
                    && sender.send((index, Bytes::from(content), held)).is_ok()
            });
            drop(sender);
            read
        });
        read?;
        Ok(Whole { md5: md5.map(sums::Pieces::finish), crc32c: crc.and_then(|crc| crc.finish()) })
    }

    /// Sends parts until there are no more.
    fn work(&self, receiver: &Mutex<Receiver<(usize, Bytes, Held)>>) {
        loop {
            let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((index, content, held)) = next else { return };
            if lock(&self.failed).is_some() {
                continue;
            }
            if let Err(refusal) = self.pass(index, content) {
                lock(&self.failed).get_or_insert(refusal);
            }
            drop(held);
        }
    }

    /// Sends one part, unless the store has it.
    fn pass(&self, index: usize, content: Bytes) -> Result<(), Refusal> {
        let size = content.len();
        let md5 = sums::md5(&content);
        let known = self.session.known.get(&index).filter(|known| known.md5 == md5);
        let part = match known {
            Some(known) => known.clone(),
            None => {
                let step = Step::sending(self.subject, md5, size);
                let payload = PutPayload::from(content);
                let (id, _) = self.bucket.exchange.run(step, async |opened| {
                    opened.parts.put_part(self.path, &self.session.id, index, payload.clone()).await
                })?;
                let part = Known { etag: id.content_id, md5 };
                self.session.add(index, &part)?;
                *lock(&self.sent) += size as u64;
                part
            }
        };
        if lock(self.reported).insert(index) {
            self.flow.event(Event::Bytes(size as u64));
        }
        lock(&self.done).insert(index, part);
        Ok(())
    }
}

//! Uploads in blocks: what is there is kept, the rest is sent in parallel, and the object appears
//! when all of it is there.
//!
//! One thread reads and hashes the content in order; others send. Few blocks are in memory at once.

use std::collections::HashMap;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use md5::{Digest as _, Md5};

use super::blocks::{self, Block};
use super::service::Service;
use crate::base::fault::escape;
use crate::base::lock::{into_inner, lock};
use crate::content::checked::read_some;
use crate::content::{Error, Kind};
use crate::flow::{Event, Flow, NoThread, start_some};
use crate::storage::budget::{Budget, Held};
use crate::storage::{Condition, Object, Upload, Uploaded};

/// Bytes of blocks that are in memory at once, for all uploads of a container.
pub(super) const MEMORY: u64 = 112 << 20;
/// Bytes that are read at once for hashing.
const STEP: usize = 1 << 20;

/// Uploads an object; blocks have at least `least` bytes, and share `memory` with other uploads.
pub(super) fn upload(
    service: &Service,
    upload: &Upload<'_>,
    least: u64,
    memory: &Arc<Budget>,
    flow: &Flow,
) -> Result<Uploaded, Error> {
    let there = service.described(upload.name)?.filter(|object| object.size == upload.size && object.size > 0);
    // A body that can be read only once must be sent now.
    if let Some(md5) = there.and_then(|object| object.md5).filter(|_| !upload.body.is_once())
        && hashed(service, upload)? == md5
    {
        flow.event(Event::Bytes(upload.size));
        return Ok(Uploaded { sent: 0, kept: upload.size });
    }
    if upload.size <= least {
        let mut reader = open(upload)?;
        let content = filled(service, upload, &mut reader, upload.size)?;
        ended(service, upload, &mut reader)?;
        let object = service.put_whole(upload.name, &content.into(), &Condition::Any)?;
        flow.event(Event::Bytes(upload.size));
        compare(service, upload, &object)?;
        return Ok(Uploaded { sent: upload.size, kept: 0 });
    }
    let plan = blocks::plan(upload.size, upload.ends, least, upload.key, upload.digest);
    let there = service.blocks(upload.name)?;
    if there.uncommitted.iter().any(|block| !blocks::fits(&block.id)) {
        // Blocks of another program: all ids of an object must have the same length. An empty object
        // counts as absent.
        service.emptied(upload.name, &Condition::Any)?;
    }
    let sizes: HashMap<&str, u64> = there.uncommitted.iter().map(|block| (block.id.as_str(), block.size)).collect();
    let kept: Vec<bool> = plan.iter().map(|block| sizes.get(block.id.as_str()) == Some(&block.length)).collect();
    let (md5, done) = sent(service, upload, &plan, &kept, memory, flow)?;
    let ids = plan.iter().map(|block| block.id.as_str());
    let object = service.commit(upload.name, ids, upload.size, md5, &Condition::Any)?;
    compare(service, upload, &object)?;
    Ok(done)
}

/// Compares what the service says of an object with what was sent.
fn compare(service: &Service, upload: &Upload<'_>, sent: &Object) -> Result<(), Error> {
    let name = escape(upload.name);
    let found = service.described(upload.name)?;
    let Some(found) = found else {
        return Err(
            service.error(Kind::Mismatch, format_args!("object {name}: expected it after the upload, found none"))
        );
    };
    if found.size != upload.size {
        let what = format_args!("object {name}: expected {} bytes, found {}", upload.size, found.size);
        return Err(service.error(Kind::Mismatch, what));
    }
    if found.md5 != sent.md5 {
        return Err(service
            .error(Kind::Mismatch, format_args!("object {name}: expected the MD5 of what was sent, found another")));
    }
    Ok(())
}

fn open<'a>(upload: &'a Upload<'_>) -> Result<Box<dyn Read + Send + 'a>, Error> {
    upload.body.open().map_err(|error| Error::from_io(escape(upload.name), error))
}

/// Reads `length` bytes of the content.
fn filled(service: &Service, upload: &Upload<'_>, reader: &mut dyn Read, length: u64) -> Result<Vec<u8>, Error> {
    let length = usize::try_from(length).map_err(|_| {
        service
            .error(Kind::Refused, format_args!("object {}: too large for this machine's memory", escape(upload.name)))
    })?;
    let mut content = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match read_some(reader, &mut content[filled..]).map_err(|error| Error::from_io(escape(upload.name), error))? {
            0 => {
                let what = format_args!("object {}: expected {} bytes, found fewer", escape(upload.name), upload.size);
                return Err(service.error(Kind::Mismatch, what));
            }
            count => filled += count,
        }
    }
    Ok(content)
}

/// Reads to the end, where the content is checked.
fn ended(service: &Service, upload: &Upload<'_>, reader: &mut dyn Read) -> Result<(), Error> {
    match read_some(reader, &mut [0]).map_err(|error| Error::from_io(escape(upload.name), error))? {
        0 => Ok(()),
        _ => {
            let what = format_args!("object {}: expected {} bytes, found more", escape(upload.name), upload.size);
            Err(service.error(Kind::Mismatch, what))
        }
    }
}

/// Reads all of the content and returns its MD5.
fn hashed(service: &Service, upload: &Upload<'_>) -> Result<[u8; 16], Error> {
    let mut reader = open(upload)?;
    let (mut hash, mut step) = (Md5::new(), vec![0; STEP]);
    loop {
        service.flow().check()?;
        match read_some(&mut reader, &mut step).map_err(|error| Error::from_io(escape(upload.name), error))? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(&step[..count]),
        }
    }
}

/// Reads all blocks and sends those that are not kept. Returns the MD5 of the content. After a
/// failure, blocks that are under way are still sent, for the next run.
fn sent(
    service: &Service,
    upload: &Upload<'_>,
    plan: &[Block],
    kept: &[bool],
    memory: &Arc<Budget>,
    flow: &Flow,
) -> Result<([u8; 16], Uploaded), Error> {
    let largest = plan.iter().map(|block| block.length).max().unwrap_or(1);
    // One more is being read while the others are sent.
    let together = usize::try_from(MEMORY / largest).unwrap_or(usize::MAX).saturating_sub(1);
    let threads = flow.jobs.min(together).clamp(1, plan.len().max(1));
    let bytes = AtomicU64::new(0);
    let failed: Mutex<Option<Error>> = Mutex::default();
    let (sender, receiver) = sync_channel::<Filled<'_>>(0);
    let receiver = Mutex::new(receiver);
    let work = || send_all(service, upload, &receiver, &failed, &bytes, flow);
    let read = std::thread::scope(|scope| {
        // All end when the sender is dropped, or when one of them fails.
        let read = match start_some(scope, threads, work) {
            Ok(_) => {
                let reading = Reading { service, upload, memory, flow, failed: &failed, sender: &sender };
                reading.all(plan.iter().zip(kept.iter().copied()))
            }
            Err(none) => Err(Error::new(Kind::Io, none.to_string()).help(NoThread::HELP)),
        };
        drop(sender);
        read
    });
    if let Some(error) = into_inner(failed) {
        return Err(error);
    }
    let (md5, of_kept) = read?;
    Ok((md5, Uploaded { sent: bytes.into_inner(), kept: of_kept }))
}

fn send_all(
    service: &Service,
    upload: &Upload<'_>,
    receiver: &Mutex<Receiver<Filled<'_>>>,
    failed: &Mutex<Option<Error>>,
    bytes: &AtomicU64,
    flow: &Flow,
) {
    loop {
        // Locked while waiting: whoever has the lock gets the next block.
        let next = lock(receiver).recv();
        let Ok(Filled { block, content, held }) = next else { return };
        if lock(failed).is_some() {
            // Taken so that the reader is never left waiting.
            continue;
        }
        match service.put_block(upload.name, &block.id, content.into()) {
            Ok(()) => {
                bytes.fetch_add(block.length, Ordering::Relaxed);
                flow.event(Event::Bytes(block.length));
            }
            Err(failure) => {
                lock(failed).get_or_insert_with(|| failure.into());
            }
        }
        drop(held);
    }
}

/// A block with its content.
struct Filled<'a> {
    block: &'a Block,
    content: Vec<u8>,
    held: Held,
}

/// Reads the content of an upload and passes the blocks that are to be sent.
struct Reading<'a, 'b> {
    service: &'a Service,
    upload: &'a Upload<'a>,
    memory: &'a Arc<Budget>,
    flow: &'a Flow,
    failed: &'a Mutex<Option<Error>>,
    sender: &'a SyncSender<Filled<'b>>,
}

impl<'b> Reading<'_, 'b> {
    /// Reads all blocks, each with whether the service has it. Returns the MD5 of the content and the
    /// bytes of the blocks that are kept.
    fn all(&self, blocks: impl Iterator<Item = (&'b Block, bool)>) -> Result<([u8; 16], u64), Error> {
        let Self { service, upload, flow, .. } = *self;
        let mut reader = open(upload)?;
        let (mut hash, mut of_kept) = (Md5::new(), 0);
        for (block, is_kept) in blocks {
            flow.check()?;
            if lock(self.failed).is_some() {
                break;
            }
            let held = self.memory.take(block.length, flow)?;
            let content = filled(service, upload, &mut reader, block.length)?;
            if block.offset + block.length == upload.size {
                ended(service, upload, &mut reader)?;
            }
            hash.update(&content);
            if is_kept {
                of_kept += block.length;
                flow.event(Event::Bytes(block.length));
            } else if self.sender.send(Filled { block, content, held }).is_err() {
                break;
            }
        }
        Ok((hash.finalize().into(), of_kept))
    }
}

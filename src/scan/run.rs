//! Scans a source with random access: several blobs at a time, each read to its end.
//!
//! `coverage` decides whether everything is clean, `scanner` how to interpret the end of a scanner.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::atomic::AtomicU64;

use super::archive::Wrong;
use super::coverage::{Coverage, Found};
use super::layer;
use super::scanner::{Answer, Problem, Scanner};
use super::summary::Summary;
use super::uses::Uses;
use crate::base::fault::{Class, Fault};
use crate::closure::{WalkError, walk};
use crate::content::checked::Checked;
use crate::content::{Error, Kind, Source};
use crate::flow::{Cancelled, Event, Flow, each};
use crate::oci::{Artifact, Descriptor, Digest, Repository};

/// Number of bytes read at once.
const STEP: usize = 256 << 10;

/// Values shared by all blobs of a run.
struct Run<'a> {
    flow: &'a Flow,
    scanner: &'a Scanner,
    source: &'a dyn Source,
    repository: &'a Repository,
    uses: Uses,
    coverage: Coverage,
    // Number of bytes by which all layers may still expand.
    room: AtomicU64,
}

/// Scans `blobs`, which must be all blobs in `source` of `artifacts`. The summary states whether
/// they are clean.
///
/// # Errors
/// Class policy if the scanner cannot be started at all; errors of the source, in which case there
/// is no result; class bug if a blob was not scanned.
pub fn run(
    flow: &Flow,
    scanner: &Scanner,
    source: &dyn Source,
    artifacts: &[Artifact],
    blobs: &[(Digest, u64)],
) -> Result<Summary, Fault> {
    let version = scanner.version(flow)?;
    let uses = uses(flow, source, artifacts, blobs)?;
    let bytes = blobs.iter().map(|(_, size)| size).sum();
    flow.event(Event::Stage { name: "scanning", bytes, items: blobs.len() as u64 });
    let Some(repository) = artifacts.first().map(|artifact| &artifact.repository) else {
        return Summary::of(scanner, version, Coverage::new(blobs), &uses, artifacts);
    };
    // Largest first, so that the last ones are short.
    let mut order: Vec<(Digest, u64)> = blobs.to_vec();
    order.sort_by_key(|(digest, size)| (Reverse(*size), *digest));
    let coverage = Coverage::new(blobs);
    let room = AtomicU64::new(layer::RUN.of(bytes));
    let run = Run { flow, scanner, source, repository, uses, coverage, room };
    let done = each(&flow.clone().with_jobs(scanner.at_once()), &order, |(digest, size)| run.one(*digest, *size))?;
    if let Some(fault) = Fault::from_list(done.into_iter().filter_map(Result::err).collect()) {
        return Err(fault);
    }
    Summary::of(scanner, version, run.coverage, &run.uses, artifacts)
}

/// Reads from the documents which blobs are used by which artifacts.
fn uses(flow: &Flow, source: &dyn Source, artifacts: &[Artifact], blobs: &[(Digest, u64)]) -> Result<Uses, Fault> {
    let carried: HashSet<Digest> = blobs.iter().map(|(digest, _)| *digest).collect();
    let mut uses = Uses::default();
    let walked = walk(artifacts, |repository, descriptor: &Descriptor| {
        flow.check()?;
        if !carried.contains(&descriptor.digest) {
            return Ok(None);
        }
        let document = source.document(repository, descriptor)?;
        uses.see(&document);
        Ok(Some(document))
    });
    match walked {
        Ok(_) => Ok(uses),
        Err(WalkError::Fetch(error)) => Err(Error::into_fault(error, Class::Integrity)),
        Err(error) => Err(Fault::new(Class::Format, error.to_string())),
    }
}

impl Run<'_> {
    fn one(&self, digest: Digest, size: u64) -> Result<(), Fault> {
        if self.scanner.options().fail_fast && self.coverage.is_stained() {
            return Ok(());
        }
        let descriptor = Descriptor::new("application/octet-stream", digest, size);
        let fault = |error: Error| error.into_fault(Class::Integrity);
        let inner = self.source.blob(self.repository, &descriptor).map_err(fault)?;
        let mut content = Proven::new(Checked::new(inner, descriptor.clone()), self.flow, 0);
        let as_layer = self.scanner.options().files && self.uses.is_layer(&digest);
        let files = if as_layer { self.layer(digest, size, &mut content)? } else { None };
        if as_layer && files.is_none() && content.failed.is_none() {
            // From its start again, now as a whole.
            let inner = self.source.blob(self.repository, &descriptor).map_err(fault)?;
            content = Proven::new(Checked::new(inner, descriptor), self.flow, content.read);
        }
        if files.is_none() {
            self.whole(digest, &mut content)?;
        }
        // Read what a scanner or an archive left unread: content counts only if it was read to its
        // end and its digest is correct.
        if content.failed.is_none() && content.read < size {
            let _ = io::copy(&mut content, &mut io::sink());
        }
        match content.failed {
            Some(error) => Err(fault(error)),
            None => {
                self.coverage.count(digest, content.read, files.unwrap_or_default());
                self.flow.event(Event::Item(digest.to_string()));
                Ok(())
            }
        }
    }

    fn whole(&self, digest: Digest, content: &mut Proven<'_>) -> Result<(), Fault> {
        // The scanner's answer does not count if the content is incomplete. The caller reports that
        // failure.
        if let Some(answer) = give(self.scanner, content, self.flow)? {
            self.coverage.judge(digest, None, answer);
        }
        Ok(())
    }

    /// Scans the files of a layer and returns their number; `None` if it is no archive.
    fn layer(&self, digest: Digest, size: u64, content: &mut Proven<'_>) -> Result<Option<u64>, Fault> {
        let mut file = |path: &str, inner: &mut dyn Read| {
            // It contains no files to pass on.
            let mut first = [0];
            if !matches!(inner.read(&mut first), Ok(1))
                || (self.scanner.options().fail_fast && self.coverage.is_stained())
            {
                return Ok(());
            }
            if let Some(answer) = give(self.scanner, &mut first.chain(inner), self.flow)? {
                self.coverage.judge(digest, Some(path), answer);
            }
            Ok(())
        };
        match layer::files(content, layer::LAYER.of(size), &self.room, self.flow, &mut file) {
            Ok(files) => Ok(Some(files)),
            Err(Wrong::Cancelled) => Err(Cancelled.into()),
            // A failure of the source is reported as such.
            Err(_) if content.failed.is_some() => Ok(Some(0)),
            Err(Wrong::NoArchive) if !self.uses.is_encrypted(&digest) => Ok(None),
            Err(wrong) => {
                let what = match wrong {
                    Wrong::Archive(what) => what,
                    _ => "one that is encrypted".to_owned(),
                };
                let problem = Problem::Unreadable(what);
                self.coverage.find(Found { blob: digest, path: None, problem, said: String::new() });
                Ok(Some(0))
            }
        }
    }
}

/// Passes one item to one scanner. Returns `None` if the content broke off.
fn give(scanner: &Scanner, content: &mut dyn Read, flow: &Flow) -> Result<Option<Answer>, Cancelled> {
    let mut given = scanner.begin();
    let mut buffer = vec![0; STEP];
    loop {
        match content.read(&mut buffer) {
            Ok(0) => return given.finish(flow).map(Some),
            Ok(count) => given.feed(&buffer[..count], flow)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                flow.check()?;
                return Ok(None);
            }
        }
    }
}

/// Content of a blob. Keeps its own failure separate from failures of readers on top of it.
struct Proven<'a> {
    inner: Checked<Box<dyn Read + Send + 'a>>,
    flow: &'a Flow,
    read: u64,
    // Number of bytes for which events were sent, also by an earlier reader of the blob.
    told: u64,
    failed: Option<Error>,
}

impl<'a> Proven<'a> {
    /// Returns a reader of a blob; no events are sent for its first `told` bytes.
    const fn new(inner: Checked<Box<dyn Read + Send + 'a>>, flow: &'a Flow, told: u64) -> Self {
        Self { inner, flow, read: 0, told, failed: None }
    }
}

impl Read for Proven<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = if self.flow.is_cancelled() {
            Err(Error::new(Kind::Cancelled, "cancelled").into_io())
        } else {
            self.inner.read(buffer)
        };
        match read {
            Ok(count) => {
                self.read += count as u64;
                let new = self.read.saturating_sub(self.told);
                if new > 0 {
                    self.told += new;
                    self.flow.event(Event::Bytes(new));
                }
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let error = Error::from_io("source", error);
                self.failed = Some(error.clone());
                Err(error.into_io())
            }
        }
    }
}

//! Scan: every blob of a source to a scanner's standard input, one by one; only exit status 0 is clean
//! (`spec/scan.md`).
//!
//! With [`Options::files`] the regular files of each layer are given, everything else whole. What is given is checked
//! while it is given, and "clean" is said only at the end, of content whose digest holds and of every blob that is
//! listed. It knows no bundle and no terminal, and writes nothing.

mod archive;
mod layer;
mod ledger;
mod passing;
mod records;
mod scanner;
mod starter;
mod uses;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::archive::Wrong;
use self::ledger::{Found, Ledger};
use self::uses::Uses;
use crate::base::fault::{Class, Fault, escape};
use crate::closure::{WalkError, walk};
use crate::content::checked::Checked;
use crate::content::{Error, Kind, Source};
use crate::flow::{Event, Flow, each};
use crate::oci::{Artifact, Descriptor, Digest, Repository, Tag};

pub use self::passing::{Passing, no_files};
pub use self::scanner::{Problem, Scanner};

/// Bytes read at once.
const STEP: usize = 256 << 10;
/// Characters of a path, and of what a scanner says, in a message.
const SHOWN: usize = 80;

/// How to scan.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The regular files of layers, each by itself, in place of the layers.
    pub files: bool,
    /// How long a scanner may take over one thing, from its start on.
    pub timeout: Duration,
    /// Begin nothing new after the first finding.
    pub fail_fast: bool,
}

/// What was scanned, by what, and what was found: for results, receipts and reports (`spec/scan.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// The scanner's command line, as it was given.
    pub scanner: String,
    /// The first line of what it prints for `--version`, escaped, at most 200 characters: its version and its
    /// database's. `None` where it does not say.
    pub version: Option<String>,
    /// Whether all was scanned and nothing was found.
    pub clean: bool,
    /// Blobs that were scanned.
    pub blobs: u64,
    /// Regular files of layers that were given by themselves; `None` where layers were given whole.
    pub files: Option<u64>,
    /// Bytes of these blobs.
    pub bytes: u64,
    /// What is not clean, in order of blobs.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are listed.
    pub more: u64,
}

/// Something that is not clean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The blob.
    pub blob: Digest,
    /// The file in it, where it is a layer; not escaped, at most 4,096 characters.
    pub path: Option<String>,
    /// The artifacts that use the blob, 20 at most.
    pub artifacts: Vec<Used>,
    /// More artifacts use it than are listed.
    pub others: bool,
    /// Why.
    pub problem: Problem,
    /// The beginning of what the scanner wrote, 1 KiB at most; not escaped.
    pub said: String,
}

/// An artifact that uses a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// Its repository.
    pub repository: Repository,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its digest.
    pub digest: Digest,
}

impl Summary {
    /// The fault of what was found, class policy; `None` where all is clean.
    pub fn fault(&self) -> Option<Fault> {
        let mut faults: Vec<Fault> = self.findings.iter().map(Finding::fault).collect();
        if self.more > 0 {
            faults.push(Fault::new(Class::Policy, format!("scan: {} more findings, which are not listed", self.more)));
        }
        if faults.is_empty() && !self.clean {
            faults.push(Fault::new(Class::Bug, "internal error: scan: not clean, and nothing found"));
        }
        Fault::from_list(faults)
    }
}

impl Finding {
    fn fault(&self) -> Fault {
        let short = |text: &str| {
            let all = escape(text);
            let shown: String = all.chars().take(SHOWN).collect();
            if shown.len() < all.len() { shown + "…" } else { shown }
        };
        let file = self.path.as_ref().map(|path| format!(", file {}", short(path))).unwrap_or_default();
        let of = self.artifacts.first().map(|one| {
            let tags: String = one.tags.first().map(|tag| format!(":{tag}")).unwrap_or_default();
            let more = if self.artifacts.len() > 1 || self.others { " and others" } else { "" };
            format!("; in {}{tags}{more}", one.repository)
        });
        let said = self.said.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = if said.is_empty() { said } else { format!(" ({})", short(&said)) };
        let what = format!("scan: blob {}{file}: {}{said}{}", self.blob, self.problem, of.unwrap_or_default());
        Fault::new(Class::Policy, what).help(match self.problem {
            Problem::Timeout(_) => "give the scanner more time with --scan-timeout, or ask who made the artifact",
            Problem::Failed(_) | Problem::Signal(_) => "run the scanner by hand and see why it ends",
            Problem::Unreadable(_) => "ask who made the artifact for a layer that can be looked into",
            Problem::Exit(_) => "look up what the scanner's exit status means; take what it found to who made it",
        })
    }
}

/// What all blobs of a run share.
struct Run<'a> {
    flow: &'a Flow,
    scanner: &'a Scanner,
    source: &'a dyn Source,
    repository: &'a Repository,
    uses: Uses,
    ledger: Ledger,
    // How far all layers may expand, still.
    room: AtomicU64,
}

/// Scans `blobs`, all that `source` has of `artifacts`. The summary says whether they are clean.
///
/// # Errors
/// Class policy where the scanner cannot be started at all; what is wrong with the source, of which then nothing is
/// said; class bug where a blob was not scanned.
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
        return summary(scanner, version, Ledger::new(blobs), &uses, artifacts);
    };
    // Largest first: the last ones to end are short.
    let mut order: Vec<(Digest, u64)> = blobs.to_vec();
    order.sort_by_key(|(digest, size)| (Reverse(*size), *digest));
    let ledger = Ledger::new(blobs);
    let room = AtomicU64::new(layer::RUN.of(bytes));
    let run = Run { flow, scanner, source, repository, uses, ledger, room };
    let done = each(&flow.clone().with_jobs(scanner.at_once()), &order, |(digest, size)| run.one(*digest, *size))?;
    if let Some(fault) = Fault::from_list(done.into_iter().filter_map(Result::err).collect()) {
        return Err(fault);
    }
    summary(scanner, version, run.ledger, &run.uses, artifacts)
}

/// What the documents say of the blobs.
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

fn summary(
    scanner: &Scanner,
    version: Option<String>,
    ledger: Ledger,
    uses: &Uses,
    artifacts: &[Artifact],
) -> Result<Summary, Fault> {
    let closed = ledger.close()?;
    let mut named: Option<(Digest, (Vec<Used>, bool))> = None;
    let mut findings = Vec::with_capacity(closed.found.len());
    for Found { blob, path, problem, said } in closed.found {
        // They stand in order of blobs.
        if named.as_ref().is_none_or(|(digest, _)| *digest != blob) {
            named = Some((blob, uses.of(blob, artifacts)));
        }
        let (artifacts, others) = named.as_ref().map(|(_, used)| used.clone()).unwrap_or_default();
        findings.push(Finding { blob, path, artifacts, others, problem, said });
    }
    Ok(Summary {
        scanner: scanner.command().to_owned(),
        version,
        clean: findings.is_empty() && closed.more == 0,
        blobs: closed.blobs,
        files: scanner.options().files.then_some(closed.files),
        bytes: closed.bytes,
        findings,
        more: closed.more,
    })
}

impl Run<'_> {
    fn one(&self, digest: Digest, size: u64) -> Result<(), Fault> {
        if self.scanner.options().fail_fast && self.ledger.is_stained() {
            return Ok(());
        }
        let descriptor = Descriptor::new("application/octet-stream", digest, size);
        let fault = |error: Error| error.into_fault(Class::Integrity);
        let inner = self.source.blob(self.repository, &descriptor).map_err(fault)?;
        let mut content = Proven { inner: Checked::new(inner, descriptor), flow: self.flow, read: 0, failed: None };
        let files = if self.scanner.options().files && self.uses.is_layer(&digest) {
            self.layer(digest, size, &mut content)?
        } else {
            self.whole(digest, &mut content)?;
            0
        };
        // Whatever a scanner or an archive left unread: what is counted is read to its end and its digest holds.
        if content.failed.is_none() && content.read < size {
            let _ = io::copy(&mut content, &mut io::sink());
        }
        match content.failed {
            Some(error) => Err(fault(error)),
            None => {
                self.ledger.count(digest, content.read, files);
                self.flow.event(Event::Item(digest.to_string()));
                Ok(())
            }
        }
    }

    fn whole(&self, digest: Digest, content: &mut Proven<'_>) -> Result<(), Fault> {
        // Without a whole content nothing the scanner says counts: its failure is the caller's to tell.
        if let Some(answer) = give(self.scanner, content, self.flow)? {
            self.ledger.judge(digest, None, answer);
        }
        Ok(())
    }

    fn layer(&self, digest: Digest, size: u64, content: &mut Proven<'_>) -> Result<u64, Fault> {
        let mut file = |path: &str, inner: &mut dyn Read| {
            // Nothing is in it that could be given.
            let mut first = [0];
            if !matches!(inner.read(&mut first), Ok(1))
                || (self.scanner.options().fail_fast && self.ledger.is_stained())
            {
                return Ok(());
            }
            if let Some(answer) = give(self.scanner, &mut first.chain(inner), self.flow)? {
                self.ledger.judge(digest, Some(path), answer);
            }
            Ok(())
        };
        match layer::files(content, layer::LAYER.of(size), &self.room, self.flow, &mut file) {
            Ok(files) => Ok(files),
            Err(Wrong::Cancelled) => Err(crate::flow::Cancelled.into()),
            // The source's failure is told as that.
            Err(Wrong::Archive(_)) if content.failed.is_some() => Ok(0),
            Err(Wrong::Archive(what)) => {
                let problem = Problem::Unreadable(what);
                self.ledger.find(Found { blob: digest, path: None, problem, said: String::new() });
                Ok(0)
            }
        }
    }
}

/// Gives one thing to one scanner; `None` where the content broke off.
fn give(
    scanner: &Scanner,
    content: &mut dyn Read,
    flow: &Flow,
) -> Result<Option<scanner::Answer>, crate::flow::Cancelled> {
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

/// A blob's content; keeps its own failure apart from those of whoever reads it through something else.
struct Proven<'a> {
    inner: Checked<Box<dyn Read + Send + 'a>>,
    flow: &'a Flow,
    read: u64,
    failed: Option<Error>,
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
                self.flow.event(Event::Bytes(count as u64));
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

#[cfg(test)]
mod tests;

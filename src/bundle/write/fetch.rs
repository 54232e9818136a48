//! Fetches the writer's content from its source: a whole blob by one read, a part of a large one by
//! a range, or by the next bytes of its stream if there are no ranges.
//!
//! Checks lengths, but no content: whoever hashes the bytes in order does that.

use crate::base::fault::{Description, Reason, differs};
use crate::base::lock::lock;
use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::input::InputBlob;
use crate::bundle::frames::limiter::Limiter;
use crate::bundle::frames::pool::wait;
use crate::content::checked::read_some;
use crate::content::{Error, Kind, Source};
use crate::flow::{Event, Flow};

/// Number of bytes read between two checks of the cancel flag.
const STEP: usize = 256 << 10;

type Reader<'a> = Box<dyn Read + Send + 'a>;

/// How the parts of one large blob are fetched.
enum FetchMode<'a> {
    Unknown,
    Ranges,
    /// One stream, whose parts are read in order.
    Stream {
        reader: Option<Reader<'a>>,
        position: u64,
        busy: bool,
    },
}

struct Large<'a> {
    mode: Mutex<FetchMode<'a>>,
    changed: Condvar,
}

/// Fetches content for many threads.
pub struct Fetch<'a> {
    source: &'a dyn Source,
    flow: &'a Flow,
    stop: &'a AtomicBool,
    transfers: Limiter,
    large: Mutex<HashMap<usize, Arc<Large<'a>>>>,
}

fn mismatch(what: impl Into<Description>) -> Error {
    Error::new(Kind::Mismatch, what)
}

/// Whether `error` concerns this blob alone: its content is wrong or missing, or, if blobs may be
/// left out, the source keeps failing or refusing it although it answers other questions.
pub(in crate::bundle) fn is_its_own(error: &Error, source: &dyn Source, blob: &InputBlob, leave_out: bool) -> bool {
    match error.class {
        Kind::Mismatch | Kind::Absent => true,
        Kind::Failed | Kind::Refused | Kind::Denied => {
            let answers =
                || error.reason == Some(Reason::OnlyThis) || source.holds(&blob.repository, &blob.descriptor).is_ok();
            leave_out && blob.document.is_none() && answers()
        }
        _ => false,
    }
}

impl<'a> Fetch<'a> {
    /// Whether `error` concerns this blob alone.
    pub fn is_its_own(&self, error: &Error, blob: &InputBlob, leave_out: bool) -> bool {
        is_its_own(error, self.source, blob, leave_out)
    }

    /// Returns a fetcher from `source` with at most `flow.jobs` transfers at once, until `stop` is
    /// set.
    pub fn new(source: &'a dyn Source, flow: &'a Flow, stop: &'a AtomicBool) -> Self {
        Self { source, flow, stop, transfers: Limiter::new(flow.jobs), large: Mutex::default() }
    }

    fn check(&self) -> Result<(), Error> {
        self.flow.check()?;
        if self.stop.load(Ordering::Relaxed) { Err(Error::new(Kind::Cancelled, "stopped")) } else { Ok(()) }
    }

    /// Fills `into` with the bytes `part` of blob number `index`. `first` is where this run began
    /// to fetch the blob (not 0 if it resumes within the blob).
    ///
    /// # Errors
    /// Those of the source, with blob and repository; [`Kind::Mismatch`] if it returns another
    /// length.
    pub fn part(
        &self,
        index: usize,
        blob: &InputBlob,
        part: &Range<u64>,
        first: u64,
        into: &mut [u8],
    ) -> Result<(), Error> {
        let fetched = match &blob.document {
            // A document is in memory and was checked.
            Some(document) => {
                let range =
                    usize::try_from(part.start).unwrap_or_default()..usize::try_from(part.end).unwrap_or_default();
                match document.raw().get(range) {
                    Some(bytes) => {
                        into.copy_from_slice(bytes);
                        Ok(())
                    }
                    None => Err(mismatch(differs("", format_args!("{} bytes", blob.descriptor.size), document.size()))),
                }
            }
            None if part.start == 0 && part.end == blob.descriptor.size => self.transfers.pass(|| {
                self.check()?;
                let mut reader = self.source.blob(&blob.repository, &blob.descriptor)?;
                self.read(&mut reader, into)?;
                self.expect_end(&mut reader)
            }),
            None => self.part_of_large(index, blob, part, first, into),
        };
        fetched.map_err(|error| error.within(format_args!("blob {} from {}", blob.descriptor.digest, blob.repository)))
    }

    fn part_of_large(
        &self,
        index: usize,
        blob: &InputBlob,
        part: &Range<u64>,
        first: u64,
        into: &mut [u8],
    ) -> Result<(), Error> {
        let large = Arc::clone(
            lock(&self.large)
                .entry(index)
                .or_insert_with(|| Arc::new(Large { mode: Mutex::new(FetchMode::Unknown), changed: Condvar::new() })),
        );
        let range = || match self.source.ranges() {
            Some(ranges) => ranges.range(&blob.repository, &blob.descriptor, part.start, part.end - part.start),
            None => Ok(None),
        };
        let mut mode = lock(&large.mode);
        let opened = match *mode {
            // One thread asks; the others wait for the answer.
            FetchMode::Unknown => {
                self.check()?;
                let opened = range()?;
                *mode = if opened.is_some() {
                    FetchMode::Ranges
                } else {
                    FetchMode::Stream { reader: None, position: first, busy: false }
                };
                drop(mode);
                opened
            }
            FetchMode::Ranges => {
                drop(mode);
                return self.transfers.pass(|| {
                    self.check()?;
                    match range()? {
                        Some(mut reader) => self.read_range(&mut reader, into),
                        // It supported ranges before. Reads the stream and skips up to the part.
                        None => self.read(&mut self.open_at(blob, part.start)?, into),
                    }
                });
            }
            FetchMode::Stream { .. } => {
                drop(mode);
                None
            }
        };
        match opened {
            Some(mut reader) => self.transfers.pass(|| self.read_range(&mut reader, into)),
            None => self.next_of_stream(&large, blob, part, into),
        }
    }

    fn next_of_stream(
        &self,
        large: &Large<'a>,
        blob: &InputBlob,
        part: &Range<u64>,
        into: &mut [u8],
    ) -> Result<(), Error> {
        let mut mode = lock(&large.mode);
        let taken = loop {
            self.check()?;
            if let FetchMode::Stream { reader, position, busy } = &mut *mode
                && *position == part.start
                && !*busy
            {
                *busy = true;
                break reader.take();
            }
            mode = wait(&large.changed, mode);
        };
        drop(mode);
        let read: Result<Reader<'a>, Error> = self.transfers.pass(|| {
            let mut reader = match taken {
                Some(reader) => reader,
                None => self.open_at(blob, part.start)?,
            };
            self.read(&mut reader, into)?;
            if part.end == blob.descriptor.size {
                self.expect_end(&mut reader)?;
            }
            Ok(reader)
        });
        // After an error the others wait until the run, which the error ends, stops them.
        let reader = read?;
        *lock(&large.mode) = FetchMode::Stream { reader: Some(reader), position: part.end, busy: false };
        large.changed.notify_all();
        Ok(())
    }

    fn open_at(&self, blob: &InputBlob, position: u64) -> Result<Reader<'a>, Error> {
        let mut reader = self.source.blob(&blob.repository, &blob.descriptor)?;
        let mut left = position;
        let mut scrap = vec![0; STEP];
        while left > 0 {
            let count = usize::try_from(left).map_or(STEP, |left| left.min(STEP));
            self.read(&mut reader, &mut scrap[..count])?;
            left -= count as u64;
        }
        Ok(reader)
    }

    fn read_range(&self, reader: &mut Reader<'_>, into: &mut [u8]) -> Result<(), Error> {
        self.read(reader, into)?;
        self.expect_end(reader)
    }

    fn read(&self, reader: &mut Reader<'_>, into: &mut [u8]) -> Result<(), Error> {
        let mut at = 0;
        while at < into.len() {
            self.check()?;
            let end = into.len().min(at + STEP);
            let count = read_some(reader, &mut into[at..end]).map_err(|error| Error::from_io("reading it", error))?;
            if count == 0 {
                return Err(mismatch(differs("", format_args!("{} bytes", into.len()), at)));
            }
            at += count;
            self.flow.event(Event::Bytes(count as u64));
        }
        Ok(())
    }

    fn expect_end(&self, reader: &mut Reader<'_>) -> Result<(), Error> {
        self.check()?;
        match read_some(reader, &mut [0]).map_err(|error| Error::from_io("reading it", error))? {
            0 => Ok(()),
            _ => Err(mismatch("found more bytes than its size".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fault::Class;
    use crate::content::Ranges;
    use crate::flow::{FixedClock, Silent};
    use crate::oci::{Descriptor, Digest, Document, Reference, Repository};

    const CONTENT: &[u8] = b"0123456789";

    /// Ten digits, with or without ranges; may not answer.
    struct Digits {
        ranged: bool,
        answers: bool,
    }

    impl Source for Digits {
        fn resolve(&self, _: &Reference) -> Result<Descriptor, Error> {
            unreachable!("nothing is named")
        }
        fn document(&self, _: &Repository, _: &Descriptor) -> Result<Document, Error> {
            unreachable!("there is no document")
        }
        fn blob(&self, _: &Repository, _: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
            Ok(Box::new(CONTENT))
        }
        fn holds(&self, _: &Repository, _: &Descriptor) -> Result<bool, Error> {
            if self.answers { Ok(true) } else { Err(Error::new(Kind::Failed, "nobody there")) }
        }
        fn ranges(&self) -> Option<&dyn Ranges> {
            self.ranged.then_some(self)
        }
    }

    impl Ranges for Digits {
        fn range(
            &self,
            _: &Repository,
            _: &Descriptor,
            offset: u64,
            length: u64,
        ) -> Result<Option<Box<dyn Read + Send + '_>>, Error> {
            assert!(length < CONTENT.len() as u64, "a whole blob is no range");
            let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(offset + length).unwrap());
            Ok(Some(Box::new(&CONTENT[from..to])))
        }
    }

    fn blob(document: Option<Document>) -> InputBlob {
        let descriptor = Descriptor::new("a/b", Digest::sha256(CONTENT), CONTENT.len() as u64);
        InputBlob { descriptor, repository: Repository::exact("localhost/a").unwrap(), document, small: false }
    }

    fn flow() -> Flow {
        Flow::new(Arc::new(Silent), Arc::new(FixedClock::default()), 1, 1)
    }

    #[test]
    fn parts_are_had_from_wherever_a_run_begins() {
        let (flow, stop) = (flow(), AtomicBool::new(false));
        for ranged in [true, false] {
            // The whole; from the start in order; from within, where a killed run resumes.
            for (first, ends) in [(0, &[10][..]), (0, &[4, 10]), (4, &[7, 10]), (9, &[10])] {
                let source = Digits { ranged, answers: true };
                let fetch = Fetch::new(&source, &flow, &stop);
                let mut from = first;
                for &end in ends {
                    let part = &(from..end);
                    from = end;
                    let range = usize::try_from(part.start).unwrap()..usize::try_from(part.end).unwrap();
                    let mut into = vec![0; range.len()];
                    fetch.part(0, &blob(None), part, first, &mut into).unwrap();
                    assert_eq!(into, CONTENT[range], "{ranged}, {first}, {part:?}");
                }
            }
        }
    }

    #[test]
    fn a_fault_names_blob_and_repository() {
        let (flow, stop) = (flow(), AtomicBool::new(false));
        let source = Digits { ranged: false, answers: true };
        for (size, told) in [(9, "found more bytes than its size"), (11, "expected 11 bytes, found 10")] {
            let mut blob = blob(None);
            blob.descriptor.size = size;
            let mut into = vec![0; usize::try_from(size).unwrap()];
            let error = Fetch::new(&source, &flow, &stop).part(0, &blob, &(0..size), 0, &mut into).unwrap_err();
            assert_eq!(error.class, Kind::Mismatch);
            assert_eq!(error.what, format!("blob {} from localhost/a: {told}", blob.descriptor.digest));
        }
    }

    #[test]
    fn what_is_wrong_with_one_blob_alone_is_told_from_what_ends_all() {
        let (flow, stop) = (flow(), AtomicBool::new(false));
        let document = Document::parse(
            crate::oci::media_type::OCI_INDEX,
            &br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#[..],
        )
        .unwrap();
        for (kind, answers, leave_out, is_document, own) in [
            (Kind::Mismatch, false, false, true, true),
            (Kind::Absent, false, false, false, true),
            (Kind::Refused, true, true, false, true),
            (Kind::Denied, true, true, false, true),
            (Kind::Failed, true, true, false, true),
            (Kind::Failed, true, false, false, false),
            (Kind::Failed, true, true, true, false),
            (Kind::Failed, false, true, false, false),
            (Kind::Cancelled, true, true, false, false),
            (Kind::Content(Class::Source), true, true, false, false),
        ] {
            let source = Digits { ranged: true, answers };
            let blob = blob(is_document.then(|| document.clone()));
            let found = Fetch::new(&source, &flow, &stop).is_its_own(&Error::new(kind, "wrong"), &blob, leave_out);
            assert_eq!(found, own, "{kind:?}, {answers}, {leave_out}, {is_document}");
            // Where even a look at it fails, and the place does everything else.
            let alone = Error::new(kind, "wrong").reason(Reason::OnlyThis);
            let found = Fetch::new(&source, &flow, &stop).is_its_own(&alone, &blob, leave_out);
            let may = kind == Kind::Failed && leave_out && !is_document;
            assert_eq!(found, own || may, "{kind:?}, {answers}, {leave_out}, {is_document}");
        }
    }
}

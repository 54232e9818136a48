//! A blob of the source as a body that can be sent: checked, counted, cancellable, and read again
//! from its start when a send is retried. Records whether the source failed.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::base::lock::lock;
use crate::content::checked::Checked;
use crate::content::{Body, Error, Kind, Source};
use crate::flow::{Event, Flow};
use crate::oci::{Descriptor, Repository};

use super::workers::Workers;

pub(super) struct BlobBody<'a> {
    pub flow: &'a Flow,
    pub workers: &'a Workers<'a>,
    pub source: &'a dyn Source,
    pub repository: &'a Repository,
    pub blob: &'a Descriptor,
    told: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<Error>>>,
    opened: AtomicUsize,
}

impl<'a> BlobBody<'a> {
    pub(super) fn new(
        flow: &'a Flow,
        workers: &'a Workers<'a>,
        source: &'a dyn Source,
        repository: &'a Repository,
        blob: &'a Descriptor,
    ) -> Self {
        let (told, failure, opened) = (Arc::default(), Arc::default(), AtomicUsize::new(0));
        Self { flow, workers, source, repository, blob, told, failure, opened }
    }

    /// Returns the source's error if the last read ended in one, whatever the destination reports
    /// instead.
    pub(super) fn failure(&self) -> Option<Error> {
        lock(&self.failure).clone()
    }

    /// Whether it was opened and cannot be opened again.
    pub(super) fn is_spent(&self) -> bool {
        self.opened() > 0 && self.is_once()
    }

    /// Returns how often it was opened: a destination that has the blob does not open it.
    pub(super) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    /// Reports bytes that were not sent because they were already there, so that progress bars
    /// reach their totals.
    pub(super) fn settle(&self) {
        let before = self.told.swap(self.blob.size, Ordering::Relaxed);
        if before < self.blob.size {
            self.flow.event(Event::Bytes(self.blob.size - before));
        }
    }
}

impl Body for BlobBody<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        let opened = if self.workers.is_stopped() {
            Err(Error::new(Kind::Cancelled, "cancelled"))
        } else {
            self.source.blob(self.repository, self.blob)
        };
        match opened {
            Ok(reader) => {
                *lock(&self.failure) = None;
                self.opened.fetch_add(1, Ordering::Relaxed);
                Ok(Box::new(BodyReader {
                    inner: Checked::new(reader, self.blob.clone()),
                    flow: self.flow.clone(),
                    stop: self.workers.stop_flag(),
                    position: 0,
                    furthest: Arc::clone(&self.told),
                    failure: Arc::clone(&self.failure),
                }))
            }
            Err(error) => {
                *lock(&self.failure) = Some(error.clone());
                Err(error.into_io())
            }
        }
    }

    fn is_once(&self) -> bool {
        self.source.passing().is_some_and(|passing| passing.is_given_once(&self.blob.digest))
    }
}

struct BodyReader<R> {
    inner: R,
    flow: Flow,
    stop: Arc<AtomicBool>,
    position: u64,
    // Furthest position of any read: bytes that are sent again are not counted again.
    furthest: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<Error>>>,
}

impl<R: Read> Read for BodyReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = if self.flow.is_cancelled() || self.stop.load(Ordering::Relaxed) {
            Err(Error::new(Kind::Cancelled, "cancelled").into_io())
        } else {
            self.inner.read(buffer)
        };
        match read {
            Ok(count) => {
                self.position += count as u64;
                let before = self.furthest.fetch_max(self.position, Ordering::Relaxed);
                if before < self.position {
                    self.flow.event(Event::Bytes(self.position - before));
                }
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let error = Error::from_io("source", error);
                *lock(&self.failure) = Some(error.clone());
                Err(error.into_io())
            }
        }
    }
}

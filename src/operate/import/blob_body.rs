//! A blob of the source as a body that can be sent: checked, counted, cancellable, and read again from
//! its start when a send must be repeated. Remembers whether it was the source that failed.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::content::checked::Checked;
use crate::content::{Body, Error, Kind, Source};
use crate::flow::{Event, Flow};
use crate::oci::{Descriptor, Repository};

use super::plan::locked;
use super::workers::Crew;

pub(super) struct Carried<'a> {
    pub flow: &'a Flow,
    pub crew: &'a Crew<'a>,
    pub source: &'a dyn Source,
    pub repository: &'a Repository,
    pub blob: &'a Descriptor,
    told: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<Error>>>,
}

impl<'a> Carried<'a> {
    pub(super) fn new(
        flow: &'a Flow,
        crew: &'a Crew<'a>,
        source: &'a dyn Source,
        repository: &'a Repository,
        blob: &'a Descriptor,
    ) -> Self {
        Self { flow, crew, source, repository, blob, told: Arc::default(), failure: Arc::default() }
    }

    /// The source's error, if the last reading ended in one. Whatever the destination makes of it,
    /// it is the source's.
    pub(super) fn failure(&self) -> Option<Error> {
        locked(&self.failure).clone()
    }

    /// Tells the bytes that were not sent because they were there: bars end at their totals.
    pub(super) fn settle(&self) {
        let before = self.told.swap(self.blob.size, Ordering::Relaxed);
        if before < self.blob.size {
            self.flow.event(Event::Bytes(self.blob.size - before));
        }
    }
}

impl Body for Carried<'_> {
    fn open(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        let opened = if self.crew.is_stopped() {
            Err(Error::new(Kind::Cancelled, "cancelled"))
        } else {
            self.source.blob(self.repository, self.blob)
        };
        match opened {
            Ok(reader) => {
                *locked(&self.failure) = None;
                Ok(Box::new(Told {
                    inner: Checked::new(reader, self.blob.clone()),
                    flow: self.flow.clone(),
                    stop: self.crew.stop_flag(),
                    position: 0,
                    furthest: Arc::clone(&self.told),
                    failure: Arc::clone(&self.failure),
                }))
            }
            Err(error) => {
                *locked(&self.failure) = Some(error.clone());
                Err(error.into_io())
            }
        }
    }
}

struct Told<R> {
    inner: R,
    flow: Flow,
    stop: Arc<AtomicBool>,
    position: u64,
    // The furthest that any reading came: what is sent again is not counted again.
    furthest: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<Error>>>,
}

impl<R: Read> Read for Told<R> {
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
                *locked(&self.failure) = Some(error.clone());
                Err(error.into_io())
            }
        }
    }
}

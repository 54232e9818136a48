//! A blob that is sent while it arrives: one writer, and any number of clients that read its file as
//! far as it is written.
//!
//! The writer reports only content that it has passed on through a check, so that nobody gets the
//! last bytes of a blob before its digest is known to be right. A blob that breaks off is an error
//! for everybody who reads it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::content::Error;
use crate::oci::Digest;

/// Number of bytes that are read at once.
const CHUNK: u64 = 128 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This many bytes are written.
    Coming(u64),
    Whole,
    Broken,
}

/// The writer's side. Dropping it before [`Arriving::whole`] breaks the blob off.
pub struct Arriving(watch::Sender<State>);

/// A reader's side.
#[derive(Clone)]
pub struct Arrival {
    digest: Digest,
    size: u64,
    file: Arc<File>,
    state: watch::Receiver<State>,
}

impl Arriving {
    /// Returns both sides of a blob of `size` bytes; `file` reads what is written.
    pub fn new(digest: Digest, size: u64, file: File) -> (Self, Arrival) {
        let (sender, state) = watch::channel(State::Coming(0));
        (Self(sender), Arrival { digest, size, file: Arc::new(file), state })
    }

    /// Says that this many bytes more are written.
    pub fn written(&self, count: u64) {
        self.0.send_modify(|state| {
            if let State::Coming(bytes) = state {
                *bytes += count;
            }
        });
    }

    /// Says that the blob is complete and right.
    pub fn whole(self) {
        self.0.send_replace(State::Whole);
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.send_if_modified(|state| {
            let is_open = *state != State::Whole;
            if is_open {
                *state = State::Broken;
            }
            is_open
        });
    }
}

impl Arrival {
    /// Returns the size of the blob in bytes.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns how many bytes can be read after the first `at`, when there are some; `None` at the
    /// end.
    async fn more(&mut self, at: u64) -> io::Result<Option<u64>> {
        let broken = || io::Error::other("the content broke off, or is not what its digest promises");
        loop {
            let state = *self.state.borrow_and_update();
            let there = match state {
                State::Broken => return Err(broken()),
                State::Coming(there) => there.min(self.size),
                State::Whole => self.size,
            };
            if there > at {
                return Ok(Some((there - at).min(CHUNK)));
            }
            if state == State::Whole || at == self.size {
                return Ok(None);
            }
            self.state.changed().await.map_err(|_| broken())?;
        }
    }

    /// Returns the content from its first byte, as it arrives. Reads on the pool of `handle`; the
    /// stream holds `permit` until it ends, and `told` receives an error.
    pub(super) fn stream(
        self,
        handle: Handle,
        permit: OwnedSemaphorePermit,
        told: Box<dyn Fn(Error) + Send>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send {
        let step = |(mut arrival, at, handle, permit, told): Sending| async move {
            let count = match arrival.more(at).await {
                Ok(None) => return None,
                Ok(Some(count)) => Ok(count),
                Err(error) => Err(error),
            };
            let read = match count {
                Err(error) => Err(error),
                Ok(count) => {
                    let file = Arc::clone(&arrival.file);
                    let read = handle.spawn_blocking(move || read(&file, at, count)).await;
                    read.unwrap_or_else(|error| Err(io::Error::other(error)))
                }
            };
            let next = match &read {
                Ok(chunk) => at + chunk.len() as u64,
                Err(error) => {
                    let shown = io::Error::new(error.kind(), error.to_string());
                    told(Error::from_io(format!("blob {}", arrival.digest), shown));
                    at
                }
            };
            Some((read, (arrival, next, handle, permit, told)))
        };
        stream::unfold((self, 0, handle, permit, told), step)
    }
}

type Sending = (Arrival, u64, Handle, OwnedSemaphorePermit, Box<dyn Fn(Error) + Send>);

fn read(file: &File, at: u64, count: u64) -> io::Result<Bytes> {
    let mut chunk = vec![0; usize::try_from(count).unwrap_or_default()];
    file.read_exact_at(&mut chunk, at)?;
    Ok(Bytes::from(chunk))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::StreamExt as _;

    use super::*;

    /// Returns what a client gets if the writer ends with `end` after all of the content.
    fn got(end: fn(Arriving), content: &[u8], size: u64) -> (Vec<u8>, bool) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let (arriving, arrival) = Arriving::new(Digest::sha256(b""), size, file.reopen().unwrap());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let handle = runtime.handle().clone();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for piece in content.chunks(1000) {
                    file.write_all(piece).unwrap();
                    arriving.written(piece.len() as u64);
                }
                end(arriving);
            });
            runtime.block_on(async {
                let permit = Arc::new(tokio::sync::Semaphore::new(1)).acquire_owned().await.unwrap();
                let mut stream = Box::pin(arrival.stream(handle, permit, Box::new(|_| ())));
                let (mut all, mut is_whole) = (Vec::new(), true);
                while let Some(chunk) = stream.next().await {
                    match chunk {
                        Ok(chunk) => all.extend_from_slice(&chunk),
                        Err(_) => {
                            is_whole = false;
                            break;
                        }
                    }
                }
                (all, is_whole)
            })
        })
    }

    #[test]
    fn c9_a_blob_is_sent_while_it_arrives_and_never_ends_well_if_it_breaks_off() {
        let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let size = content.len() as u64;
        let (all, is_whole) = got(Arriving::whole, &content, size);
        assert!(is_whole && all == content);
        let (all, is_whole) = got(drop, &content[..content.len() - 1], size);
        assert!(!is_whole && all.len() < content.len());
        assert_eq!(got(Arriving::whole, b"", 0), (Vec::new(), true));
    }
}

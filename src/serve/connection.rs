//! A connection that ends when its client is too slow.
//!
//! Two limits: a client that keeps the server waiting must take at least [`LEAST`] bytes in
//! [`STALL`], and a connection without a byte in either direction ends after [`IDLE`], unless a
//! request on it is being answered. The time for the head of a request is limited where requests are parsed.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::limits::{IDLE, LEAST, STALL};

/// How long a connection waits for its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub stall: Duration,
    pub least: u64,
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { stall: STALL, least: LEAST, idle: IDLE }
    }
}

/// A stream with limits.
pub(super) struct Timed<S> {
    stream: S,
    patience: Patience,
    idle: Pin<Box<Sleep>>,
    // Whether a byte went in either direction since the timer was set. Setting it again for every byte would
    // cost more than the byte.
    has_moved: bool,
    // Set while the client keeps the server waiting: the deadline, and the bytes taken until it was
    // set.
    stalled: Option<(Pin<Box<Sleep>>, u64)>,
    written: u64,
    busy: Busy,
}

/// Counts the requests of a connection that are being answered.
#[derive(Clone, Default)]
pub(super) struct Busy(Arc<AtomicUsize>);

/// A request that is being answered, until this is dropped.
pub(super) struct Answering(Busy);

impl Busy {
    pub(super) fn begin(&self) -> Answering {
        self.0.fetch_add(1, Ordering::Relaxed);
        Answering(self.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, patience: Patience, busy: Busy) -> Self {
        let idle = Box::pin(sleep(patience.idle));
        Self { stream, patience, idle, has_moved: false, stalled: None, written: 0, busy }
    }

    fn moved(&mut self) {
        self.has_moved = true;
    }

    /// Waits until no byte went in either direction for too long, which is at most twice the limit.
    fn is_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.idle.as_mut().poll(context));
            // A client that waits for its turn is not idle.
            if self.busy.0.load(Ordering::Relaxed) == 0 && !self.has_moved {
                return Poll::Ready(());
            }
            self.has_moved = false;
            self.idle.set(sleep(self.patience.idle));
        }
    }

    /// Counts what the client took.
    fn took(&mut self, count: usize) {
        self.moved();
        self.written += count as u64;
        if self.stalled.as_ref().is_some_and(|(_, since)| self.written - since >= self.patience.least) {
            self.stalled = None;
        }
    }

    /// Waits for the client, at most until the deadline.
    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let (stall, written) = (self.patience.stall, self.written);
        let (deadline, _) = self.stalled.get_or_insert_with(|| (Box::pin(sleep(stall)), written));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take what it asked for")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            self.moved();
            return Poll::Ready(result);
        }
        ready!(self.is_idle(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "nothing was sent or received for too long")))
    }
}

impl<S: AsyncWrite + Unpin> Timed<S> {
    fn written(&mut self, context: &mut Context<'_>, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(count)) => {
                self.took(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.wait(context),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(result) => {
                // All was taken.
                self.stalled = None;
                Poll::Ready(result)
            }
            Poll::Pending => self.wait(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.wait(context),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    fn patience(stall: u64, idle: u64) -> Patience {
        Patience { stall: Duration::from_millis(stall), least: 1000, idle: Duration::from_millis(idle) }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_client_that_takes_nothing_or_next_to_nothing_is_left() {
        for takes in [0, 10] {
            let error = run(async {
                let (server, mut client) = duplex(100);
                let mut server = Timed::new(server, patience(200, 60_000), Busy::default());
                tokio::spawn(async move {
                    let mut buffer = [0; 10];
                    while takes > 0 && client.read(&mut buffer[..takes]).await.is_ok_and(|count| count > 0) {
                        sleep(Duration::from_millis(20)).await;
                    }
                    // Keeps its end open.
                    sleep(Duration::from_secs(60)).await;
                    drop(client);
                });
                server.write_all(&vec![0; 100_000]).await.unwrap_err()
            });
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{takes} bytes at a time");
        }
    }

    #[test]
    fn a_client_that_takes_enough_may_take_its_time() {
        let began = Instant::now();
        run(async {
            let (server, mut client) = duplex(500);
            let mut server = Timed::new(server, patience(400, 60_000), Busy::default());
            let taking = tokio::spawn(async move {
                let (mut buffer, mut all) = ([0; 500], 0);
                while let Ok(count @ 1..) = client.read(&mut buffer).await {
                    all += count;
                    sleep(Duration::from_millis(30)).await;
                }
                all
            });
            server.write_all(&vec![0; 20_000]).await.unwrap();
            server.shutdown().await.unwrap();
            drop(server);
            assert_eq!(taking.await.unwrap(), 20_000);
        });
        assert!(began.elapsed() > Duration::from_millis(400), "longer than one stall");
    }

    #[test]
    fn a_silent_client_is_left() {
        let error = run(async {
            let (server, _client) = duplex(100);
            Timed::new(server, patience(60_000, 50), Busy::default()).read_u8().await.unwrap_err()
        });
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_client_that_waits_for_its_answer_is_not_idle() {
        let error = run(async {
            let (server, mut client) = duplex(100);
            let busy = Busy::default();
            let answering = busy.begin();
            let mut server = Timed::new(server, patience(60_000, 50), busy);
            tokio::spawn(async move {
                sleep(Duration::from_millis(300)).await;
                client.write_u8(7).await.unwrap();
                drop(answering);
                sleep(Duration::from_secs(60)).await;
                drop(client);
            });
            assert_eq!(server.read_u8().await.unwrap(), 7);
            server.read_u8().await.unwrap_err()
        });
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "then it is");
    }
}

//! A connection that ends when its client is too slow.
//!
//! Two limits: a client that keeps the server waiting must take at least [`LEAST`] bytes in
//! [`STALL`], and a connection without a byte in either direction ends after [`IDLE`]. The time for
//! the head of a request is limited where requests are parsed.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

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
    // Set while the client keeps the server waiting: the deadline, and the bytes taken until it was
    // set.
    stalled: Option<(Pin<Box<Sleep>>, u64)>,
    written: u64,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, patience: Patience) -> Self {
        Self { stream, patience, idle: Box::pin(sleep(patience.idle)), stalled: None, written: 0 }
    }

    fn moved(&mut self) {
        self.idle.as_mut().reset(Instant::now() + self.patience.idle);
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
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            self.moved();
            return Poll::Ready(result);
        }
        ready!(self.idle.as_mut().poll(context));
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
            ready => ready,
        }
    }
}

//! Bodies of requests and answers under the rate limits, with every byte counted.
//!
//! Bodies that are sent pass in small pieces, so that a slow upload is seen to move.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::record::Record;
use crate::flow::Flow;
use crate::network::rate::Rate;

/// Size of a piece that is sent at once, in bytes, unless a limit asks for smaller ones.
const PIECE: usize = 256 << 10;

/// The limits that a body is under.
#[derive(Clone)]
pub struct Meter {
    /// The limits, in bytes per second.
    pub rates: Vec<Arc<Rate>>,
    /// The flow whose clock they use.
    pub flow: Flow,
}

impl Meter {
    /// Claims `bytes`. Returns how long to wait.
    fn claim(&self, bytes: usize) -> Duration {
        self.rates.iter().map(|rate| rate.claim(&self.flow, bytes as u64)).max().unwrap_or_default()
    }

    /// Returns the size of the largest piece to send at once.
    fn piece(&self) -> usize {
        let least = self.rates.iter().map(|rate| rate.piece()).min();
        least.and_then(|least| usize::try_from(least).ok()).map_or(PIECE, |least| least.min(PIECE))
    }
}

/// A body whose bytes are counted and limited.
pub struct Paced<B> {
    inner: B,
    record: Arc<Record>,
    meter: Meter,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<B> Paced<B> {
    /// Wraps the body of an answer.
    pub fn new(inner: B, record: Arc<Record>, meter: Meter) -> Self {
        Self { inner, record, meter, pause: None }
    }
}

impl Paced<Pieces> {
    /// Makes the body of a request.
    pub fn of(content: Bytes, record: Arc<Record>, meter: Meter) -> Self {
        let most = meter.piece();
        Self::new(Pieces { content, most }, record, meter)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(bytes) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map(Bytes::len) {
            self.record.moved(bytes);
            let wait = self.meter.claim(bytes);
            self.pause = (!wait.is_zero()).then(|| Box::pin(sleep(wait)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Content in pieces.
pub struct Pieces {
    content: Bytes,
    most: usize,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.content.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.content.len().min(self.most.max(1));
        Poll::Ready(Some(Ok(Frame::data(self.content.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.len() as u64)
    }
}

//! Record of the requests that one step makes: what each server answered.
//!
//! The errors of object_store tell neither the wait that a store asks for nor its error code. The
//! record belongs to the task that makes the step. Does no I/O.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header::HeaderMap;

use super::documents::Refused;
use crate::base::lock::lock;
use crate::content::Error;
use crate::network::fate::Fate;

tokio::task_local! {
    static CURRENT: Arc<Record>;
}

/// Answer to the last request of a step.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// Host and port that were asked.
    pub host: String,
    /// Status, if the server answered.
    pub status: Option<u16>,
    /// Headers of the answer.
    pub headers: HeaderMap,
    /// Time that the server asked to wait.
    pub after: Option<Duration>,
    /// The error document in the answer, if it has one.
    pub refused: Option<Refused>,
    /// Why no answer arrived, or why it broke off.
    pub broken: Option<(Fate, String)>,
    /// Our own reason not to send the request.
    pub barred: Option<Error>,
}

/// Record of one step.
#[derive(Debug, Default)]
pub struct Record {
    moved: AtomicU64,
    /// MD5 of the content that is sent, for `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    reply: Mutex<Reply>,
}

impl Record {
    /// Begins the record of a step that sends content with this MD5, if any.
    pub fn sending(md5: Option<[u8; 16]>) -> Arc<Self> {
        Arc::new(Self { md5, ..Self::default() })
    }

    /// Returns the record of the step that runs in this task.
    pub fn current() -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_default()
    }

    /// Runs `step` with this record.
    pub async fn during<T>(self: &Arc<Self>, step: impl Future<Output = T>) -> T {
        CURRENT.scope(Arc::clone(self), step).await
    }

    /// Counts bytes that went out or came in.
    pub fn moved(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Returns the number of bytes that went out or came in.
    pub fn bytes(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Begins the record of the next request, to `host`.
    pub fn asked(&self, host: String) {
        *lock(&self.reply) = Reply { host, ..Reply::default() };
    }

    /// Changes the reply to the request under way.
    pub fn note(&self, change: impl FnOnce(&mut Reply)) {
        change(&mut lock(&self.reply));
    }

    /// Returns the reply to the last request.
    pub fn reply(&self) -> Reply {
        lock(&self.reply).clone()
    }
}

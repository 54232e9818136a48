//! The access log of a server on stderr: lines for people, or JSON lines with `--progress json`.
//!
//! Lines are written by one thread, so that a slow reader of stderr never holds up a client; if
//! too many wait, they are dropped and counted. Paths are escaped; queries, headers and passwords
//! never get here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use serde_json::json;

use super::Session;
use super::progress::Mode;
use super::world::Stderr;
use crate::base::fault::{Fault, escape};
use crate::base::redact::redact;
use crate::flow::{Flow, start_apart};
use crate::serve::{Access, Log};

/// Maximum number of lines that wait to be written.
const WAITING: usize = 4096;

/// How requests are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Lines,
    Json,
    Nothing,
}

/// The access log of a server.
pub struct AccessLog {
    shown: Shown,
    lines: SyncSender<String>,
    dropped: AtomicU64,
    flow: Flow,
}

impl AccessLog {
    /// Starts the thread that writes. It ends with the log.
    ///
    /// # Errors
    /// Class io if no thread can be started.
    pub fn new(session: &Session<'_>) -> Result<Self, Fault> {
        let shown = match session.globals.progress {
            _ if session.globals.quiet => Shown::Nothing,
            Mode::None => Shown::Nothing,
            Mode::Json => Shown::Json,
            Mode::Auto | Mode::Plain => Shown::Lines,
        };
        let (lines, written) = sync_channel(WAITING);
        let stderr = session.world.stderr.clone();
        drop(start_apart("access log", move || write(&written, &stderr))?);
        Ok(Self { shown, lines, dropped: AtomicU64::new(0), flow: session.flow.clone() })
    }

    /// Says where the server listens.
    pub fn listening(&self, address: &str, repositories: usize, tags: usize) {
        let event = json!({ "event": "listening", "address": address, "repositories": repositories, "tags": tags });
        self.line(&format!("serving {repositories} repositories with {tags} tags on {address}"), &event);
    }

    fn line(&self, text: &str, event: &serde_json::Value) {
        let line = match self.shown {
            Shown::Lines => text.to_owned(),
            Shown::Json => crate::report::ascii(&event.to_string()),
            Shown::Nothing => return,
        };
        match self.lines.try_send(line) {
            Ok(()) => {
                let dropped = self.dropped.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    self.flow.warn(format!("access log: {dropped} lines dropped, stderr is too slow"));
                }
            }
            Err(TrySendError::Full(_)) => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
            Err(TrySendError::Disconnected(_)) => {}
        }
    }
}

fn write(lines: &Receiver<String>, stderr: &Stderr) {
    while let Ok(line) = lines.recv() {
        stderr.line(&line);
    }
}

impl Log for AccessLog {
    fn access(&self, access: Access) {
        let path = escape(&redact(&access.path));
        let user = access.user.as_deref().map(escape);
        let state = if access.is_complete { "" } else { " broken off" };
        let line = format!(
            "{} {} \"{} {path} {}\" {} {} {:.3}s{state}",
            access.client,
            user.as_deref().unwrap_or("-"),
            escape(&access.method),
            access.version,
            access.status,
            access.bytes,
            access.took.as_secs_f64(),
        );
        let event = json!({
            "event": "request", "client": access.client, "user": user, "method": access.method, "path": path,
            "version": access.version, "status": access.status, "bytes": access.bytes,
            "complete": access.is_complete, "seconds": access.took.as_secs_f64(),
        });
        self.line(&line, &event);
    }

    fn failure(&self, text: String) {
        self.flow.warn(text);
    }
}

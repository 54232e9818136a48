//! Removes the secrets that a run sends from its events, since a server or proxy may answer with what
//! it was sent. Errors pass through [`Secrets::out_of`].

use std::sync::Arc;

pub use crate::base::redact::Secrets;
use crate::flow::{Event, Events};

/// An event sink that removes secrets.
pub struct Redacted {
    /// Receiver of the events.
    pub events: Arc<dyn Events>,
    /// Secrets to remove.
    pub secrets: Arc<Secrets>,
}

impl Events for Redacted {
    fn event(&self, event: Event) {
        self.events.event(match event {
            Event::Warning(text) => Event::Warning(self.secrets.without(text)),
            Event::Detail(text) => Event::Detail(self.secrets.without(text)),
            // Only our own names and numbers.
            other
            @ (Event::Stage { .. } | Event::Bytes(_) | Event::Item(_) | Event::Waiting { .. } | Event::Run(_)) => other,
        });
    }
}

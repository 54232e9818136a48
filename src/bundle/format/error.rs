//! How a bundle is refused: the class of `spec/verification.md`, what and where, what to do.

use crate::base::fault::{Class, Fault};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    /// Format, integrity, signature, trust, stale, policy, io, lock or usage.
    pub class: Class,
    /// Subject, expected, found.
    pub what: String,
    /// One thing to do.
    pub help: Option<String>,
}

impl Error {
    /// A refusal of `class`.
    pub fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), help: None }
    }

    /// Against the rules of the format.
    pub fn format(what: impl Into<String>) -> Self {
        Self::new(Class::Format, what)
    }

    /// Bytes differ from what the manifest pins.
    pub fn integrity(what: impl Into<String>) -> Self {
        Self::new(Class::Integrity, what)
            .help("copy the bundle again from its source, or take another copy of the volume")
    }

    /// The medium failed.
    pub fn io(subject: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::new(Class::Io, format!("{subject}: {error}"))
    }

    /// Adds advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self { class: error.class, what: error.what, help: error.help, others: Vec::new() }
    }
}

impl From<crate::system::memory::Exhausted> for Error {
    fn from(exhausted: crate::system::memory::Exhausted) -> Self {
        Self::new(Class::Io, exhausted.to_string()).help(crate::system::memory::Exhausted::HELP)
    }
}

impl From<crate::flow::NoThread> for Error {
    fn from(none: crate::flow::NoThread) -> Self {
        Self::new(Class::Io, none.to_string()).help(crate::flow::NoThread::HELP)
    }
}

impl From<crate::flow::Cancelled> for Error {
    fn from(_: crate::flow::Cancelled) -> Self {
        Self::new(Class::Cancelled, "cancelled")
    }
}

impl From<Error> for crate::content::Error {
    fn from(error: Error) -> Self {
        Self { kind: crate::content::Kind::Content(error.class), what: error.what, help: error.help }
    }
}

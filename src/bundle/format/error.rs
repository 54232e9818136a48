//! Errors that refuse a bundle: the class from `spec/verification.md`, what is wrong and where, and
//! advice.

use crate::base::fault::{Class, Description, Fault};

/// A refusal of a bundle: a fault of class format, integrity, signature, trust, stale, policy, io, lock or usage.
pub type Error = Fault;

impl Error {
    /// Returns an error for a violation of the format's rules.
    pub fn format(what: impl Into<Description>) -> Self {
        Self::new(Class::Format, what)
    }

    /// Returns an error for bytes that differ from those pinned by the manifest.
    pub fn integrity(what: impl Into<Description>) -> Self {
        Self::new(Class::Integrity, what)
            .help("copy the bundle again from its source, or take another copy of the volume")
    }

    /// Returns an error for a medium that failed.
    pub fn io(subject: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::new(Class::Io, format!("{subject}: {error}"))
    }
}

//! How a bundle is refused: the class of `spec/verification.md`, what and where, what to do.

use crate::base::fault::{Class, Fault};

/// A refusal of a bundle: a fault of class format, integrity, signature, trust, stale, policy, io, lock or usage.
pub type Error = Fault;

impl Error {
    /// Makes a refusal of what is against the rules of the format.
    pub fn format(what: impl Into<String>) -> Self {
        Self::new(Class::Format, what)
    }

    /// Makes a refusal of bytes that differ from what the manifest pins.
    pub fn integrity(what: impl Into<String>) -> Self {
        Self::new(Class::Integrity, what)
            .help("copy the bundle again from its source, or take another copy of the volume")
    }

    /// Makes a refusal of a medium that failed.
    pub fn io(subject: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::new(Class::Io, format!("{subject}: {error}"))
    }
}

//! The field's nouns: digests, descriptors, media types, platforms, references and documents.
//!
//! Parsing and printing only. Nothing here reads a file, a socket, a clock or the environment.

pub mod artifact;
pub mod canonical;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod media_type;
pub mod platform;
pub mod reference;

pub use artifact::{Absent, Artifact, Reason};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Hasher};
pub use document::Document;
pub use platform::Platform;
pub use reference::{Reference, Repository, Tag};

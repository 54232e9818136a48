//! Basic types of the domain: digests, descriptors, media types, platforms, references and
//! documents.
//!
//! Parsing and printing only. Nothing here reads a file, a socket, a clock or the environment.

pub mod artifact;
pub mod canonical;
pub mod cosign;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod image;
pub mod media_type;
mod member;
pub mod platform;
pub mod reference;
mod text;

pub use self::artifact::{Absent, Artifact, Reason};
pub use self::descriptor::Descriptor;
pub use self::digest::{Algorithm, Digest, Hasher};
pub use self::document::Document;
pub use self::image::ImageFacts;
pub use self::platform::Platform;
pub use self::reference::{Reference, Repository, Tag};

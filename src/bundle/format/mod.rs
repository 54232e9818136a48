//! The bytes of a bundle: manifest, frames, tar headers, names, offsets (`spec/manifest.md`,
//! `spec/frame.md`, `spec/tar-stream.md`). Opens no files.

pub mod channel;
pub mod computed;
pub(super) mod document;
pub mod error;
pub mod frame;
pub(super) mod frame_check;
pub mod manifest;
pub mod name;
pub mod notes;
pub mod offsets;
pub mod parse;
mod rules;
pub mod tar;

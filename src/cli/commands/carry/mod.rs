//! Commands that write, sign or import: with the feature `carry`.

pub mod demo;
pub mod diff;
pub mod export;
pub mod import;
pub mod key;
pub mod sign;
pub mod unpack;

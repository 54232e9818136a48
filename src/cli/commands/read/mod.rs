//! Commands that read and judge: in every build.

pub mod cat;
pub mod inspect;
pub mod verify;

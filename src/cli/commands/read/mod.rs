//! Commands that read and judge; they are in every build.

pub mod cat;
mod command;
pub mod inspect;
pub mod verify;

pub use self::command::Command;

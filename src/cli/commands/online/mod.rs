//! Commands that use a network or its configuration (feature `online`).

mod command;
pub mod copy;
pub mod credential;
pub mod login;
pub mod logout;
pub mod rule;
pub mod schema;
pub mod serve;

pub use self::command::Command;

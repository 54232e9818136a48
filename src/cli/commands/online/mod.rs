//! Commands that speak to a network or to its configuration: with the feature `online`.

mod command;
pub mod copy;
pub mod credential;
pub mod login;
pub mod logout;
pub mod schema;

pub use self::command::Command;

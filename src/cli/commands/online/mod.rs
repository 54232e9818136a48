//! Commands that use a network or its configuration (feature `online`).

mod command;
pub mod container_reader;
pub mod copy;
pub mod credential;
pub mod download;
pub mod login;
pub mod logout;
pub mod pipeline;
pub mod rm;
pub mod rule;
pub mod runs;
pub mod schema;
pub mod serve;
pub mod upload;
pub mod watch;

pub use self::command::Command;

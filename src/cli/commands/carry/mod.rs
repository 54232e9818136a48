//! Commands that write, sign or import (feature `carry`).

mod command;
pub mod completions;
pub mod demo;
#[cfg(feature = "online")]
mod demo_server;
#[cfg(not(feature = "online"))]
#[path = "no_demo_server.rs"]
mod demo_server;
pub mod diff;
pub mod emit;
pub mod export;
pub mod import;
pub mod key;
pub mod ls;
pub mod man;
pub mod sign;
pub mod unpack;

pub use self::command::Command;

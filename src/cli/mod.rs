//! The command line: reads the arguments, runs one command and reports how it ended.
//!
//! # One command, one file
//! `cli/commands/*/NAME.rs` holds a `pub struct Args` (derive [`clap::Args`]) and
//! ```text
//! impl Args { pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> }
//! ```
//! It turns the arguments as typed into what they mean ([`args`]), calls one operation with
//! `&session.flow`, and returns an [`output::Outcome`]: text for people and a JSON value for
//! programs. It prints nothing, knows no exit code, and reads the environment and the clock only
//! through `session.world`. A new command also needs a variant and an arm in the `command.rs` of
//! its folder. `key` is a good example.
//!
//! Every failure is a `Fault`. Only [`exit`] turns its class into an exit code, and only [`output`]
//! shows it.

#[cfg(feature = "online")]
pub mod access_log;
pub mod args;
pub mod audit;
pub mod commands;
pub mod confine;
#[cfg(feature = "online")]
pub mod containers;
#[cfg(not(feature = "online"))]
#[path = "no_containers.rs"]
pub mod containers;
pub mod detect;
pub mod diff_text;
pub mod environment;
pub mod exit;
#[cfg(feature = "online")]
pub mod network;
#[cfg(all(feature = "carry", not(feature = "online")))]
#[path = "offline.rs"]
pub mod network;
pub mod output;
pub mod pem;
pub mod progress;
#[cfg(feature = "online")]
pub mod reach;
#[cfg(not(feature = "online"))]
#[path = "no_reach.rs"]
pub mod reach;
pub mod receipt;
pub mod report_files;
pub mod run;
pub mod session;
pub mod trusted_file;
pub mod world;
#[cfg(feature = "carry")]
pub mod writing;

pub use self::run::run;
pub use self::session::{Globals, Session};

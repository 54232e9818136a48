//! The command line: reads the arguments, runs one command, reports how it ended.
//!
//! # One command, one file
//! `cli/commands/*/NAME.rs` holds a `pub struct Args` (derive [`clap::Args`]) and
//! ```text
//! impl Args { pub fn run(self, session: &mut Session<'_>) -> Result<Outcome, Fault> }
//! ```
//! It turns what was typed into what it means ([`args`]), calls one operation with
//! `&session.flow`, and gives back an [`output::Outcome`]: text for people, a JSON value for programs. It prints
//! nothing, knows no exit code and reads neither environment nor clock but through `session.world`. Then it
//! gets a variant and an arm in `run.rs`. `key` is the first example.
//!
//! Every failure is a `Fault`; [`exit`] alone turns its class into a code, [`output`] alone shows it.
//! This file declares modules and holds nothing.

pub mod args;
pub mod audit;
pub mod commands;
pub mod confine;
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

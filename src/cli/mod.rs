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
#[cfg(feature = "online")]
pub mod auth_file;
#[cfg(feature = "online")]
pub mod certificates;
pub mod commands;
#[cfg(feature = "online")]
pub mod config;
pub mod confine;
pub mod detect;
pub mod diff_text;
pub mod environment;
pub mod exit;
#[cfg(feature = "online")]
pub mod logins;
#[cfg(feature = "carry")]
pub mod newfile;
#[cfg(all(feature = "carry", not(feature = "online")))]
pub mod offline;
pub mod output;
#[cfg(feature = "carry")]
pub mod passphrase;
pub mod pem;
pub mod progress;
pub mod receipt;
#[cfg(feature = "carry")]
pub mod receipt_write;
#[cfg(feature = "online")]
pub mod registries;
#[cfg(feature = "online")]
pub mod replace;
pub mod report_files;
pub mod run;
pub mod session;
pub mod trusted_file;
pub mod world;

pub use self::run::run;
pub use self::session::{Globals, Session};

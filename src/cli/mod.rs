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

use cfg_if::cfg_if;

pub mod args;
pub mod audit;
pub mod commands;
pub mod confine;
pub mod detect;
pub mod diff_text;
pub mod environment;
pub mod exit;
pub mod help;
pub mod output;
pub mod pem;
pub mod progress;
pub mod receipt;
pub mod report_files;
pub mod run;
pub mod session;
pub mod streams;
pub mod tallies;
pub mod trusted_file;
pub mod world;

cfg_if! {
    if #[cfg(feature = "carry")] {
        pub mod diff_images;
        pub mod exporting;
        pub mod import_plan;
        pub mod importing;
        pub mod writing;
    }
}

cfg_if! {
    if #[cfg(feature = "online")] {
        pub mod access_log;
        pub mod containers;
        pub mod network;
        pub mod pipelines;
        pub mod reach;
    } else {
        #[path = "no_containers.rs"]
        pub mod containers;
        #[path = "no_reach.rs"]
        pub mod reach;
    }
}

cfg_if! {
    if #[cfg(all(feature = "carry", not(feature = "online")))] {
        #[path = "offline.rs"]
        pub mod network;
    }
}

pub use self::run::run;
pub use self::session::{Globals, Session};

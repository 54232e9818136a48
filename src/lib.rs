//! Carries container artifacts into places without a network.
//!
//! The map, floor by floor; a module uses only lower floors, siblings never each other
//! (`cargo xtask tidy` checks it).
//!
//! | floor | module | holds |
//! |---|---|---|
//! | 7 program | `main` | the call of the command line |
//! | 6 command line | [`cli`] | what was typed, what is shown, exit codes |
//! | 5 operations | `operate` | what the tool does: export, verify, import, copy, diff, sign |
//! | 4 decisions | `decide` | selection, plan, names at the destination, deltas, wanted lists |
//! | 3 places | [`bundle`], `registry`, `layout`, [`scan`], `secret`, `keys` | what implements the traits of [`content`]; scanners; where secrets come from; keys on cards and HSMs |
//! | 3 papers | [`receipt`], [`report`], [`state`], [`audit`] | what an import did; the page that a run is approved from; what was accepted last; who did what |
//! | 2 contracts | [`content`], [`outfile`], [`program`], [`signing`] | traits, checked streams, one source over several; which files an output may change; other programs; keys and policy |
//! | 1 tools | [`closure`], [`flow`], [`system`], [`toml_file`] | the walk of what an artifact reaches; cancel flag and events; what systems do each in their own way; TOML files that people write |
//! | 0 nouns | [`oci`], [`base`] | digests, descriptors, documents, names; faults, locks, sizes, times, text without secrets |
//!
//! What is absent: `oci` does no I/O; `bundle` knows no network and no terminal; `registry` knows
//! nothing of bundles; only `cli` knows exit codes; only `cli::world` reads the environment and the
//! clock. Without the feature `carry` there are `verify`, `inspect` and `cat` alone, and nothing that writes bundles, signs or
//! speaks to a network is compiled; `guard` makes these three confine themselves.

pub mod audit;
pub mod base;
pub mod bundle;
pub mod cli;
pub mod closure;
pub mod content;
#[cfg(feature = "carry")]
pub mod decide;
pub mod flow;
#[cfg(feature = "carry")]
pub mod keys;
#[cfg(feature = "carry")]
pub mod layout;
pub mod oci;
pub mod operate;
pub mod outfile;
pub mod program;
pub mod receipt;
#[cfg(feature = "online")]
pub mod registry;
pub mod report;
pub mod scan;
#[cfg(feature = "online")]
pub mod secret;
pub mod signing;
pub mod state;
pub mod system;
pub mod toml_file;

//! Carries container artifacts into places without a network.
//!
//! The modules by floor. A module uses only lower floors; modules on one floor never use each other
//! (`cargo xtask tidy` checks this).
//!
//! | floor | module | holds |
//! |---|---|---|
//! | 8 program | `main` | the call of the command line |
//! | 7 command line | [`cli`] | arguments, output, exit codes |
//! | 6 operations | `operate` | export, verify, import, copy, diff, emit, sign |
//! | 5 decisions | `decide` | selection, lists of other tools, plan, names at the destination, deltas, wanted lists |
//! | 5 edge | `serve` | the read-only registry over HTTP |
//! | 4 places | [`bundle`], `registry`, `layout`, `archive`, `files`, `storage`, [`scan`], `secret`, `identity`, `keys` | implementations of the traits of [`content`]; scanners; sources of secrets; identities in a cloud; keys on cards and HSMs |
//! | 4 records | [`receipt`], [`report`], [`state`], [`audit`] | the result of an import; the page that a run is approved from; the bundles last accepted and exported; who did what |
//! | 3 network | `network` | the runtime, addresses, certificates, waits, pace and rate that all protocols share |
//! | 2 contracts | [`content`], [`outfile`], [`program`], [`signing`] | traits, checked streams, several sources as one; which files an output may change; other programs; keys and policies |
//! | 1 tools | [`closure`], [`flow`], [`system`], [`toml_file`], [`yaml`] | everything that an artifact references; cancel flag and events; system-specific code; TOML files that people write; YAML |
//! | 0 basics | [`oci`], [`base`] | digests, descriptors, documents, names; faults, locks, sizes, times, redaction of secrets |
//!
//! Limits: `oci` does no I/O; `bundle` uses no network and no terminal; `registry` does not know
//! bundles; only `cli` knows exit codes; only `cli::world` reads the environment and the clock.
//! Without the feature `carry`, only `verify`, `inspect` and `cat` exist, and no code that writes
//! bundles, signs or uses a network is compiled. With `guard`, these three commands confine
//! themselves.

use cfg_if::cfg_if;

pub mod audit;
pub mod base;
pub mod bundle;
pub mod cli;
pub mod closure;
pub mod content;
pub mod flow;
pub mod oci;
pub mod operate;
pub mod outfile;
pub mod program;
pub mod receipt;
pub mod report;
pub mod scan;
pub mod signing;
pub mod state;
pub mod system;
pub mod toml_file;

cfg_if! {
    if #[cfg(feature = "carry")] {
        pub mod archive;
        pub mod decide;
        pub mod files;
        pub mod keys;
        pub mod layout;
        pub mod yaml;
    }
}

cfg_if! {
    if #[cfg(feature = "online")] {
        pub mod identity;
        pub mod network;
        pub mod registry;
        pub mod secret;
        pub mod serve;
        pub mod storage;
    }
}

//! Carries container artifacts into places without a network.
//!
//! The map, floor by floor; a module uses only lower floors, siblings never each other
//! (`cargo xtask tidy` checks it).
//!
//! | floor | module | holds |
//! |---|---|---|
//! | 3 operations | `export`, `verify`, `import` (with `unpack`), `copy`, `diff`, `base`, `sign` | what the tool does |
//! | 2 decisions | `select`, `plan`, `route`, `wanted`, [`receipt`], [`report`] | pure; reach the world through floor 1; the page that a run is approved from |
//! | 2 places | `bundle`, `registry`, `layout`, `secret`, [`scan`], [`state`], [`audit`], `token` | adapters that implement floor 1; where secrets come from; what a scanner says of content; what was accepted last; who did what; keys on cards and HSMs |
//! | 1 contracts | [`closure`], [`content`], [`flow`], [`stream`], [`signing`], [`program`], [`spelling`], [`system`], [`wrong`] | the walk of what an artifact reaches, traits, cancel and events, checked streams, keys and policy, other programs, values in their one spelling, what systems do each in their own way, faults of files |
//! | 0 nouns | [`oci`], [`fault`], [`moment`], [`size`] | no I/O |
//!
//! Floor 4, the command line, is `cli` and the binary.
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
pub mod program;
pub mod receipt;
#[cfg(feature = "online")]
pub mod registry;
pub mod report;
pub mod scan;
#[cfg(feature = "online")]
pub mod secret;
pub mod signing;
pub mod spelling;
pub mod state;
pub mod system;
pub mod toml_error;

//! Pipelines of the configuration: turns a table into the requests that `export` and `import` also
//! make, runs them, and keeps the record of the run.
//!
//! No command line is made or parsed here.

pub mod check;
mod emit;
pub mod export;
pub mod find;
pub mod import;
pub mod place;
mod record;
mod secrets;

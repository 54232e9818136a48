//! Scan: every blob of a source to a scanner's standard input, one by one; only exit status 0 is clean
//! (`spec/scan.md`).
//!
//! With [`Options::files`] the regular files of each layer are given, everything else whole. What is given is checked
//! while it is given, and "clean" is said only at the end, of content whose digest holds and of every blob that is
//! listed. It knows no bundle and no terminal, and writes nothing.

mod archive;
mod coverage;
mod layer;
mod passing;
mod records;
mod run;
mod scanner;
mod starter;
mod summary;
mod uses;

pub use self::passing::{Passing, no_files};
pub use self::run::run;
pub use self::scanner::{Options, Problem, Scanner};
pub use self::summary::{Finding, Summary};
pub use self::uses::Used;

#[cfg(test)]
mod tests;

//! Scan: passes every blob of a source to the standard input of a scanner, one at a time. Only exit
//! status 0 is clean (`spec/scan.md`).
//!
//! With [`Options::files`] the regular files of layers are passed individually and everything else
//! as a whole. Content is verified while it is passed. "Clean" is concluded only at the end, when
//! every listed blob was scanned and its digest is correct. This module knows neither bundles nor
//! terminals and writes nothing.

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

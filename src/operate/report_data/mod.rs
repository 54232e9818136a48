//! The report of a run, made from what its command found: the verdict, who signed, what is inside, what was checked.
//!
//! It adds nothing to a verdict and takes nothing away. What a bundle says is told only once a known key has signed its
//! manifest; before, its file's name, its id and the key ids are all there is.

#[cfg(feature = "carry")]
pub mod carried;
mod checks;
mod contents;
mod found;
mod page;
mod words;

pub use self::found::{Bytes, Found, SCAN, Sight};
pub use self::page::{finish, page, plain, refuses};

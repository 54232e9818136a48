//! The report of a run, made from the facts that its command found: verdict, signers, contents,
//! checks.
//!
//! A report does not change the verdict. It shows the statements of a bundle only if a known key
//! signed its manifest; otherwise it shows only the file name, the bundle id and the key ids.

#[cfg(feature = "carry")]
pub mod carried;
mod checks;
mod contents;
#[cfg(feature = "carry")]
pub mod differing;
mod found;
pub mod images;
mod page;
mod words;

pub use self::contents::kind_of;
pub use self::found::{Bytes, Found, SCAN, Sight};
pub use self::page::{finish, page, plain, refuses, signatures_of};

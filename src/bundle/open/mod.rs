//! Opens a bundle: from untrusted bytes to [`Trusted`](trusted::Trusted).

pub mod catalog;
pub(super) mod policy;
pub mod trusted;
pub mod untrusted;

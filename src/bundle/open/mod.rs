//! Opening a bundle: from bytes that nobody vouched for to [`Trusted`](trusted::Trusted).

pub mod catalog;
pub(super) mod policy;
pub mod trusted;
pub mod untrusted;

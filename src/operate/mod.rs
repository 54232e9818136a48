//! Operations of the tool. Each takes a resolved request, reports through its
//! [`crate::flow::Flow`], and returns an outcome. Nothing here parses a command line or prints.

#[cfg(feature = "carry")]
pub mod copy;
pub mod diff;
#[cfg(feature = "carry")]
pub mod export;
pub mod freshness;
#[cfg(feature = "carry")]
pub mod import;
pub mod report_data;
#[cfg(feature = "online")]
pub mod serve;
#[cfg(feature = "carry")]
pub mod sign;
#[cfg(feature = "online")]
pub mod transfer;
pub mod verify;

//! The name and version of this program, as manifests, receipts, logs and reports state it.

/// The name and the version.
pub const TOOL: &str = concat!("packmule ", env!("CARGO_PKG_VERSION"));

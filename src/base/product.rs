//! Name and version of this program, as written to manifests, receipts, logs and reports.

/// Name and version.
pub const TOOL: &str = concat!("packmule ", env!("CARGO_PKG_VERSION"));

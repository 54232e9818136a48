//! Names of hosts in the tables, as in references.

use crate::base::fault::Fault;
use crate::oci::Repository;
use crate::toml_file::error::At;

/// Checks a host in a table.
///
/// # Errors
/// Class usage.
pub(super) fn host(text: &str, at: &At, subject: &str) -> Result<(), Fault> {
    if matches!(text, "index.docker.io" | "registry-1.docker.io") {
        return Err(at.wrong(format!("{subject}: expected docker.io, found {text:?}"), "write docker.io"));
    }
    Repository::new(text, "x").map(|_| ()).map_err(|_| {
        let what = format!("{subject}: expected HOST or HOST:PORT in lower case, found {text:?}");
        at.wrong(what, "write it as in references: docker.io, registry.example:5000")
    })
}

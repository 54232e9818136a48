//! Lists of the repositories of a source that has a catalog.

use super::{Error, Kind, Source};
use crate::base::fault::differs;
use crate::oci::Repository;

/// Returns the repositories of `host` at `place` whose path is `prefix` or below it; all of them if
/// `prefix` is empty.
///
/// # Errors
/// Those of [`super::Catalog::repositories`]; [`Kind::Refused`] if the place lists no repositories.
pub fn below(place: &dyn Source, host: Option<&str>, prefix: &str) -> Result<Vec<Repository>, Error> {
    let catalog = place.catalog().ok_or_else(|| {
        let what = differs("catalog", "a list of repositories", "a place without one");
        Error::new(Kind::Refused, what).help("name each repository")
    })?;
    let mut all = catalog.repositories(host)?;
    let inside = format!("{prefix}/");
    all.retain(|one| prefix.is_empty() || one.path() == prefix || one.path().starts_with(&inside));
    Ok(all)
}

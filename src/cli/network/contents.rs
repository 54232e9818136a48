//! The content of a registry as one side of `diff`.

use super::{Network, registries};
use crate::base::fault::{Class, Fault};
use crate::cli::Session;
use crate::content::{Error, Kind, TagList as _};
use crate::decide::select::{Selection, Wanted};
use crate::flow::each;
use crate::oci::{Reference, Repository};
use crate::operate::diff::Contents;
use crate::operate::diff::place::of_place;
use crate::registry::Registries;

impl Network {
    /// Reads the content of the registry at and below `prefix`; names exclude the prefix.
    ///
    /// # Errors
    /// Class usage, source.
    pub fn contents(&self, host: &str, prefix: &str, session: &Session<'_>) -> Result<Contents, Fault> {
        let registries = registries::open(self, session)?;
        let at_source = |error: Error| error.into_fault(Class::Source);
        let repositories = listed(&registries, host, prefix).map_err(at_source)?;
        let tags = each(&session.flow, &repositories, |repository| registries.tags(repository))?;
        let mut wanted = Vec::new();
        for (repository, tags) in repositories.iter().zip(tags) {
            let tags = match tags {
                Ok(tags) => tags,
                // A catalog may list repositories that no longer exist.
                Err(error) if error.class == Kind::Absent => continue,
                Err(error) => return Err(at_source(error)),
            };
            let artifacts = tags.into_iter().filter(|tag| !tag.is_referrers_fallback());
            wanted
                .extend(artifacts.map(|tag| {
                    Wanted::new(Reference { repository: repository.clone(), tag: Some(tag), digest: None })
                }));
        }
        let selection = Selection { wanted, ..Selection::default() };
        let below = format!("{prefix}/");
        of_place(&session.flow, &registries, &selection, &|repository| {
            let path = repository.path();
            Ok(path.strip_prefix(&below).unwrap_or(path).to_owned())
        })
    }
}

/// Lists the repositories at and below `prefix`.
fn listed(registries: &Registries, host: &str, prefix: &str) -> Result<Vec<Repository>, Error> {
    let mut all = registries.repositories(host)?;
    let below = format!("{prefix}/");
    all.retain(|one| prefix.is_empty() || one.path() == prefix || one.path().starts_with(&below));
    Ok(all)
}

//! The page of a server: its contents are read when it is first asked for.

use std::sync::{Arc, OnceLock};

use super::contents::repositories;
use super::offered::Offered;
use crate::content::Source;
use crate::oci::Artifact;
use crate::report::{Reached, Served, ServedPlace, served_html};
use crate::serve::Page;

/// The page of what is served at one time.
pub(super) struct SitePage {
    sources: Vec<Arc<dyn Source>>,
    places: Vec<ServedPlace>,
    listed: Vec<(String, usize, Artifact)>,
    served: OnceLock<Served>,
}

impl SitePage {
    /// Makes the page of `offered`. `listed` has the name, the number of the place and the artifact
    /// of everything that is served.
    pub(super) fn new(offered: Vec<Offered>, listed: Vec<(String, usize, Artifact)>) -> Self {
        let (sources, places) =
            offered.into_iter().map(|one| (one.source, ServedPlace { name: one.name, bundle: one.bundle })).unzip();
        Self { sources, places, listed, served: OnceLock::new() }
    }
}

impl Page for SitePage {
    fn html(&self, host: &str, is_tls: bool) -> String {
        let served = self.served.get_or_init(|| {
            let (repositories, more) = repositories(&self.sources, &self.listed);
            Served { places: self.places.clone(), repositories, more }
        });
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let is_loopback = name == "localhost" || name == "[::1]" || name.starts_with("127.");
        served_html(served, &Reached { host, is_tls, is_loopback })
    }
}

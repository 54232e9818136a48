//! The page of a server: its contents are read when it is first asked for.

use std::sync::{Arc, OnceLock};

use super::cache::{Cache, Health};
use super::contents::repositories;
use super::offered::Offered;
use crate::base::time::Moment;
use crate::content::Source;
use crate::oci::Artifact;
use crate::report::{Reached, Served, ServedCache, ServedPlace, ServedRule, served_html};
use crate::serve::Page;

/// The page of what is served at one time.
pub(super) struct SitePage {
    sources: Vec<Arc<dyn Source>>,
    places: Vec<ServedPlace>,
    listed: Vec<(String, usize, Artifact)>,
    served: OnceLock<Served>,
    cache: Option<Arc<Cache>>,
}

impl SitePage {
    /// Makes the page of `offered`. `listed` has the name, the number of the place and the artifact
    /// of everything that is served.
    pub(super) fn new(
        offered: Vec<Offered>,
        listed: Vec<(String, usize, Artifact)>,
        cache: Option<Arc<Cache>>,
    ) -> Self {
        let (sources, places) =
            offered.into_iter().map(|one| (one.source, ServedPlace { name: one.name, bundle: one.bundle })).unzip();
        Self { sources, places, listed, served: OnceLock::new(), cache }
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
        let rules = self.cache.as_deref().map(rules);
        served_html(served, rules.as_ref(), &Reached { host, is_tls, is_loopback })
    }
}

/// Returns what the page says of a cache and its rules.
fn rules(cache: &Cache) -> ServedCache {
    let moment = |seconds: i64| Moment::from_unix(seconds).map(|moment| moment.to_string()).unwrap_or_default();
    let health = cache.health();
    let shown = cache.rules().all().iter().zip(health).map(|(rule, health)| ServedRule {
        name: rule.name.clone(),
        source: rule.source.to_string(),
        target: rule.target.to_string(),
        credential: rule.credential.clone(),
        answered: match &health {
            Health::Good(at) => Some(moment(*at)),
            Health::Unknown | Health::Failing(..) => None,
        },
        failing: match health {
            Health::Failing(at, error) => Some((moment(at), error)),
            Health::Unknown | Health::Good(_) => None,
        },
    });
    let is_courier = cache.wanted().is_some();
    ServedCache { rules: shown.collect(), bytes: cache.bytes(), is_courier }
}

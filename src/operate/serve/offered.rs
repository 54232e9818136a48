//! A place that is served, with what the page says of it.

use std::sync::Arc;

use crate::base::fault::Fault;
use crate::bundle::{Trusted, Untrusted};
use crate::content::Source;
use crate::flow::Flow;
use crate::operate::report_data::{self, Sight};
use crate::operate::verify::{self, Scope};
use crate::report::ServedBundle;
use crate::signing::Policy;

/// A place to serve.
pub struct Offered {
    /// Name for people.
    pub name: String,
    /// The place.
    pub source: Arc<dyn Source>,
    /// Facts of a bundle.
    pub bundle: Option<ServedBundle>,
}

/// A bundle that is opened to be served.
pub struct Bundled<'a> {
    /// The bundle.
    pub head: Untrusted,
    /// Policy that says which keys to trust.
    pub policy: &'a Policy,
    /// Whether all of it is read and checked first; otherwise each blob is when it is sent.
    pub checks_all: bool,
}

impl Bundled<'_> {
    /// Authenticates the bundle.
    ///
    /// # Errors
    /// Those of [`Untrusted::authenticate`] and, if all of it is checked, of [`verify::run`].
    pub fn open(self, flow: &Flow) -> Result<Offered, Fault> {
        let name = self.head.name().to_string();
        let signatures = report_data::signatures_of(&Sight::of(&self.head, self.policy));
        let bundle: Trusted = if self.checks_all {
            let verdict = verify::run(&flow.quiet(), verify::Request::new(self.head, self.policy, &Scope::default()));
            match (verdict.bundle, verdict.fault) {
                (Some(bundle), None) => bundle,
                (_, Some(fault)) => return Err(fault),
                (None, None) => return Err(Fault::new(crate::base::fault::Class::Bug, "a verdict without a bundle")),
            }
        } else {
            self.head.authenticate(self.policy)?
        };
        let manifest = bundle.manifest();
        let now = flow.clock().unix();
        let served = ServedBundle {
            id: bundle.id().to_string(),
            created: manifest.created.to_string(),
            expires: manifest.expires.map(|expires| expires.to_string()),
            is_expired: manifest.expires.is_some_and(|expires| expires.unix() <= now),
            channel: manifest.channel.clone().map(|channel| {
                (channel, manifest.epoch.unwrap_or_default(), manifest.sequence.unwrap_or_default())
            }),
            signatures,
        };
        Ok(Offered { name, source: Arc::new(bundle), bundle: Some(served) })
    }
}

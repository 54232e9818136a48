//! A place that is served, with what the page says of it.

use std::sync::Arc;

use crate::base::fault::Fault;
use crate::bundle::Untrusted;
use crate::bundle::check::parallel::check;
use crate::content::Source;
use crate::flow::Flow;
use crate::operate::report_data::{self, Sight};
use crate::report::ServedBundle;
use crate::signing::Policy;

/// Maximum number of bytes of documents that a served bundle keeps in memory; the server keeps those
/// that were asked for last, too.
const DOCUMENTS: u64 = 8 << 20;

/// A place to serve.
#[derive(Clone)]
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
    /// Authenticates the bundle. Returns `None` if all of it is to be checked and a volume is
    /// missing: it may still arrive.
    ///
    /// # Errors
    /// Those of [`Untrusted::authenticate`] and, if all of it is checked, of [`check`].
    pub fn open(self, flow: &Flow) -> Result<Option<Offered>, Fault> {
        let name = self.head.name().to_string();
        let signatures = report_data::signatures_of(&Sight::of(&self.head, self.policy));
        let bundle = self.head.authenticate(self.policy)?;
        if self.checks_all {
            if bundle.lacks_any() {
                return Ok(None);
            }
            check(&bundle, &flow.quiet(), true).map_err(|refusal| refusal.fault)?;
        }
        bundle.keep_documents(DOCUMENTS);
        let manifest = bundle.manifest();
        let now = flow.clock().unix();
        let served = ServedBundle {
            id: bundle.id().to_string(),
            created: manifest.created.to_string(),
            expires: manifest.expires.map(|expires| expires.to_string()),
            is_expired: manifest.expires.is_some_and(|expires| expires.unix() <= now),
            channel: manifest
                .channel
                .clone()
                .map(|channel| (channel, manifest.epoch.unwrap_or_default(), manifest.sequence.unwrap_or_default())),
            signatures,
        };
        Ok(Some(Offered { name, source: Arc::new(bundle), bundle: Some(served) }))
    }
}

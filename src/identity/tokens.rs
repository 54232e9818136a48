//! One identity, and its tokens by service.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use zeroize::Zeroizing;

use super::authority::{self, Proof};
use super::cloud::{Audience, Cloud};
use super::kept::{Fresh, Kept};
use super::metadata::{self, Managed, Metadata};
use super::tool;
use super::web::Web;
use crate::base::lock::lock;
use crate::content::{Error, Kind};
use crate::network::secret_source::SecretSource;
use crate::program::Surroundings;

/// Most bytes of a workload's own token.
const MOST_ASSERTION: u64 = 64 << 10;

/// An application that proves itself to the login authority.
#[derive(Clone)]
pub struct Application<P> {
    /// Its tenant.
    pub tenant: String,
    /// Its client id.
    pub client: String,
    /// Its proof.
    pub proof: P,
}

/// Who an identity is.
#[derive(Clone)]
pub enum Who {
    /// A managed identity.
    Managed(Managed, Metadata),
    /// An application with a secret.
    Application(Application<Arc<dyn SecretSource>>),
    /// A workload, whose platform renews a token of its own in a file.
    Workload(Application<PathBuf>),
    /// The user of the cloud's command line tool; `Some`: in this tenant.
    Tool(Surroundings, Option<String>),
}

/// An identity in a cloud.
pub struct Identity {
    who: Who,
    cloud: Cloud,
    web: Arc<Web>,
    kept: Mutex<HashMap<Audience, Arc<Kept>>>,
}

impl Identity {
    /// Makes an identity. Asks for nothing yet.
    pub fn new(who: Who, cloud: Cloud, web: Arc<Web>) -> Self {
        Self { who, cloud, web, kept: Mutex::default() }
    }

    /// Returns the cloud of the identity.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// Returns what it asks with.
    pub(super) fn web(&self) -> &Arc<Web> {
        &self.web
    }

    /// Returns a token for a service. With `again`, a new one, because the last was refused.
    ///
    /// # Errors
    /// Those of [`SecretSource::read`].
    pub fn token(self: &Arc<Self>, audience: Audience, again: bool) -> Result<Zeroizing<String>, Error> {
        let kept = {
            let mut all = lock(&self.kept);
            let own = all.entry(audience).or_insert_with(|| {
                // Kept in the identity itself, so it must not keep it in turn.
                let identity = Arc::downgrade(self);
                Arc::new(Kept::new(self.web.flow().clone(), move || match identity.upgrade() {
                    Some(identity) => identity.request(audience),
                    None => Err(Error::new(Kind::Cancelled, "cancelled")),
                }))
            });
            Arc::clone(own)
        };
        kept.read(again)
    }

    fn request(&self, audience: Audience) -> Result<Fresh, Error> {
        let resource = self.cloud.resource(audience);
        let ask = |tenant: &str, client: &str, proof: &Proof<'_>| {
            authority::token(&self.web, &self.cloud, (tenant, client), proof, &resource)
        };
        let fresh = match &self.who {
            Who::Managed(who, metadata) => metadata::token(&self.web, metadata, who, &resource)?,
            Who::Application(Application { tenant, client, proof }) => {
                let secret = proof.read(false)?;
                self.web.learn(&secret);
                match ask(tenant, client, &Proof::Secret(&secret)) {
                    // It may have been changed since it was read.
                    Err(error) if error.class == Kind::Denied => {
                        let newer = proof.read(true)?;
                        if *newer == *secret {
                            return Err(error);
                        }
                        self.web.learn(&newer);
                        ask(tenant, client, &Proof::Secret(&newer))?
                    }
                    ended => ended?,
                }
            }
            Who::Workload(Application { tenant, client, proof }) => {
                let own = assertion(proof)?;
                self.web.learn(&own);
                ask(tenant, client, &Proof::Assertion(&own))?
            }
            Who::Tool(surroundings, tenant) => {
                tool::token(surroundings, tenant.as_deref(), audience, &resource, self.web.now())?
            }
        };
        self.web.learn(&fresh.value);
        Ok(fresh)
    }
}

/// Reads the token that the platform keeps in a file and renews.
fn assertion(path: &std::path::Path) -> Result<Zeroizing<String>, Error> {
    use std::io::Read as _;
    let shown = path.display();
    let wrong = |found: &dyn fmt::Display| {
        Error::new(Kind::Policy, format!("federated token file {shown}: {found}"))
            .help("set AZURE_FEDERATED_TOKEN_FILE to the file that the platform renews")
    };
    let file = std::fs::File::open(path).map_err(|error| wrong(&error))?;
    let mut text = Zeroizing::new(String::new());
    file.take(MOST_ASSERTION + 1).read_to_string(&mut text).map_err(|error| wrong(&error))?;
    let token = text.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token || text.len() as u64 > MOST_ASSERTION {
        return Err(wrong(&"expected a token, found something else"));
    }
    Ok(Zeroizing::new(token.to_owned()))
}

/// Tokens of an identity for one service.
pub struct Bearer {
    /// The identity.
    pub identity: Arc<Identity>,
    /// The service.
    pub audience: Audience,
}

impl SecretSource for Bearer {
    fn read(&self, again: bool) -> Result<Zeroizing<String>, Error> {
        self.identity.token(self.audience, again)
    }
}

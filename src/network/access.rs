//! How a store is accessed: what the command line found out for it, and what adapters of stores take.
//!
//! Holds no secret, only where each is read.

use std::sync::Arc;

use super::secret_source::SecretSource;

/// Access to a store.
#[derive(Clone)]
pub enum Access {
    /// Without any secret.
    Anonymous,
    /// By what the machine itself offers: its environment, its files, its metadata service.
    Machine,
    /// By a shared access signature of Azure.
    Sas(Arc<dyn SecretSource>),
    /// By the key of an Azure storage account.
    AccountKey(Arc<dyn SecretSource>),
    /// By tokens of Microsoft's cloud for storage.
    Bearer(Arc<dyn SecretSource>),
    /// By an AWS access key.
    AccessKey {
        /// Its id.
        id: Arc<dyn SecretSource>,
        /// Its secret.
        secret: Arc<dyn SecretSource>,
        /// Token of a temporary key.
        token: Option<Arc<dyn SecretSource>>,
    },
    /// By a profile of the AWS configuration files.
    Profile(String),
    /// By the key of a Google service account, in JSON.
    ServiceAccount(Arc<dyn SecretSource>),
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Machine => "Machine",
            Self::Sas(_) => "Sas",
            Self::AccountKey(_) => "AccountKey",
            Self::Bearer(_) => "Bearer",
            Self::AccessKey { .. } => "AccessKey",
            Self::Profile(_) => "Profile",
            Self::ServiceAccount(_) => "ServiceAccount",
        })
    }
}

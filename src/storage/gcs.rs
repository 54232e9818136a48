//! Buckets of Google Cloud Storage, by its XML interface.
//!
//! ```text
//! let bucket = gcs::open(gcs::Settings { bucket, prefix, endpoint, access, journals }, &network)?;
//! ```
//!
//! Reads no environment and no files: the caller passes values, and sources of secrets.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorageBuilder};
use object_store::{CredentialProvider, StaticCredentialProvider};
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::s3_protocol::bucket::{Bucket, Network, Place};
use super::s3_protocol::service::Service;
use super::s3_protocol::store::{Dialect, Opened, Product, Signer, no_retries};
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::network::origin;
use crate::network::secret_source::SecretSource;
use crate::network::secrets::Secrets;

/// Google's own address.
const ADDRESS: &str = "https://storage.googleapis.com";
/// Address of the metadata service.
const METADATA: &str = "http://metadata.google.internal";
/// Path of the token of the machine's service account.
const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
/// Time before its end at which a token is no longer used. The metadata service has a new one by then.
const SPARE: Duration = Duration::from_secs(60);

/// Way to get access to a bucket.
#[derive(Clone)]
pub enum Access {
    /// The key of a service account, as JSON.
    ServiceAccount(Arc<dyn SecretSource>),
    /// An access token.
    Token(Arc<dyn SecretSource>),
    /// The service account of the machine, by the metadata service.
    Metadata {
        /// Address of the metadata service, if it is not the usual one.
        endpoint: Option<String>,
    },
    /// Nothing: the bucket is open to everyone.
    Anonymous,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceAccount(_) => "ServiceAccount",
            Self::Token(_) => "Token",
            Self::Metadata { .. } => "Metadata",
            Self::Anonymous => "Anonymous",
        })
    }
}

/// Settings of a bucket.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the bucket.
    pub bucket: String,
    /// Prefix that all names are relative to; may be empty.
    pub prefix: String,
    /// Address of an emulator; `None` for Google's.
    pub endpoint: Option<Url>,
    /// Way to get access.
    pub access: Access,
    /// Directory of the journals of uploads. Without it, an upload that was killed goes on by the store's lists only.
    pub journals: Option<PathBuf>,
}

/// Opens a bucket. Asks nothing yet, and reads no secret.
///
/// # Errors
/// [`Kind::Policy`] for an unusable address, or plain http to another machine.
pub fn open(settings: Settings, network: &Network) -> Result<Bucket, Error> {
    let unusable = |what: String| Error::new(Kind::Policy, format!("gs://{}: {what}", escape(&settings.bucket)));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if settings.bucket.is_empty() || settings.bucket.starts_with('.') || !settings.bucket.bytes().all(is_name) {
        return Err(unusable("expected the name of a bucket, found another".to_owned()));
    }
    let base = settings.endpoint.clone().map_or_else(|| Url::parse(ADDRESS), Ok);
    let base = base.map_err(|error| unusable(format!("endpoint: {error}")))?;
    let host = base.host_str().unwrap_or_default();
    if base.scheme() != "https" && !(base.scheme() == "http" && origin::is_loopback(host)) {
        let what = format!("endpoint {}: expected https, found {}", escape(&origin::authority(&base)), base.scheme());
        return Err(unusable(what).help("use https: plain http is for the local machine only"));
    }
    let base = base.as_str().trim_end_matches('/').to_owned();
    let address = Url::parse(&format!("{base}/{}", settings.bucket));
    let place = Place {
        shown: format!("gs://{}", settings.bucket),
        address: address.map_err(|error| unusable(format!("address: {error}")))?,
        prefix: settings.prefix.clone(),
        journals: settings.journals.clone(),
    };
    let secrets = Arc::clone(&network.clients.settings().secrets);
    Bucket::new(place, Box::new(Gcs { settings, base, secrets }), network)
}

/// Google Cloud Storage as a product.
struct Gcs {
    settings: Settings,
    base: String,
    secrets: Arc<Secrets>,
}

impl Product for Gcs {
    fn open(&self, service: Service, again: bool) -> Result<Opened, Error> {
        let builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(&self.settings.bucket)
            .with_base_url(&self.base)
            .with_retry(no_retries())
            .with_http_connector(service.clone());
        let bearer = |token: &str| -> GcpCredentialProvider {
            Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: token.to_owned() }))
        };
        let builder = match &self.settings.access {
            Access::ServiceAccount(source) => {
                let key = source.read(again)?;
                self.secrets.secret(&key);
                builder.with_service_account_key(key.as_str())
            }
            Access::Token(source) => {
                let token = source.read(again)?;
                self.secrets.token(token.trim());
                builder.with_credentials(bearer(token.trim()))
            }
            // Without credentials of our own, the library would look for files in the home directory.
            Access::Metadata { endpoint } => builder.with_credentials(Arc::new(MetadataToken {
                address: format!("{}{TOKEN}", endpoint.as_deref().unwrap_or(METADATA).trim_end_matches('/')),
                service: service.clone(),
                secrets: Arc::clone(&self.secrets),
                held: Mutex::default(),
            })),
            Access::Anonymous => builder.with_credentials(bearer("")).with_skip_signature(true),
        };
        // The text of the error may hold a part of the key.
        let store = builder.build().map_err(|_| {
            let what = format!(
                "gs://{}: expected the key of a service account in JSON, found other content",
                self.settings.bucket
            );
            Error::new(Kind::Policy, what).help("name a key file as Google's console writes it")
        })?;
        let signer = match self.settings.access {
            Access::Anonymous => Signer::Nobody,
            _ => Signer::Google(Arc::clone(store.credentials())),
        };
        let store = Arc::new(store);
        Ok(Opened { objects: Arc::clone(&store) as _, parts: store, signer, service })
    }

    fn dialect(&self) -> Dialect {
        Dialect::Google
    }
}

/// Tokens of the metadata service.
struct MetadataToken {
    address: String,
    service: Service,
    secrets: Arc<Secrets>,
    /// The token, and when it ends on the clock of the flow.
    held: Mutex<Option<(Arc<GcpCredential>, Duration)>>,
}

impl fmt::Debug for MetadataToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MetadataToken")
    }
}

impl MetadataToken {
    fn now(&self) -> Duration {
        self.service.meter.flow.clock().elapsed()
    }
}

/// Answer of the metadata service.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: u64,
}

#[async_trait::async_trait]
impl CredentialProvider for MetadataToken {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let generic =
            |source: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic { store: "GCS", source };
        let mut held = self.held.lock().await;
        if let Some((credential, end)) = &*held
            && self.now() + SPARE < *end
        {
            return Ok(Arc::clone(credential));
        }
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = self.address.parse().map_err(|error| generic(Box::new(error)))?;
        request.headers_mut().insert("Metadata-Flavor", reqwest::header::HeaderValue::from_static("Google"));
        let response = HttpClient::new(self.service.clone()).execute(request).await;
        let response = response.map_err(|error| generic(Box::new(error)))?;
        if !response.status().is_success() {
            return Err(generic("refused".into()));
        }
        let body = response.into_body().bytes().await.map_err(|error| generic(Box::new(error)))?;
        // The text of the error may hold a part of the token.
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| generic("expected a token".into()))?;
        self.secrets.token(&answer.access_token);
        let credential = Arc::new(GcpCredential { bearer: answer.access_token });
        *held = Some((Arc::clone(&credential), self.now().saturating_add(Duration::from_secs(answer.expires_in))));
        Ok(credential)
    }
}

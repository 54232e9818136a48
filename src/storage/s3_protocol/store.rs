//! A store as object_store opens it, and signed requests for what object_store cannot ask.

use std::sync::Arc;

use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::gcp::GcpCredentialProvider;
use object_store::multipart::MultipartStore;
use object_store::{ObjectStore, Result, RetryConfig};
use reqwest::Url;
use reqwest::header::AUTHORIZATION;

use super::service::Service;
use crate::content::Error;

/// Opens a store, and says how its requests differ from those of others.
pub trait Product: Send + Sync {
    /// Opens the store with the credentials of now. With `again`, those used before were refused.
    ///
    /// # Errors
    /// Those of the sources of the credentials; [`crate::content::Kind::Policy`] for unusable ones.
    fn open(&self, service: Service, again: bool) -> std::result::Result<Opened, Error>;

    /// Returns how conditions and checksums are written.
    fn dialect(&self) -> Dialect;

    /// Returns whether an object that was uploaded in parts may have the MD5 of the whole as its
    /// `ETag`, as some compatible stores give it.
    fn may_tell_md5(&self) -> bool {
        false
    }
}

/// How conditions and checksums are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `If-Match` with the `ETag`.
    Aws,
    /// `x-goog-if-generation-match` with the generation; `x-goog-hash`.
    Google,
}

/// Signer of requests.
pub enum Signer {
    /// Nothing: the store is open to everyone.
    Nobody,
    /// AWS signature version 4.
    Aws {
        /// The keys.
        credentials: AwsCredentialProvider,
        /// The region.
        region: String,
    },
    /// A bearer token.
    Google(GcpCredentialProvider),
}

/// An open store.
pub struct Opened {
    /// Objects.
    pub objects: Arc<dyn ObjectStore>,
    /// Uploads in parts.
    pub parts: Arc<dyn MultipartStore>,
    /// Signs requests.
    pub signer: Signer,
    /// Sends them.
    pub service: Service,
}

impl Opened {
    /// Sends a signed GET and returns the document in the answer.
    pub async fn document(&self, url: &Url) -> Result<bytes::Bytes> {
        let generic =
            |source: Box<dyn std::error::Error + Send + Sync>| object_store::Error::Generic { store: "", source };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().map_err(|error| generic(Box::new(error)))?;
        match &self.signer {
            Signer::Nobody => {}
            Signer::Aws { credentials, region } => {
                let credential = credentials.get_credential().await?;
                AwsAuthorizer::new(&credential, "s3", region).try_authorize(&mut request, None)?;
            }
            Signer::Google(credentials) => {
                let credential = credentials.get_credential().await?;
                let value = format!("Bearer {}", credential.bearer).parse();
                request.headers_mut().insert(AUTHORIZATION, value.map_err(|error| generic(Box::new(error)))?);
            }
        }
        let response = HttpClient::new(self.service.clone()).execute(request).await;
        let response = response.map_err(|error| generic(Box::new(error)))?;
        if !response.status().is_success() {
            return Err(generic("refused".into()));
        }
        response.into_body().bytes().await.map_err(|error| generic(Box::new(error)))
    }
}

/// Returns the retries of object_store: none, since our own stand around it.
pub fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

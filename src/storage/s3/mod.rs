//! Buckets of Amazon S3 and of compatible stores.
//!
//! ```text
//! let bucket = s3::open(s3::Settings { bucket, prefix, region, endpoint, path_style, access, journals }, &network)?;
//! let container: Arc<dyn Container> = Arc::new(bucket);
//! ```
//!
//! Reads no environment and no configuration: the caller passes values, and sources of secrets. The token file of a
//! web identity is read at its path each time it is needed, since it changes.

pub mod chain;
pub mod profile;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use reqwest::Url;

use super::s3_protocol::bucket::{Bucket, Network, Place};
use super::s3_protocol::service::Service;
use super::s3_protocol::store::{Dialect, Opened, Product, Signer, no_retries};
use crate::base::fault::escape;
use crate::content::{Error, Kind};
use crate::network::origin;
use crate::network::secret_source::SecretSource;
use crate::network::secrets::Secrets;

/// Region where none is given and the endpoint is not Amazon's: what compatible stores expect.
const REGION: &str = "us-east-1";

/// Way to get access to a bucket.
#[derive(Clone)]
pub enum Access {
    /// An access key. All three are read again together when the store refuses them.
    Keys {
        /// Id of the key.
        id: Arc<dyn SecretSource>,
        /// Its secret.
        secret: Arc<dyn SecretSource>,
        /// Token of the session, with keys that end.
        session: Option<Arc<dyn SecretSource>>,
    },
    /// A role, for a token in a file (`AWS_WEB_IDENTITY_TOKEN_FILE`).
    WebIdentity {
        /// ARN of the role.
        role: String,
        /// Path of the file.
        token_file: PathBuf,
        /// Name of the session.
        session: Option<String>,
        /// Address of the token service, if it is not that of the region.
        endpoint: Option<String>,
    },
    /// The task's role in ECS (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`).
    Task(String),
    /// The pod's role in EKS (`AWS_CONTAINER_CREDENTIALS_FULL_URI`, `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`).
    Pod {
        /// Address of the agent.
        address: String,
        /// Path of its token.
        token_file: PathBuf,
    },
    /// The role of the machine, by the metadata service in version 2.
    Instance {
        /// Address of the metadata service, if it is not the usual one.
        endpoint: Option<String>,
    },
    /// Nothing: the bucket is open to everyone.
    Anonymous,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys { .. } => "Keys",
            Self::WebIdentity { .. } => "WebIdentity",
            Self::Task(_) => "Task",
            Self::Pod { .. } => "Pod",
            Self::Instance { .. } => "Instance",
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
    /// Region. `None` is right for most compatible stores.
    pub region: Option<String>,
    /// Address of a compatible store, without the bucket; `None` for Amazon's.
    pub endpoint: Option<Url>,
    /// Whether the bucket stands in the path and not in the host. `None`: as is usual at the endpoint.
    pub path_style: Option<bool>,
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
    let (address, path_style) = address(&settings)?;
    let place = Place {
        shown: format!("s3://{}", escape(&settings.bucket)),
        address: address.clone(),
        prefix: settings.prefix.clone(),
        journals: settings.journals.clone(),
    };
    let secrets = Arc::clone(&network.clients.settings().secrets);
    Bucket::new(place, Box::new(S3 { settings, address, path_style, secrets }), network)
}

/// Returns the address of the bucket, and whether it stands in the path.
fn address(settings: &Settings) -> Result<(Url, bool), Error> {
    let bucket = &settings.bucket;
    let unusable = |what: String| Error::new(Kind::Policy, format!("s3://{}: {what}", escape(bucket)));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if bucket.is_empty() || bucket.starts_with('.') || !bucket.bytes().all(is_name) {
        return Err(unusable("expected the name of a bucket, found another".to_owned()));
    }
    let region = settings.region.as_deref().unwrap_or(REGION);
    if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(unusable("expected a region like eu-central-1, found another".to_owned()));
    }
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let amazon = || Url::parse(&format!("https://s3.{region}.{suffix}"));
    let base = settings.endpoint.clone().map_or_else(amazon, Ok);
    let base = base.map_err(|error| unusable(format!("endpoint: {error}")))?;
    let host = base.host_str().unwrap_or_default().to_owned();
    if base.scheme() != "https" && !(base.scheme() == "http" && origin::is_loopback(&host)) {
        let what = format!("endpoint {}: expected https, found {}", escape(&origin::authority(&base)), base.scheme());
        return Err(unusable(what).help("use https: plain http is for the local machine only"));
    }
    // A dot in the name does not fit the store's certificate.
    let path_style = settings.path_style.unwrap_or(settings.endpoint.is_some() || bucket.contains('.'));
    let text = if path_style {
        format!("{}/{bucket}", base.as_str().trim_end_matches('/'))
    } else {
        let rest = base.as_str().split_once("://").map_or("", |(_, rest)| rest);
        format!("{}://{bucket}.{}", base.scheme(), rest.trim_end_matches('/'))
    };
    Ok((Url::parse(&text).map_err(|error| unusable(format!("address: {error}")))?, path_style))
}

/// S3 as a product.
struct S3 {
    settings: Settings,
    address: Url,
    path_style: bool,
    secrets: Arc<Secrets>,
}

impl Product for S3 {
    fn open(&self, service: Service, again: bool) -> Result<Opened, Error> {
        let whole = self.address.as_str().trim_end_matches('/');
        // It adds the bucket to a path, and takes a host as it is.
        let endpoint = if self.path_style { whole.rsplit_once('/').map_or(whole, |(base, _)| base) } else { whole };
        let region = self.settings.region.clone().unwrap_or_else(|| REGION.to_owned());
        let builder = AmazonS3Builder::new()
            .with_bucket_name(&self.settings.bucket)
            .with_region(&region)
            .with_endpoint(endpoint)
            .with_virtual_hosted_style_request(!self.path_style)
            .with_allow_http(true)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_bulk_delete(true)
            .with_retry(no_retries())
            .with_http_connector(service.clone());
        let file = |path: &PathBuf| path.to_string_lossy().into_owned();
        let builder = match &self.settings.access {
            Access::Keys { id, secret, session } => {
                let (id, secret) = (id.read(again)?, secret.read(again)?);
                self.secrets.secret(&secret);
                let builder = builder.with_access_key_id(id.trim()).with_secret_access_key(secret.trim());
                match session {
                    Some(session) => {
                        let token = session.read(again)?;
                        self.secrets.token(&token);
                        builder.with_token(token.trim())
                    }
                    None => builder,
                }
            }
            Access::WebIdentity { role, token_file, session, endpoint } => {
                let key = AmazonS3ConfigKey::WebIdentityTokenFile;
                let builder = builder.with_config(key, file(token_file)).with_config(AmazonS3ConfigKey::RoleArn, role);
                let named = [(AmazonS3ConfigKey::RoleSessionName, session), (AmazonS3ConfigKey::StsEndpoint, endpoint)];
                named.into_iter().fold(builder, |builder, (key, value)| match value {
                    Some(value) => builder.with_config(key, value),
                    None => builder,
                })
            }
            Access::Task(address) => builder.with_config(AmazonS3ConfigKey::ContainerCredentialsRelativeUri, address),
            Access::Pod { address, token_file } => builder
                .with_config(AmazonS3ConfigKey::ContainerCredentialsFullUri, address)
                .with_config(AmazonS3ConfigKey::ContainerAuthorizationTokenFile, file(token_file)),
            Access::Instance { endpoint: Some(endpoint) } => builder.with_metadata_endpoint(endpoint),
            Access::Instance { endpoint: None } => builder,
            Access::Anonymous => builder.with_skip_signature(true),
        };
        // The text of the error may hold a part of a secret.
        let store = builder.build().map_err(|_| {
            let what = format!("s3://{}: expected usable settings, found others", escape(&self.settings.bucket));
            Error::new(Kind::Policy, what).help("check the keys and the endpoint in the [storage] table")
        })?;
        let signer = match self.settings.access {
            Access::Anonymous => Signer::Nobody,
            _ => Signer::Aws { credentials: Arc::clone(store.credentials()), region },
        };
        let store = Arc::new(store);
        Ok(Opened { objects: Arc::clone(&store) as _, parts: store, signer, service })
    }

    fn dialect(&self) -> Dialect {
        Dialect::Aws
    }

    fn may_tell_md5(&self) -> bool {
        // Amazon's never do.
        self.settings.endpoint.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(bucket: &str, endpoint: Option<&str>, path_style: Option<bool>) -> Settings {
        Settings {
            bucket: bucket.to_owned(),
            prefix: String::new(),
            region: Some("eu-central-1".to_owned()),
            endpoint: endpoint.map(|endpoint| Url::parse(endpoint).unwrap()),
            path_style,
            access: Access::Anonymous,
            journals: None,
        }
    }

    #[test]
    fn the_bucket_is_in_the_host_or_the_path() {
        for (bucket, endpoint, path_style, expected) in [
            ("bk", None, None, "https://bk.s3.eu-central-1.amazonaws.com/"),
            ("b.k", None, None, "https://s3.eu-central-1.amazonaws.com/b.k"),
            ("bk", None, Some(true), "https://s3.eu-central-1.amazonaws.com/bk"),
            ("bk", Some("http://127.0.0.1:9000"), None, "http://127.0.0.1:9000/bk"),
            ("bk", Some("https://s3.example/sub/"), None, "https://s3.example/sub/bk"),
            ("bk", Some("https://s3.example:8443"), Some(false), "https://bk.s3.example:8443/"),
        ] {
            let (found, _) = address(&settings(bucket, endpoint, path_style)).unwrap();
            assert_eq!(found.as_str(), expected);
        }
        let china = Settings { region: Some("cn-north-1".to_owned()), ..settings("bk", None, None) };
        assert_eq!(address(&china).unwrap().0.as_str(), "https://bk.s3.cn-north-1.amazonaws.com.cn/");
    }

    #[test]
    fn unusable_addresses_are_refused() {
        for (bucket, endpoint) in [
            ("", None),
            ("a/b", None),
            ("..", None),
            ("a?b", None),
            ("bk", Some("http://s3.example")),
            ("bk", Some("http://10.0.0.1:9000")),
            ("bk", Some("ftp://127.0.0.1")),
        ] {
            let error = address(&settings(bucket, endpoint, None)).unwrap_err();
            assert_eq!(error.class, Kind::Policy, "{bucket} {endpoint:?}");
        }
        let region = Settings { region: Some("x.evil.example/".to_owned()), ..settings("bk", None, None) };
        assert!(address(&region).is_err());
    }
}

//! Buckets of S3 and Google Cloud Storage: turns a table, its access and the machine's environment
//! into an open bucket.
//!
//! The variables and files are those of the clouds' own tools. Files are read again when the store
//! refuses what they held.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::cli::Session;
use crate::content::{Error, Kind};
use crate::network::access::Access;
use crate::network::origin::Url;
use crate::network::secret_source::SecretSource;
use crate::storage::s3::chain::{self, Files};
use crate::storage::{Bucket, Network, gcs, s3};
use crate::system::{self, Found};

/// Maximum size of a file of profiles or keys, in bytes.
const MOST: u64 = 1 << 20;

/// Where a bucket is, as typed and as its table says.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Name of the bucket.
    pub bucket: String,
    /// Path below it.
    pub prefix: String,
    /// Region.
    pub region: Option<String>,
    /// Address of a compatible store or an emulator.
    pub endpoint: Option<String>,
    /// Whether the bucket is named in the path.
    pub path_style: Option<bool>,
}

impl Place {
    /// Parses `s3://BUCKET[/PREFIX]` or `gs://BUCKET[/PREFIX]`.
    pub fn parse(url: &str) -> Self {
        let (_, rest) = url.split_once("://").unwrap_or(("", url));
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        Self { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned(), ..Self::default() }
    }
}

fn policy(what: impl Into<crate::base::fault::Description>, help: &str) -> Error {
    Error::new(Kind::Policy, what).help(help)
}

fn endpoint(text: Option<String>) -> Result<Option<Url>, Error> {
    let wrong = |_| policy("endpoint: expected https://HOST[:PORT], found something else", "correct the endpoint");
    text.map(|text| Url::parse(&text).map_err(wrong)).transpose()
}

/// A file that is read each time.
struct InFile(PathBuf);

impl SecretSource for InFile {
    fn read(&self, _: bool) -> Result<Zeroizing<String>, Error> {
        read(&self.0)?.ok_or_else(|| {
            let what = format!("{}: expected a key, found no file", self.0.display());
            policy(what, "correct GOOGLE_APPLICATION_CREDENTIALS")
        })
    }
}

/// Reads a small file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<Zeroizing<String>>, Error> {
    use std::io::Read as _;
    let file = match system::open_followed(path) {
        Ok(file) => file,
        Err(unopened) if unopened.found == Found::Nothing => return Ok(None),
        Err(unopened) => return Err(Error::io(path.display(), &unopened.error)),
    };
    let mut text = Zeroizing::new(String::new());
    file.take(MOST).read_to_string(&mut text).map_err(|error| Error::io(path.display(), &error))?;
    Ok(Some(text))
}

fn variable<'a>(session: &'a Session<'_>) -> impl Fn(&str) -> Option<String> + use<'a> {
    let world = &*session.world;
    move |name| world.var(name).and_then(|value| value.to_str()).map(ToOwned::to_owned)
}

/// Returns how the profile files of the AWS tools are read.
fn profiles(session: &Session<'_>) -> Files {
    let home = session.world.var("HOME").map(PathBuf::from).unwrap_or_default().join(".aws");
    let place = |name: &str, file: &str| {
        session.world.var(name).map_or_else(|| home.join(file), |path| session.path(path.as_ref()))
    };
    let credentials = place("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = place("AWS_CONFIG_FILE", "config");
    Arc::new(move || Ok((read(&credentials)?.unwrap_or_default(), read(&config)?.unwrap_or_default())))
}

/// Opens a bucket of S3 or of a compatible store. Asks nothing yet.
///
/// # Errors
/// [`Kind::Policy`] for settings that cannot be used; [`Kind::Io`] for a file that cannot be read.
pub fn open_s3(place: Place, access: Access, network: &Network, session: &Session<'_>) -> Result<Bucket, Error> {
    let find = |named: Option<&str>| chain::find(&variable(session), &profiles(session), named);
    let (access, region, address) = match access {
        Access::AccessKey { id, secret, token } => (s3::Access::Keys { id, secret, session: token }, None, None),
        Access::Anonymous => (s3::Access::Anonymous, None, None),
        Access::Profile(name) => {
            let found = find(Some(&name))?;
            (found.access, found.region, found.endpoint)
        }
        Access::Machine => {
            let found = find(None)?;
            (found.access, found.region, found.endpoint)
        }
        _ => return Err(policy("expected a credential of S3, found another one", "name another credential")),
    };
    let settings = s3::Settings {
        bucket: place.bucket,
        prefix: place.prefix,
        region: place.region.or(region),
        endpoint: endpoint(place.endpoint.or(address))?,
        path_style: place.path_style,
        access,
        journals: journals(session),
    };
    s3::open(settings, network)
}

/// Opens a bucket of Google Cloud Storage. Asks nothing yet.
///
/// # Errors
/// As [`open_s3`].
pub fn open_gcs(place: Place, access: Access, network: &Network, session: &Session<'_>) -> Result<Bucket, Error> {
    let variable = variable(session);
    let access = match access {
        Access::ServiceAccount(key) => gcs::Access::ServiceAccount(key),
        Access::Anonymous => gcs::Access::Anonymous,
        Access::Machine => match variable("GOOGLE_APPLICATION_CREDENTIALS") {
            Some(file) => gcs::Access::ServiceAccount(Arc::new(InFile(session.path(file.as_ref())))),
            None => {
                gcs::Access::Metadata { endpoint: variable("GCE_METADATA_HOST").map(|host| format!("http://{host}")) }
            }
        },
        _ => return Err(policy("expected a credential of Google Cloud, found another one", "name another credential")),
    };
    let settings = gcs::Settings {
        bucket: place.bucket,
        prefix: place.prefix,
        endpoint: endpoint(place.endpoint.or_else(|| variable("STORAGE_EMULATOR_HOST")))?,
        access,
        journals: journals(session),
    };
    gcs::open(settings, network)
}

/// Returns the directory of the journals of uploads.
fn journals(session: &Session<'_>) -> Option<PathBuf> {
    session.store().map(|store| store.dir().join("uploads"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_parsed() {
        let place = Place::parse("s3://bucket/a/b/");
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("bucket", "a/b"));
        let place = Place::parse("gs://bucket");
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("bucket", ""));
    }
}
